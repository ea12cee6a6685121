package limit

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"unsafe"
)

const frameSpan = int64(1) << frameBits

// A word tells every time that its frame and its unit can tell, and what it is.
func TestWordsTellTheTime(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200_000 {
		unit := uint(rng.IntN(longUnit + 1))
		span := int64(1) << (unit * unitStep)
		f, tag := frame(rng.Int32N(1<<25))-1<<24, tagOf(rng.Uint64())
		begin := int64(f) << frameBits
		fullAt := (begin + rng.Int64N(4*frameSpan-1)*span - frameSpan*span) / span * span
		if fullAt < begin-frameSpan*span {
			fullAt += span // the division has rounded up
		}
		w := tag.at(fullAt/span, unit)
		if got := w.fullAt(f); got != fullAt || w.unit() != unit || !w.is(tag) || w.isComing() || w.isLeft() {
			t.Fatalf("frame %d, unit %d: %d is told as %d (%#x)", f, unit, fullAt, got, uint64(w))
		}
		if unit == 0 && (!w.isPlain(tag) || w != tag.plain(fullAt) || w.plainFullAt(f) != fullAt) || unit > 0 && w.isPlain(tag) {
			t.Fatalf("%#x is plain, or is not", uint64(w))
		}
		if other := tag ^ 1<<rng.IntN(tagBits); w.is(other) || w.isPlain(other) {
			t.Fatalf("%#x has the tag of %#x too", uint64(w), uint64(other))
		}
		coming, left := tag.coming(rng.Uint32()), tag.left(f)
		if !coming.is(tag) || !coming.isComing() || coming.isLeft() || coming.isPlain(tag) ||
			!left.is(tag) || left.isComing() || !left.isLeft() || left.isPlain(tag) || word(0).is(tag) || word(0).is(inUnits) {
			t.Fatalf("marks %#x, %#x", uint64(coming), uint64(left))
		}
		if got := left.fullAt(f) - begin; got <= maxSpan+slack {
			t.Fatalf("what a stepped clock has left is %d ahead", got)
		}
	}
}

// What becomes of an entry when its region comes into another frame.
func TestWordsFromFrameToFrame(t *testing.T) {
	const f, horizon = frame(1000), second + slack
	begin, tag := int64(f)<<frameBits, tagOf(42<<40)
	at := func(fullAt int64) word { return tag.at(fullAt, 0) }
	for i, c := range []struct {
		w    word
		now  int64
		want word
	}{
		{0, begin + frameSpan, 0}, {tag.coming(7), begin + 100*frameSpan, tag.coming(7)},
		{at(begin + frameSpan), begin + frameSpan + slack, 0},                                                                 // full for a minute
		{at(begin + frameSpan + 1), begin + frameSpan + slack, at(begin + frameSpan + 1)},                                     // a moment too early
		{at(begin + frameSpan + 1), begin + 1000*frameSpan, 0},                                                                // nobody came for long
		{at(begin + 2*frameSpan - 1), begin + frameSpan, at(begin + 2*frameSpan - 1)},                                         // the longest
		{at(begin + 5), begin - 2*frameSpan, tag.left(f)},                                                                     // an hour back, or so
		{at(begin - frameSpan + 5), begin - frameSpan - slack, at(begin - frameSpan + 5)},                                     // not further than clocks may lie apart
		{tag.at(begin>>unitStep, 1), begin - 2*frameSpan, tag.left(f)},                                                        // the same in units
		{tag.left(f), begin + frameSpan - 1, tag.left(f)}, {tag.left(f), begin + frameSpan, 0}, {tag.left(f), 0, tag.left(f)}, // until the clock is there again
	} {
		if got := c.w.carry(f, c.now, horizon); got != c.want {
			t.Errorf("case %d: %#x becomes %#x, want %#x", i, uint64(c.w), uint64(got), uint64(c.want))
		}
	}
}

// Times repeat in a word, but nobody is ever charged for what he took a period ago, nor is anybody's room taken up by it: the
// whole table is used, and its keys come back at every part of a period.
func TestTimesThatRepeat(t *testing.T) {
	p := Rate{PerSecond: 1, Burst: 4}.pace()
	for part := range int64(64) {
		table, now := NewTable(1024, 6), int64(1_800_000_000*second)
		for range 3 {
			for i := range 600 {
				k := User(fmt.Sprint(i))
				if !table.Take(k, p, 4, now) {
					t.Fatalf("part %d: user %d is charged for the past", part, i)
				}
			}
			now += 4*frameSpan - 4*second + part*second/8 // what was 4 s to come then is 4 s to come now
		}
		if table.Widened() != 0 {
			t.Fatalf("part %d: %d users found no room", part, table.Widened())
		}
	}
}

// The bucket of a rate goes on through frames, whatever its unit: nobody gets more for coming at their ends.
func TestFramesLoseNothing(t *testing.T) {
	for _, r := range []Rate{{50, 200}, {1, 60}, {0.1, 30}, {1.0 / 60, 60}, {1.0 / 3600, 24}, {1.0 / 86400, 7}, {1e-6, 50}} {
		table, p := NewTable(1024, 8), r.pace()
		interval := int64(second / r.PerSecond)
		start, last := int64(1_800_000_000*second), int64(0)
		admitted := int64(0)
		for now := start; now < start+max(40*interval, 5*frameSpan); now += max(interval/7, second/3) {
			for last = now; admitted < 1e6 && table.Take(User("a"), p, 1, now); {
				admitted++
			}
			table.Take(User("b"), p, 1, now-second) // another, whose clock is behind
		}
		bound := int64(r.Burst) + (last-start)/interval
		if admitted > bound || float64(admitted) < 0.99*float64(bound)-1 {
			t.Errorf("%v, unit %d: %d admitted of %d", r, p.unit, admitted, bound)
		}
	}
}

// What was spent of one rate is spent of another, also where their words have other units.
func TestUnitsMeet(t *testing.T) {
	const now = 1_800_000_000 * second
	slow, fast := Rate{PerSecond: 1.0 / 60, Burst: 10}.pace(), Rate{PerSecond: 1, Burst: 20}.pace()
	if slow.unit == 0 || fast.unit != 0 {
		t.Fatalf("units %d and %d", slow.unit, fast.unit)
	}
	table, k := NewTable(8, 1), User("a")
	if !table.Take(k, fast, 20, now) || table.Take(k, slow, 10, now) || !table.Take(k, slow, 9, now) || table.Take(k, slow, 1, now) {
		t.Error("from fast to slow")
	}
	if table.Take(k, fast, 1, now) || table.Take(k, fast, 2, now+second) || !table.Take(k, fast, 1, now+second) {
		t.Error("from slow to fast: not just emptied")
	}
}

// Keys with the same tag in one set share a bucket, and keys meet as seldom as is said: of 2²³ about eight meet one of a full set.
func TestTagsThatMeet(t *testing.T) {
	const now = 1_800_000_000 * second
	table, p := NewTable(8, 11), Rate{PerSecond: 1, Burst: 2}.pace()
	seen := make(map[word]Key)
	for i := uint64(0); ; i++ {
		k := Key{kind: ipv6, prefix: i}
		tag := tagOf(k.hash(table.seed))
		if other, ok := seen[tag]; ok {
			if !table.Take(k, p, 1, now) || !table.Take(other, p, 1, now) || table.Take(k, p, 1, now) || entries(table, k) != 1 {
				t.Error("keys with one tag have more than one bucket, or less")
			}
			break
		}
		seen[tag] = k
	}
	if testing.Short() {
		return
	}
	var s set
	for i := range s {
		s[i].Store(uint64(tagOf(Key{kind: ipv4, prefix: uint64(i)}.hash(table.seed)).at(now, 0)))
	}
	met := 0
	for i := range uint64(1 << tagBits) {
		if w, _ := s.find(tagOf(Key{kind: ipv6, prefix: i}.hash(table.seed))); w != 0 {
			met++
		}
	}
	if met < 1 || met > 24 {
		t.Errorf("%d of 2²³ keys meet a tag in a full set", met)
	}
}

// A set is a cache line, so that a take is one miss.
func TestSetsAreLines(t *testing.T) {
	for entries := ways; entries <= 1<<16; entries *= 2 {
		for range 20 {
			table := NewTable(entries, 1)
			if at := uintptr(unsafe.Pointer(&table.sets[0])); unsafe.Sizeof(table.sets[0]) != 64 || at%64 != 0 {
				t.Fatalf("%d entries: sets of %d bytes from %#x", entries, unsafe.Sizeof(table.sets[0]), at)
			}
		}
	}
}
