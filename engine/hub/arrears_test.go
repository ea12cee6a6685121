package hub

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"weir/engine/broker"
	"weir/engine/outbox"
	"weir/engine/pointer"
)

// conflating is a channel of one shard with these bounds.
func conflating(bytes, entries int) *Channel {
	return alone(Policy{Overflow: Conflate, Bytes: bytes, Entries: entries})
}

func alone(p Policy) *Channel {
	c := &Channel{Name: "a", shards: make([]shardSide, 1)}
	c.policy.Store(&p)
	return c
}

func owed(c *Channel, offset uint64, key string, size int) *Delivery {
	d := &Delivery{Channel: c, Position: broker.Position{Offset: offset, Epoch: "e"}}
	if key != "" {
		d.Key = []byte(key)
	}
	d.Frames[Protocol] = &outbox.Frame{Plain: make([]byte, size), Offset: offset}
	return d
}

// TestArrearsAgainstNaive: readers fall, catch up some way, and leave at random.
// Each gets the newest of each key once, in order, and what has no key all; and
// nothing stays for nobody.
func TestArrearsAgainstNaive(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	c := conflating(1<<30, 1<<20)
	type reader struct{ due []*Delivery } // what it is owed, without regard for keys
	readers := map[uint32]*reader{}
	offset, bytes := uint64(0), 0
	for step := range 60_000 {
		slot := rng.Uint32N(6)
		switch r := readers[slot]; {
		case rng.IntN(3) > 0: // a publication; some readers fall at it
			offset++
			at := offset
			if rng.IntN(8) == 0 {
				at = 0
			}
			key := ""
			if rng.IntN(10) > 0 {
				key = fmt.Sprint(rng.IntN(20))
			}
			d := owed(c, at, key, rng.IntN(100))
			if a := c.Arrears(0); a != nil {
				grown, _ := a.Put(d)
				bytes += grown
			}
			if r == nil && rng.IntN(4) == 0 {
				grown, _ := c.Fall(0, slot, d)
				bytes += grown
				readers[slot] = &reader{}
			}
			for _, r := range readers {
				r.due = append(r.due, d)
			}
		case r != nil:
			if step%4 == 0 { // it leaves
				bytes -= c.Rise(0, slot)
				delete(readers, slot)
				break
			}
			if r.due = catchSome(t, c, slot, r.due, rng.IntN(12)); len(r.due) == 0 {
				bytes -= c.Rise(0, slot)
				delete(readers, slot)
			}
		}
		if a := c.Arrears(0); (a == nil) != (len(readers) == 0) || a != nil && a.bytes != bytes || a == nil && bytes != 0 {
			t.Fatalf("step %d: %d readers, %d bytes counted, arrears %v", step, len(readers), bytes, a != nil)
		}
	}
}

// catchSome serves a reader up to n entries and returns what it is owed then.
func catchSome(t *testing.T, c *Channel, slot uint32, due []*Delivery, n int) []*Delivery {
	t.Helper()
	a := c.Arrears(0)
	number, fell := a.Served(slot)
	if !fell {
		t.Fatal("a reader that fell is owed nothing")
	}
	for _, e := range a.After(number) {
		if !e.Live {
			continue
		}
		if n--; n < 0 {
			a.Serve(slot, number)
			return due
		}
		want := newestFirst(due)
		if e.Frames[Protocol] != want.Frames[Protocol] {
			t.Fatalf("offset %d where %d was due", e.at.Offset, want.Offset)
		}
		due = due[slices.Index(due, want)+1:]
		number = e.Number
	}
	if len(due) > 0 {
		t.Fatalf("%d publications are missing at the end", len(due))
	}
	return nil
}

// newestFirst is the first of due that no later one takes the place of.
func newestFirst(due []*Delivery) *Delivery {
	for i, d := range due {
		if len(d.Key) == 0 || !slices.ContainsFunc(due[i+1:], func(o *Delivery) bool { return string(o.Key) == string(d.Key) }) {
			return d
		}
	}
	return nil
}

// TestArrearsAreBounded in bytes and in entries: what was not updated for longest
// goes, and who is not served up to it is known to have lost something.
func TestArrearsAreBounded(t *testing.T) {
	for _, c := range []struct {
		name           string
		bytes, entries int
		keyed          bool
	}{
		{"entries", 1 << 20, 10, true},
		{"bytes", 10 * (owedOverhead + 100 + 1), 1 << 10, true},
		{"without keys", 1 << 20, 10, false},
	} {
		ch := conflating(c.bytes, c.entries)
		key := func(i int) string {
			if !c.keyed {
				return ""
			}
			return string(rune('a' + i))
		}
		grown, lost := ch.Fall(0, 7, owed(ch, 1, key(0), 100))
		a := ch.Arrears(0)
		for i := 1; i < 10; i++ {
			g, l := a.Put(owed(ch, uint64(i+1), key(i), 100))
			grown, lost = grown+g, lost+l
		}
		if number, _ := a.Gone(); lost != 0 || number != 0 || len(a.After(0)) != 10 {
			t.Errorf("%s: %d entries, %d lost", c.name, len(a.After(0)), lost)
		}
		if c.keyed {
			a.Put(owed(ch, 11, "a", 100)) // updated: now b is the oldest
		}
		_, lost = a.Put(owed(ch, 12, key(10), 100))
		number, at := a.Gone()
		want := uint64(1)
		if c.keyed {
			want = 2
		}
		if lost != 1 || number != want || at.Offset != want || a.live != 10 || a.bytes > c.bytes {
			t.Errorf("%s: %d lost, up to number %d at %d; %d live of %d bytes", c.name, lost, number, at.Offset, a.live, a.bytes)
		}
		for i := range 5000 { // the places of what is gone go too
			a.Put(owed(ch, uint64(100+i), key(i%10), 100))
		}
		if len(a.log) > 2*a.live+64 || len(a.newest) > a.live {
			t.Errorf("%s: %d places and %d keys for %d entries", c.name, len(a.log), len(a.newest), a.live)
		}
		if freed := ch.Rise(0, 7); freed != a.bytes || ch.Arrears(0) != nil {
			t.Errorf("%s: %d bytes freed of %d", c.name, freed, a.bytes)
		}
	}
	ch := conflating(1000, 10)
	ch.Fall(0, 1, owed(ch, 1, "k", 2000))
	if a := ch.Arrears(0); a.live != 0 || a.bytes != 0 {
		t.Errorf("one that is longer than everything may be is kept: %d entries", a.live)
	}
}

// TestGapsAreOwedWithoutEntries: under drop_newest only how far the gap goes is kept.
func TestGapsAreOwedWithoutEntries(t *testing.T) {
	ch := alone(Policy{Overflow: DropNewest})
	for i := range uint64(100) {
		if a := ch.Arrears(0); a != nil {
			a.Put(owed(ch, i+1, "k", 10))
		}
		if i == 9 {
			ch.Fall(0, 3, owed(ch, i+1, "k", 10))
		}
	}
	a := ch.Arrears(0)
	a.Put(owed(ch, 0, "", 10))
	if top := a.Top(); top.Offset != 100 || top.Epoch != "e" || a.bytes != 0 || len(a.log) != 0 {
		t.Fatalf("up to %+v, %d bytes in %d entries", top, a.bytes, len(a.log))
	}
}

// TestArrearsBeginToKeep when the channel conflates from now on: who was owed a gap
// is owed that and the newest from there, who falls later lacks nothing.
func TestArrearsBeginToKeep(t *testing.T) {
	for _, late := range []bool{false, true} { // the policy changes while the fifth is spread
		ch := alone(Policy{Overflow: DropNewest})
		conflate := func() { ch.policy.Store(&Policy{Overflow: Conflate, Bytes: 1 << 20, Entries: 10}) }
		ch.Fall(0, 3, owed(ch, 1, "", 10))
		a := ch.Arrears(0)
		for i := range uint64(3) {
			a.Put(owed(ch, i+2, "", 10))
		}
		if !late {
			conflate()
		}
		fifth := owed(ch, 5, "k", 10)
		grown, _ := a.Put(fifth)
		conflate()
		more, _ := ch.Fall(0, 4, fifth)
		if grown+more != a.bytes || a.bytes == 0 || grown > 0 == late {
			t.Errorf("late %v: grew by %d and %d, %d bytes are kept", late, grown, more, a.bytes)
		}
		number, at := a.Gone()
		if number != 4 || at.Offset != 4 || a.Since() != 4 || a.Top().Offset != 5 {
			t.Errorf("late %v: given up to number %d at %d, not counted since %d; up to %d", late, number, at.Offset, a.Since(), a.Top().Offset)
		}
		if old, _ := a.Served(3); old >= number {
			t.Errorf("late %v: who fell before is served up to %d", late, old)
		}
		served, _ := a.Served(4)
		if list := a.After(served); served != number || len(list) != 1 || !list[0].Live {
			t.Errorf("late %v: who falls now is served up to %d, with %d entries to come", late, served, len(list))
		}
	}
}

// TestKeys: what a publication is conflated by.
func TestKeys(t *testing.T) {
	h, in := newHub(1, 100, 1<<20)
	at, err := pointer.Parse("/symbol")
	if err != nil {
		t.Fatal(err)
	}
	h.SetPolicies(map[string]*Policy{"feeds": {Overflow: Conflate, Key: at}, "other": {}})
	for _, name := range []string{"feeds:a", "feeds:*", "other:a"} {
		h.Join(0, name, Protocol)
	}
	for _, c := range []struct{ channel, data, direct, pattern string }{
		{"feeds:a", `{"symbol":"ACME"}`, `"ACME"`, "feeds:a\n\"ACME\""},
		{"feeds:a", `{"symbol":7}`, `7`, "feeds:a\n7"},
		{"feeds:a", `{"symbol":null}`, `null`, "feeds:a\nnull"},
		{"feeds:a", `{"symbol":{}}`, ``, ``},
		{"feeds:a", `{"price":1}`, ``, ``},
		{"feeds:a", `[]`, ``, ``},
		{"other:a", `{"symbol":7}`, ``, ``},
	} {
		p := publication(c.channel, 1)
		p.Data = []byte(c.data)
		h.Deliver(p)
		list := in[0].Take(nil).Deliveries
		if got := string(list[0].Key); got != c.direct {
			t.Errorf("%s on %s: key %q, want %q", c.data, c.channel, got, c.direct)
		}
		if c.channel == "feeds:a" && string(list[1].Key) != c.pattern {
			t.Errorf("%s through the pattern: key %q, want %q", c.data, list[1].Key, c.pattern)
		}
	}
}

// TestPoliciesOfPatterns: that of the namespace that a pattern lies in, and none
// of one that lies in several.
func TestPoliciesOfPatterns(t *testing.T) {
	h, _ := newHub(1, 100, 1<<20)
	h.SetPolicies(map[string]*Policy{"": {Overflow: DropNewest}, "feeds": {Overflow: DropOldest}})
	want := map[string]Overflow{"a": DropNewest, "feeds:a": DropOldest, "feeds:*": DropOldest, "$feeds:a*": DropOldest,
		"*": Disconnect, "a*": Disconnect, "feeds*": Disconnect, "f*:a": Disconnect}
	for range 2 {
		for name, overflow := range want {
			if got := h.Join(0, name, Protocol).Policy().Overflow; got != overflow {
				t.Errorf("%s has policy %d, want %d", name, got, overflow)
			}
		}
		h.SetPolicies(map[string]*Policy{"": {Overflow: DropNewest}, "feeds": {Overflow: DropOldest}})
	}
}

// TestNoAllocationForKeysThatAreKnown: a publication that takes the place of
// another costs nothing new.
func TestNoAllocationForKeysThatAreKnown(t *testing.T) {
	ch := conflating(1<<20, 1<<10)
	var list []*Delivery
	for i := range 20 {
		list = append(list, owed(ch, uint64(i+1), fmt.Sprint("key", i), 100))
	}
	ch.Fall(0, 1, list[0])
	a := ch.Arrears(0)
	put := func() {
		for _, d := range list {
			a.Put(d)
		}
	}
	for range 20 {
		put()
	}
	if n := testing.AllocsPerRun(100, put); n != 0 {
		t.Errorf("%v allocations for 20 publications of known keys", n)
	}
}
