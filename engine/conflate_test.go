package engine

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/engine/broker"
	"weir/engine/hub"
	"weir/engine/stats"
)

func conflatingNamespace() Namespace {
	return Namespace{SlowConsumer: SlowConflate, ConflateKey: "/symbol", HistorySize: 10_000, HistoryTTL: time.Hour}
}

// priced is what the tests of conflation publish.
type priced struct {
	Symbol string
	N      int
}

func (q priced) String() string {
	return fmt.Sprintf(`{"symbol":%q,"n":%d,"pad":"0123456789"}`, q.Symbol, q.N)
}

// market publishes quotes and knows the newest of each symbol.
type market struct {
	s      *testServer
	keys   int
	n      int
	last   uint64            // offset
	newest map[string]uint64 // symbol → offset
}

func (s *testServer) market(keys int) *market {
	return &market{s: s, keys: keys, newest: map[string]uint64{}}
}

// publish publishes so many quotes, one symbol after the other.
func (m *market) publish(n int) {
	m.s.t.Helper()
	for range n {
		q := priced{fmt.Sprint("S", m.n%m.keys), m.n}
		m.n++
		m.last, _ = m.s.publish("feeds:a", q.String())
		m.newest[q.Symbol] = m.last
	}
}

// check wants the newest of each symbol among events, each once and in order, and
// returns how many publications there are.
func (m *market) check(t testing.TB, who string, list []seen) int {
	t.Helper()
	got := map[string]uint64{}
	all := offsets(t, list)
	for _, e := range list {
		var q priced
		if e.kind != "pub" {
			continue
		}
		if err := json.Unmarshal([]byte(e.data), &q); err != nil {
			t.Fatalf("%s: %v in %s", who, err, e.data)
		}
		got[q.Symbol] = e.offset
	}
	for symbol, offset := range m.newest {
		if got[symbol] != offset {
			t.Errorf("%s: the newest of %s is at %d, want %d", who, symbol, got[symbol], offset)
		}
	}
	return len(all)
}

// wantArrears looks at each shard: who is held is owed something, and the other
// way round; what is counted as queued is what outboxes, replies and arrears have.
func (s *testServer) wantArrears() {
	s.t.Helper()
	s.onLoops(func(sh *shard) {
		queued, behind := int64(0), map[*hub.Channel]int{}
		sh.conns.each(func(c *conn) {
			queued += int64(c.out.Bytes()) + int64(c.owedSum)
			if !c.seated {
				return
			}
			subs := c.session.Subs()
			for i := range subs {
				sub := &subs[i]
				a, m := sub.Channel.Arrears(sh.id), sh.member(sub)
				owed := false
				if a != nil {
					_, owed = a.Served(c.Slot)
				}
				if m.Slot != c.Slot || int(m.Sub) != i || m.Held != owed || owed && !c.behind {
					s.t.Errorf("subscription %d of slot %d: member %+v, owed %v, behind %v", i, c.Slot, *m, owed, c.behind)
				}
				if owed {
					behind[sub.Channel]++
				}
			}
		})
		for ch, n := range behind {
			a := ch.Arrears(sh.id)
			queued += int64(a.Share() * n)
			if n != a.Readers() {
				s.t.Errorf("%s: %d are owed something, the arrears know %d", ch.Name, n, a.Readers())
			}
		}
		if d := sh.queued - queued; d < 0 || d > int64(1000*len(behind)) { // a share is rounded down
			s.t.Errorf("%d bytes are counted as queued, %d are there", sh.queued, queued)
		}
	})
}

// TestConflate: one reader in ten stands still. The others get everything. When
// they wake, those get the newest of each key, in order, each once; until then
// they cost what the keys cost, however much is published and however many they
// are.
func TestConflate(t *testing.T) {
	const readers, keys, batches, batch = 40, 50, 100, 50
	s := slowly(t, conflatingNamespace())
	m := s.market(keys)
	jwt := sign(t, "awake", "feeds:*")
	var asleep []*sleeper
	var awake []*client
	kinds := []string{plainSub, positionedSub, serverSub, feedSub}
	for i := range readers {
		if i%10 == 0 {
			asleep = append(asleep, s.sleeper(kinds[len(asleep)], fmt.Sprint("z", i)))
			continue
		}
		c := s.connected(t, jwt)
		c.mustDo(`"subscribe":{"channel":"feeds:a"}`)
		awake = append(awake, c)
	}
	before := s.queuedNow()
	for range batches {
		m.publish(batch)
		var wg sync.WaitGroup // nobody who is awake is left behind for want of a core
		for _, c := range awake {
			wg.Go(func() {
				for next := m.last - batch + 1; next <= m.last; next++ {
					if line, err := c.next(); err != nil || !strings.Contains(line, fmt.Sprintf(`"offset":%d}`, next)) {
						t.Errorf("%.100s, %v where offset %d was due", line, err, next)
						return
					}
				}
			})
		}
		if wg.Wait(); t.Failed() {
			t.FailNow()
		}
	}
	s.wantArrears()
	const each = 400 // of a key: its frames and what it costs to keep them
	if grown, most := s.queuedNow()-before, int64(len(asleep)*conflateBacklogBytes+2*keys*each); grown > most {
		t.Errorf("%d bytes wait for those who are asleep, want at most %d", grown, most)
	}
	missed := 0
	for _, z := range asleep {
		s.wake(z)
		list := z.toldUntil("pub", m.last)
		if n := m.check(t, z.user, list); n != len(list) || n >= batches*batch/2 {
			t.Errorf("%s got %d publications, %d things in all", z.user, n, len(list))
		} else {
			missed += batches*batch - n
		}
	}
	s.wantDropped("conflated", missed)
	m.publish(keys) // level: they get everything again
	for _, z := range asleep {
		list := z.toldUntil("pub", m.last)
		if got := offsets(t, list); got[len(got)-keys] != m.last-keys+1 {
			t.Errorf("%s: %d before the last %d, want %d", z.user, got[len(got)-keys], keys, m.last-keys+1)
		}
	}
	s.wantArrears()
	s.onLoops(func(sh *shard) {
		sh.conns.each(func(c *conn) {
			if a := c.session.Subs()[0].Channel.Arrears(sh.id); a != nil {
				t.Errorf("arrears for nobody")
			}
		})
	})
	for _, c := range awake {
		_ = c.ws.CloseNow()
	}
	s.wantNothingLeft(asleep...)
}

// queuedNow is what waits on all loops, in bytes.
func (s *testServer) queuedNow() (n int64) {
	s.t.Helper()
	s.spread()
	var mu sync.Mutex
	s.onLoops(func(sh *shard) {
		mu.Lock()
		defer mu.Unlock()
		n += sh.queued
	})
	return n
}

// TestConflateIsBounded: over max_outbox_bytes the keys that were not updated for
// longest go, which is no longer conflation: who goes by positions is told as
// under the other policies.
func TestConflateIsBounded(t *testing.T) {
	ns := conflatingNamespace()
	ns.MaxOutboxBytes = 16 << 10
	s := slowly(t, ns)
	plain, feed := s.sleeper(plainSub, "plain"), s.sleeper(feedSub, "feed")
	positioned, server := s.sleeper(positionedSub, "positioned"), s.sleeper(serverSub, "server")
	pattern := s.sleeper(byServerSub, "pattern")
	m := s.market(500)
	m.publish(2000)
	s.spread()
	s.wantArrears()
	if n := s.dropped("conflate_full"); n == 0 {
		t.Fatal("nothing was given up")
	}
	all := []*sleeper{plain, feed, positioned, server, pattern}
	for _, z := range all {
		s.wake(z)
	}
	for _, z := range []*sleeper{plain, feed} {
		list := z.toldUntil("pub", m.last)
		got := offsets(t, list)
		tail := got[slices.IndexFunc(got, func(o uint64) bool { return o > 1000 }):]
		if len(tail) < 20 || tail[0] != m.last-uint64(len(tail))+1 {
			t.Errorf("%s: got %d at the end, from %d on", z.user, len(tail), tail[0])
		}
		gap := slices.IndexFunc(list, func(e seen) bool { return e.kind == "gap" })
		if z.feed && (len(list) != len(got)+1 || list[gap] != seen{"gap", tail[0] - 1, ""} || list[gap+1].offset != tail[0]) {
			t.Errorf("%d notices; %+v before %d", len(list)-len(got), list[max(gap, 0)], tail[0])
		}
	}
	positioned.toldUntil("unsubscribe 2500", 0)
	if code := server.closedWith(); code != 3010 {
		t.Errorf("the server's subscription: close %d, want 3010", code)
	}
	if n := s.shared.hub.Subscribers(patternSub); n != 1 {
		t.Errorf("%d subscribers of the pattern, want the one", n)
	}
	s.wantNothingLeft(all...)
}

// TestConflateWithoutKeys: what has no key is kept with the rest, and never takes
// the place of another; nor does what is not in the stream lose its own.
func TestConflateWithoutKeys(t *testing.T) {
	s := slowly(t, conflatingNamespace())
	z := s.sleeper(plainSub, "z")
	m := s.market(10)
	m.publish(500)
	for i := range 30 {
		s.publish("feeds:a", fmt.Sprintf(`{"note":%d}`, i))
		s.api("publish", fmt.Sprintf(`{"channel":"feeds:a","data":{"symbol":"aside","n":%d},"skip_history":true}`, i))
	}
	last, _ := s.publish("feeds:a", `"end"`)
	s.spread()
	s.wake(z)
	notes, asides := 0, 0
	eventually(t, "the end", func() bool {
		list := z.told()
		return len(list) > 0 && list[len(list)-1].offset == last
	})
	for _, e := range z.told() {
		if e.data == fmt.Sprintf(`{"note":%d}`, notes) {
			notes++
		}
		if strings.Contains(e.data, "aside") {
			if asides++; e.data != `{"symbol":"aside","n":29}` || e.offset != 0 {
				t.Errorf("beside the stream came %+v, want the newest of it", e)
			}
		}
	}
	if notes != 30 || asides != 1 {
		t.Errorf("%d notes, want 30; %d asides, want 1", notes, asides)
	}
	s.wantNothingLeft(z)
}

// TestConflateWhileMuchChanges: readers stop and go on, subscribe and unsubscribe,
// vanish, and miss what the inbox lost, at random. Nobody is owed anything for
// nothing, nothing is counted for nobody, and who stays gets the newest.
func TestConflateWhileMuchChanges(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	s := slowly(t, conflatingNamespace())
	m := s.market(20)
	steady := s.sleeper(plainSub, "steady")
	var all []*sleeper
	for round := range 25 {
		z := s.sleeper([]string{plainSub, positionedSub, serverSub, feedSub}[rng.IntN(4)], fmt.Sprint("r", round))
		all = append(all, z)
		m.publish(400)
		s.spread()
		s.wantArrears()
		switch z := all[rng.IntN(len(all))]; {
		case z.ended != nil: // woken or gone
		case rng.IntN(3) == 0:
			_ = z.ws.CloseNow()
			z.ended = make(chan struct{})
			close(z.ended)
		case !z.feed && rng.IntN(2) == 0:
			z.send(`{"id":100,"unsubscribe":{"channel":"feeds:a"}}` + "\n" + `{"id":101,"subscribe":{"channel":"feeds:a"}}`)
			eventually(t, "the commands being handled", func() bool {
				level := false // the subscription is another, and nothing was published since
				s.of(z.user, func(sh *shard, c *conn) {
					if i := c.session.Find("feeds:a"); i >= 0 {
						level = !sh.member(c.session.Sub(i)).Held
					}
				})
				return level
			})
		default:
			s.wake(z)
		}
		s.wantArrears()
	}
	s.wake(steady)
	m.check(t, "steady", steady.toldUntil("pub", m.last))
	s.wantArrears()
	s.wantNothingLeft(append(all, steady)...)
}

// TestGapWhileBehind: what the inbox lost is told as ever, also to those who are
// held.
func TestGapWhileBehind(t *testing.T) {
	ns := conflatingNamespace()
	ns.HistorySize, ns.HistoryTTL = 0, 0
	s := slowly(t, ns)
	z, f := s.sleeper(plainSub, "z"), s.sleeper(feedSub, "f")
	m := s.market(20)
	m.publish(1000)
	s.spread()
	to := broker.Position{Offset: m.last + 5, Epoch: s.epochOf("feeds:a")}
	s.onLoops(func(sh *shard) { // as if the inbox had been full
		sh.conns.each(func(c *conn) {
			if i := c.session.Find("feeds:a"); i >= 0 {
				sh.fanout.taken.Behind = map[*hub.Channel]hub.Gap{c.session.Sub(i).Channel: {From: m.last + 1, To: to}}
			}
		})
	})
	s.spread()
	s.wantArrears()
	s.wake(z)
	s.wake(f)
	z.toldUntil("unsubscribe 2500", 0)
	m.check(t, "f", f.toldUntil("gap", m.last+5))
	s.wantNothingLeft(z, f)
}

// TestConflateAfterDropNewest: readers who are told of a gap from before the reload
// do not keep anybody from the newest.
func TestConflateAfterDropNewest(t *testing.T) {
	ns := dropping(SlowDropNewest)
	s := slowly(t, ns)
	z, f := s.sleeper(plainSub, "z"), s.sleeper(feedSub, "f")
	m := s.market(5)
	m.publish(1000)
	s.spread()
	before := m.last
	s.reload(func(c *Config) { c.Namespaces[0].SlowConsumer, c.Namespaces[0].ConflateKey = SlowConflate, "/symbol" })
	m.publish(1000)
	s.spread()
	s.wantArrears()
	got := 0
	for _, x := range []*sleeper{z, f} {
		s.wake(x)
		list := x.toldUntil("pub", m.last)
		got += m.check(t, x.user, list)
		if x.feed && !slices.Contains(list, seen{"gap", before, ""}) {
			t.Errorf("no notice of what was dropped up to %d", before)
		}
	}
	s.onLoops((*shard).countDrops)
	if n, want := s.dropped("drop_newest")+s.dropped("conflated"), 2*int(m.last)-got; n != want {
		t.Errorf("%d are counted as dropped, want %d: each that did not come, once", n, want)
	}
	s.wantArrears()
	s.wantNothingLeft(z, f)
}

// TestBudgetHoldsUnderEveryPolicy: whatever waits, tables of conflation among it,
// stays under --outbox-budget; readers who sleep pay, one that reads does not.
func TestBudgetHoldsUnderEveryPolicy(t *testing.T) {
	for _, policy := range []string{SlowDisconnect, SlowDropOldest, SlowDropNewest, SlowConflate} {
		t.Run(policy, func(t *testing.T) {
			const budget = 3 << 19
			ns := Namespace{Name: "feeds", SlowConsumer: policy, MaxOutboxBytes: 1 << 20}
			if policy == SlowConflate {
				ns.ConflateKey = "/symbol"
			}
			s := slowly(t, ns)
			var asleep []*sleeper
			for i := range 5 {
				asleep = append(asleep, s.sleeper(plainSub, fmt.Sprint("z", i)))
			}
			awake := s.connected(t, sign(t, "awake", "feeds:*"))
			awake.mustDo(`"subscribe":{"channel":"feeds:a"}`)
			s.reload(func(c *Config) { c.Limits.OutboxBudget = len(s.shards) * budget })
			pad := strings.Repeat("y", 1000)
			for i := range 4000 {
				s.clock.move(tick) // or nobody looks for who owes again
				s.publish("feeds:a", fmt.Sprintf(`{"symbol":%d,"pad":%q}`, i, pad))
				if line, err := awake.next(); err != nil || !strings.Contains(line, fmt.Sprintf(`"offset":%d}`, i+1)) {
					t.Fatalf("%.80s, %v where offset %d was due", line, err, i+1)
				}
				if i%100 == 0 {
					s.onLoops(func(sh *shard) {
						if sh.queued > budget+64<<10 { // what came in this turn is answered for at its end
							t.Errorf("%d bytes wait, the budget is %d", sh.queued, budget)
						}
					})
				}
			}
			s.spread()
			s.wantArrears()
			if n := s.Server.stats.LabelTotal(stats.SlowConsumers, labelDisconnect); n == 0 {
				t.Error("nobody paid")
			}
			_ = awake.ws.CloseNow()
			s.wantNothingLeft(asleep...)
		})
	}
}

// TestCatchingUpTakesTurns: what is owed is more than may wait at once; each comes
// once.
func TestCatchingUpTakesTurns(t *testing.T) {
	s := slowly(t, conflatingNamespace())
	z := s.sleeper(plainSub, "z")
	m := s.market(3000)
	m.publish(9000)
	s.spread()
	s.of("z", func(sh *shard, c *conn) {
		a := c.session.Sub(c.session.Find("feeds:a")).Channel.Arrears(sh.id)
		if a == nil || a.Share() < 4*conflateBacklogBytes {
			t.Error("there is too little to catch up")
		}
	})
	s.wake(z)
	list := z.toldUntil("pub", m.last)
	s.wantDropped("conflated", 9000-m.check(t, "z", list))
	s.wantNothingLeft(z)
}

// TestBehindBeforeItsPosition: a subscriber falls behind at what is beside the
// stream, before it met what was published up to its position, which is not for it.
func TestBehindBeforeItsPosition(t *testing.T) {
	s := slowly(t, conflatingNamespace(), alone)
	steady, z := s.sleeper(plainSub, "steady"), s.sleeper("none", "z")
	m := s.market(5)
	m.publish(1000) // steady is behind: the channel keeps what comes
	for range 1000 {
		s.publish("feeds:b", priced{"S", 1}.String())
	}
	s.of("z", func(sh *shard, c *conn) {
		if _, e := sh.join(c, "feeds:b", nil); e != nil {
			t.Error(e.Message)
		}
	})
	for range 1000 {
		s.publish("feeds:b", priced{"S", 1}.String()) // and what waits of the namespace for z is all that may
	}
	s.spread()
	s.inOneTurn(func() {
		s.api("publish", `{"channel":"feeds:a","data":{"symbol":"aside"},"skip_history":true}`)
		m.publish(5)
		s.shards[0].conns.each(func(c *conn) {
			if c.session.User() != "z" {
				return
			}
			if _, e := s.shards[0].join(c, "feeds:a", nil); e != nil {
				t.Error(e.Message)
			}
		})
	})
	m.publish(1)
	s.spread()
	s.wantArrears()
	s.wake(z)
	list := z.toldUntil("pub", m.last)
	if len(list) != 2 || list[0].offset != 0 {
		t.Errorf("%+v, want what was beside the stream, and what came after it subscribed", list)
	}
	s.wake(steady)
	m.check(t, "steady", steady.toldUntil("pub", m.last))
	s.wantNothingLeft(steady, z)
}

// TestTablesAreOwedToo: over the budget who is owed a long table is closed before
// those with somewhat more in their outboxes.
func TestTablesAreOwedToo(t *testing.T) {
	s := slowly(t, conflatingNamespace(), alone)
	debtor := s.sleeper(plainSub, "debtor")
	var others []*sleeper
	for i := range 3 {
		z := s.sleeper("none", fmt.Sprint("other", i))
		for range 30 {
			s.publish(z.filler, `"`+strings.Repeat("x", 8000)+`"`)
		}
		others = append(others, z)
	}
	m := s.market(5000)
	m.publish(5000)
	waiting := s.queuedNow()
	s.clock.move(tick)
	s.reload(func(c *Config) { c.Limits.OutboxBudget = int(waiting) - 1 })
	m.publish(1)
	s.spread()
	for i, z := range append(others, debtor) {
		open := 0
		s.of(z.user, func(_ *shard, c *conn) { open++ })
		if want := 1; (i < 3) != (open == want) {
			t.Errorf("%s is open: %v", z.user, open == want)
		}
	}
	s.wantNothingLeft(append(others, debtor)...)
}
