package ws

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// RFC 7692 §7.2.3: the examples.
func TestInflateRFCExamples(t *testing.T) {
	z := newInflater()
	for _, c := range []struct{ name, payload, want string }{
		{"7.2.3.1 one block", "f2 48 cd c9 c9 07 00", "Hello"},
		{"7.2.3.3 no compression", "00 05 00 fa ff 48 65 6c 6c 6f 00", "Hello"},
		{"7.2.3.4 BFINAL set", "f3 48 cd c9 c9 07 00 00", "Hello"},
		{"7.2.3.5 two blocks", "f2 48 05 00 00 00 ff ff ca c9 c9 07 00", "Hello"},
		{"7.2.3.6 empty", "00", ""},
		{"BFINAL set, then nothing", "f3 48 cd c9 c9 07 00", "Hello"},
		{"BFINAL set, then a block", "f3 48 cd c9 c9 07 00 f2 48 cd c9 c9 07 00", "HelloHello"},
		{"BFINAL set, then a block that looks back", "f3 48 cd c9 c9 07 00 02 13 00 00", "HelloHello"},
		{"no payload at all", "", ""},
	} {
		got, v := z.inflate([]byte("before:"), unhex(t, c.payload), 10)
		if v != nil || string(got) != "before:"+c.want {
			t.Errorf("%s: %q, %s; want %q", c.name, got, label(v), c.want)
		}
	}
}

func TestInflateRefuses(t *testing.T) {
	z := newInflater()
	for _, c := range []struct{ name, payload string }{
		{"block type 3", "06"},
		{"stored length without its complement", "00 05 00 fa fe 48 65 6c 6c 6f 00"},
		{"stored block cut short", "00 05 00 fa"},
		{"stored block longer than all", "00 ff 00 00 ff 00"},
		{"distance before the beginning", "f2 48 cd c9 c9 07 11 00"},
		{"match without a byte before", "02 13 00 00"},
		{"ends amid a fixed block", "f2 48 cd c9"},
		{"dynamic block cut short", "04 80"},
	} {
		if got, v := z.inflate([]byte("before it"), unhex(t, c.payload), 1000); v != ErrDeflate {
			t.Errorf("%s: %q, %s", c.name, got, label(v))
		}
	}
}

func TestInflateStopsAtTheLimit(t *testing.T) {
	z := newInflater()
	for _, size := range []int{0, 1, 2, 257, 258, 259, 1000, 40000, 65536} {
		for name, text := range samples(size) {
			for level := -2; level <= 9; level++ {
				payload := deflateStd(t, text, level)
				if got, v := z.inflate(nil, payload, size); v != nil || !bytes.Equal(got, text) {
					t.Fatalf("%s of %d at level %d: %d bytes, %s", name, size, level, len(got), label(v))
				}
				if size == 0 {
					continue
				}
				// CVE-2026-27571, CVE-2026-1526: stop before the output, not after it.
				got, v := z.inflate(nil, payload, size-1)
				if v != ErrTooBig || len(got) > size-1 {
					t.Fatalf("%s of %d at level %d, limit %d: %d bytes, %s", name, size, level, size-1, len(got), label(v))
				}
			}
		}
	}
}

func TestInflateBombCostsItsLimit(t *testing.T) {
	bomb := deflateStd(t, make([]byte, 64<<20), 9)
	z := newInflater()
	got, v := z.inflate(nil, bomb, 65536)
	if v != ErrTooBig || cap(got) > 2*65536 {
		t.Fatalf("%s with a buffer of %d", label(v), cap(got))
	}
}

// samples are texts that exercise stored blocks, literals, short and long matches, overlaps.
func samples(size int) map[string][]byte {
	rng := rand.New(rand.NewPCG(7, uint64(size)))
	noise := make([]byte, size)
	words := make([]byte, 0, size+20)
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	for len(words) < size {
		words = fmt.Appendf(words, `{"id":%d,"price":%d.25}`, rng.IntN(5000), rng.IntN(100))
	}
	return map[string][]byte{
		"noise": noise, "zeros": make([]byte, size), "words": words[:size],
		"pattern": []byte(strings.Repeat("abcdefg", size/7+1)[:size]),
	}
}

// deflateStd compresses with the standard library as RFC 7692 §7.2.1 wants it.
func deflateStd(t testing.TB, text []byte, level int) []byte {
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, level)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(text)
	w.Flush()
	return bytes.TrimSuffix(out.Bytes(), deflateTail[:])
}

// inflateStd is the same job done with the standard library. It needs a final block to end without an
// error; a message that is whole does so with either of two, and one that is not misuses them differently.
func inflateStd(payload []byte) ([]byte, bool) {
	stored, ok := inflateStdWith(payload, []byte{1, 0, 0, 255, 255})
	if !ok {
		return nil, false
	}
	fixed, ok := inflateStdWith(payload, []byte{3, 0})
	return stored, ok && bytes.Equal(stored, fixed)
}

func inflateStdWith(payload, final []byte) ([]byte, bool) {
	if len(payload) == 0 {
		return nil, true
	}
	rest := bytes.NewReader(append(append(bytes.Clone(payload), deflateTail[:]...), final...))
	var out []byte
	for { // after a final block that is not the last, anew with what came before as the window
		text, err := io.ReadAll(io.LimitReader(flate.NewReaderDict(rest, out[max(0, len(out)-32768):]), 1<<20))
		out = append(out, text...)
		if err != nil || len(out) >= 1<<20 {
			return nil, false
		}
		if rest.Len() <= len(deflateTail)+len(final) {
			return out, rest.Len() == 0 || rest.Len() >= len(final)
		}
	}
}

// agree compares with the standard library: the same text, or a refusal by both.
func agree(t *testing.T, z *inflater, payload []byte) (ok bool) {
	t.Helper()
	got, v := z.inflate(nil, payload, 1<<20-1)
	if v == ErrTooBig || v == ErrTooManyBlocks {
		if len(got) > 1<<20-1 {
			t.Fatalf("%d bytes beyond the limit", len(got))
		}
		return false
	}
	want, ok := inflateStd(payload)
	if ok != (v == nil) || ok && !bytes.Equal(got, want) {
		t.Fatalf("%x: %d bytes, %s; compress/flate: %d bytes, %v", payload, len(got), label(v), len(want), ok)
	}
	return ok
}

// Compressed texts with a few bits turned or cut off, and blocks that begin as dynamic ones do.
func TestInflateDamaged(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 4))
	z := newInflater()
	var whole [][]byte
	for _, size := range []int{20, 100, 700, 40000} {
		for _, text := range samples(size) {
			whole = append(whole, deflateStd(t, text, -2), deflateStd(t, text, 9), deflateStd(t, text, 0))
		}
	}
	whole = append(whole, emptyDynamicBlocks(1), emptyDynamicBlocks(2), unhex(t, "f348cdc9c90700f248cdc9c90700"))
	good := 0
	for range 12000 {
		payload := bytes.Clone(whole[rng.IntN(len(whole))])
		switch rng.IntN(4) {
		case 0:
			payload = payload[:rng.IntN(len(payload)+1)]
		case 1:
			payload = make([]byte, 1+rng.IntN(60))
			for i := range payload {
				payload[i] = byte(rng.Uint32() & rng.Uint32())
			}
			payload[0] = payload[0]&^7 | byte(2+rng.IntN(4)) // fixed or dynamic, final or not
		default:
			for range 1 + rng.IntN(2) {
				payload[rng.IntN(min(len(payload), 60))] ^= 1 << rng.IntN(8)
			}
		}
		if agree(t, z, payload) {
			good++
		}
	}
	if good < 1000 || good > 11000 {
		t.Fatalf("%d of 12000 are good: this tests little", good)
	}
}

func FuzzInflate(f *testing.F) {
	for _, payload := range []string{"f248cdc9c90700", "00050 0faff48656c6c6f00", "f348cdc9c9070000", "f24805000000ffffcac9c90700", "00"} {
		f.Add(unhex(f, payload))
	}
	for _, text := range samples(300) {
		for _, level := range []int{-2, 0, 1, 9} {
			f.Add(deflateStd(f, text, level))
		}
	}
	f.Add([]byte(emptyDynamicBlocks(2)))
	f.Add(dynamicBlocks(1, 286, 30, 20))
	f.Add(dynamicBlocks(2, 257, 1, 3)) // too few distances
	z := newInflater()
	f.Fuzz(func(t *testing.T, payload []byte) {
		before := bytes.Clone(payload)
		agree(t, z, payload)
		if !bytes.Equal(before, payload) {
			t.Fatal("the payload was changed")
		}
	})
}

// bitWriter writes DEFLATE by hand.
type bitWriter struct {
	b []byte
	n int
}

func (w *bitWriter) put(value uint64, n int) {
	for i := range n {
		if w.n%8 == 0 {
			w.b = append(w.b, 0)
		}
		w.b[w.n/8] |= byte(value>>i&1) << (w.n % 8)
		w.n++
	}
}

// emptyDynamicBlocks makes the input that costs most per byte: blocks that describe codes just long
// enough to fill the tables, and then decode to nothing.
func emptyDynamicBlocks(blocks int) []byte { return dynamicBlocks(blocks, 257, 10, 0) }

// dynamicBlocks makes the same with more literals and distances than needed, either as many as needed or
// at least 11 more, none of which has a code. Each block has text zeros in it, a bit each.
func dynamicBlocks(blocks, literals, distances, text int) []byte {
	w := new(bitWriter)
	size := map[uint8]int{1: 3, 2: 3, 3: 3, 4: 3, 5: 3, 6: 3, 7: 4, 8: 4, 9: 4, 18: 4}
	code := map[uint8]uint64{1: 0, 2: 1, 3: 2, 4: 3, 5: 4, 6: 5, 7: 12, 8: 13, 9: 14, 18: 15}
	length := func(sym uint8) {
		for i := size[sym] - 1; i >= 0; i-- {
			w.put(code[sym]>>i, 1)
		}
	}
	none := func(n int) {
		if n > 0 {
			length(18)
			w.put(uint64(n-11), 7)
		}
	}
	for range blocks {
		w.put(2<<1, 3)                                          // dynamic, not final
		w.put(uint64(literals-257|(distances-1)<<5|14<<10), 14) // and 18 code lengths
		for _, sym := range codeOrder[:18] {
			w.put(uint64(size[sym]), 3)
		}
		for n := range uint8(9) { // literals 0 to 8
			length(n + 1)
		}
		none(138)
		none(109)
		length(9) // the end of block
		none(literals - 257)
		for n := range uint8(9) { // distances
			length(n + 1)
		}
		length(9)
		none(distances - 10)
		w.put(0, text)
		w.put(0x1FF, 9) // the end of block: the last of its length
	}
	w.put(0, 3)
	return w.b
}

// RFC 1951 §3.2.7: there are at most 286 literals, and 30 distances.
func TestInflateCountsCodes(t *testing.T) {
	z := newInflater()
	for _, c := range []struct {
		literals, distances int
		ok                  bool
	}{{257, 10, true}, {286, 10, true}, {257, 30, true}, {286, 30, true},
		{287, 10, false}, {288, 10, false}, {257, 31, false}, {257, 32, false}, {288, 32, false}} {
		if ok := agree(t, z, dynamicBlocks(2, c.literals, c.distances, 0)); ok != c.ok {
			t.Errorf("%d literals, %d distances: accepted %v", c.literals, c.distances, ok)
		}
	}
}

// Blocks cost by their number, so that is bound to what they say: 64 in any case, one more for each 96 bytes.
func TestInflateBoundsBlocks(t *testing.T) {
	z := newInflater()
	for _, c := range []struct {
		name         string
		blocks, text int
		want         *Violation
	}{
		{"a flush with each of 64 fragments", 64, 0, nil},
		{"one more", 65, 0, ErrTooManyBlocks},
		{"the smallest buffer of zlib", 516, 127, nil},
		{"as much as is needed", 600, 96, nil},
		{"a little less", 6500, 95, ErrTooManyBlocks},
	} {
		got, v := z.inflate([]byte("before"), dynamicBlocks(c.blocks, 257, 10, c.text), 1<<20)
		if v != c.want || v == nil && len(got) != len("before")+c.blocks*c.text {
			t.Errorf("%s: %d bytes, %s", c.name, len(got), label(v))
		}
	}
}

// longCodes makes a block of symbols that each have a code of 15 bits, the longest way to a symbol.
func longCodes(symbols int) []byte {
	w := new(bitWriter)
	w.put(2<<1, 3)
	w.put(15<<10, 14) // 257 literals, 1 distance, 19 code lengths
	for _, sym := range codeOrder {
		if sym == 0 || sym == 16 || sym == 17 {
			w.put(0, 3)
		} else {
			w.put(4, 3)
		}
	}
	length := func(sym int) { // 1 to 15 are 0 to 14, 18 is 15
		for i := 3; i >= 0; i-- {
			w.put(uint64(min(sym-1, 15)>>i), 1)
		}
	}
	for n := range 15 { // literals 0 to 14
		length(n + 1)
	}
	for _, none := range []uint64{138, 103} {
		length(18)
		w.put(none-11, 7)
	}
	length(15) // the end of block
	length(1)  // the one distance
	for range symbols {
		w.put(0x3FFF, 15)
	}
	w.put(0x7FFF, 15)
	w.put(0, 3)
	return w.b
}

// pace is how long this machine takes to hash 64 KiB byte by byte: a tenth of a
// millisecond on one of usual speed.
func pace() time.Duration {
	b := make([]byte, 64<<10)
	best := time.Hour
	for range 50 {
		began := time.Now()
		hash := uint32(2166136261)
		for _, c := range b {
			hash = (hash ^ uint32(c)) * 16777619
		}
		b[0] = byte(hash) // or the loop would be left out
		best = min(best, time.Since(began))
	}
	return best
}

// A message within the usual limit must not hold the loop up, however it is made:
// 8 ms, or as much more as the machine is slower than usual.
func TestWorstInflateInput(t *testing.T) {
	z, most := newInflater(), max(8*time.Millisecond, 80*pace())
	fixed := new(bitWriter)
	for range 65536 * 8 / 10 {
		fixed.put(1<<1, 10)
	}
	fixed.put(0, 3)
	for _, c := range []struct {
		name    string
		payload []byte
		want    *Violation
	}{
		{"empty dynamic blocks", emptyDynamicBlocks(65536 * 8 / 171), ErrTooManyBlocks},
		{"dynamic blocks with as little as is allowed", dynamicBlocks(700, 257, 10, 93), nil},
		{"empty fixed blocks", fixed.b, nil},
		{"codes of 15 bits", longCodes((65536 + 65536/8) * 8 / 15), nil},
	} {
		best := time.Hour
		for range 20 {
			start := time.Now()
			if got, v := z.inflate(nil, c.payload, 65536); v != c.want {
				t.Fatalf("%s: %d bytes, %s", c.name, len(got), label(v))
			}
			best = min(best, time.Since(start))
		}
		t.Logf("%d bytes of %s take %v", len(c.payload), c.name, best)
		if !raceEnabled && best > most {
			t.Errorf("%d bytes of %s take %v, want at most %v", len(c.payload), c.name, best, most)
		}
	}
}
