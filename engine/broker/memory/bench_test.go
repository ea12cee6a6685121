package memory

import (
	"testing"
	"time"

	"weir/engine/broker"
)

// BenchmarkPublish is one publication that is given its offset, and kept.
func BenchmarkPublish(b *testing.B) {
	br := New(discard{}, Options{Streams: 16, IdleAfter: time.Hour, Bytes: 1 << 20})
	defer br.Close()
	m := broker.Message{Data: make([]byte, 256)}
	keep := broker.Retention{Size: 100, TTL: time.Hour}
	for range 200 { // the history is full
		if _, err := br.Publish(b.Context(), "feeds:a", m, keep); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := br.Publish(b.Context(), "feeds:a", m, keep); err != nil {
			b.Fatal(err)
		}
	}
}
