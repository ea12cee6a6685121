// Command controls shows what the controls of the message path cost: it runs the same `weir serve` twice, once with limits, JSON
// bounds, a schema, the audit log and origins in force and once with as much off as options allow, gives both the same load
// in turns, and prints the ratio of their throughput and of the processor time that they took.
//
//	go run ./bench/controls -for 40s
//
// The load is what controls are about: clients that publish, each publication checked, and delivered to every subscriber.
// It comes in batches, of which one is over when everybody has everything; the servers take turns (on, off, off, on), so
// that what else the machine does meets both. Nothing may be refused or lost: that exits with 1, as does a cost above
// -max-cost.
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
	"time"

	"weir/bench/internal/node"
	"weir/bench/internal/program"
)

func main() { program.Main("controls", run) }

// plan is the command line.
type plan struct {
	publishers, subscribers, batch int
	duration                       time.Duration
	maxCost                        float64
	weir                           string
	log                            io.Writer
}

func parse(args []string, log io.Writer) (*plan, error) {
	p := plan{log: log}
	flags := flag.NewFlagSet("controls", flag.ContinueOnError)
	flags.SetOutput(log)
	flags.IntVar(&p.publishers, "publishers", 4, "clients that publish")
	flags.IntVar(&p.subscribers, "subscribers", 4, "clients that get each publication")
	flags.IntVar(&p.batch, "batch", 200, "publications of each publisher in a batch")
	flags.DurationVar(&p.duration, "for", 40*time.Second, "how long, both servers together")
	flags.Float64Var(&p.maxCost, "max-cost", 0, "share of throughput above which it fails; 0 only prints")
	flags.StringVar(&p.weir, "weir", "", "server binary; the default builds weir/cmd/weir")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if p.publishers < 1 || p.subscribers < 1 || p.batch < 1 || p.batch > maxBatch || p.duration <= 0 {
		return nil, fmt.Errorf("-publishers and -subscribers must be at least 1, -batch from 1 to %d, -for above 0", maxBatch)
	}
	return &p, nil
}

func run(ctx context.Context, args []string, out, log io.Writer) (err error) {
	p, err := parse(args, node.Together(log))
	if err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "weir-controls-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	var sides [2]*side
	for i, controls := range [2]bool{true, false} {
		s, err := p.start(ctx, filepath.Join(folder, fmt.Sprint(controls)), controls)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, s.end()) }()
		sides[i] = s
	}
	if err := p.alternate(ctx, sides); err != nil {
		return err
	}
	return p.judge(sides, out)
}

// alternate gives batches to the two in turns until the time is over. The first of each only warms up.
func (p *plan) alternate(ctx context.Context, sides [2]*side) error {
	for _, s := range sides {
		if _, err := s.run(ctx, p.batch); err != nil {
			return err
		}
	}
	for _, s := range sides {
		s.batches, s.cpu = nil, 0
	}
	for began, turn := time.Now(), 0; time.Since(began) < p.duration; turn++ {
		order := sides
		if turn%2 == 1 {
			slices.Reverse(order[:])
		}
		for _, s := range order {
			took, err := s.run(ctx, p.batch)
			if err != nil {
				return err
			}
			s.batches = append(s.batches, took)
		}
	}
	return nil
}

// judge prints both and what the controls cost.
func (p *plan) judge(sides [2]*side, out io.Writer) error {
	perBatch := float64(p.publishers * p.batch)
	for _, s := range sides {
		fmt.Fprintf(out, "%-12s %8.0f publications/s, %9.0f deliveries/s (median of %d batches), %6.2f µs of server CPU for a publication\n",
			s.name, perBatch/s.median().Seconds(), perBatch*float64(p.subscribers)/s.median().Seconds(), len(s.batches),
			float64(s.cpu.Microseconds())/perBatch/float64(len(s.batches)))
	}
	on, off := sides[0], sides[1]
	cost := 1 - off.median().Seconds()/on.median().Seconds()
	fmt.Fprintf(out, "controls cost %.1f %% of throughput, %.1f %% of CPU (goal: at most 10 %% of throughput)\n",
		100*cost, 100*(float64(on.cpu)/float64(off.cpu)-1))
	if p.maxCost > 0 && cost > p.maxCost {
		return fmt.Errorf("over %.1f %%", 100*p.maxCost)
	}
	return nil
}

// start runs a server with or without controls, and connects its clients.
func (p *plan) start(ctx context.Context, folder string, controls bool) (*side, error) {
	if err := os.Mkdir(folder, 0o700); err != nil {
		return nil, err
	}
	options, err := configure(folder, controls)
	if err != nil {
		return nil, err
	}
	options.Binary, options.Log = p.weir, p.log
	server, err := node.Start(ctx, options)
	if err != nil {
		return nil, err
	}
	return newSide(ctx, p, server, controls)
}
