//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"weir/bench/internal/node"
	"weir/loadtest/attack"
)

const (
	// look is how often memory is looked at.
	look = 20 * time.Millisecond
	mib  = 1 << 20
)

// floodFlags let the floods do what they can, and be over soon.
var floodFlags = []string{"--compression", "--stale-close-delay=3s", "--partial-timeout=3s", "--write-timeout=3s"}

// floods holds the server under each, and tells what its resident memory grew by at most against before the first of them.
func (p *plan) floods(ctx context.Context, server *node.Node, there *established, out io.Writer) error {
	target, err := p.target(server)
	if err != nil {
		return err
	}
	calm, err := server.RSS()
	if err != nil {
		return err
	}
	greatest, worst := int64(0), ""
	for _, kind := range p.kinds {
		most, tally, err := p.hit(ctx, server, kind, target)
		if err == nil && tally.Lives == 0 {
			err = errors.New("no connection was tried")
		}
		if err != nil {
			return fmt.Errorf("%s: %w", kind.Name, err)
		}
		growth := most - calm
		if growth > greatest {
			greatest, worst = growth, kind.Name
		}
		fmt.Fprintf(out, "%-16s %6.1f MiB more  %d attackers, %d connections tried: %s\n", kind.Name, float64(growth)/mib, kind.Attackers, tally.Lives, kind.What)
	}
	fmt.Fprintf(out, "%d floods of %v beside %d subscribers: memory %.1f MiB before, %.1f MiB more at most (%s; goal: at most 64)\n",
		len(p.kinds), p.flood, len(there.conns), float64(calm)/mib, float64(greatest)/mib, worst)
	if err := p.judgeHarm(ctx, there, out); err != nil {
		return err
	}
	if p.maxGrowth > 0 && greatest > p.maxGrowth*mib {
		return fmt.Errorf("memory grew by more than %d MiB", p.maxGrowth)
	}
	return nil
}

func (p *plan) target(server *node.Node) (attack.Target, error) {
	token, err := server.Token("attack", "sub", "pub")
	return attack.Target{
		Addr: server.Addr, Name: "localhost", Authority: server.Authority(), Token: token, Channel: "attack", From: netip.MustParsePrefix(visitorsFrom),
	}, err
}

// hit is one flood, and the time until its connections are gone. It returns the most memory seen.
func (p *plan) hit(ctx context.Context, server *node.Node, kind attack.Kind, target attack.Target) (most int64, tally attack.Tally, err error) {
	before, err := server.Metric(ctx, "weir_connections")
	if err != nil {
		return 0, tally, err
	}
	flooding, stop := context.WithTimeout(ctx, p.flood)
	defer stop()
	over := make(chan struct{})
	var failed error
	go func() {
		defer close(over)
		tally, failed = kind.Run(flooding, target)
	}()
	tick := time.NewTicker(look)
	defer tick.Stop()
	for ended := false; ; {
		rss, err := server.RSS()
		if err != nil {
			<-over
			return 0, tally, err
		}
		most = max(most, rss)
		select {
		case <-over:
			ended = true
		case <-tick.C:
		}
		if ended {
			break
		}
	}
	err = await(ctx, func() (bool, error) {
		rss, _ := server.RSS() // a server that is gone has no connections to tell either
		most = max(most, rss)
		now, err := server.Metric(ctx, "weir_connections")
		return now <= before, err
	})
	return most, tally, errors.Join(failed, err)
}
