package tally

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"reflect"
	"runtime"
	"testing"
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
)

// naive is Order with everything kept.
type naive struct {
	first, newest uint64
	seen          map[uint64]bool
}

func (o *naive) receive(seq uint64, c *Counters) {
	if o.seen == nil {
		o.first, o.newest, o.seen = seq, seq-1, map[uint64]bool{}
	}
	switch {
	case seq < o.first:
		c.Foreign++
		return
	case o.seen[seq] || seq+64 <= o.newest:
		c.Duplicated++
		return
	case seq < o.newest:
		c.Reordered++
	}
	o.seen[seq] = true
	o.newest = max(o.newest, seq)
	c.Received++
	c.Missing = o.newest - o.first + 1 - uint64(len(o.seen))
}

// What a network may do to a stream, Order counts as the naive one does, and what
// is received and missing is together all that there was.
func TestOrderAgainstNaive(t *testing.T) {
	for round := range 150 {
		random := rand.New(rand.NewPCG(uint64(round), 5))
		loss, twice, far := random.Float64()/2, random.Float64()/3, random.IntN(100)+1
		var seqs []uint64
		for seq := uint64(1 + random.IntN(300)); len(seqs) < 300; seq++ {
			if random.Float64() < 0.01 {
				seq += uint64(random.IntN(200))
			}
			if random.Float64() >= loss {
				seqs = append(seqs, seq)
			}
			if random.Float64() < twice {
				seqs = append(seqs, seq)
			}
			if k := len(seqs) - 1; k > far && random.Float64() < 0.2 {
				j := k - random.IntN(far)
				seqs[j], seqs[k] = seqs[k], seqs[j]
			}
		}
		var order Order
		var reference naive
		var got, want Counters
		if round%2 == 0 {
			start := seqs[0] - uint64(random.IntN(int(min(seqs[0], 80))))
			order.Start(start - 1)
			reference = naive{first: start, newest: start - 1, seen: map[uint64]bool{}}
		}
		for i, seq := range seqs {
			before := got.Received
			fresh := order.Receive(seq, &got)
			reference.receive(seq, &want)
			if !reflect.DeepEqual(got, want) || order.Newest() != reference.newest || fresh != (got.Received > before) {
				t.Fatalf("round %d, after %v: %+v, newest %d, fresh %v; wanted %+v, newest %d", round, seqs[:i+1], got, order.Newest(), fresh, want, reference.newest)
			}
		}
		if got.Received+got.Missing != order.Newest()-reference.first+1 {
			t.Fatalf("round %d: %+v of %d", round, got, order.Newest()-reference.first+1)
		}
	}
}

func TestNumberZeroIsForeign(t *testing.T) {
	var o Order
	var c Counters
	for range 2 {
		if o.Receive(0, &c) {
			t.Fatal("it is fresh")
		}
	}
	if !o.Receive(1, &c) || c.Foreign != 2 || c.Received != 1 {
		t.Fatalf("%+v", c)
	}
}

// Publications that come late after the interval in which they were missed leave
// the sum right.
func TestMissingAddsUpOverIntervals(t *testing.T) {
	var o Order
	var all, before, sum Counters
	for _, seqs := range [][]uint64{{1, 4}, {2, 3}} {
		for _, seq := range seqs {
			o.Receive(seq, &all)
		}
		since := all.Since(before)
		sum.Add(since)
		before = all
	}
	if sum.Missing != 0 || sum.Received != 4 || sum.Reordered != 2 {
		t.Fatalf("%+v", sum)
	}
}

func TestPackedIsTheSame(t *testing.T) {
	var h, whole Histogram
	for i := range 10_000 {
		h.Record(time.Duration(i*i) * time.Microsecond)
		whole.Record(time.Duration(i*i) * time.Microsecond)
	}
	h.Pack()
	if h.h != nil || len(h.packed) > 16<<10 {
		t.Fatalf("packed to %d bytes", len(h.packed))
	}
	for _, q := range []float64{0, 0.5, 0.99, 0.999, 1} {
		if h.Quantile(q) != whole.Quantile(q) {
			t.Errorf("quantile %v is %s, was %s", q, h.Quantile(q), whole.Quantile(q))
		}
	}
	text, _ := h.MarshalText()
	want, _ := whole.MarshalText()
	if h.Max() != whole.Max() || h.Mean() != whole.Mean() || h.Count() != 10_000 || !bytes.Equal(text, want) {
		t.Errorf("max %s, mean %s, count %d", h.Max(), h.Mean(), h.Count())
	}
	whole.Merge(&h)
	h.Record(time.Second)
	if h.Count() != 10_001 || whole.Count() != 20_000 {
		t.Errorf("%d and %d after more", h.Count(), whole.Count())
	}
	h.Pack()
	h.Reset()
	h.Pack()
	if h.Count() != 0 || h.Max() != 0 {
		t.Errorf("%d after the reset", h.Count())
	}
}

// encoded is a text as the library writes it, with any header and payload.
func encoded(digits int32, lowest, highest int64, payload []byte) []byte {
	var inner, deflated, outer bytes.Buffer
	for _, v := range []any{hdr.V2EncodingCookieBase | 0x10, int32(len(payload)), int32(0), digits, lowest, highest, 1.0, payload} {
		_ = binary.Write(&inner, binary.BigEndian, v)
	}
	z := zlib.NewWriter(&deflated)
	_, _ = z.Write(inner.Bytes())
	_ = z.Close()
	for _, v := range []any{hdr.V2CompressedEncodingCookieBase | 0x10, int32(deflated.Len()), deflated.Bytes()} {
		_ = binary.Write(&outer, binary.BigEndian, v)
	}
	return base64.StdEncoding.AppendEncode(nil, outer.Bytes())
}

// A text that is made to take memory takes none.
func TestHostileHistograms(t *testing.T) {
	huge := []byte{0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f} // one bucket of more than 2⁵⁰
	for name, text := range map[string][]byte{
		"five digits":     encoded(5, 1, math.MaxInt64, nil),
		"another range":   encoded(3, 1, math.MaxInt64, nil),
		"another unit":    encoded(3, 1000, 600_000_000, nil),
		"many latencies":  encoded(3, 1, 600_000_000, huge),
		"beyond its end":  encoded(3, 1, 600_000_000, bytes.Repeat([]byte{2}, 100_000)),
		"a bomb":          encoded(3, 1, 600_000_000, make([]byte, 8<<20)),
		"a long text":     bytes.Repeat([]byte("A"), maxTextBytes+4),
		"nothing inside":  encoded(3, 1, 600_000_000, nil)[:20],
		"not base64":      []byte("%%%%"),
		"only the cookie": []byte("HISTFA=="),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		var h Histogram
		err := h.UnmarshalText(text)
		runtime.ReadMemStats(&after)
		if err == nil || h.Count() != 0 {
			t.Errorf("%s: %v, %d latencies", name, err, h.Count())
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > 4<<20 {
			t.Errorf("%s: %d bytes were taken", name, took)
		}
	}
}

func FuzzHistogram(f *testing.F) {
	var h Histogram
	for i := range 1000 {
		h.Record(time.Duration(i) * time.Millisecond)
	}
	text, err := h.MarshalText()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add(encoded(3, 1, 600_000_000, []byte{1, 2, 4}))
	f.Add(encoded(5, 1, math.MaxInt64, []byte{2}))
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, text []byte) {
		var h, again Histogram
		if err := h.UnmarshalText(text); err != nil {
			return
		}
		if h.Quantile(0.5) > h.Quantile(1) || h.Quantile(1) > h.Max() {
			t.Fatalf("p50 %s, p100 %s, max %s", h.Quantile(0.5), h.Quantile(1), h.Max())
		}
		n := h.Count()
		again.Merge(&h)
		again.Pack()
		if again.Count() != n || again.Max() != h.Max() {
			t.Fatalf("%d latencies up to %s, then %d up to %s", n, h.Max(), again.Count(), again.Max())
		}
		h.Record(time.Second)
		if h.Count() != n+1 {
			t.Fatalf("%d after one more than %d", h.Count(), n)
		}
	})
}

// Texts are compressed: the fuzzer gets the payload behind a sound header too.
func FuzzHistogramPayload(f *testing.F) {
	f.Add([]byte{1, 2, 4})
	f.Add([]byte{0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f})
	f.Fuzz(func(t *testing.T, payload []byte) {
		if len(payload) > 1<<16 {
			return
		}
		var h Histogram
		if err := h.UnmarshalText(encoded(significant, 1, int64(longest/shortest), payload)); err == nil && h.Quantile(1) > h.Max() {
			t.Fatalf("%d latencies, p100 %s, max %s", h.Count(), h.Quantile(1), h.Max())
		}
	})
}
