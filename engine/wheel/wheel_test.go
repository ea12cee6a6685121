package wheel

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
	"unsafe"
)

const (
	origin = int64(1_700_000_000_000_000_000)
	tick   = int64(10 * time.Millisecond)
)

func newWheel(buckets int) *Wheel { return New(origin, time.Duration(tick), buckets, 0) }

// all drains what is due at now, a few at a time.
func all(w *Wheel, now int64) []uint32 {
	var due []uint32
	room := make([]uint32, 0, 3)
	for {
		room = w.Due(now, room[:0])
		due = append(due, room...)
		if len(room) < cap(room) {
			slices.Sort(due)
			return due
		}
	}
}

func want(t *testing.T, got []uint32, slots ...uint32) {
	t.Helper()
	if !slices.Equal(got, slots) {
		t.Fatalf("due %v, want %v", got, slots)
	}
}

func TestNeverEarlyAndAtMostOneTickLate(t *testing.T) {
	w := newWheel(8)
	w.Set(0, origin+25*tick/10) // 25 ms: ticks 0, 1, 2 are too early
	w.Set(1, origin+3*tick)
	w.Set(2, origin+3*tick+1)
	w.Set(3, origin+20*tick) // two revolutions away
	want(t, all(w, origin+3*tick-1))
	want(t, all(w, origin+3*tick), 0, 1)
	want(t, all(w, origin+4*tick), 2)
	want(t, all(w, origin+20*tick-1))
	want(t, all(w, origin+20*tick), 3)
	if w.Len() != 0 {
		t.Fatalf("Len %d after all came due", w.Len())
	}
}

func TestSetReplacesAndCancelTakesOff(t *testing.T) {
	w := newWheel(8)
	w.Set(5, origin+tick)
	w.Set(5, origin+4*tick)
	w.Set(6, origin+4*tick)
	w.Set(7, origin+4*tick)
	w.Cancel(6)
	w.Cancel(6)
	w.Cancel(1 << 30) // never seen
	if w.Len() != 2 {
		t.Fatalf("Len %d, want 2", w.Len())
	}
	want(t, all(w, origin+3*tick))
	want(t, all(w, origin+9*tick), 5, 7)
}

func TestPassedDeadlineComesWithTheNextTick(t *testing.T) {
	w := newWheel(8)
	want(t, all(w, origin+5*tick))
	for _, deadline := range []int64{origin, origin + 5*tick, 0, math.MinInt64} {
		w.Set(1, deadline)
		want(t, all(w, origin+5*tick))
	}
	want(t, all(w, origin+6*tick), 1)
}

// A slot that is set to a passed deadline each time it comes due must not keep the turn going, not even
// when the wheel lags behind and hands the due ones out in small portions.
func TestSettingWhileWalkingEnds(t *testing.T) {
	w := newWheel(8)
	for slot := range uint32(50) {
		w.Set(slot, origin+int64(slot)*tick/2)
	}
	seen := map[uint32]int{}
	room := make([]uint32, 0, 1)
	for {
		room = w.Due(origin+1000*tick, room[:0])
		if len(room) == 0 {
			break
		}
		if seen[room[0]]++; seen[room[0]] > 1 {
			t.Fatalf("slot %d came twice in a turn", room[0])
		}
		w.Set(room[0], origin)
	}
	if len(seen) != 50 {
		t.Fatalf("%d slots came due, want 50", len(seen))
	}
	if got := all(w, origin+1001*tick); len(got) != 50 {
		t.Fatalf("%d slots came due a tick later, want 50", len(got))
	}
}

func TestCancelAndSetBetweenPortions(t *testing.T) {
	w := newWheel(8)
	for slot := range uint32(6) {
		w.Set(slot, origin+tick) // one bucket: 5, 4, 3, 2, 1, 0
	}
	w.Set(9, origin+9*tick) // the same bucket, a revolution later, at its head
	got := w.Due(origin+tick, make([]uint32, 0, 2))
	want(t, got, 5, 4)
	w.Cancel(3) // where the wheel would go on
	w.Set(2, origin+17*tick)
	w.Set(8, origin+9*tick)
	want(t, all(w, origin+tick), 0, 1)
	want(t, all(w, origin+9*tick), 8, 9)
	want(t, all(w, origin+17*tick), 2)
}

func TestLeapForwardIsOneRevolutionOfWork(t *testing.T) {
	w := newWheel(64)
	w.Set(1, origin+tick)
	w.Set(2, origin+int64(time.Hour))
	w.Set(3, origin+int64(300*24*time.Hour)) // over the horizon
	want(t, all(w, origin+int64(2*time.Hour)), 1, 2)
	w.Set(1, origin+int64(3*time.Hour))
	now := origin + int64(10*365*24*time.Hour)
	want(t, all(w, now), 1, 3)
	// and the clock goes on from there
	w.Set(4, now+5*tick)
	want(t, all(w, now+4*tick-1))
	want(t, all(w, now+6*tick), 4)

	start := time.Now()
	for range 100 { // tick by tick this would take hours
		w.Set(1, now+int64(100*24*time.Hour))
		now += int64(101 * 24 * time.Hour)
		want(t, all(w, now), 1)
	}
	if spent := time.Since(start); spent > time.Minute {
		t.Fatalf("100 leaps took %v", spent)
	}
}

func TestLeapBackKeepsTheTimeLeft(t *testing.T) {
	w := newWheel(64)
	now := origin + 100*tick
	want(t, all(w, now))
	w.Set(1, now+10*tick)
	now -= int64(time.Hour)
	want(t, all(w, now))
	w.Set(2, now+12*tick) // on the new clock
	want(t, all(w, now+9*tick))
	want(t, all(w, now+10*tick), 1)
	want(t, all(w, now+12*tick), 2)
	want(t, all(w, 0)) // far back once more
	w.Set(3, 2*tick)
	want(t, all(w, tick))
	want(t, all(w, 2*tick), 3)
}

func TestSmallStepBackIsWaitedOut(t *testing.T) {
	w := newWheel(64)
	now := origin + 100*tick
	want(t, all(w, now))
	w.Set(1, now+10*tick)
	for range 1000 { // a clock that trembles does not run faster
		want(t, all(w, now-tick))
		want(t, all(w, now))
	}
	want(t, all(w, now+10*tick-1))
	want(t, all(w, now+10*tick), 1)
}

func TestNeverIsFarAway(t *testing.T) {
	for _, start := range []int64{origin, -origin, 0} { // own time behind, ahead, the same
		w := New(start, time.Duration(tick), 8, 0)
		w.Set(1, math.MaxInt64)
		want(t, all(w, start+int64(24*time.Hour)))
		if w.Len() != 1 {
			t.Fatal("the timer is gone")
		}
	}
}

func TestNoRoomPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Fatal("Due without room would never deliver, and said nothing")
		}
	}()
	newWheel(8).Due(origin, nil)
}

// naive keeps deadlines in a map and compares all of them each time.
type naive map[uint32]int64

func (n naive) due(now int64) []uint32 {
	var due []uint32
	for slot, at := range n {
		if now/tick >= at {
			due = append(due, slot)
			delete(n, slot)
		}
	}
	slices.Sort(due)
	return due
}

func TestAgainstNaive(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		w := New(0, time.Duration(tick), 1<<rng.IntN(7), rng.IntN(3000))
		n := naive{}
		now := int64(0)
		for step := range 400 {
			slot := uint32(rng.IntN(40) * rng.IntN(60))
			switch op := rng.IntN(10); {
			case op < 5:
				deadline := now + rng.Int64N(int64(3*time.Second)) - int64(200*time.Millisecond)
				w.Set(slot, deadline)
				n[slot] = max((deadline+tick-1)/tick, now/tick+1)
			case op < 7:
				w.Cancel(slot)
				delete(n, slot)
			case op < 9:
				now += rng.Int64N(5 * tick)
			default:
				now += rng.Int64N(int64(2 * time.Second))
			}
			if got, ref := all(w, now), n.due(now); !slices.Equal(got, ref) {
				t.Fatalf("seed %d step %d: due %v, naive %v", seed, step, got, ref)
			}
			if w.Len() != len(n) {
				t.Fatalf("seed %d step %d: Len %d, naive %d", seed, step, w.Len(), len(n))
			}
		}
	}
}

func FuzzAgainstNaive(f *testing.F) {
	f.Add([]byte{0, 1, 10, 2, 0, 200, 0, 1, 20, 2, 0, 30})
	f.Add([]byte{0, 1, 0, 0, 1, 255, 0, 2, 63, 0, 3, 64, 0, 4, 65, 2, 0, 63, 0, 2, 0, 1, 3, 0, 2, 0, 1, 2, 0, 0, 2, 0, 255, 1, 9, 9, 2, 0, 255}) // one slot twice, one revolution and one tick more or less
	f.Fuzz(func(t *testing.T, ops []byte) {
		w := New(0, time.Duration(tick), 16, 0)
		n := naive{}
		now := int64(0)
		for ; len(ops) >= 3; ops = ops[3:] {
			slot, span := uint32(ops[1]), int64(ops[2])*tick/4
			switch ops[0] % 3 {
			case 0:
				w.Set(slot, now+span)
				n[slot] = max((now+span+tick-1)/tick, now/tick+1)
			case 1:
				w.Cancel(slot)
				delete(n, slot)
			case 2:
				now += span
				if got, ref := all(w, now), n.due(now); !slices.Equal(got, ref) {
					t.Fatalf("due %v, naive %v", got, ref)
				}
			}
		}
	})
}

func TestCostOfATimer(t *testing.T) {
	if size := unsafe.Sizeof(timer{}); size > 12 {
		t.Fatalf("a timer costs %d bytes, want at most 12", size)
	}
}

func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("skipped: allocations are not counted under the race detector")
	}
	w := New(origin, time.Duration(tick), 256, 5000)
	room := make([]uint32, 0, 64)
	now := origin
	if n := testing.AllocsPerRun(1000, func() {
		now += tick
		for slot := range uint32(100) {
			w.Set(slot*50, now+int64(slot)*tick/8)
		}
		w.Cancel(50)
		w.Cancel(1 << 31)
		room = w.Due(now, room[:0])
	}); n != 0 {
		t.Fatalf("%v allocations a turn, want 0", n)
	}
}

// A million connections with a ping every 25 s and a turn every 10 ms: the cost of one timer's life.
func BenchmarkSetAndDue(b *testing.B) {
	const slots = 1 << 20
	w := New(0, time.Duration(tick), 4096, slots)
	room := make([]uint32, 0, 256)
	for slot := range uint32(slots) {
		w.Set(slot, int64(slot)*25_000_000_000/slots)
	}
	now := int64(0)
	b.ReportAllocs()
	b.ResetTimer()
	for done := 0; done < b.N; {
		now += tick
		for {
			room = w.Due(now, room[:0])
			for _, slot := range room {
				w.Set(slot, now+int64(25*time.Second))
			}
			done += len(room)
			if len(room) < cap(room) {
				break
			}
		}
	}
}
