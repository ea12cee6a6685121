package limit

import (
	"math/bits"
	"runtime"
	"sync/atomic"
	"unsafe"
)

// ways is how many entries share a set: a key lies in any of those of its set.
const ways = 8

// regionSets is how many sets go from frame to frame together: what one take may have to look at.
const regionSets = 1 << regionBits

const regionBits = 8

// Table holds one bucket a key in memory fixed at construction. Any goroutine. Lock-free.
//
// An entry is one [word], and a set is one cache line: charging a key that has an entry reads that line and changes it by
// one compare-and-swap. A key without entry takes over one that is full again, and so has nothing to
// remember. A live entry is never evicted: where a set holds only such
// ones, the key's wider prefix is charged in its place, or a user's bucket in another set, and at last one
// bucket for all. The bound of a key is exact while its entry lives, but for company as [word] has it; a user for whom there was
// no room has a full bucket more when there is room again. A key that comes back, with a clock read before its full bucket
// was given away, may get as much more as the rate admits in that difference.
type Table struct {
	sets    []set
	regions []region
	seed    uint64
	rest    Shared

	widened atomic.Uint64 // keys that were charged elsewhere for want of room
}

// set is one cache line: 64 bytes, and powers of two of them the allocator aligns.
type set [ways]atomic.Uint64

// region is what is known of regionSets sets.
type region struct {
	frame atomic.Int32  // in which their words are read
	turn  atomic.Uint32 // of the last mark of a newcomer
}

const (
	setBytes    = int(unsafe.Sizeof(set{}))
	regionBytes = int(unsafe.Sizeof(region{}))
)

func regionsOf(sets int) int { return (sets + regionSets - 1) / regionSets }

// NewTable makes a table for at least entries keys (rounded up to a power of two, at least 8). Seed
// must be secret and random. All keys of one table should have about the same rate: what a key may
// have ahead of the clock tells a live entry from one that a stepped clock has left behind.
func NewTable(entries int, seed uint64) *Table {
	sets := setsFor(entries)
	t := &Table{sets: make([]set, sets), regions: make([]region, regionsOf(sets)), seed: seed}
	for i := range t.regions {
		t.regions[i].frame.Store(int32(never))
	}
	return t
}

// setsFor is the number of sets that hold entries keys: a power of two.
func setsFor(entries int) int {
	n := (max(entries, 1) + ways - 1) / ways
	return 1 << bits.Len(uint(n-1))
}

// Take takes cost tokens from k's bucket at now nanoseconds, all or none. No allocation.
//
// An entry in the place where its key is looked for first is charged here, without a call.
func (t *Table) Take(k Key, p *pace, cost int, now int64) bool {
	if uint64(cost) >= p.over || k.kind == none {
		return p.PerSecond == 0
	}
	h := k.hash(t.seed)
	s, g := t.at(h)
	tag, at := tagOf(h), wayOf(h)
	w := word(s[at].Load())
	f := frame(g.frame.Load())
	if w.isPlain(tag) && uint32(f-frameOf(now)) <= 1 {
		fullAt := w.plainFullAt(f)
		next := max(fullAt, now) + int64(cost)*p.interval
		if next-now <= p.plain {
			if s[at].CompareAndSwap(uint64(w), uint64(tag.plain(next))) {
				return true
			}
		} else if p.plain >= 0 && fullAt-now <= p.burst+p.slack && word(s[at].Load()) == w { // still there: so it was read in its frame
			return false
		}
	}
	ok, room := t.take(h, p, int64(cost), now)
	return ok && room || !room && t.takeWider(k, p, cost, now)
}

// takeWider is Take for who has no room in his own set.
func (t *Table) takeWider(k Key, p *pace, cost int, now int64) bool {
	for {
		wide, more := k.wider()
		if !more {
			t.widened.Add(1)
			return t.rest.Take(p.Rate, cost, now)
		}
		k = wide
		if ok, room := t.take(k.hash(t.seed), p, int64(cost), now); room {
			return ok
		}
	}
}

// has reports whether Take would admit cost, and takes nothing.
func (t *Table) has(k Key, p *pace, cost int, now int64) bool {
	if uint64(cost) >= p.over || k.kind == none {
		return p.PerSecond == 0
	}
	for {
		if ok, room := t.look(k.hash(t.seed), p, int64(cost), now); room {
			return ok
		}
		wide, more := k.wider()
		if !more {
			_, ok := p.Rate.take(t.rest.fullAt.Load(), int64(cost), now)
			return ok
		}
		k = wide
	}
}

// Entries is how many keys the table has room for, Bytes the memory that they take.
func (t *Table) Entries() int { return len(t.sets) * ways }
func (t *Table) Bytes() int   { return len(t.sets)*setBytes + len(t.regions)*regionBytes }

// Widened counts the takes that found no room for the key or any of its prefixes and were charged to
// the one bucket of all.
func (t *Table) Widened() uint64 { return t.widened.Load() }

// at is the set and the region of a key with this hash.
func (t *Table) at(h uint64) (*set, *region) {
	at := h & uint64(len(t.sets)-1)
	return &t.sets[at], &t.regions[at>>regionBits]
}

// take charges h's entry, or makes one. room is false if the set is full of live entries.
func (t *Table) take(h uint64, p *pace, cost, now int64) (ok, room bool) {
	s, g := t.at(h)
	tag, first := tagOf(h), wayOf(h)
	for {
		w, at := s.find(tag)
		f := frame(g.frame.Load()) // after the word: what is still there at the swap was there when the region came into f
		if uint32(f-frameOf(now)) > 1 {
			t.enter(h, p, now)
			continue
		}
		if w == 0 {
			if room, done := s.insert(tag, first, g, f, p, cost, now); done {
				return room, room
			}
			runtime.Gosched() // another has been quicker
			continue
		}
		next, ok := p.charge(tag, w, w.fullAt(f), cost, now)
		// where nothing is to be stored, a word that is still there was read in its frame
		if next == w && word(s[at].Load()) == w || next != w && s[at].CompareAndSwap(uint64(w), uint64(next)) {
			return ok, true
		}
	}
}

// look is take without taking. It may bring the region into another frame.
func (t *Table) look(h uint64, p *pace, cost, now int64) (ok, room bool) {
	s, g := t.at(h)
	tag := tagOf(h)
	for {
		w, in := s.find(tag)
		f := frame(g.frame.Load())
		if uint32(f-frameOf(now)) > 1 {
			t.enter(h, p, now)
			continue
		}
		if w != 0 {
			if word(s[in].Load()) != w {
				continue // it may have been read in a frame that it was not written in
			}
			_, ok = p.charge(tag, w, w.fullAt(f), cost, now)
			return ok, true
		}
		at, _ := s.place(wayOf(h), f, now, now+p.horizon)
		return true, at >= 0
	}
}

// charge is the rule for the tag's entry w, whose bucket is full at so many nanoseconds. It returns w where nothing is to be stored.
func (p *pace) charge(tag, w word, fullAt, cost, now int64) (_ word, ok bool) {
	shift := p.shift()
	from := fullAt >> shift // where it is full, it is full of the clock rounded down too
	if fullAt > now {
		from = (fullAt + 1<<shift - 1) >> shift
	}
	next, ok := p.take(from, cost, now>>shift)
	if next == from {
		return w, ok
	}
	return tag.at(next, p.unit), ok
}

// wayOf is where in its set a key is looked for first: bits of the hash that neither choose the set nor are in the tag.
func wayOf(h uint64) uint { return uint(h>>(64-tagBits-3)) % ways }

// find returns the tag's entry and its place, or 0. Marks of newcomers are none.
func (s *set) find(tag word) (w word, at uint) {
	for places := s.places(tag); places != 0; places &= places - 1 {
		at = uint(bits.TrailingZeros8(places)) % ways
		if w = word(s[at].Load()); w.is(tag) && !w.isComing() {
			return w, at
		}
	}
	return 0, 0
}

// places has a bit for each word of the tag. It compares all without a branch: where in its set a key lies cannot be
// foreseen, and a branch that is not costs more than the comparisons.
func (s *set) places(tag word) uint8 {
	at := func(i int) word { return ((word(s[i].Load())^tag)&(1<<tagBits-1) - 1) >> 63 }
	return uint8(at(0) | at(1)<<1 | at(2)<<2 | at(3)<<3 | at(4)<<4 | at(5)<<5 | at(6)<<6 | at(7)<<7)
}

// free reports whether the entry may be given away.
func (w word) free(f frame, now, horizon int64) bool {
	if w == 0 {
		return true
	}
	if w.isComing() {
		return false
	}
	fullAt := w.fullAt(f)
	return fullAt <= now || fullAt > horizon
}
