//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"weir/bench/internal/node"
	"weir/bench/internal/program"
	"weir/loadtest/attack"
)

func main() { program.Main("overload", run) }

// plan is the command line.
type plan struct {
	parts           []string
	established     int
	rounds          int
	together        int
	times           float64
	share           float64
	patience, stage time.Duration
	kinds           []attack.Kind
	flood           time.Duration
	minGoodput      float64
	maxGrowth       int64
	maxHarmed       int
	weir            string
	serverFlags     []string
	log             io.Writer

	cores float64 // that the server may take
}

func parse(args []string, log io.Writer) (*plan, error) {
	p := plan{log: log}
	flags := flag.NewFlagSet("overload", flag.ContinueOnError)
	flags.SetOutput(log)
	parts := flags.String("parts", "goodput,floods", "what to measure")
	flags.IntVar(&p.established, "established", 500, "subscribers who are there before, and receive all the while")
	flags.IntVar(&p.rounds, "rounds", 3, "turns of capacity and overload")
	flags.IntVar(&p.together, "together", 32, "clients at once whose handshakes are the capacity")
	flags.Float64Var(&p.times, "times", 10, "the overload, against the capacity")
	flags.DurationVar(&p.patience, "patience", time.Second, "after which a client of the overload gives up")
	flags.Float64Var(&p.share, "share", 0.3, "of one core, that the server of goodput may take, where root may say so: its clients must be able to be too many for it; 0: all")
	flags.DurationVar(&p.stage, "stage", 2*time.Second, "how long each turn is measured")
	kinds := flags.String("kinds", "", "floods by their names, with commas; \"\" is all")
	flags.DurationVar(&p.flood, "flood", 2*time.Second, "how long each flood is held")
	flags.Float64Var(&p.minGoodput, "min-goodput", 0, "percent of the capacity below which it fails; 0 only prints")
	flags.Int64Var(&p.maxGrowth, "max-growth", 0, "MiB that a flood may let the server grow by; 0 only prints")
	flags.IntVar(&p.maxHarmed, "max-harmed", -1, "subscribers lost or behind above which it fails; -1 only prints")
	flags.StringVar(&p.weir, "weir", "", "server binary; the default builds weir/cmd/weir")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	p.parts, p.serverFlags = strings.Split(*parts, ","), flags.Args()
	for _, part := range p.parts {
		if part != "goodput" && part != "floods" {
			return nil, fmt.Errorf("-parts: no part %q", part)
		}
	}
	if p.kinds = attack.Kinds(); *kinds != "" {
		p.kinds = nil
		for name := range strings.SplitSeq(*kinds, ",") {
			kind, ok := attack.Named(name)
			if !ok {
				return nil, fmt.Errorf("-kinds: no flood %q", name)
			}
			p.kinds = append(p.kinds, kind)
		}
	}
	if p.established < 1 || p.rounds < 1 || p.together < 1 || p.times <= 0 || p.share < 0 || p.patience <= 0 || p.stage <= 0 || p.flood <= 0 {
		return nil, errors.New("every number and time must be above 0")
	}
	return &p, nil
}

func run(ctx context.Context, args []string, out, log io.Writer) (err error) {
	p, err := parse(args, node.Together(log))
	if err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "weir-overload-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	if p.weir == "" {
		p.weir = filepath.Join(folder, "weir")
		if err := node.Build(ctx, p.weir); err != nil {
			return err
		}
	}
	if slices.Contains(p.parts, "goodput") {
		if err := p.with(ctx, p.share, nil, func(server *node.Node, there *established) error { return p.goodput(ctx, server, there, out) }); err != nil {
			return err
		}
	}
	if slices.Contains(p.parts, "floods") {
		return p.with(ctx, 0, floodFlags, func(server *node.Node, there *established) error { return p.floods(ctx, server, there, out) })
	}
	return nil
}

// with runs a server, on a share of one core (0: on all there are), and its subscribers around what is measured.
func (p *plan) with(ctx context.Context, share float64, flags []string, measure func(*node.Node, *established) error) (err error) {
	server, err := node.Start(ctx, node.Options{
		Binary: p.weir, Exempt: establishedIP, Log: p.log, Flags: slices.Concat(flags, p.serverFlags),
	})
	if err != nil {
		return err
	}
	release := func() error { return nil }
	defer func() { err = errors.Join(err, server.Stop(), release()) }()
	there, err := establish(ctx, server, p.established)
	if err != nil {
		return err
	}
	defer there.end()
	p.cores = float64(runtime.NumCPU())
	if share > 0 {
		if confined, err := confine(server.PID(), share); err != nil {
			fmt.Fprintf(p.log, "the server has all cores, and its clients may not be able to be too many for it: %v\n", err)
		} else {
			release, p.cores = confined, share
		}
	}
	return measure(server, there)
}
