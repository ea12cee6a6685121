package tally

import (
	"fmt"
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
)

// Histogram holds latencies to three digits, from a microsecond to ten minutes.
// As JSON it is a string: HdrHistogram's compressed encoding, which its other
// tools read. The values in it are microseconds. It is not safe for concurrent use.
type Histogram struct{ h *hdr.Histogram }

// NewHistogram is empty; so is the zero Histogram.
func NewHistogram() *Histogram { return &Histogram{} }

func (h *Histogram) make() *hdr.Histogram {
	if h.h == nil {
		h.h = hdr.New(1, int64(longest/shortest), significant)
	}
	return h.h
}

// Record counts one latency. Clocks of two processes may make it negative: that
// counts as the shortest.
func (h *Histogram) Record(d time.Duration) {
	_ = h.make().RecordValue(int64(min(max(d, shortest), longest) / shortest)) // the bounds are the histogram's
}

// Merge adds o.
func (h *Histogram) Merge(o *Histogram) {
	if o != nil && o.h != nil {
		h.make().Merge(o.h)
	}
}

// Reset forgets all.
func (h *Histogram) Reset() {
	if h.h != nil {
		h.h.Reset()
	}
}

// Count is the number of latencies.
func (h *Histogram) Count() uint64 {
	if h == nil || h.h == nil {
		return 0
	}
	return uint64(h.h.TotalCount())
}

// Quantile is the latency that a share q (0.99) of all is not above; 0 if there is none.
func (h *Histogram) Quantile(q float64) time.Duration {
	if h.Count() == 0 {
		return 0
	}
	return time.Duration(h.h.ValueAtQuantile(100*q)) * shortest
}

// Max is the longest; Mean the mean.
func (h *Histogram) Max() time.Duration {
	if h.Count() == 0 {
		return 0
	}
	return time.Duration(h.h.Max()) * shortest
}

// Mean is the mean latency.
func (h *Histogram) Mean() time.Duration {
	if h.Count() == 0 {
		return 0
	}
	return time.Duration(h.h.Mean() * float64(shortest))
}

// MarshalText is HdrHistogram's V2 compressed encoding in base64; empty if there is nothing in it.
func (h Histogram) MarshalText() ([]byte, error) {
	if h.h == nil || h.h.TotalCount() == 0 {
		return nil, nil
	}
	return h.h.Encode(hdr.V2CompressedEncodingCookieBase)
}

// UnmarshalText reads it back.
func (h *Histogram) UnmarshalText(text []byte) error {
	h.h = nil
	if len(text) == 0 {
		return nil
	}
	read, err := hdr.Decode(text)
	if err != nil {
		return fmt.Errorf("histogram: %w", err)
	}
	h.make().Merge(read)
	return nil
}
