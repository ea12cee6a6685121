package tally

import (
	"testing"
	"time"
)

func BenchmarkReceive(b *testing.B) {
	var o Order
	var c Counters
	b.ReportAllocs()
	for seq := uint64(1); b.Loop(); seq++ {
		o.Receive(seq, &c)
	}
}

func BenchmarkRecord(b *testing.B) {
	var h Histogram
	h.Record(time.Millisecond)
	b.ReportAllocs()
	for d := time.Microsecond; b.Loop(); d += time.Microsecond {
		h.Record(d)
	}
}
