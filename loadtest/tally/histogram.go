package tally

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
)

const (
	// shortest and longest are the latencies that are told apart; what is beyond
	// counts as these.
	shortest = time.Microsecond
	longest  = 10 * time.Minute
	// significant decimal digits: 0.1 % of a value.
	significant = 3

	// maxTextBytes is what UnmarshalText takes: every bucket in use, each of another
	// count, are about 200,000. A text from a worker or a file may be anything.
	maxTextBytes = 1 << 20
	// maxCount is what one text may count, so that thousands of them still add up.
	maxCount = 1 << 50
)

var errForeignHistogram = errors.New("a histogram of another range or precision")

// Histogram holds latencies to three digits, from a microsecond to ten minutes.
// As JSON it is a string: HdrHistogram's compressed encoding, which its other
// tools read. The values in it are microseconds. It takes 170 KiB while latencies
// are recorded, a few when it is packed or was read from a text. It is not safe
// for concurrent use, and a copy is the same histogram.
type Histogram struct {
	h      *hdr.Histogram
	packed []byte // what MarshalText returns, if h is nil and there is anything
}

// Pack makes it small until something is added to it. Reading takes longer then.
func (h *Histogram) Pack() {
	if h.h == nil {
		return
	}
	if text, err := h.MarshalText(); err == nil {
		h.h, h.packed = nil, text
	}
}

// make is for those who add.
func (h *Histogram) make() *hdr.Histogram {
	if h.h == nil {
		h.h, h.packed = h.read(), nil
	}
	if h.h == nil {
		h.h = hdr.New(1, int64(longest/shortest), significant)
	}
	return h.h
}

// read is for those who ask; nil if there is nothing.
func (h *Histogram) read() *hdr.Histogram {
	if h == nil || h.h == nil && len(h.packed) == 0 {
		return nil
	}
	if h.h != nil {
		return h.h
	}
	unpacked, err := hdr.Decode(h.packed)
	if err != nil {
		panic(err) // it was read once, or written here
	}
	return unpacked
}

// Record counts one latency. Clocks of two processes may make it negative: that
// counts as the shortest.
func (h *Histogram) Record(d time.Duration) {
	_ = h.make().RecordValue(int64(min(max(d, shortest), longest) / shortest)) // the bounds are the histogram's
}

// Merge adds o.
func (h *Histogram) Merge(o *Histogram) {
	if more := o.read(); more != nil {
		h.make().Merge(more)
	}
}

// Reset forgets all.
func (h *Histogram) Reset() {
	h.packed = nil
	if h.h != nil {
		h.h.Reset()
	}
}

// Count is the number of latencies.
func (h *Histogram) Count() uint64 {
	read := h.read()
	if read == nil {
		return 0
	}
	return uint64(read.TotalCount())
}

// Quantile is the latency that a share q (0.99) of all is not above; 0 if there is none.
func (h *Histogram) Quantile(q float64) time.Duration {
	return h.ask(func(read *hdr.Histogram) int64 { return read.ValueAtQuantile(100 * q) })
}

// Max is the longest latency; 0 if there is none.
func (h *Histogram) Max() time.Duration { return h.ask((*hdr.Histogram).Max) }

// Mean is the mean latency, in whole microseconds; 0 if there is none.
func (h *Histogram) Mean() time.Duration {
	return h.ask(func(read *hdr.Histogram) int64 { return int64(read.Mean() + 0.5) })
}

func (h *Histogram) ask(what func(*hdr.Histogram) int64) time.Duration {
	read := h.read()
	if read == nil || read.TotalCount() == 0 {
		return 0
	}
	return time.Duration(what(read)) * shortest
}

// MarshalText is HdrHistogram's V2 compressed encoding in base64; empty if there is nothing in it.
func (h Histogram) MarshalText() ([]byte, error) {
	if h.h == nil {
		return h.packed, nil
	}
	if h.h.TotalCount() == 0 {
		return nil, nil
	}
	return h.h.Encode(hdr.V2CompressedEncodingCookieBase)
}

// UnmarshalText reads it back: a text of a Histogram, not of any other. It takes
// at most 1 MiB for one that is made to take more.
func (h *Histogram) UnmarshalText(text []byte) error {
	*h = Histogram{}
	if len(text) == 0 {
		return nil
	}
	if err := checkHeader(text); err != nil {
		return fmt.Errorf("histogram: %w", err)
	}
	read, err := hdr.Decode(text)
	if err != nil {
		return fmt.Errorf("histogram: %w", err)
	}
	switch n := read.TotalCount(); {
	case n < 0 || n > maxCount:
		return errors.New("histogram: too many latencies")
	case n > 0:
		h.packed = bytes.Clone(text)
	}
	return nil
}

// checkHeader refuses what has another geometry than ours, before the library
// reserves what that takes.
func checkHeader(text []byte) error {
	if len(text) > maxTextBytes {
		return fmt.Errorf("%d bytes of text, at most %d", len(text), maxTextBytes)
	}
	raw, err := base64.StdEncoding.DecodeString(string(text))
	if err != nil {
		return err
	}
	if len(raw) < 8 {
		return io.ErrUnexpectedEOF
	}
	inflated, err := zlib.NewReader(bytes.NewReader(raw[8:])) // behind a cookie and the length
	if err != nil {
		return err
	}
	var header struct {
		Cookie, PayloadBytes, Offset, Digits int32
		Lowest, Highest                      int64
		Ratio                                float64
	}
	if err := binary.Read(inflated, binary.BigEndian, &header); err != nil {
		return err
	}
	if header.Digits != significant || header.Lowest != 1 || header.Highest != int64(longest/shortest) {
		return errForeignHistogram
	}
	return nil
}
