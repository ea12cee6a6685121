package ws

import (
	"bytes"
	"encoding/binary"
	"math"
	"runtime"
	"testing"
	"time"
)

// Attacks that were found in other servers. docs/security.md lists all of them.

// declaring is the head of a client's frame that says it is so long.
func declaring(first byte, length uint64) []byte {
	return append(binary.BigEndian.AppendUint64([]byte{first, 0xff}, length), 1, 2, 3, 4)
}

// TestCVE_2020_27813_FrameLengthOverflow (gorilla/websocket): lengths that are
// negative as signed numbers, or whose sum over the fragments of a message is.
func TestCVE_2020_27813_FrameLengthOverflow(t *testing.T) {
	s := new(Scratch)
	for _, length := range []uint64{1 << 63, math.MaxUint64, math.MaxUint64 - 9, math.MaxInt64, math.MaxInt64 - 9, 1 << 32, math.MaxUint32 + 1} {
		want := ErrTooBig
		if length > math.MaxInt64 {
			want = ErrLengthRange
		}
		for _, first := range []byte{0x81, 0x82, 0x01} {
			if _, _, v := new(Reader).Next(declaring(first, length), &generous, s); v != want {
				t.Errorf("% x of %d bytes: %s, want %s", first, length, label(v), label(want))
			}
		}
		r := new(Reader)
		if _, _, v := r.Next(side{}.spell("M2:0123456789"), &generous, s); v != nil {
			t.Fatal(label(v))
		}
		if _, _, v := r.Next(declaring(0x80, length), &generous, s); v != want { // ten and this are little, or less than nothing
			t.Errorf("a continuation of %d bytes: %s, want %s", length, label(v), label(want))
		}
		r.Release(s)
	}
}

// TestCVE_2026_5740_DeclaredLengthAllocates: what a frame says that it will be
// costs nothing until it comes, however many say it.
func TestCVE_2026_5740_DeclaredLengthAllocates(t *testing.T) {
	s := new(Scratch)
	const promised = 1 << 20 // allowed by the limit
	held := 0
	readers := make([]Reader, 256)
	for i := range readers {
		if _, _, v := readers[i].Next(declaring(0x82, promised), &generous, s); v != nil {
			t.Fatal(label(v))
		}
		held += readers[i].Buffered()
	}
	if held > len(readers)*512 {
		t.Errorf("%d bytes are held for nothing but %d promises", held, len(readers))
	}
}

// TestCVE_2014_0193_ContinuationFlood (netty): fragments without end, each with
// something in it, are one message of which the limit holds.
func TestCVE_2014_0193_ContinuationFlood(t *testing.T) {
	s, r, lim := new(Scratch), new(Reader), &Limits{Message: 64 << 10} // no bound on their number
	_, _, v := r.Next(side{}.spell("M2:0123456789abcdef"), lim, s)
	came := 16
	for ; v == nil && came < 1<<20; came += 16 {
		if r.Buffered() > 4*lim.Message {
			t.Fatalf("%d bytes are held of a message of at most %d", r.Buffered(), lim.Message)
		}
		_, _, v = r.Next(side{}.spell("M0:0123456789abcdef"), lim, s)
	}
	if v != ErrTooBig || came > lim.Message+32 {
		t.Errorf("%s after %d bytes", label(v), came)
	}
}

// TestCVE_2026_48779_FragmentFlood: fragments with nothing in them are counted.
func TestCVE_2026_48779_FragmentFlood(t *testing.T) {
	s, lim := new(Scratch), &Limits{Message: 64 << 10, Fragments: 64}
	for _, ping := range []string{"", "F9:"} { // one between them begins no other count
		r := new(Reader)
		_, _, v := r.Next(side{}.spell("M1:"), lim, s)
		fragments := 1
		for ; v == nil && fragments < 1000; fragments++ {
			if ping != "" {
				if _, _, v := r.Next(side{}.spell(ping), lim, s); v != nil {
					t.Fatal(label(v))
				}
			}
			_, _, v = r.Next(side{}.spell("M0:"), lim, s)
		}
		if v != ErrTooManyFragments || fragments != lim.Fragments+1 || r.Buffered() > 512 {
			t.Errorf("ping %q: %s after %d, %d bytes held", ping, label(v), fragments, r.Buffered())
		}
	}
}

// TestCVE_2026_27571_InflatedBeforeTheLimit: the limit ends the inflating, so
// that a bomb costs no more memory than a message.
func TestCVE_2026_27571_InflatedBeforeTheLimit(t *testing.T) {
	bomb := deflateStd(t, make([]byte, 48<<20), 9)
	s, lim := new(Scratch), &Limits{Message: 64 << 10, Fragments: 64, Compression: true}
	const bombs = 10
	frame := side{}.spell("C1:" + string(bomb))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range bombs {
		if _, _, v := new(Reader).Next(bytes.Clone(frame), lim, s); v != ErrTooBig {
			t.Fatal(label(v))
		}
	}
	runtime.ReadMemStats(&after)
	if allocated := (after.TotalAlloc - before.TotalAlloc) / bombs; allocated > 1<<20 {
		t.Errorf("a bomb of %d bytes had %d allocated", len(bomb), allocated)
	}
}

// TestCVE_2026_1526_InflatedWithoutEnd: nor any time. Twice the bomb takes no
// longer, for neither is looked at behind the limit.
func TestCVE_2026_1526_InflatedWithoutEnd(t *testing.T) {
	z := newInflater()
	least := func(size int) time.Duration {
		bomb, least := deflateStd(t, make([]byte, size), 9), time.Hour
		for range 20 {
			begun := time.Now()
			if got, v := z.inflate(nil, bomb, 64<<10); v != ErrTooBig || len(got) > 64<<10 {
				t.Fatalf("%d bytes, %s", len(got), label(v))
			}
			least = min(least, time.Since(begun))
		}
		return least
	}
	var short, long time.Duration
	for range 5 { // a machine with other work is not the inflater's fault
		if short, long = least(1<<20), least(64<<20); long <= 8*short+time.Millisecond {
			return
		}
	}
	t.Errorf("a bomb of 64 times the size took %v, the small one %v", long, short)
}
