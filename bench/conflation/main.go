// Command conflation shows what readers that stand still cost the others. It runs
// a real `weir serve` with a conflating namespace twice: with everybody reading,
// and with a share of the readers standing still. It prints for both how long
// publications took to those who read, and how much waited in the server at most.
//
//	go run ./bench/conflation -subscribers 200 -asleep 0.1 -rate 500 -for 10s
//
// Who reads must get every offset once and in order; who stood still, when it
// reads again, the newest of every key, in order. Else it exits with 1.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"weir/bench/internal/client"
	"weir/bench/internal/node"
	"weir/bench/internal/program"
)

const (
	channel = "feeds:conflation"

	// receiveBytes is the kernel's buffer of a client: a reader that stands still
	// is to be felt by the server, not by the kernel.
	receiveBytes = 128 << 10

	dialsAtOnce = 32

	// wakeTime is how long everything may take to arrive at the end.
	wakeTime = 30 * time.Second

	config = `namespaces:
  - name: feeds
    slow_consumer: conflate
    conflate_key: /symbol
`
)

func main() { program.Main("conflation", run) }

// plan is the command line.
type plan struct {
	subscribers, keys int
	asleep, rate      float64
	duration          time.Duration
	weir              string
	log               io.Writer
}

func (p *plan) publications() int { return int(p.rate * p.duration.Seconds()) }

func run(ctx context.Context, args []string, out, log io.Writer) error {
	p := plan{log: log}
	flags := flag.NewFlagSet("conflation", flag.ContinueOnError)
	flags.SetOutput(log)
	flags.IntVar(&p.subscribers, "subscribers", 200, "connections")
	flags.Float64Var(&p.asleep, "asleep", 0.1, "share of them that stands still")
	flags.IntVar(&p.keys, "keys", 200, "different keys")
	flags.Float64Var(&p.rate, "rate", 500, "publications a second")
	flags.DurationVar(&p.duration, "for", 10*time.Second, "how long to publish; below --write-timeout, after which who takes nothing is closed")
	flags.StringVar(&p.weir, "weir", "", "server binary; the default builds weir/cmd/weir")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if p.subscribers < 1 || p.keys < 1 || p.asleep < 0 || p.asleep >= 1 || p.publications() < p.keys {
		return errors.New("-subscribers and -keys must be at least 1, -asleep from 0 to below 1, and every key needs a publication")
	}
	for _, asleep := range []int{0, int(p.asleep * float64(p.subscribers))} {
		r, err := p.measure(ctx, asleep)
		if err != nil {
			return fmt.Errorf("with %d asleep: %w", asleep, err)
		}
		fmt.Fprintf(out, "%3d of %d asleep: p50 %v, p99 %v, longest %v to the others; %.1f KiB waited at most",
			asleep, p.subscribers, r.at(0.5), r.at(0.99), r.at(1), r.waited/1024)
		if asleep > 0 {
			fmt.Fprintf(out, "; each got %d to %d of %d publications", r.fewest, r.most, p.publications())
		}
		fmt.Fprintln(out)
	}
	return nil
}

// result is what one run showed.
type result struct {
	latencies    []time.Duration // of all deliveries to those who read, sorted
	waited       float64         // most bytes in outboxes
	fewest, most int             // publications that who stood still got
}

func (r *result) at(share float64) time.Duration {
	return r.latencies[int(share*float64(len(r.latencies)-1))].Round(10 * time.Microsecond)
}

func (p *plan) measure(ctx context.Context, asleep int) (r *result, err error) {
	folder, err := os.MkdirTemp("", "weir-conflation-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	file := filepath.Join(folder, "weir.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	server, err := node.Start(ctx, node.Options{Binary: p.weir, Flags: []string{"--config", file, "--ping-interval", "0"}, Log: p.log})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	target, err := server.Target("feeds:", []string{channel})
	if err != nil {
		return nil, err
	}
	target.BufferBytes, target.ReceiveBytes = 17<<10, receiveBytes
	dialer, err := client.NewDialer(target)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	var conns []*client.Conn
	defer func() {
		for _, c := range conns {
			_ = c.Close() // what counts was read
		}
	}()
	if err := dialer.Open(ctx, 0, p.subscribers, dialsAtOnce, func(_ int, c *client.Conn) {
		mu.Lock()
		defer mu.Unlock()
		conns = append(conns, c)
	}); err != nil {
		return nil, err
	}
	return p.hold(ctx, server, conns[:asleep], conns[asleep:])
}

// hold publishes while some read and some do not, then has all read to the end.
func (p *plan) hold(ctx context.Context, server *node.Node, asleep, awake []*client.Conn) (*result, error) {
	start := time.Now()
	var wg sync.WaitGroup
	readers, sleepers := make([]reader, len(awake)), make([]reader, len(asleep))
	for i, c := range awake {
		wg.Go(func() { readers[i].read(c, start, p.publications()) })
	}
	r := &result{}
	stopped, watching := context.WithCancel(ctx)
	defer watching()
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		r.waited = most(stopped, server)
	}()
	err := p.publish(ctx, server, start)
	watching()
	<-watched
	limit := time.AfterFunc(wakeTime, func() {
		for _, c := range slices.Concat(asleep, awake) {
			_ = c.Close() // ends its reader
		}
	})
	defer limit.Stop()
	if err != nil {
		for _, c := range awake {
			_ = c.Close() // ends its reader
		}
		wg.Wait()
		return nil, err
	}
	for i, c := range asleep {
		wg.Go(func() { sleepers[i].read(c, start, p.publications()) })
	}
	wg.Wait()
	return r, r.judge(p, sleepers, readers)
}

// most returns the most that waited in the server's outboxes until ctx ends.
func most(ctx context.Context, server *node.Node) (bytes float64) {
	for look := time.NewTicker(100 * time.Millisecond); ; {
		select {
		case <-ctx.Done():
			look.Stop()
			return bytes
		case <-look.C:
			if n, err := server.Metric(ctx, "weir_outbox_bytes"); err == nil {
				bytes = max(bytes, n)
			}
		}
	}
}

// publish gives each publication its time, whatever became of those before.
func (p *plan) publish(ctx context.Context, server *node.Node, start time.Time) error {
	for i := range p.publications() {
		due := time.Duration(float64(i) / p.rate * float64(time.Second))
		wait := time.NewTimer(time.Until(start.Add(due)))
		select {
		case <-ctx.Done():
			wait.Stop()
			return ctx.Err()
		case <-wait.C:
		}
		if err := server.Publish(ctx, channel, appendData(nil, i%p.keys, due)); err != nil {
			return err
		}
	}
	return nil
}
