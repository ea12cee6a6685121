package limit

import "sync/atomic"

// Shared is one bucket for any number of goroutines, lock-free. The zero value is full.
type Shared struct{ fullAt atomic.Int64 }

// Take takes cost tokens at now nanoseconds, all or none. No allocation.
func (s *Shared) Take(r Rate, cost int, now int64) bool {
	for {
		fullAt := s.fullAt.Load()
		next, ok := r.take(fullAt, int64(cost), now)
		if next == fullAt || s.fullAt.CompareAndSwap(fullAt, next) {
			return ok
		}
	}
}
