package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"weir/bench/internal/median"
	"weir/bench/internal/node"
)

// channel is what every subscriber of the fan-out has.
const channel = "floor"

// warming is how many publications begin a turn unmeasured: ciphers that nobody used for some seconds are made anew, and
// the turns of the others are longer.
const warming = 3

// side is one of those that are measured in turns.
type side struct {
	name    string
	send    func(ctx context.Context, messages [][]byte) error
	cpu     func() (time.Duration, error)
	readers *child
	batch   int                                        // publications at once
	count   func(ctx context.Context) (float64, error) // of garbage collections so far; nil: nobody asks
	guests  *child                                     // who connect and leave all the while; nil: nobody

	spent       []float64       // CPU of each turn: ns for one delivery
	took        []time.Duration // from publishing to the last subscriber
	collections float64         // of garbage, in lasted
	lasted      time.Duration
}

// fanout measures the server and the floor, one by one and in batches.
func (p *plan) fanout(ctx context.Context, server *node.Node, out io.Writer) (err error) {
	s, err := p.seat(ctx, server)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.leave()) }()
	batch := *s.weir
	batch.name, batch.batch = "weir, batch", p.batch
	s.weir.count = func(ctx context.Context) (float64, error) { return server.Metric(ctx, "go_gc_duration_seconds_count") }
	sides := []*side{s.weir, s.floor, &batch}
	if slices.Contains(p.parts, "storm") {
		storm := *s.weir
		storm.name, storm.guests, storm.count = "weir, storm", s.guests, nil
		sides = append(sides, &storm)
	}
	if err := p.alternate(ctx, sides); err != nil {
		return err
	}
	return p.judge(sides, out)
}

// seats are the server and the floor, each with its subscribers, and guests who are not there yet.
type seats struct {
	weir, floor *side
	guests      *child
	all         []*child // in the order in which they came
}

func (p *plan) seat(ctx context.Context, server *node.Node) (s *seats, err error) {
	s = &seats{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.leave())
		}
	}()
	take := func(c *child, err error) (*child, error) {
		if err == nil {
			s.all = append(s.all, c)
		}
		return c, err
	}
	floor, err := take(startChild(ctx, roleBare, p.log))
	if err != nil {
		return s, err
	}
	cert, key := server.Certificate()
	at, err := ask[bareReport](floor, bareOrder{Cert: cert, Key: key})
	if err != nil {
		return s, err
	}
	target, err := server.Target(channel, []string{channel})
	if err != nil {
		return s, err
	}
	hello := fmt.Appendf(nil, `{"id":1,"connect":{"token":%q}}`+"\n"+`{"id":2,"subscribe":{"channel":%q}}`, target.Token, channel)
	ours, err := take(p.gather(ctx, audienceOrder{URL: "wss://" + server.Addr + "/connection/websocket", Authority: cert, Hello: hello, Replies: 2}))
	if err != nil {
		return s, err
	}
	bares, err := take(p.gather(ctx, audienceOrder{URL: "wss://" + at.Addr + "/", Authority: cert}))
	if err != nil {
		return s, err
	}
	if _, err := ask[bareReport](floor, bareOrder{Await: p.subscribers}); err != nil {
		return s, err
	}
	publish := func(ctx context.Context, data [][]byte) error { return publishAll(ctx, server, data) }
	write := func(_ context.Context, data [][]byte) error {
		_, err := ask[bareReport](floor, bareOrder{Messages: envelopes(data)})
		return err
	}
	s.weir = &side{name: "weir", send: publish, cpu: server.CPU, readers: ours, batch: 1}
	s.floor = &side{name: "floor", send: write, cpu: floor.cpu, readers: bares, batch: 1}
	s.guests, err = take(p.invite(ctx, server))
	return s, err
}

// leave ends all of them, who came last first.
func (s *seats) leave() (err error) {
	for _, c := range slices.Backward(s.all) {
		err = errors.Join(err, c.close())
	}
	return err
}

// gather starts the clients of one side.
func (p *plan) gather(ctx context.Context, o audienceOrder) (*child, error) {
	c, err := startChild(ctx, roleAudience, p.log)
	if err != nil {
		return nil, err
	}
	o.Count, o.Dials = p.subscribers, p.dials
	if _, err := ask[audienceReport](c, o); err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

// publishAll is one call of the server API.
func publishAll(ctx context.Context, server *node.Node, data [][]byte) error {
	if len(data) == 1 {
		return server.Publish(ctx, channel, data[0])
	}
	body := []byte(`{"commands":[`)
	for i, d := range data {
		if i > 0 {
			body = append(body, ',')
		}
		body = fmt.Appendf(body, `{"publish":{"channel":%q,"data":%s}}`, channel, d)
	}
	return server.Order(ctx, "batch", append(body, "]}"...))
}

// envelopes is what the server makes of publications, so that the floor's records are as long.
func envelopes(data [][]byte) (all [][]byte) {
	for _, d := range data {
		all = append(all, fmt.Appendf(nil, `{"push":{"channel":%q,"pub":{"data":%s}}}`, channel, d))
	}
	return all
}

// alternate gives turns to each; the first of each only warms up.
func (p *plan) alternate(ctx context.Context, sides []*side) error {
	number := 0
	for round := range p.rounds + 1 {
		order := slices.Clone(sides)
		if round%2 == 1 {
			slices.Reverse(order)
		}
		for _, s := range order {
			if round == 1 {
				s.spent, s.took, s.collections, s.lasted = nil, nil, 0, 0
			}
			if err := p.turn(ctx, s, &number); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
		}
	}
	return nil
}

// turn measures a stream of publications, after a few that are not measured.
func (p *plan) turn(ctx context.Context, s *side, number *int) error {
	if _, err := p.publish(ctx, s, warming, number); err != nil {
		return err
	}
	collections, err := s.collected(ctx)
	if err != nil {
		return err
	}
	var took []time.Duration
	count, began := p.publications/s.batch, time.Now()
	cpu, err := spent(s.cpu, func() error {
		end := p.storm(s.guests)
		took, err = p.publish(ctx, s, count, number)
		return errors.Join(err, end())
	})
	if err != nil {
		return err
	}
	after, err := s.collected(ctx)
	s.spent = append(s.spent, float64(cpu)/float64(count*s.batch)/float64(p.subscribers))
	s.took = append(s.took, took...)
	s.collections, s.lasted = s.collections+after-collections, s.lasted+time.Since(began)
	return err
}

// storm has guests (nil: nobody) connect and leave, over and over, until end is called.
func (p *plan) storm(guests *child) (end func() error) {
	if guests == nil {
		return func() error { return nil }
	}
	over, failed := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			_, err := ask[int](guests, visitorsOrder{Count: 10 * p.dials, Dials: p.dials})
			if err == nil {
				_, err = ask[int](guests, visitorsOrder{Leave: true})
			}
			select {
			case <-over:
				failed <- err
				return
			default:
			}
			if err != nil {
				failed <- err
				return
			}
		}
	}()
	return func() error {
		close(over)
		return <-failed
	}
}

func (s *side) collected(ctx context.Context) (float64, error) {
	if s.count == nil {
		return 0, nil
	}
	return s.count(ctx)
}

// publish publishes count batches at the rate and waits until everybody has everything. It returns how long each took.
func (p *plan) publish(ctx context.Context, s *side, count int, number *int) ([]time.Duration, error) {
	ticker := time.NewTicker(time.Duration(float64(time.Second) / p.rate))
	defer ticker.Stop()
	for range count {
		data := make([][]byte, s.batch)
		for i := range data {
			data[i] = publication(*number, time.Now())
			*number++
		}
		if err := s.send(ctx, data); err != nil {
			return nil, err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	report, err := ask[audienceReport](s.readers, audienceOrder{Publications: count * s.batch})
	return report.Took, err
}

func (p *plan) judge(sides []*side, out io.Writer) error {
	for _, s := range sides {
		with := ""
		if s.guests != nil {
			with = " with the connects beside it"
		}
		fmt.Fprintf(out, "%-12s %6.2f µs of CPU for a delivery to each of %d%s; to the last of them p50 %v, p99 %v\n", s.name,
			median.Of(s.spent)/1000, p.subscribers, with, quantile(s.took, 0.5).Round(10*time.Microsecond), quantile(s.took, 0.99).Round(10*time.Microsecond))
	}
	ours, floor, batch := sides[0], sides[1], sides[2]
	cost, gain := ratio(ours.spent, floor.spent), ratio(ours.spent, batch.spent)
	fmt.Fprintf(out, "a delivery costs %.2f times the floor (goal: at most 1.4); in batches of %d there are %.1f times as many for the same CPU (goal: at least 5)\n",
		cost, p.batch, gain)
	for _, storm := range sides[3:] {
		late := float64(quantile(storm.took, 0.99))
		fmt.Fprintf(out, "while %d clients connect and leave all the time the p99 to the last subscriber is %.1f times the floor's median and %.1f times its p99\n",
			p.dials, late/float64(quantile(floor.took, 0.5)), late/float64(quantile(floor.took, 0.99)))
	}
	fmt.Fprintf(out, "%.0f collections of garbage in %d publications one by one, %.0f a minute\n", ours.collections, p.rounds*p.publications,
		math.Ceil(ours.collections/max(ours.lasted.Minutes(), 1e-9)))
	if p.maxDelivery > 0 && cost > p.maxDelivery {
		return fmt.Errorf("a delivery is over %.2f times the floor", p.maxDelivery)
	}
	if p.minBatch > 0 && gain < p.minBatch {
		return fmt.Errorf("a batch is below %.1f times single publications", p.minBatch)
	}
	return nil
}

// quantile is the time that a share of them, below 1, is within.
func quantile(times []time.Duration, share float64) time.Duration {
	sorted := slices.Sorted(slices.Values(times))
	return sorted[int(float64(len(sorted))*share)]
}

// ratio is the median of what a is to b in each turn: both had the same neighbours then.
func ratio(a, b []float64) float64 {
	each := make([]float64, len(a))
	for i := range a {
		each[i] = a[i] / b[i]
	}
	return median.Of(each)
}
