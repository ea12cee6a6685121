package limit

import (
	"net/netip"
	"sync"
	"testing"
)

// BenchmarkReference is the table as one would write it first: a map of buckets
// under a lock, without a bound on its memory.
func BenchmarkReference(b *testing.B) {
	r := Rate{PerSecond: 1e6, Burst: 100}
	var mu sync.Mutex
	buckets := map[netip.Addr]*Bucket{}
	key := netip.MustParseAddr("2001:db8::1")
	for now := int64(0); b.Loop(); now += 1000 {
		mu.Lock()
		k := buckets[key]
		if k == nil {
			k = new(Bucket)
			buckets[key] = k
		}
		k.Take(&r, 1, now)
		mu.Unlock()
	}
}
