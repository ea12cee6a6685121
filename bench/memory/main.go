// Command memory measures what an idle connection costs a server: it runs a
// real `weir serve`, opens authenticated and subscribed wss connections from a
// process of their own, and prints the slope of the server's resident memory
// between two counts of them.
//
//	go run ./bench/memory -from 1000 -to 15000 -max-slope 2560
//
// At the end every connection must still live, and one publication must reach
// each of them exactly once. It exits with 1 if one of this fails or the slope
// is over -max-slope.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"weir/bench/internal/node"
	"weir/bench/internal/program"
)

// fleetVariable in the environment makes this program the client process.
const fleetVariable = "WEIR_BENCH_FLEET"

// channel is what every connection subscribes to.
const channel = "memory"

func main() {
	if os.Getenv(fleetVariable) != "" {
		program.Worker("memory", serveFleet)
	}
	program.Main("memory", run)
}

// plan is the command line.
type plan struct {
	from, to, atOnce int
	settle           time.Duration
	maxSlope         float64
	weir             string
}

func run(ctx context.Context, args []string, out, log io.Writer) (err error) {
	var p plan
	flags := flag.NewFlagSet("memory", flag.ContinueOnError)
	flags.SetOutput(log)
	flags.IntVar(&p.from, "from", 1000, "connections at the first measurement")
	flags.IntVar(&p.to, "to", 15000, "connections at the second, up to 18000 with 20,000 descriptors")
	flags.IntVar(&p.atOnce, "dials", 32, "connections being established at the same time")
	flags.DurationVar(&p.settle, "settle", 5*time.Second, "wait after the last connect before a measurement")
	flags.Float64Var(&p.maxSlope, "max-slope", 0, "bytes per connection above which to fail; 0 is no bound")
	flags.StringVar(&p.weir, "weir", "", "server binary; the default builds weir/cmd/weir")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if p.from < 1 || p.to <= p.from || p.atOnce < 1 {
		return errors.New("-from must be at least 1 and -to above it, -dials at least 1")
	}
	server, err := node.Start(ctx, node.Options{Binary: p.weir, Flags: flags.Args(), Log: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	return p.measure(ctx, server, out, log)
}

// sample is the server at one count of connections.
type sample struct {
	connections int
	rss         int64
	goroutines  float64
	cpu         time.Duration // since the start of the server
}

func (p *plan) measure(ctx context.Context, server *node.Node, out, log io.Writer) (err error) {
	target, err := server.Target(channel, []string{channel})
	if err != nil {
		return err
	}
	fleet, err := startFleet(ctx, target, p.atOnce, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, fleet.close()) }()
	var samples []sample
	for _, connections := range []int{p.from, p.to} {
		start := time.Now()
		if err := fleet.open(connections); err != nil {
			return err
		}
		took := time.Since(start)
		s, err := p.sampleAt(ctx, server, connections)
		if err != nil {
			return err
		}
		samples = append(samples, s)
		fmt.Fprintf(out, "%6d connections  rss %9d B (%6.1f MiB)  goroutines %3.0f  server CPU %.2f s  opened in %.1f s\n",
			s.connections, s.rss, float64(s.rss)/(1<<20), s.goroutines, s.cpu.Seconds(), took.Seconds())
	}
	slope := float64(samples[1].rss-samples[0].rss) / float64(p.to-p.from)
	fmt.Fprintf(out, "slope %.0f bytes per connection\n", slope)
	if err := p.verify(ctx, server, fleet, out); err != nil {
		return err
	}
	return p.judge(slope, samples)
}

// judge compares with the bounds: memory, and no goroutine per connection.
func (p *plan) judge(slope float64, samples []sample) error {
	if p.maxSlope > 0 && slope > p.maxSlope {
		return fmt.Errorf("slope %.0f bytes per connection, at most %.0f", slope, p.maxSlope)
	}
	if grown := samples[1].goroutines - samples[0].goroutines; grown > float64(p.to-p.from)/10 {
		return fmt.Errorf("%.0f more goroutines for %d more connections", grown, p.to-p.from)
	}
	return nil
}

// sampleAt reads the figures once the server has settled.
func (p *plan) sampleAt(ctx context.Context, server *node.Node, connections int) (s sample, err error) {
	settled := time.NewTimer(p.settle)
	defer settled.Stop()
	select {
	case <-settled.C:
	case <-ctx.Done():
		return s, ctx.Err()
	case <-server.Exited():
		return s, errors.New("the server ended")
	}
	s.connections = connections
	if s.rss, err = server.RSS(); err != nil { // before /metrics, which costs memory itself
		return s, err
	}
	if s.cpu, err = server.CPU(); err != nil {
		return s, err
	}
	s.goroutines, err = server.Metric(ctx, "go_goroutines")
	return s, err
}

// verify makes sure that what was measured are connections that work.
func (p *plan) verify(ctx context.Context, server *node.Node, fleet *fleet, out io.Writer) error {
	if err := server.Publish(ctx, channel, []byte(`{"to":"everyone"}`)); err != nil {
		return err
	}
	report, err := fleet.check()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%d of %d connections live; one publication reached %d of them\n", report.Live, p.to, report.Reached)
	if report.Live != p.to || report.Reached != p.to {
		return fmt.Errorf("not every connection lives and was reached; first failure: %s", report.Failure)
	}
	return nil
}
