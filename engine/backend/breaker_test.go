package backend

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// must is a call that is let through.
func (b *breaker) must(t *testing.T, now time.Time) pass {
	t.Helper()
	p, ok := b.allow(now)
	if !ok {
		t.Fatal("a call is kept away")
	}
	return p
}

func (b *breaker) mustNot(t *testing.T, now time.Time) {
	t.Helper()
	if _, ok := b.allow(now); ok {
		t.Fatal("a call is let through")
	}
}

func TestBreakerOpensAndCloses(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	var b breaker
	for round := range 2 {
		for i := range failuresToOpen - 1 {
			if what, _ := b.done(b.must(t, now), false, now); what != same {
				t.Fatalf("failure %d: %v", i, what)
			}
		}
		if round == 0 { // an answer between them begins anew
			b.done(b.must(t, now), true, now)
			for range failuresToOpen - 1 {
				b.done(b.must(t, now), false, now)
			}
		}
		if b.open() {
			t.Fatal("open too soon")
		}
		if what, pause := b.done(b.must(t, now), false, now); what != opened || pause != firstPause || !b.open() {
			t.Fatalf("the last failure: %v, %v", what, pause)
		}
		b.mustNot(t, now.Add(firstPause-1))
		for pause := firstPause; pause < 4*longestPause; pause *= 2 {
			now = now.Add(min(pause, longestPause))
			p := b.must(t, now)
			b.mustNot(t, now.Add(time.Hour)) // one call tries, however long it takes
			if what, _ := b.done(p, false, now); what != same {
				t.Fatalf("a try that failed: %v", what)
			}
			b.mustNot(t, now.Add(min(2*pause, longestPause)-1))
		}
		now = now.Add(longestPause)
		if what, _ := b.done(b.must(t, now), true, now); what != closed || b.open() {
			t.Fatalf("a try that was answered: %v", what)
		}
	}
}

// TestBreakerLateResults: calls that began before the breaker changed say nothing about now.
func TestBreakerLateResults(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	var b breaker
	var early []pass
	for range 3 * failuresToOpen {
		early = append(early, b.must(t, now))
	}
	for _, p := range early[:2*failuresToOpen] {
		b.done(p, false, now)
	}
	if what, _ := b.done(early[2*failuresToOpen], true, now); what != same || !b.open() {
		t.Errorf("an answer from before closes it: %v", what)
	}
	now = now.Add(firstPause) // failures from before have not prolonged it
	probe := b.must(t, now)
	b.done(early[2*failuresToOpen+1], true, now)
	b.mustNot(t, now)
	b.done(probe, true, now)
	for _, p := range early[2*failuresToOpen+2:] {
		b.done(p, false, now)
	}
	for range failuresToOpen {
		b.done(early[0], false, now)
	}
	b.must(t, now)
}

// TestBreakerOneProbe: of any number of calls at once, one tries.
func TestBreakerOneProbe(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	var b breaker
	for range failuresToOpen {
		b.done(b.must(t, now), false, now)
	}
	now = now.Add(firstPause)
	var through atomic.Int32
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if _, ok := b.allow(now); ok {
				through.Add(1)
			}
		})
	}
	if wg.Wait(); through.Load() != 1 {
		t.Errorf("%d calls were let through, want 1", through.Load())
	}
}
