package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"time"

	"weir/bench/internal/client"
)

// reachTimeout is how long a publication may take to the last connection.
const reachTimeout = time.Minute

// order is a line to the client process: the first one has a target, each
// later one either a number of connections to open in all, or asks for a check.
type order struct {
	Target *client.Target `json:",omitempty"`
	AtOnce int            `json:",omitempty"`
	Open   int            `json:",omitempty"`
}

// report answers an order, one line each.
type report struct {
	Live    int    // connections without an error so far
	Reached int    // connections with exactly one publication, after a check
	Failure string // of an order, or of the first connection that failed
	Failed  bool   // the order could not be carried out
}

// fleet is the client process as the measuring process sees it.
type fleet struct {
	process *exec.Cmd
	orders  io.WriteCloser
	reports *json.Decoder
}

// startFleet runs this program once more, as the client.
func startFleet(ctx context.Context, target client.Target, atOnce int, log io.Writer) (*fleet, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	f := &fleet{process: exec.CommandContext(ctx, self)}
	f.process.Env = append(os.Environ(), fleetVariable+"=1")
	f.process.Stderr = log
	if f.orders, err = f.process.StdinPipe(); err != nil {
		return nil, err
	}
	reports, err := f.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	f.reports = json.NewDecoder(reports)
	if err := f.process.Start(); err != nil {
		return nil, err
	}
	_, err = f.command(order{Target: &target, AtOnce: atOnce})
	return f, err
}

func (f *fleet) open(connections int) error {
	_, err := f.command(order{Open: connections})
	return err
}

func (f *fleet) check() (report, error) { return f.command(order{}) }

func (f *fleet) command(o order) (r report, err error) {
	if err := json.NewEncoder(f.orders).Encode(o); err != nil {
		return r, err
	}
	if err := f.reports.Decode(&r); err != nil {
		return r, fmt.Errorf("the client process: %w", err)
	}
	if r.Failed {
		return r, errors.New(r.Failure)
	}
	return r, nil
}

// close ends the client process, and with it every connection.
func (f *fleet) close() error { return errors.Join(f.orders.Close(), f.process.Wait()) }

// crew is the client process from inside.
type crew struct {
	dialer  *client.Dialer
	atOnce  int
	running sync.WaitGroup // one a connection

	mu      sync.Mutex
	members []*member // guarded by mu
	failure error     // guarded by mu; the first
	failed  int       // guarded by mu
}

// member is one connection; its goroutine reads it.
type member struct {
	conn         *client.Conn
	publications atomic.Int32
}

// serveFleet obeys orders until they end.
func serveFleet(ctx context.Context, orders io.Reader, reports io.Writer) error {
	in, out := json.NewDecoder(bufio.NewReader(orders)), json.NewEncoder(reports)
	c := &crew{}
	defer c.dismiss()
	for {
		var o order
		if err := in.Decode(&o); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		r, err := c.obey(ctx, o)
		if err != nil {
			r.Failed, r.Failure = true, err.Error()
		}
		if err := out.Encode(r); err != nil {
			return err
		}
	}
}

func (c *crew) obey(ctx context.Context, o order) (r report, err error) {
	switch {
	case o.Target != nil:
		c.atOnce = o.AtOnce
		c.dialer, err = client.NewDialer(*o.Target)
		return r, err
	case o.Open > 0:
		return r, c.dialer.Open(ctx, len(c.members), o.Open, c.atOnce, func(_ int, conn *client.Conn) { c.enlist(conn) })
	}
	return c.check(ctx), nil
}

func (c *crew) enlist(conn *client.Conn) {
	m := &member{conn: conn}
	c.mu.Lock()
	c.members = append(c.members, m)
	c.mu.Unlock()
	c.running.Go(func() {
		for {
			if _, err := conn.Next(); err != nil {
				c.lost(err)
				return
			}
			m.publications.Add(1)
		}
	})
}

func (c *crew) lost(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failed++
	if c.failure == nil {
		c.failure = err
	}
}

// check waits until every connection has its publication, then counts.
func (c *crew) check(ctx context.Context) report {
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	r := c.count()
	for r.Reached < r.Live && ctx.Err() == nil {
		select {
		case <-look.C:
		case <-ctx.Done():
		}
		r = c.count()
	}
	return r
}

func (c *crew) count() (r report) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r.Live = len(c.members) - c.failed
	if c.failure != nil {
		r.Failure = c.failure.Error()
	}
	for _, m := range c.members {
		if m.publications.Load() == 1 {
			r.Reached++
		}
	}
	return r
}

func (c *crew) dismiss() {
	c.mu.Lock()
	for _, m := range c.members {
		_ = m.conn.Close()
	}
	c.mu.Unlock()
	c.running.Wait()
}
