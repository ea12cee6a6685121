//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"weir/bench/internal/client"
	"weir/bench/internal/node"
)

const (
	feed          = "overload" // what they are subscribed to
	establishedIP = "127.1.0.0/16"
	publishEvery  = 100 * time.Millisecond
	// patience is for what must come; a run in which all is well does not wait.
	patience = 2 * time.Minute
)

// established are subscribers who were there before, and receive all the while. None should be lost, nor miss anything.
type established struct {
	conns     []*client.Conn
	seen      []atomic.Int64 // the last publication of each
	published atomic.Int64   // the last
	leaving   atomic.Bool
	stop      context.CancelFunc
	all       sync.WaitGroup

	mu     sync.Mutex
	harmed int   // guarded by mu: how many were lost or missed something
	first  error // guarded by mu: what happened to the first of them
	failed error // guarded by mu: publishing did
}

// harmedSeen is what somebody has seen for whom nobody waits any more.
const harmedSeen = math.MaxInt64

// establish connects n and begins to publish.
func establish(ctx context.Context, server *node.Node, n int) (*established, error) {
	target, err := server.Target(feed, []string{feed})
	if err != nil {
		return nil, err
	}
	dialer, err := client.NewDialer(target)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	e := &established{conns: make([]*client.Conn, n), seen: make([]atomic.Int64, n), stop: stop}
	if err := dialer.Open(ctx, 0, n, 8, func(i int, c *client.Conn) { e.conns[i] = c }); err != nil {
		e.end()
		return nil, err
	}
	for i := range e.conns {
		e.all.Go(func() { e.harm(i, e.read(i)) })
	}
	e.all.Go(func() {
		err := e.publish(ctx, server)
		e.mu.Lock()
		defer e.mu.Unlock()
		e.failed = err
	})
	return e, nil
}

// harm notes what ended a subscriber's reading.
func (e *established) harm(i int, err error) {
	if e.leaving.Load() {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.harmed++; e.first == nil {
		e.first = err
	}
	e.seen[i].Store(harmedSeen)
}

// publish goes on until the end.
func (e *established) publish(ctx context.Context, server *node.Node) error {
	tick := time.NewTicker(publishEvery)
	defer tick.Stop()
	for n := int64(1); ; n++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := server.Publish(ctx, feed, fmt.Appendf(nil, `{"n":%d}`, n)); err != nil {
			return fmt.Errorf("publication %d: %w", n, err)
		}
		e.published.Store(n)
	}
}

// read wants one publication after the other.
func (e *established) read(i int) error {
	for n := int64(1); ; {
		message, err := e.conns[i].Next()
		if err != nil {
			return fmt.Errorf("lost after publication %d: %w", n-1, err)
		}
		for line := range bytes.SplitSeq(message, []byte("\n")) {
			if !bytes.Contains(line, fmt.Appendf(nil, `{"n":%d}`, n)) {
				return fmt.Errorf("instead of publication %d: %.200s", n, line)
			}
			e.seen[i].Store(n)
			n++
		}
	}
}

// check waits until everybody who came to no harm has what was published so far, and returns how many did, and what happened to
// the first of them. failed is an error of ours, or that it does not come.
func (e *established) check(ctx context.Context) (harmed int, first, failed error) {
	last := e.published.Load()
	failed = await(ctx, func() (bool, error) {
		for i := range e.seen {
			if e.seen[i].Load() < last {
				return false, e.trouble()
			}
		}
		return true, e.trouble()
	})
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.harmed, e.first, failed
}

func (e *established) trouble() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.failed
}

func (e *established) end() {
	e.leaving.Store(true)
	e.stop()
	for _, c := range e.conns {
		if c != nil {
			_ = c.Close()
		}
	}
	e.all.Wait()
}

// await looks until the condition holds, cannot any more, or is waited for too long.
func await(ctx context.Context, condition func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for {
		if ok, err := condition(); ok || err != nil {
			return err
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
