package engine

import (
	"testing"
	"time"
)

func TestCollection(t *testing.T) {
	at := time.Unix(1_800_000_000, 0)
	c := Collection{Storm: 50, Calm: 25}
	var k collector
	roomy := Collection{Storm: 50, Calm: 6, Room: 16 << 20}
	for live, want := range map[uint64][2]int{0: {mostPercent, mostPercent}, 2 << 20: {mostPercent, 50}, 8 << 20: {250, 12}, 16 << 20: {150, 6}, 1 << 40: {50, 5}} {
		storm, calm := collector{stormy: at}, collector{}
		if s, c := storm.percent(roomy, 0, 0, live, at), calm.percent(roomy, 0, 0, live, at); s != want[0] || c != want[1] {
			t.Errorf("%d MiB are live: %d in a storm, %d when it is calm, want %d", live>>20, s, c, want)
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
		{"a start is calm, and little is live", time.Second, 0, 1 << 20, 100},
		{"more is live", time.Second, 0, 10 << 20, 25},
		{"a little more", time.Second, 1, 10<<20 + 1<<17, 0},
		{"much is live", time.Second, 3, 1 << 30, 0},
		{"a storm", time.Second, stormHandshakes, 1 << 30, 50},
		{"it goes on", time.Second, 10 * stormHandshakes, 1 << 30, 0},
		{"it is just over", releaseAfter - 1, 0, 1 << 30, 0},
		{"it is over", 1, stormHandshakes - 1, 1 << 30, 25},
		{"it stays so", time.Hour, 0, 1 << 30, 0},
		{"everybody went", time.Second, 0, 0, mostPercent},
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
	c := Collection{Storm: 50, Calm: 6, Room: 16 << 20}
	cycles := uint64(7)
	k := collector{cycles: cycles}
	for i, step := range []struct {
		made uint64 // collections in that second
		want int
	}{
		{0, 10}, {3, 0}, {4, 20}, {4, 40}, {2, 0}, {20, 80}, {4, 160}, {4, 210}, {40, 0}, {40, 0}, {2, 0}, {1, 160}, {0, 80}, {1, 40}, {0, 20}, {0, 10}, {0, 0}, {4, 20},
	} {
		cycles, at = cycles+step.made, at.Add(time.Second)
		if got := k.percent(c, 0, cycles, 10<<20, at); got != step.want {
			t.Errorf("%d: %d after %d collections, want %d", i, got, step.made, step.want)
		}
	}
}
