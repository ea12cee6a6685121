package limit

import (
	"math/bits"
	"runtime"
	"sync/atomic"
	"unsafe"
)

// ways is how many entries share a set: a key lies in any of those of its set.
const ways = 8

// moving marks an entry that is being given to another key. No clock reads it.
const moving = -1 << 63

// Table holds one bucket a key in memory fixed at construction. Any goroutine.
//
// Charging a key that has an entry is lock-free: one compare-and-swap of its 64-bit state. A key
// without entry takes over one that is full again, and so has nothing to remember; only newcomers to
// the same set wait for each other there, for the dozen instructions of [set.insert], so that two of
// them with the same key leave one entry. A live entry is never evicted: where a set holds only such
// ones, the key's wider prefix is charged in its place, or a user's bucket in another set, and at last one
// bucket for all. The bound of a key is exact while its entry lives; a user for whom there was no room has
// a full bucket more when there is room again. A key that comes back, with a clock read before its full bucket
// was given away, may get as much more as the rate admits in that difference.
type Table struct {
	sets []set
	busy []atomic.Uint32 // of each set, 1 while a newcomer is let in: apart, for others never look
	seed uint64
	rest Shared

	widened atomic.Uint64 // keys that were charged elsewhere for want of room
}

// set is two cache lines side by side, which processors fetch as one.
type set struct {
	hash   [ways]atomic.Uint64 // who; written only between moving and the entry's new state
	fullAt [ways]atomic.Int64  // the bucket, or moving
}

// setBytes is the memory of a set and its place in busy.
const setBytes = int(unsafe.Sizeof(set{}) + unsafe.Sizeof(atomic.Uint32{}))

// NewTable makes a table for at least entries keys (rounded up to a power of two, at least 8). Seed
// must be secret and random. All keys of one table should have about the same rate: what a key may
// have ahead of the clock tells a live entry from one that a stepped clock has left behind.
func NewTable(entries int, seed uint64) *Table {
	sets := setsFor(entries)
	return &Table{sets: make([]set, sets), busy: make([]atomic.Uint32, sets), seed: seed}
}

// setsFor is the number of sets that hold entries keys: a power of two.
func setsFor(entries int) int {
	n := (max(entries, 1) + ways - 1) / ways
	return 1 << bits.Len(uint(n-1))
}

// Take takes cost tokens from k's bucket at now nanoseconds, all or none. No allocation.
func (t *Table) Take(k Key, r Rate, cost int, now int64) bool {
	if r.PerSecond == 0 {
		return true
	}
	if k.kind == none {
		return false
	}
	for {
		h := k.hash(t.seed)
		at := h & uint64(len(t.sets)-1)
		if ok, room := t.sets[at].take(h, &t.busy[at], r, int64(cost), now); room {
			return ok
		}
		wide, more := k.wider()
		if !more {
			t.widened.Add(1)
			return t.rest.Take(r, cost, now)
		}
		k = wide
	}
}

// has reports whether Take would admit cost, and changes nothing.
func (t *Table) has(k Key, r Rate, cost int, now int64) bool {
	if r.PerSecond == 0 {
		return true
	}
	if k.kind == none {
		return false
	}
	for {
		h := k.hash(t.seed)
		if ok, room := t.sets[h&uint64(len(t.sets)-1)].has(h, r, int64(cost), now); room {
			return ok
		}
		wide, more := k.wider()
		if !more {
			_, ok := r.take(t.rest.fullAt.Load(), int64(cost), now)
			return ok
		}
		k = wide
	}
}

// Entries is how many keys the table has room for, Bytes the memory that they take.
func (t *Table) Entries() int { return len(t.sets) * ways }
func (t *Table) Bytes() int   { return len(t.sets) * setBytes }

// Widened counts the takes that found no room for the key or any of its prefixes and were charged to
// the one bucket of all.
func (t *Table) Widened() uint64 { return t.widened.Load() }

// take charges h's entry, or makes one. room is false if the set is full of live entries.
func (s *set) take(h uint64, busy *atomic.Uint32, r Rate, cost, now int64) (ok, room bool) {
	for {
		if at := s.find(h); at >= 0 {
			if ok, done := s.charge(at, h, r, cost, now); done {
				return ok, true
			}
			continue // it was given away, or charged by another in between
		}
		if !busy.CompareAndSwap(0, 1) {
			runtime.Gosched() // the other may be about to insert h
			continue
		}
		ok, room, done := s.insert(h, r, cost, now)
		busy.Store(0)
		if done {
			return ok, room
		}
	}
}

// has is take without taking.
func (s *set) has(h uint64, r Rate, cost, now int64) (ok, room bool) {
	if at := s.find(h); at >= 0 {
		if fullAt := s.fullAt[at].Load(); fullAt != moving && s.hash[at].Load() == h {
			_, ok = r.take(fullAt, cost, now)
			return ok, true
		}
	}
	for i := range s.fullAt {
		if fullAt := s.fullAt[i].Load(); fullAt != moving && (fullAt <= now || r.astray(fullAt, now)) {
			_, ok = r.take(now, cost, now)
			return ok, true
		}
	}
	return false, false
}

func (s *set) find(h uint64) int {
	for i := range s.hash {
		if s.hash[i].Load() == h {
			return i
		}
	}
	return -1
}

// charge takes from the entry if it is still h's. The state is read before the hash: a state that
// belongs to a later owner comes with that owner's hash, and one that belongs to h is either still
// there at the swap or was replaced by moving. States of an entry never repeat, because a new owner's
// is later than the clock at which the old one's had passed.
func (s *set) charge(at int, h uint64, r Rate, cost, now int64) (ok, done bool) {
	fullAt := s.fullAt[at].Load()
	if fullAt == moving || s.hash[at].Load() != h {
		return false, false
	}
	next, ok := r.take(fullAt, cost, now)
	if next == fullAt {
		return ok, true
	}
	return ok, s.fullAt[at].CompareAndSwap(fullAt, next)
}

// insert gives h an entry that is free or full again, charged with cost. The caller holds busy, so
// no other newcomer can be at it.
func (s *set) insert(h uint64, r Rate, cost, now int64) (ok, room, done bool) {
	if s.find(h) >= 0 {
		return false, false, false
	}
	next, ok := r.take(now, cost, now)
	if !ok {
		return false, true, true // refused outright: nothing to remember
	}
	for i := range s.fullAt {
		fullAt := s.fullAt[i].Load()
		if live := fullAt > now && !r.astray(fullAt, now); live || !s.fullAt[i].CompareAndSwap(fullAt, moving) {
			continue
		}
		s.hash[i].Store(h)
		s.fullAt[i].Store(next)
		return true, true, true
	}
	return false, false, true
}
