package hub

import "testing"

// BenchmarkDeliver is one publication to the inboxes of two shards, encoded once,
// and taken from there.
func BenchmarkDeliver(b *testing.B) {
	h, in := newHub(2, 1000, 1<<20)
	for shard := range in {
		h.Join(shard, "feeds:a", Protocol)
	}
	p := publication("feeds:a", 1)
	spare := make([]Delivery, 0, 16)
	b.ReportAllocs()
	for b.Loop() {
		h.Deliver(p)
		for i := range in {
			spare = in[i].Take(spare).Deliveries
		}
	}
}
