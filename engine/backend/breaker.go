package backend

import (
	"sync"
	"time"
)

// A breaker opens after failuresToOpen calls in a row that found no backend; then one call is let through to see
// whether it is back, after firstPause and, each time it is not, after twice as long, up to longestPause.
const (
	failuresToOpen = 5
	firstPause     = time.Second
	longestPause   = 30 * time.Second
)

// breaker keeps calls away from a backend that does not answer: they fail at once instead of holding a worker for the
// whole timeout. Any goroutine; the zero value is closed.
type breaker struct {
	mu       sync.Mutex
	failures int           // in a row; guarded by mu, as are those below
	pause    time.Duration // 0: closed
	until    time.Time     // with a pause: when the next call may try
	probing  bool          // it is under way
	turn     uint64        // counts the changes between open and closed
}

// pass lets one call through; it must be given to done.
type pass struct {
	turn  uint64
	probe bool
}

// change is what a call did to the breaker.
type change uint8

const (
	same change = iota
	opened
	closed
)

// allow decides on a call at now.
func (b *breaker) allow(now time.Time) (p pass, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.pause == 0 {
		return pass{turn: b.turn}, true
	}
	if b.probing || now.Before(b.until) {
		return pass{}, false
	}
	b.probing = true
	return pass{turn: b.turn, probe: true}, true
}

// done takes back a pass: alive says whether there was an answer. A call from before the breaker last changed says
// nothing about now. The pause is that before the next try, when it opened.
func (b *breaker) done(p pass, alive bool, now time.Time) (what change, pause time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case p.turn != b.turn:
		return same, 0
	case alive:
		b.failures = 0
		if b.pause == 0 {
			return same, 0
		}
		b.pause, b.probing = 0, false
		b.turn++
		return closed, 0
	case p.probe:
		b.pause = min(2*b.pause, longestPause)
		b.until, b.probing = now.Add(b.pause), false
		return same, 0
	}
	if b.failures++; b.failures < failuresToOpen {
		return same, 0
	}
	b.failures, b.pause = 0, firstPause
	b.until = now.Add(b.pause)
	b.turn++
	return opened, b.pause
}

// open reports whether calls are kept away.
func (b *breaker) open() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.pause > 0
}
