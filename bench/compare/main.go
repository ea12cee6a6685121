// Command compare gives Weir and the servers of bench/peers the same load, by weir-load, and prints what each takes for it:
//
//	memory      bytes for each idle, subscribed wss connection: the slope of the resident memory, a fresh server each time
//	delivery    processor time of the server for each delivery, with publications one by one, well below what the machine can do
//	deliveries  a second by the whole machine, client included, when many publications come at once
//
//	go run ./bench/compare -servers weir,gorilla,uws -rounds 5
//
// In each round every server has one turn, forwards and then backwards; a ratio is the median of those within rounds, so that
// what else the machine does meets both. Weir is there by both its protocols, and each peer is held against the one that it
// speaks. Compare the ratios: times depend on the machine. It exits with 1 if Weir did anything wrong; a
// peer that loses something has a note instead of figures.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"weir/bench/internal/peer"
	"weir/bench/internal/program"
)

func main() { program.Main("compare", run) }

// plan is the command line.
type plan struct {
	servers                  []string // nil: all
	rounds, memoryRounds     int
	subscribers, idle        int
	rate, burst              float64
	rest, duration, patience time.Duration
	load                     string // weir-load; "" builds it
	log                      io.Writer
}

func parse(args []string, log io.Writer) (*plan, error) {
	p := plan{log: log}
	flags := flag.NewFlagSet("compare", flag.ContinueOnError)
	flags.SetOutput(log)
	servers := flags.String("servers", "", "names with commas, as in bench/peers/peers.json, weir and weir-feed; \"\" is all")
	flags.IntVar(&p.rounds, "rounds", 3, "turns of each server for deliveries; 0 leaves them out")
	flags.IntVar(&p.memoryRounds, "memory-rounds", 1, "turns of each server for memory; 0 leaves it out")
	flags.IntVar(&p.subscribers, "subscribers", 5000, "connections that a publication reaches")
	flags.IntVar(&p.idle, "idle", 9000, "connections whose memory is measured, up to 18000 with 20,000 descriptors")
	flags.DurationVar(&p.rest, "rest", 5*time.Second, "how long they are left alone before it is")
	flags.Float64Var(&p.rate, "rate", 8, "publications a second, one by one; it must be below what the machine can do")
	flags.DurationVar(&p.duration, "for", 4*time.Second, "how long, one by one")
	flags.Float64Var(&p.burst, "burst", 100, "publications at once, faster than they can be delivered")
	flags.DurationVar(&p.patience, "patience", 2*time.Minute, "how long deliveries may take to arrive")
	flags.StringVar(&p.load, "weir-load", "", "the load generator; the default builds weir/cmd/weir-load")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if *servers != "" {
		p.servers = strings.Split(*servers, ",")
	}
	if p.rounds < 0 || p.memoryRounds < 0 || p.rounds+p.memoryRounds == 0 || p.subscribers < 1 || p.idle < 2 || p.rate <= 0 || p.burst < 1 ||
		p.rest <= 0 || p.duration <= 0 || p.patience <= 0 {
		return nil, errors.New("numbers and times must be above 0")
	}
	return &p, nil
}

func run(ctx context.Context, args []string, out, log io.Writer) (err error) {
	p, err := parse(args, log)
	if err != nil {
		return err
	}
	if p.servers == nil {
		if p.servers, err = peer.Names(ctx); err != nil {
			return err
		}
	}
	bench, err := peer.Open(ctx, p.servers)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, bench.Close()) }()
	folder, err := os.MkdirTemp("", "weir-compare-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	if p.load == "" {
		p.load = filepath.Join(folder, "weir-load")
		if out, err := exec.CommandContext(ctx, "go", "build", "-o", p.load, "weir/cmd/weir-load").CombinedOutput(); err != nil {
			return fmt.Errorf("go build weir/cmd/weir-load: %w\n%s", err, out)
		}
	}
	all, err := p.measure(ctx, bench)
	if err != nil {
		return err
	}
	return errors.Join(p.write(out, all), blame(all))
}

// measure gives every server its turns.
func (p *plan) measure(ctx context.Context, bench *peer.Bench) ([]*contestant, error) {
	var all []*contestant
	for _, name := range p.servers {
		all = append(all, &contestant{name: name, rounds: map[*metric][]float64{}})
	}
	for round := range max(p.rounds, p.memoryRounds) {
		order := slices.Clone(all)
		if round%2 == 1 {
			slices.Reverse(order)
		}
		for _, c := range order {
			if round < p.memoryRounds {
				if err := p.visit(ctx, bench, c, p.memory); err != nil {
					return nil, err
				}
			}
			if round < p.rounds {
				if err := p.visit(ctx, bench, c, p.deliveries); err != nil {
					return nil, err
				}
			}
		}
	}
	return all, nil
}

// blame is an error if Weir failed.
func blame(all []*contestant) (err error) {
	for _, c := range all {
		if c.failure != "" && (c.name == peer.Weir || c.name == peer.WeirFeed) {
			err = errors.Join(err, fmt.Errorf("%s: %s", c.name, c.failure))
		}
	}
	return err
}
