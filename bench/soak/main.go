// Command soak holds a real `weir serve` under a steady fan-out and checks
// that nothing is lost: every subscriber must see every offset of every
// channel exactly once and in order, while the server's memory stays flat.
//
//	go run ./bench/soak -subscribers 2000 -rate 200 -for 60s
//
// Publications are paced open loop: each has its time, whatever became of the
// ones before, and latency counts from that time. Where the machine cannot
// deliver one by one, the server has to coalesce. The program exits with 1 on
// any loss, repeat, refused publication, disconnect, or growth of memory.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"time"

	"weir/bench/internal/client"
	"weir/bench/internal/node"
	"weir/bench/internal/program"
)

// readBufferBytes holds a whole record, so that one read takes all of it.
const readBufferBytes = 17 << 10

// dialsAtOnce is how many connections are being established at the same time.
const dialsAtOnce = 32

func main() { program.Main("soak", run) }

// plan is the command line.
type plan struct {
	subscribers, channels int
	rate                  float64
	duration, every       time.Duration
	size                  int
	drainTime             time.Duration
	maxGrowth             float64
	weir                  string
	serverFlags           []string
}

// publications is how many the plan makes.
func (p *plan) publications() int { return int(p.rate * p.duration.Seconds()) }

func parse(args []string, log io.Writer) (*plan, error) {
	var p plan
	flags := flag.NewFlagSet("soak", flag.ContinueOnError)
	flags.SetOutput(log)
	flags.IntVar(&p.subscribers, "subscribers", 2000, "connections, each subscribed to every channel")
	flags.IntVar(&p.channels, "channels", 1, "channels, published to in turn")
	flags.Float64Var(&p.rate, "rate", 200, "publications a second, over all channels")
	flags.DurationVar(&p.duration, "for", time.Minute, "how long to publish")
	flags.IntVar(&p.size, "size", 256, "bytes of data of a publication")
	flags.DurationVar(&p.every, "every", 5*time.Second, "between two lines of progress")
	flags.DurationVar(&p.drainTime, "drain", 20*time.Second, "how long the last deliveries may take")
	flags.Float64Var(&p.maxGrowth, "max-growth", 0.05, "growth of memory, last third over middle third, above which it is not flat")
	flags.StringVar(&p.weir, "weir", "", "server binary; the default builds weir/cmd/weir")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	p.serverFlags = flags.Args()
	if p.subscribers < 1 || p.channels < 1 || p.size < minDataBytes || p.every <= 0 || p.publications() < p.channels {
		return nil, fmt.Errorf("-subscribers and -channels must be at least 1, -size at least %d, -every above 0, and every channel needs a publication", minDataBytes)
	}
	return &p, nil
}

func run(ctx context.Context, args []string, out, log io.Writer) (err error) {
	p, err := parse(args, log)
	if err != nil {
		return err
	}
	server, err := node.Start(ctx, node.Options{Binary: p.weir, Flags: p.serverFlags, Log: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()

	audience, err := p.gather(ctx, server)
	if err != nil {
		return err
	}
	defer audience.dismiss()
	before, err := server.CPU()
	if err != nil {
		return err
	}
	memory, published, err := p.hold(ctx, server, audience, out)
	if err != nil {
		return err
	}
	after, err := server.CPU()
	if err != nil {
		return err
	}
	audience.dismiss()
	return errors.Join(audience.judge(p, published, after-before, out), memory.judge(p.maxGrowth, out))
}

// gather connects and subscribes everybody.
func (p *plan) gather(ctx context.Context, server *node.Node) (*audience, error) {
	names := make([]string, p.channels)
	for i := range names {
		names[i] = channelName(i)
	}
	target, err := server.Target(channelPrefix, names)
	if err != nil {
		return nil, err
	}
	target.BufferBytes = readBufferBytes
	dialer, err := client.NewDialer(target)
	if err != nil {
		return nil, err
	}
	a := newAudience(p)
	if err := dialer.Open(ctx, 0, p.subscribers, dialsAtOnce, a.seat); err != nil {
		a.dismiss()
		return nil, err
	}
	return a, nil
}

// hold publishes for the time of the plan, then waits for the last deliveries.
func (p *plan) hold(ctx context.Context, server *node.Node, a *audience, out io.Writer) (*memory, *published, error) {
	start := time.Now()
	a.begin(start)
	publishing := publish(ctx, server, p, start)
	m := &memory{}
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	progress := start.Add(p.every)
	for deadline := start.Add(p.duration + p.drainTime); ; {
		select {
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		case <-server.Exited():
			return nil, nil, errors.New("the server ended")
		case now := <-look.C:
			rss, err := server.RSS()
			if err != nil {
				return nil, nil, err
			}
			if now.Sub(start) <= p.duration {
				m.rss = append(m.rss, rss)
			}
			if !now.Before(progress) {
				progress = progress.Add(p.every)
				fmt.Fprintf(out, "%4.0fs  rss %6.1f MiB  %d published, %d delivered\n",
					now.Sub(start).Seconds(), float64(rss)/(1<<20), publishing.acknowledged.Load(), a.delivered())
			}
			done := publishing.finished() && a.delivered() >= int64(p.subscribers)*int64(publishing.acknowledged.Load())
			if done || now.After(deadline) || a.gone.Load() == int64(p.subscribers) {
				publishing.stop()
				return m, publishing, nil
			}
		}
	}
}
