package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"weir/bench/internal/client"
	"weir/bench/internal/median"
	"weir/bench/internal/node"
)

// visitorsOrder is one of three: whom to visit, how many times, or to leave.
type visitorsOrder struct {
	Target *client.Target
	Count  int
	Dials  int
	Leave  bool
}

// visitors are clients that connect and do nothing else.
type visitors struct {
	dialer *client.Dialer

	mu    sync.Mutex
	conns []*client.Conn // guarded by mu
}

func (v *visitors) obey(ctx context.Context, o visitorsOrder) (connected int, err error) {
	switch {
	case o.Target != nil:
		v.dialer, err = client.NewDialer(*o.Target)
		return 0, err
	case o.Leave:
		for _, c := range v.conns {
			err = errors.Join(err, c.Close())
		}
		v.conns = v.conns[:0]
		return 0, err
	}
	err = v.dialer.Open(ctx, 0, o.Count, o.Dials, func(_ int, c *client.Conn) {
		v.mu.Lock()
		v.conns = append(v.conns, c)
		v.mu.Unlock()
	})
	return len(v.conns), err
}

// accept measures what a connection costs from accept to the answer to connect, beside its cryptography alone.
func (p *plan) accept(ctx context.Context, server *node.Node, out io.Writer) (err error) {
	guests, err := p.invite(ctx, server)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, guests.close()) }()
	target, err := server.Target(channel, nil)
	if err != nil {
		return err
	}
	floor, err := startChild(ctx, roleCrypto, p.log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, floor.close()) }()
	cert, key := server.Certificate()
	if _, err := ask[int](floor, cryptoOrder{Cert: cert, Key: key, Secret: server.Secret(), Token: target.Token}); err != nil {
		return err
	}
	visit := func() error {
		_, err := ask[int](guests, visitorsOrder{Count: p.accepts, Dials: p.dials})
		return err
	}
	compute := func() error {
		_, err := ask[int](floor, cryptoOrder{Count: p.accepts})
		return err
	}
	var ours, theirs []float64 // µs of CPU for a connection
	for round := range p.rounds + 1 {
		a, err := spent(server.CPU, visit)
		if err != nil {
			return err
		}
		if err := leave(ctx, server, guests); err != nil {
			return err
		}
		b, err := spent(floor.cpu, compute)
		if err != nil {
			return err
		}
		if round > 0 { // the first warms up
			ours, theirs = append(ours, p.each(a)), append(theirs, p.each(b))
		}
	}
	return p.judgeAccept(ours, theirs, out)
}

// invite starts clients that know the server and have not connected yet.
func (p *plan) invite(ctx context.Context, server *node.Node) (*child, error) {
	target, err := server.Target(channel, nil)
	if err != nil {
		return nil, err
	}
	guests, err := startChild(ctx, roleVisitors, p.log)
	if err != nil {
		return nil, err
	}
	if _, err := ask[int](guests, visitorsOrder{Target: &target}); err != nil {
		return nil, errors.Join(err, guests.close())
	}
	return guests, nil
}

// each is the share of one connection, in µs.
func (p *plan) each(cpu time.Duration) float64 {
	return float64(cpu.Microseconds()) / float64(p.accepts)
}

func (p *plan) judgeAccept(ours, floor []float64, out io.Writer) error {
	cost := ratio(ours, floor)
	fmt.Fprintf(out, "a connection costs %.0f µs of CPU, its handshake and token alone %.0f µs: %.2f times (goal: at most 1.4)\n",
		median.Of(ours), median.Of(floor), cost)
	if p.maxAccept > 0 && cost > p.maxAccept {
		return fmt.Errorf("a connection is over %.2f times its cryptography", p.maxAccept)
	}
	return nil
}

// spent is the CPU that f took.
func spent(cpu func() (time.Duration, error), f func() error) (time.Duration, error) {
	before, err := cpu()
	if err != nil {
		return 0, err
	}
	if err := f(); err != nil {
		return 0, err
	}
	after, err := cpu()
	return after - before, err
}

// leave closes the connections and waits until the server knows.
func leave(ctx context.Context, server *node.Node, guests *child) error {
	if _, err := ask[int](guests, visitorsOrder{Leave: true}); err != nil {
		return err
	}
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for {
		open, err := server.Metric(ctx, "weir_connections")
		if err != nil || open == 0 {
			return err
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
