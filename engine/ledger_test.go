package engine

import (
	"testing"
	"time"

	"weir/security/limit"
)

// TestChargesComeAndGo: of many connections that have spent, those whose buckets are
// full again have none once each was looked at, some a turn; the others keep theirs,
// or waiting a second would be a way around a limit.
func TestChargesComeAndGo(t *testing.T) {
	const n = 3 * chargesTurn
	s := &shard{now: 1}
	quick, slow := &limit.Rate{PerSecond: 10, Burst: 1}, &limit.Rate{PerSecond: 0.01, Burst: 1}
	var conns []*conn
	for i := range n {
		c := s.conns.take()
		conns = append(conns, c)
		r := quick
		if i%3 == 0 {
			r = slow
		}
		spend := func(x *charges) *limit.Bucket {
			return [...]*limit.Bucket{&x.messages, &x.bytes, &x.subscribes, &x.publishes, &x.pings}[i%5]
		}
		if !take(spend(s.charged(c)), r, 1, s.now) || take(spend(s.charged(c)), r, 1, s.now) {
			t.Fatal("a bucket of one token does not let exactly one through")
		}
	}
	round := func() (turns int) {
		for s.ledger.begin(); s.ledger.left > 0; turns++ {
			before := s.ledger.left
			if s.forgive(); before-s.ledger.left > chargesTurn {
				t.Fatalf("%d looked at in one turn", before-s.ledger.left)
			}
		}
		return turns
	}
	check := func(when string, has func(i int) bool) {
		t.Helper()
		held := 0
		for i, c := range conns {
			if (c.charges != nil) != has(i) {
				t.Fatalf("%s: connection %d has charges: %v", when, i, c.charges != nil)
			}
			if x := c.charges; x != nil {
				held++
				if x.slot != c.Slot || s.ledger.open[x.place] != x {
					t.Fatalf("%s: the charges of slot %d are listed for slot %d", when, c.Slot, x.slot)
				}
			}
		}
		if len(s.ledger.open) != held {
			t.Fatalf("%s: %d are lent, %d connections have some", when, len(s.ledger.open), held)
		}
	}
	round()
	check("at once", func(int) bool { return true })
	s.now += int64(time.Second)
	if turns := round(); turns < 3 {
		t.Errorf("a round over %d took %d turns", n, turns)
	}
	check("a second later", func(i int) bool { return i%3 == 0 })
	s.ledger.forget(conns[0])
	s.ledger.forget(conns[1]) // which has none
	check("after one was closed", func(i int) bool { return i%3 == 0 && i > 0 })
	s.now += int64(time.Hour)
	round()
	check("an hour later", func(int) bool { return false })
	if s.charged(conns[0]); *conns[0].charges != (charges{slot: conns[0].Slot}) {
		t.Errorf("lent with something spent: %+v", *conns[0].charges)
	}
	if n := testing.AllocsPerRun(100, func() { s.charged(conns[1]); s.ledger.forget(conns[1]) }); n != 0 && !raceEnabled {
		t.Errorf("%v allocations for charges that were lent before", n)
	}
}

// TestFreeChargesAreBounded: after a storm no more are kept than chargesKept.
func TestFreeChargesAreBounded(t *testing.T) {
	s := &shard{now: 1}
	for range chargesKept + 10 {
		s.charged(s.conns.take())
	}
	s.ledger.begin()
	for s.ledger.left > 0 {
		s.forgive()
	}
	if len(s.ledger.open) != 0 || len(s.ledger.free) != chargesKept {
		t.Errorf("%d lent, %d kept, want 0 and %d", len(s.ledger.open), len(s.ledger.free), chargesKept)
	}
}

// TestIdleConnectionHasNoCharges: a server takes them back, and a connection that is
// closed leaves none behind.
func TestIdleConnectionHasNoCharges(t *testing.T) {
	s := start(t, func(c *Config) { c.Pollers, c.Limits.PingInterval = 1, 0 })
	s.subscribers(t, 3, "feeds:a")
	lent := func() (n int) {
		s.onLoops(func(sh *shard) { n += len(sh.ledger.open) })
		return n
	}
	if n := lent(); n != 3 {
		t.Fatalf("%d connections that just subscribed have charges, want 3", n)
	}
	s.onLoops(func(sh *shard) { sh.abort(sh.conns.at(firstOpen(sh)), "") })
	eventually(t, "one connection less with charges", func() bool { return lent() == 2 })
	s.clock.move(time.Minute)
	eventually(t, "no charges", func() bool { return lent() == 0 })
	if n := s.connections(); n != 2 {
		t.Errorf("%d connections, want 2", n)
	}
}
