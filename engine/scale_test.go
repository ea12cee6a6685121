package engine

import (
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"

	"weir/engine/session"
	"weir/engine/stats"
)

// shape is how many subscriptions a scale run makes, and how they lie.
type shape struct {
	name        string
	connections int
	each        int // subscriptions of one connection
	channels    func(connections int) int
	channel     func(connection, i int) int // of its i-th subscription
}

func shapes() []shape {
	return []shape{
		{"100,000 on one channel", 100_000, 1, func(int) int { return 1 }, func(_, _ int) int { return 0 }},
		{"100,000 channels with one each", 1_000, 100, func(n int) int { return n * 100 }, func(c, i int) int { return c*100 + i }},
		{"1,000 channels with 1,000 each", 8_000, 125, func(int) int { return 1_000 }, func(c, i int) int { return (c%8)*125 + i }},
	}
}

// cost is what a run took of the processors: what other processes take meanwhile
// is not in it.
type cost struct {
	subscribe, deliver, unsubscribe time.Duration // each of them
	bytes                           float64       // of heap for a subscription
}

// TestScale subscribes in the shapes that break brokers, and publishes to all.
// Connections are slots without sockets: what is measured is the engine's own
// part, on its own loops. There is no figure here that another machine must
// reach, but ten times as much must not cost a hundred times as much.
func TestScale(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector's memory and time are not the engine's; the paths run under it in the other tests")
	}
	for _, p := range shapes() {
		tenth := p
		tenth.connections /= 10
		small, full := best(t, tenth), best(t, p)
		t.Logf("%s: subscribe %v, delivery %v, unsubscribe %v, %.0f bytes a subscription (a tenth of it: %v, %v, %v)",
			p.name, full.subscribe, full.deliver, full.unsubscribe, full.bytes, small.subscribe, small.deliver, small.unsubscribe)
		for what, pair := range map[string][2]time.Duration{
			"subscribe": {small.subscribe, full.subscribe}, "delivery": {small.deliver, full.deliver}, "unsubscribe": {small.unsubscribe, full.unsubscribe},
		} {
			if pair[1] > 4*pair[0]+time.Microsecond { // linear is 1, quadratic 10
				t.Errorf("%s: a %s costs %v, with a tenth of the subscriptions %v", p.name, what, pair[1], pair[0])
			}
		}
		if p.channels(p.connections) < p.connections && full.bytes > 64 {
			t.Errorf("%s: %.1f bytes for a subscription, at most 64 are promised", p.name, full.bytes)
		}
	}
}

// best is the least that each step took in three runs: none pays for a
// collection, or a cache, that is not its own.
func best(t *testing.T, p shape) cost {
	c := runShape(t, p)
	for range 2 {
		again := runShape(t, p)
		c.subscribe, c.deliver = min(c.subscribe, again.subscribe), min(c.deliver, again.deliver)
		c.unsubscribe, c.bytes = min(c.unsubscribe, again.unsubscribe), min(c.bytes, again.bytes)
	}
	return c
}

func runShape(t *testing.T, p shape) (c cost) {
	s := start(t, func(c *Config) { c.Limits.OutboxBudget = 4 << 30 })
	defer func() {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	}()
	slots := make([][]*conn, len(s.shards)) // by shard
	s.onLoops(func(sh *shard) {
		for i := sh.id; i < p.connections; i += len(s.shards) {
			slots[sh.id] = append(slots[sh.id], socketless(sh))
		}
	})
	total := p.connections * p.each
	before := heap()
	c.subscribe = s.timed(total, func(sh *shard) {
		for n, conn := range slots[sh.id] {
			for i := range p.each {
				if _, e := sh.join(conn, scaleChannel(p.channel(sh.id+n*len(s.shards), i)), nil); e != nil {
					t.Fatal(e.Message)
				}
			}
		}
	})
	c.bytes = float64(heap()-before) / float64(total)
	if n := s.stats.Level(stats.Subscriptions); n != int64(total) {
		t.Fatalf("%d subscriptions, want %d", n, total)
	}
	begin := processors(t)
	perChannel := uint64(total / p.channels(p.connections))
	for i := range p.channels(p.connections) {
		s.publish(scaleChannel(i), `{"x":1}`)
		if i%8000 == 7999 || i == p.channels(p.connections)-1 { // no more than an inbox holds
			eventually(t, "delivery to all", func() bool { return s.stats.Total(stats.Deliveries) == uint64(i+1)*perChannel })
		}
	}
	c.deliver = (processors(t) - begin) / time.Duration(total)
	s.onLoops(func(sh *shard) {
		for _, conn := range slots[sh.id] {
			if conn.out.Len() != p.each {
				t.Fatalf("an outbox has %d publications, want %d", conn.out.Len(), p.each)
			}
			sh.queued -= int64(conn.out.Bytes())
			conn.out.Reset(&sh.blocks)
		}
	})
	c.unsubscribe = s.timed(total, func(sh *shard) {
		for _, conn := range slots[sh.id] {
			for len(conn.session.Subs()) > 0 {
				sh.leave(conn, 0)
			}
			sh.conns.give(conn)
		}
	})
	if n := s.shared.hub.Channels(); n != 0 {
		t.Errorf("%d channels are left", n)
	}
	return c
}

// socketless is an open connection with a session and nothing below.
func socketless(sh *shard) *conn {
	c := sh.conns.take()
	c.phase, c.kind = phaseOpen, kindProtocol
	c.seat()
	c.session.Opened(session.ClientID{})
	return c
}

func scaleChannel(i int) string { return fmt.Sprintf("feeds:%d", i) }

// timed is how long each of n things takes that f does on the loops.
func (s *testServer) timed(n int, f func(*shard)) time.Duration {
	begin := processors(s.t)
	s.onLoops(f)
	return (processors(s.t) - begin) / time.Duration(n)
}

// processors is the processor time that this process has had.
func processors(t testing.TB) time.Duration {
	t.Helper()
	var ru syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &ru); err != nil {
		t.Fatal(err)
	}
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}

// heap is what is live, after a collection.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
