package grant

import (
	"hash/maphash"
	"slices"
	"sync"
)

// Bounds of a Shared: what it may hold of Sets that no session has any more is about a megabyte at most.
const (
	sharedSets  = 512
	sharedRules = 16 // of one Set; a larger one is its session's own
)

// Shared has sessions with the same grants hold one Set: most applications give everybody the same
// few. It remembers some that came last, so its size does not depend on how many differ. Any goroutine.
type Shared struct {
	seed maphash.Seed

	mu   sync.Mutex
	sets [sharedSets]*Set // by hash; guarded by mu
}

// NewShared returns one that has no Set yet.
func NewShared() *Shared { return &Shared{seed: maphash.MakeSeed()} }

// Same returns a Set that allows what set does: one that came before, or set itself. A nil Shared
// always returns set.
func (s *Shared) Same(set *Set) *Set {
	if s == nil || set == nil || set.roles != nil || len(set.rules) > sharedRules {
		return set
	}
	place := &s.sets[s.hash(set)%sharedSets]
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := *place; known != nil && known.exact == set.exact && slices.Equal(known.rules, set.rules) {
		return known
	}
	*place = set
	return set
}

func (s *Shared) hash(set *Set) uint64 {
	var h maphash.Hash
	h.SetSeed(s.seed)
	for i := range set.rules {
		h.WriteString(set.rules[i].pattern)
		h.WriteByte(0) // in no pattern
		h.WriteByte(byte(set.rules[i].verbs))
	}
	return h.Sum64()
}
