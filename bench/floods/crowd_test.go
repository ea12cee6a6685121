//go:build linux

package floods

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/bench/internal/client"
	"weir/bench/internal/node"
)

const (
	feed          = "feed" // what the honest are subscribed to
	publishEvery  = 50 * time.Millisecond
	publishSize   = 200 // bytes of padding
	perWindow     = 20  // publications of one window of latency: one second
	honestDials   = 8
	patience      = 2 * time.Minute // for what must happen; a test that passes does not wait
	beforeData    = `{"push":{"channel":"` + feed + `","pub":{"data":{"n":`
	beforeAt      = `,"at":`
	behindPublish = `{"push":{"channel":"` + feed + `","pub":{"data":%s,"offset":%d}}}`
)

// crowd is the honest: subscribers and their publisher. Publication n has
// offset n, is due at n times publishEvery after the start, and tells both.
type crowd struct {
	members   []*member
	start     time.Time
	published atomic.Int64 // the last that was acknowledged
	leaving   atomic.Bool
	gone      atomic.Int64
	watching  sync.WaitGroup
	stop      context.CancelFunc

	mu      sync.Mutex
	windows map[int][]time.Duration // guarded by mu: latencies by window
	failure error                   // guarded by mu: the first
}

// member is one subscriber. What it saw is the reader's until it has ended.
type member struct {
	conn *client.Conn
	seen atomic.Int64 // the last offset
}

// gather connects everybody and begins to publish.
func gather(t *testing.T, server *node.Node, addr string, members int) *crowd {
	t.Helper()
	target, err := server.Target(feed, []string{feed})
	if err != nil {
		t.Fatal(err)
	}
	target.Addr = addr
	dialer, err := client.NewDialer(target)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &crowd{members: make([]*member, members), windows: map[int][]time.Duration{}, stop: cancel}
	t.Cleanup(c.dismiss)
	// They read once all are there: latency counts from the start.
	if err := dialer.Open(ctx, 0, members, honestDials, func(i int, conn *client.Conn) { c.members[i] = &member{conn: conn} }); err != nil {
		t.Fatal(err)
	}
	c.start = time.Now()
	for _, m := range c.members {
		c.watching.Go(func() {
			if err := c.watch(m); !c.leaving.Load() {
				c.gone.Add(1)
				c.fail(err)
			}
		})
	}
	c.watching.Go(func() { c.publish(ctx, server) })
	return c
}

func (c *crowd) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failure == nil {
		c.failure = err
	}
}

// fault is the first thing that happened to anybody and should not have.
func (c *crowd) fault() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failure
}

// publish keeps the pace, whatever became of the publication before.
func (c *crowd) publish(ctx context.Context, server *node.Node) {
	for n := int64(1); ; n++ {
		due := time.NewTimer(time.Until(c.due(n)))
		select {
		case <-ctx.Done():
			due.Stop()
			return
		case <-due.C:
		}
		if err := server.Publish(ctx, feed, data(n, c.due(n))); err != nil {
			if ctx.Err() == nil {
				c.fail(fmt.Errorf("publication %d: %w", n, err))
			}
			return
		}
		c.published.Store(n)
	}
}

func (c *crowd) due(n int64) time.Time { return c.start.Add(time.Duration(n) * publishEvery) }

func data(n int64, due time.Time) []byte {
	return fmt.Appendf(nil, `{"n":%d,"at":%d,"pad":"%s"}`, n, due.UnixNano(), bytes.Repeat([]byte{'a' + byte(n%26)}, publishSize))
}

// watch reads until the connection ends. Each message must be, byte by byte,
// the publication that follows the one before.
func (c *crowd) watch(m *member) error {
	var expect []byte
	for n := int64(1); ; n++ {
		message, err := m.conn.Next()
		if err != nil {
			return fmt.Errorf("disconnected after publication %d: %w", n-1, err)
		}
		now := time.Now()
		due := c.due(n)
		expect = fmt.Appendf(expect[:0], behindPublish, data(n, due), n)
		if !bytes.Equal(message, expect) {
			return fmt.Errorf("instead of publication %d: %.400s", n, message)
		}
		m.seen.Store(n)
		c.mu.Lock()
		c.windows[int(n/perWindow)] = append(c.windows[int(n/perWindow)], now.Sub(due))
		c.mu.Unlock()
	}
}

// window is the one that is being published.
func (c *crowd) window() int { return int(c.published.Load() / perWindow) }

// p99 is that of each whole window from first on.
func (c *crowd) p99(first int) (list []time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := first; len(c.windows[i]) == perWindow*len(c.members); i++ {
		w := slices.Clone(c.windows[i])
		slices.Sort(w)
		list = append(list, w[len(w)*99/100])
	}
	return list
}

// caughtUp tells whether everybody has seen everything up to n.
func (c *crowd) caughtUp(n int64) bool {
	return !slices.ContainsFunc(c.members, func(m *member) bool { return m.seen.Load() < n })
}

// dismiss ends publishing and reading.
func (c *crowd) dismiss() {
	c.leaving.Store(true)
	c.stop()
	for _, m := range c.members {
		if m != nil {
			_ = m.conn.Close()
		}
	}
	c.watching.Wait()
}

// check fails the test if anybody came to harm.
func (c *crowd) check(t *testing.T) {
	t.Helper()
	last := c.published.Load()
	if err := await(func() (bool, error) { return c.caughtUp(last), c.fault() }); err != nil {
		t.Fatalf("the honest: %v; %d of %d are disconnected", err, c.gone.Load(), len(c.members))
	}
}

var errPatience = errors.New("it does not come about")

// await looks until the condition holds or cannot any more.
func await(condition func() (bool, error)) error {
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for end := time.Now().Add(patience); ; {
		switch ok, err := condition(); {
		case err != nil:
			return err
		case ok:
			return nil
		case time.Now().After(end):
			return errPatience
		}
		<-look.C
	}
}
