package engine

import (
	"testing"
	"time"
)

func TestCollection(t *testing.T) {
	at := time.Unix(1_800_000_000, 0)
	c := Collection{Storm: 50, Calm: 25}
	var k collector
	ballasted := c
	ballasted.Ballast = 32 << 20
	for live, want := range map[uint64]int{0: 50, 32 << 20: 3, 48 << 20: 8, 64 << 20: 12, 32<<20 + 1<<40: 24} {
		var k collector
		if got := k.percent(ballasted, 0, 0, live, at); got != want {
			t.Errorf("%d MiB are live, 32 of them ballast: %d, want %d", live>>20, got, want)
		}
	}
	begun := uint64(0)
	for i, step := range []struct {
		name       string
		after      time.Duration
		handshakes uint64
		live       uint64
		want       int
	}{
		{"a start is calm, and little is live", time.Second, 0, 1 << 20, 50},
		{"more is live", time.Second, 0, 10 << 20, 25},
		{"a little more", time.Second, 1, 10<<20 + 1<<17, 0},
		{"much is live", time.Second, 3, 1 << 30, 0},
		{"a storm", time.Second, stormHandshakes, 1 << 30, 50},
		{"it goes on", time.Second, 10 * stormHandshakes, 1 << 30, 0},
		{"it is just over", releaseAfter - 1, 0, 1 << 30, 0},
		{"it is over", 1, stormHandshakes - 1, 1 << 30, 25},
		{"it stays so", time.Hour, 0, 1 << 30, 0},
		{"everybody went", time.Second, 0, 0, 50},
	} {
		at, begun = at.Add(step.after), begun+step.handshakes
		if got := k.percent(c, begun, 0, step.live, at); got != step.want {
			t.Errorf("%d, %s: %d, want %d", i, step.name, got, step.want)
		}
	}
}

// TestCollectionOfOneWhoWorks: where little is live and much garbage is made, more of it may lie around, until the collector
// has a few rounds a second, and less again when it has few. More than in a storm it never is.
func TestCollectionOfOneWhoWorks(t *testing.T) {
	at := time.Unix(1_800_000_000, 0)
	c := Collection{Storm: 50, Calm: 6, Ballast: 32 << 20}
	var k collector
	cycles := uint64(7)
	k.cycles = cycles
	for i, step := range []struct {
		made uint64 // collections in that second
		want int
	}{
		{0, 2}, {3, 0}, {4, 4}, {4, 8}, {2, 0}, {20, 16}, {4, 33}, {4, 50}, {40, 0}, {40, 0}, {2, 0}, {1, 33}, {0, 16}, {1, 8}, {0, 4}, {0, 2}, {0, 0}, {4, 4},
	} {
		cycles, at = cycles+step.made, at.Add(time.Second)
		if got := k.percent(c, 0, cycles, 48<<20, at); got != step.want {
			t.Errorf("%d: %d after %d collections, want %d", i, got, step.made, step.want)
		}
	}
}
