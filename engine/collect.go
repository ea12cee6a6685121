package engine

import (
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// Collection says how much garbage the collector may let come together for what is
// live (GOGC, in percent): while connections come in numbers, and while it is calm.
// A handshake leaves 100 KB of garbage, so a storm pays for each collection; idle
// connections leave a pinch with each ping, and what may lie around of it is memory
// that each of them costs. The zero value leaves the collector alone.
type Collection struct {
	Storm, Calm int
	Room        int // bytes that may lie around in a storm beyond its part, for little is live on a small node
}

const (
	// stormHandshakes in one second are a storm: a few leave as much garbage as may lie around when it is calm.
	stormHandshakes = 5

	// leastGarbage is how many bytes may lie around when it is calm, however little is
	// live: collecting has a price that does not fall below some fixed cost.
	leastGarbage = 1 << 20

	// busyCycles collections in one second are too many for what they save: publications and
	// messages leave garbage too. Twice as much may lie around then, and half of it again when
	// there are few: so a process that works hard collects a few times a second.
	busyCycles, fewCycles = 4, 1

	// mostPercent is what the collector is told at most: what is live may grow a second long before
	// that is looked at again.
	mostPercent = 400

	// percentSlack is the part of the setting by which it may be off: each change stops
	// the world for a moment.
	percentSlack = 8
)

// collector keeps the process to a Collection. Owned by the ticker's goroutine.
type collector struct {
	begun   uint64    // handshakes at the last round
	cycles  uint64    // collections at the last round
	doubled uint      // how often the garbage that may lie around was doubled
	stormy  time.Time // the last time that many had come
	set     int       // 0: nothing yet
}

// percent is what to tell the collector of now, of a process with so many handshakes
// begun, collections made and bytes live; 0: nothing new. Calm is what it is when as long as memory is
// handed back after there was no storm.
func (k *collector) percent(c Collection, begun, cycles, live uint64, now time.Time) int {
	if begun-k.begun >= stormHandshakes {
		k.stormy = now
	}
	k.begun = begun
	most := max(live*uint64(c.Storm)/100+uint64(c.Room), leastGarbage)
	garbage := most
	if now.Sub(k.stormy) >= releaseAfter {
		least := max(live*uint64(c.Calm)/100, leastGarbage)
		switch made := cycles - k.cycles; {
		case made >= busyCycles && least<<k.doubled < most:
			k.doubled++
		case made <= fewCycles && k.doubled > 0:
			k.doubled--
		}
		garbage = min(least<<k.doubled, most)
	}
	k.cycles = cycles
	want := int(min(max(100*garbage/max(live, 1), 1), mostPercent))
	if off := max(want-k.set, k.set-want); off == 0 || off <= k.set/percentSlack {
		return 0
	}
	k.set = want
	return want
}

// tune is one round of it.
func (k *collector) tune(c Collection, begun uint64, now time.Time) {
	if c.Storm == 0 {
		return
	}
	read := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/cycles/total:gc-cycles"}}
	metrics.Read(read)
	if p := k.percent(c, begun, read[1].Value.Uint64(), read[0].Value.Uint64(), now); p != 0 {
		debug.SetGCPercent(p)
	}
}
