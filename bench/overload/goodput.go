//go:build linux

package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"time"

	"weir/bench/internal/median"
	"weir/bench/internal/node"
)

const (
	// warming begins a stage unmeasured.
	warming = time.Second
	// margin makes sure that not fewer come than they should.
	margin = 1.1
)

// moment is what the server and the machine have done so far.
type moment struct {
	at        time.Time
	cpu, idle time.Duration // of the server; of all cores together
	done      int64         // handshakes, as the clients count them
	offered   int64
}

// span is the difference of two moments.
type span struct {
	took      time.Duration
	cpu, idle time.Duration
	done      float64
	offered   float64
	cores     float64 // that the server might have taken
}

func (a moment) until(b moment, cores float64) span {
	return span{b.at.Sub(a.at), b.cpu - a.cpu, b.idle - a.idle, float64(b.done - a.done), float64(b.offered - a.offered), cores}
}

// rate is handshakes a second.
func (s span) rate() float64 { return s.done / s.took.Seconds() }

// had is the processor time that the server took, or could have taken. Its clients are on the same cores, and ten times as many
// leave it less of them.
func (s span) had() time.Duration {
	most := time.Duration(s.cores * float64(s.took))
	return s.cpu + min(s.idle, max(0, most-s.cpu))
}

// each is handshakes for a second of that time.
func (s span) each() float64 { return s.done / s.had().Seconds() }

// over is how many times as many clients came as the server could have served in its processor time, by what it did alone.
func (s span) over(alone span) float64 {
	return s.offered / (alone.each() * s.had().Seconds())
}

// goodput compares handshakes with no more clients than the server can take with those under an overload.
func (p *plan) goodput(ctx context.Context, server *node.Node, there *established, out io.Writer) (err error) {
	crowd, err := newCrowd(server)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, crowd.end()) }()
	var capacity, overload []span
	for round := range p.rounds + 1 {
		alone, err := p.hold(ctx, server, crowd, stage{together: p.together, patience: patience})
		if err != nil {
			return err
		}
		rate := margin * p.times * alone.rate()
		if p.cores < 1 {
			rate = margin * p.times * alone.each() * p.cores
		}
		crowd.prepare(int(min(rate*p.patience.Seconds(), visitsAtOnce)))
		many, err := p.hold(ctx, server, crowd, stage{rate: rate, patience: p.patience})
		if err != nil {
			return err
		}
		fmt.Fprintf(p.log, "round %d: %s; %s, %.1f times too many; %s\n", round, alone, many, many.over(alone), crowd)
		if round > 0 { // the first warms up
			capacity, overload = append(capacity, alone), append(overload, many)
		}
	}
	if err := p.judge(capacity, overload, out); err != nil {
		return err
	}
	return p.judgeHarm(ctx, there, out)
}

// judgeHarm tells what became of those who were connected.
func (p *plan) judgeHarm(ctx context.Context, there *established, out io.Writer) error {
	harmed, first, err := there.check(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%d of %d subscribers who were connected all the while were lost or missed anything\n", harmed, len(there.conns))
	if harmed > 0 {
		fmt.Fprintf(p.log, "the first: %v\n", first)
	}
	if p.maxHarmed >= 0 && harmed > p.maxHarmed {
		return fmt.Errorf("%d subscribers came to harm: %w", harmed, first)
	}
	return nil
}

func (s span) String() string {
	return fmt.Sprintf("%.0f offered/s, %.0f handshakes/s, %.2f cores of the server, %.2f idle", s.offered/s.took.Seconds(), s.rate(),
		s.cpu.Seconds()/s.took.Seconds(), s.idle.Seconds()/s.took.Seconds())
}

// hold lets clients come for the time of a stage and waits until the server has forgotten them.
func (p *plan) hold(ctx context.Context, server *node.Node, crowd *crowd, s stage) (span, error) {
	before, err := server.Metric(ctx, "weir_connections")
	if err != nil {
		return span{}, err
	}
	end := crowd.come(s)
	measured, err := p.measure(ctx, server, crowd)
	if err := errors.Join(err, end()); err != nil {
		return span{}, err
	}
	return measured, await(ctx, func() (bool, error) {
		now, err := server.Metric(ctx, "weir_connections")
		return now <= before, err
	})
}

func (p *plan) measure(ctx context.Context, server *node.Node, crowd *crowd) (span, error) {
	if err := pause(ctx, warming); err != nil {
		return span{}, err
	}
	a, err := now(server, crowd)
	if err != nil {
		return span{}, err
	}
	if err := pause(ctx, p.stage); err != nil {
		return span{}, err
	}
	b, err := now(server, crowd)
	return a.until(b, p.cores), err
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func now(server *node.Node, crowd *crowd) (m moment, err error) {
	if m.cpu, err = server.CPU(); err != nil {
		return m, err
	}
	m.idle, err = node.MachineIdle()
	m.at, m.done, m.offered = time.Now(), crowd.tally.completed.Load(), crowd.tally.offered.Load()
	return m, err
}

// judge prints medians.
func (p *plan) judge(capacity, overload []span, out io.Writer) error {
	of := func(f func(a, b span) float64) float64 {
		var all []float64
		for i := range capacity {
			all = append(all, f(capacity[i], overload[i]))
		}
		return median.Of(all)
	}
	fmt.Fprintf(out, "capacity: %.0f handshakes a second with %d clients at once, %.0f for a second of the server's processor time\n",
		of(func(a, _ span) float64 { return a.rate() }), p.together, of(func(a, _ span) float64 { return a.each() }))
	fmt.Fprintf(out, "overload: %.0f hellos a second, each from another address, %.1f times what the server's processor time then is enough for: %.0f handshakes a second, %.0f for a second of its time\n",
		of(func(_, b span) float64 { return b.offered / b.took.Seconds() }), of(func(a, b span) float64 { return b.over(a) }),
		of(func(_, b span) float64 { return b.rate() }), of(func(_, b span) float64 { return b.each() }))
	good := of(func(a, b span) float64 { return 100 * b.each() / a.each() })
	fmt.Fprintf(out, "goodput: %.1f %% of the capacity for the same processor time (goal: at least 85 %%), %.1f %% of it by the clock\n",
		good, of(func(a, b span) float64 { return 100 * b.rate() / a.rate() }))
	if p.minGoodput > 0 && good < p.minGoodput {
		return fmt.Errorf("goodput is below %.1f %%", p.minGoodput)
	}
	return nil
}

// crowd is loops of visitors, as many as there are cores.
type crowd struct {
	tally tally
	loops []*visitors
}

func newCrowd(server *node.Node) (*crowd, error) {
	pem, err := os.ReadFile(server.Authority())
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	at, err := netip.ParseAddrPort(server.Addr)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{RootCAs: roots, ServerName: "localhost", NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS13}
	c := &crowd{}
	for i := range runtime.NumCPU() {
		v, err := newVisitors(&c.tally, config, at, i, runtime.NumCPU())
		if err != nil {
			return nil, errors.Join(err, c.end())
		}
		c.loops = append(c.loops, v)
	}
	return c, nil
}

// prepare makes n hellos.
func (c *crowd) prepare(n int) {
	var all sync.WaitGroup
	for _, v := range c.loops {
		all.Go(func() { v.prepare(n / len(c.loops)) })
	}
	all.Wait()
}

// come has clients come until end is called.
func (c *crowd) come(s stage) (end func() error) {
	s.together = (s.together + len(c.loops) - 1) / len(c.loops)
	s.rate /= float64(len(c.loops))
	stop := make(chan struct{})
	errs := make([]error, len(c.loops))
	var all sync.WaitGroup
	for i, v := range c.loops {
		all.Go(func() { errs[i] = v.run(s, stop) })
	}
	return func() error {
		close(stop)
		all.Wait()
		return errors.Join(errs...)
	}
}

func (c *crowd) end() error {
	var errs []error
	for _, v := range c.loops {
		errs = append(errs, v.end())
	}
	return errors.Join(errs...)
}

// String tells what became of all so far.
func (c *crowd) String() string {
	t := &c.tally
	return fmt.Sprintf("%d offered so far, %d completed, %d refused, %d gave up, %d broken, %d not offered", t.offered.Load(), t.completed.Load(),
		t.refused.Load(), t.gaveUp.Load(), t.broken.Load(), t.skipped.Load())
}
