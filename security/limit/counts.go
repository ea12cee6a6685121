package limit

import (
	"sync"
	"unsafe"
)

// counts holds how many connections each key has open, in fixed memory, with the same sets as a
// Table and the same way out where one is full: the wider prefix, then one count for all. Opening and
// closing walk that way in the same order, so whatever was counted is counted back, even where an
// entry got free in between.
type counts struct {
	sets []countSet
	seed uint64
	rest countRest
}

// countSet has its own lock, a leaf held for one walk over eight entries.
type countSet struct {
	mu   sync.Mutex
	hash [ways]uint64 // guarded by mu
	open [ways]uint32 // guarded by mu; 0 is a free entry
}

type countRest struct {
	mu   sync.Mutex
	open int // guarded by mu
}

func newCounts(entries int, seed uint64) *counts {
	return &counts{sets: make([]countSet, setsFor(entries)), seed: seed}
}

func (c *counts) bytes() int { return len(c.sets) * int(unsafe.Sizeof(countSet{})) }

// add counts one more for k, unless it has max of them already.
func (c *counts) add(k Key, max uint32) bool {
	for more := true; more; k, more = k.wider() {
		h := k.hash(c.seed)
		if ok, room := c.sets[h&uint64(len(c.sets)-1)].add(h, max); room {
			return ok
		}
	}
	c.rest.mu.Lock()
	defer c.rest.mu.Unlock()
	if c.rest.open >= int(max) {
		return false
	}
	c.rest.open++
	return true
}

func (s *countSet) add(h uint64, max uint32) (ok, room bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	free := -1
	for i := range s.open {
		switch {
		case s.open[i] == 0:
			free = i
		case s.hash[i] == h:
			if s.open[i] >= max {
				return false, true
			}
			s.open[i]++
			return true, true
		}
	}
	if free < 0 {
		return false, false
	}
	s.hash[free], s.open[free] = h, 1
	return true, true
}

// remove counts one less for k. It reports whether there was one.
func (c *counts) remove(k Key) bool {
	for more := true; more; k, more = k.wider() {
		h := k.hash(c.seed)
		if c.sets[h&uint64(len(c.sets)-1)].remove(h) {
			return true
		}
	}
	c.rest.mu.Lock()
	defer c.rest.mu.Unlock()
	if c.rest.open == 0 {
		return false
	}
	c.rest.open--
	return true
}

func (s *countSet) remove(h uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.open {
		if s.open[i] > 0 && s.hash[i] == h {
			s.open[i]--
			return true
		}
	}
	return false
}
