package limit

import (
	"math"
	"testing"
)

// What newcomers come upon at each other's hands, one step at a time.
func TestNewcomersMeet(t *testing.T) {
	const now = 1_800_000_000 * second
	p := Rate{PerSecond: 1, Burst: 2}.pace()
	k := User("a")
	fresh := func() (*Table, *set, word) {
		table := NewTable(ways, 5)
		table.regions[0].frame.Store(int32(frameOf(now)))
		h := k.hash(table.seed)
		s, _ := table.at(h)
		return table, s, tagOf(h)
	}
	live := func(i int) word { return tagOf(uint64(i+1)<<60).at(now+second, 0) }

	// the mark of another with the same tag is taken away, and its owner then makes no entry of it
	table, s, tag := fresh()
	mark := tag.coming(77)
	s[3].Store(uint64(mark))
	if !table.Take(k, p, 1, now) || entries(table, k) != 1 || word(s[3].Load()).isComing() {
		t.Error("a mark is left beside the entry")
	}
	if s[3].CompareAndSwap(uint64(mark), uint64(tag.at(now+second, 0))) {
		t.Error("whose mark was taken makes an entry of it")
	}
	// and so it is in a set where there is no other room
	table, s, tag = fresh()
	for i := range s {
		s[i].Store(uint64(live(i)))
	}
	s[3].Store(uint64(tag.coming(77)))
	if !table.Take(k, p, 1, now) || entries(table, k) != 1 || table.Widened() != 0 {
		t.Error("a mark is no room for the same tag")
	}
	// the mark of another key keeps nobody out either, but is the last to go
	s[3].Store(uint64(live(3).coming(78) & live(3).coming(0)))
	s[5].Store(uint64(tagOf(9<<50).at(now, 0)))
	if at, _ := s.place(0, frameOf(now), now, now+p.horizon); at != 5 {
		t.Errorf("a newcomer goes to %d where 5 is free", at)
	}
	s[5].Store(uint64(live(5)))
	if at, _ := s.place(0, frameOf(now), now, now+p.horizon); at != 3 {
		t.Errorf("a newcomer goes to %d where a mark is all there is", at)
	}
	// an entry makes a newcomer withdraw, who is in a later place or in an earlier one
	for _, at := range []int{0, 7} {
		table, s, tag = fresh()
		entry := tag.at(now+second, 0)
		s[at].Store(uint64(entry))
		if _, done := s.insert(tag, 4, &table.regions[0], frameOf(now), p, 1, now); done || entries(table, k) != 1 || word(s[at].Load()) != entry {
			t.Error("a tag has two entries, or another one")
		}
		if !table.Take(k, p, 1, now) || table.Take(k, p, 1, now) {
			t.Error("the entry is not charged")
		}
	}
	// no two newcomers have one mark
	turn := table.regions[0].turn.Load()
	if !table.Take(User("b"), p, 1, now) || !table.Take(User("c"), p, 1, now) || table.regions[0].turn.Load() != turn+2 {
		t.Error("two newcomers have one mark")
	}
}

// Who goes over a region for a frame that it is no longer in leaves it alone: its words mean other times by now.
func TestRegionsMoveOnce(t *testing.T) {
	const now = 1_800_000_000 * second
	p := Rate{PerSecond: 1, Burst: 2}.pace()
	table := NewTable(ways, 5)
	k := User("a")
	table.Take(k, p, 2, now)
	s, g := table.at(k.hash(table.seed))
	if s.carry(g, frameOf(now)-4, now+second, p.horizon) || entries(table, k) != 1 {
		t.Error("words are read in a frame that the region has left")
	}
	if table.Take(k, p, 1, now+second/2) || !table.Take(k, p, 1, now+second) {
		t.Error("the entry is another")
	}
	for _, later := range []int64{now + frameSpan, now + 1000*frameSpan, now + 2*frameSpan, now + 9*frameSpan} { // on, far on, far back, on
		if table.enter(k.hash(table.seed), p, later); frame(g.frame.Load()) != frameOf(later) {
			t.Fatalf("the region is in frame %d, the clock in %d", g.frame.Load(), frameOf(later))
		}
	}
}

// FuzzTable compares a table with one bucket in nanoseconds for each key, for any schedule of a clock that runs
// forward, in steps and in leaps, and any costs.
func FuzzTable(f *testing.F) {
	f.Add(50.0, uint16(200), int64(1_800_000_000*second), []byte{1, 2, 3, 40, 41, 250, 251, 3, 1, 255, 1, 2, 3})
	f.Add(1000.0, uint16(3), int64(0), []byte{1, 1, 1, 1, 128, 1, 1, 200, 200, 1, 1, 1})
	f.Add(2.0, uint16(100), int64(-5*second), []byte{0, 255, 0, 255, 0, 224, 1, 192, 1, 160, 7})
	f.Add(1e9, uint16(65535), int64(maxSpan), []byte{96, 97, 127, 128, 159, 160, 191, 192, 223, 224, 255, 1, 2, 3, 0})
	f.Add(4e8, uint16(1), int64(frameSpan-1), []byte{0, 0, 96, 0, 0, 97, 0, 160, 0})
	f.Add(math.Inf(1), uint16(2), int64(-maxSpan), []byte{0, 1, 2, 255, 0, 1, 2})
	f.Fuzz(func(t *testing.T, rate float64, burst uint16, start int64, steps []byte) {
		r := Rate{rate, int(burst)}
		p := r.pace()
		if !(rate > 0) || p.unit != 0 || start < -maxSpan || start > 2*maxSpan || len(steps) > 1000 {
			return
		}
		table, want := NewTable(64, uint64(burst)), make(map[Key]*Bucket)
		now := start
		for i, b := range steps {
			k := Key{kind: ipv4, prefix: uint64(b % 4)}
			switch b >> 5 { // how far the clock goes on
			case 0, 1, 2:
			case 3:
				now += int64(b%32) * p.burst / 64
			case 4:
				now += p.burst + int64(b%32)
			case 5:
				now += frameSpan - int64(b%32)
			case 6:
				now += 4*frameSpan - int64(b%32)*p.burst/31
			case 7:
				now += int64(b%32) * frameSpan / 8 * int64(i)
			}
			if want[k] == nil {
				want[k] = new(Bucket)
				want[k].fullAt = now
			}
			cost := 1 + i%3
			asked := table.has(k, p, cost, now)
			ok := want[k].Take(&r, int64(cost), now)
			if got := table.Take(k, p, cost, now); got != ok || asked != ok {
				t.Fatalf("step %d, %v at %d: has says %v, Take %v, a bucket %v", i, r, now, asked, got, ok)
			}
		}
		if table.Widened() != 0 {
			t.Fatal("no room for four keys")
		}
	})
}

// A bucket that is just emptied is live, also where its burst in units is longer than in nanoseconds.
func TestEmptiedIsLive(t *testing.T) {
	const now = 1_800_000_000 * second
	for _, r := range []Rate{{1, 4}, {1.0 / 60, 60}, {7.2, 13_200_000}, {1.0 / 300, 300_000}} {
		table, p, admitted := NewTable(ways, 1), r.pace(), 0
		for i := range uint64(4 * ways) {
			if table.Take(Key{kind: ipv4, prefix: i % (ways + 1)}, p, r.Burst, now) {
				admitted++
			}
		}
		if admitted != ways+1 || table.Widened() == 0 {
			t.Errorf("%v, unit %d: %d whole bursts in a table of %d entries and the bucket of all", r, p.unit, admitted, ways)
		}
	}
}
