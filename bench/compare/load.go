package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"weir/bench/internal/peer"
	"weir/loadtest/report"
	"weir/loadtest/tally"
)

const (
	// prefix is how the names of the channels begin, and what the token at Weir is for.
	prefix = "compare"
	// origin is what the clients send, and Weir allows.
	origin = "https://compare.example"
	// dials at once are fewer than the handshakes that Weir lets wait on a busy machine before it refuses more.
	dials = 16
	// burstTime is short beside the time that the publications of a burst take.
	burstTime = 100 * time.Millisecond
)

// contestant is a server with its figures.
type contestant struct {
	name, version, protocol string
	rounds                  map[*metric][]float64 // one figure for each round
	failure                 string                // "": it did nothing wrong so far
}

// visit starts a server for one turn. What goes wrong with the server is noted; errors are ours.
func (p *plan) visit(ctx context.Context, bench *peer.Bench, c *contestant, turn func(context.Context, *peer.Server, *contestant) error) (err error) {
	if c.failure != "" {
		return nil
	}
	var log bytes.Buffer // so many connections at once are worth a warning each time
	s, err := bench.Start(ctx, c.name, prefix, &log, "--allowed-origins", origin)
	if err != nil {
		return err
	}
	c.version, c.protocol = s.Version, s.Protocol
	err = errors.Join(turn(ctx, s, c), s.Stop())
	if err != nil || c.failure != "" {
		_, _ = p.log.Write(log.Bytes())
	}
	return err
}

// memory takes the slope.
func (p *plan) memory(ctx context.Context, s *peer.Server, c *contestant) error {
	r, err := p.run(ctx, s, "idle", "--connections", strconv.Itoa(p.idle), "--rest", p.rest.String(), "--duration", "1s")
	if err != nil {
		return err
	}
	return c.take(r, slope)
}

// deliveries publishes one by one, then too fast.
func (p *plan) deliveries(ctx context.Context, s *peer.Server, c *contestant) error {
	for _, part := range []struct {
		metric *metric
		rate   float64
		length time.Duration
	}{{cpu, p.rate, p.duration}, {deliveries, p.burst / burstTime.Seconds(), burstTime}} {
		r, err := p.run(ctx, s, "fanout", "--connections", strconv.Itoa(p.subscribers), "--settle", p.patience.String(),
			"--rate", strconv.FormatFloat(part.rate, 'f', -1, 64), "--duration", part.length.String())
		if err != nil {
			return err
		}
		if err := c.take(r, part.metric); err != nil || c.failure != "" {
			return err
		}
	}
	return nil
}

// take notes the figure of a run, or what was wrong.
func (c *contestant) take(r *tally.Run, m *metric) error {
	if len(r.Failures) > 0 {
		c.failure = strings.Join(r.Failures, "; ")
		return nil
	}
	figure, ok := m.of(r)
	if !ok {
		return fmt.Errorf("%s: weir-load %s did not measure %s", c.name, r.Scenario, m.title)
	}
	c.rounds[m] = append(c.rounds[m], figure)
	return nil
}

// named is the figure of a run with a name.
func named(name string) func(*tally.Run) (float64, bool) {
	return func(r *tally.Run) (float64, bool) {
		for _, f := range append(report.Figures(r), r.Figures...) {
			if f.Name == name {
				return f.Value, true
			}
		}
		return 0, false
	}
}

// speed is what was received in the time from the first publication to the last receipt. All were due within
// burstTime, and what was due last came last.
func speed(r *tally.Run) (float64, bool) {
	took := burstTime + r.Latency.Max()
	return float64(r.Total.Received) / took.Seconds(), r.Total.Received > 0
}

// run is one run of weir-load. Its exit status tells no more than the report does, if there is one.
func (p *plan) run(ctx context.Context, s *peer.Server, scenario string, options ...string) (*tally.Run, error) {
	args := append([]string{
		scenario, "--quiet", "--json", "-", "--url", s.URL, "--protocol", s.Protocol, "--ca-file", s.CAFile, "--origin", origin,
		"--api", s.API, "--api-key-file", s.KeyFile, "--pid", strconv.Itoa(s.PID), "--channel", prefix, "--congestion", "cubic",
		"--at-once", strconv.Itoa(dials),
	}, options...)
	load := exec.CommandContext(ctx, p.load, args...)
	if s.Token != "" {
		load.Args = append(load.Args, "--token-file", "/dev/stdin") // not in any list of processes
		load.Stdin = strings.NewReader(s.Token)
	}
	var out, log bytes.Buffer
	load.Stdout, load.Stderr = &out, &log
	failed := load.Run()
	r, err := report.ReadJSON(&out)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Name, errors.Join(failed, errors.New(log.String()), err))
	}
	return r, nil
}
