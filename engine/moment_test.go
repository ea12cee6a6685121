package engine

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestMoments: never early, at most a tick late, on a clock of any age, also when
// the ticks begin anew.
func TestMoments(t *testing.T) {
	s := &shard{shared: &shared{}}
	wraps := int64(tick) << 32
	clocks := []int64{1, int64(tick) - 1, int64(tick), wraps / 2, wraps - int64(tick), wraps - 1, wraps, wraps + 1, 5*wraps - int64(time.Minute)}
	for range 100 {
		clocks = append(clocks, rand.Int64N(10*wraps))
	}
	for _, clock := range clocks {
		for _, d := range []int64{1, int64(tick) - 1, int64(tick), int64(tick) + 1, int64(time.Hour), farthest, rand.Int64N(farthest)} {
			s.now = clock
			m := s.after(d)
			if at := s.at(m); m == 0 || at < clock+d || at > clock+d+2*int64(tick) { // two where 0 is passed over
				t.Fatalf("%d after %d is %d, at %d", d, clock, m, at)
			}
			if s.now = clock + d - 1; s.past(m) {
				t.Fatalf("%d after %d has come early", d, clock)
			}
			if s.now = clock + d + 2*int64(tick); !s.past(m) {
				t.Fatalf("%d after %d does not come", d, clock)
			}
			if s.now += int64(365 * 24 * time.Hour); !s.past(m) {
				t.Fatalf("%d after %d is to come again", d, clock)
			}
			s.now = clock
			if later := s.after(d + 3*int64(tick)); d < farthest-3*int64(tick) && (earlier(m, later) != m || earlier(later, m) != m) {
				t.Fatalf("%d after %d: the later one is taken", d, clock)
			}
		}
		s.now = clock
		if m := s.after(1 << 62); s.at(m) > clock+farthest+2*int64(tick) {
			t.Fatal("further than the wheel goes")
		}
	}
	if s.past(0) {
		t.Error("none has come")
	}
}
