package limit

import (
	"encoding/binary"
	"flag"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

func TestFailures(t *testing.T) {
	const start = 1_800_000_000 * second
	f := NewFailures(Rate{PerSecond: 2, Burst: 3}, 64)
	peer, mapped, other := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("::ffff:192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	for i := range 100 {
		if !f.May(peer, start) {
			t.Fatalf("asked %d times, and refused", i)
		}
	}
	for range 3 {
		f.Note(mapped, start)
	}
	f.Note(peer, start) // one that was under way
	for _, c := range []struct {
		peer netip.Addr
		now  int64
		want bool
	}{
		{peer, start, false}, {mapped, start, false}, {other, start, true}, {peer, start + second/2 - 1, false}, {peer, start + second/2, true},
		{netip.Addr{}, start, false},
	} {
		if got := f.May(c.peer, c.now); got != c.want {
			t.Errorf("%v after %d ns: %v", c.peer, c.now-start, got)
		}
	}
	if f.Noted() != 4 || f.Refused() != 4 {
		t.Errorf("%d noted, %d refused", f.Noted(), f.Refused())
	}
	home, neighbour, away := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::ffff:1"), netip.MustParseAddr("2001:db8:0:1::1")
	for range 3 {
		f.Note(home, start)
	}
	if f.May(neighbour, start) || !f.May(away, start) {
		t.Error("a /64 is not one")
	}
	if open := NewFailures(Rate{}, 8); !open.May(peer, start) {
		t.Error("no limit refuses")
	}
}

// TestHasIsWhatTakeWouldSay: at every place a key may be charged, and without changing it.
func TestHasIsWhatTakeWouldSay(t *testing.T) {
	const now = 1_800_000_000 * second
	p := Rate{PerSecond: 1, Burst: 2}.pace()
	table := NewTable(8, 3)
	var a [16]byte
	for i := range uint64(4000) {
		binary.BigEndian.PutUint64(a[:], 0x20010db8<<32|i%40<<13)
		k, at := IP(netip.AddrFrom16(a)), now+int64(i)*second/50
		want := table.has(k, p, 1, at)
		if again := table.has(k, p, 1, at); again != want {
			t.Fatalf("step %d: asking changes the answer", i)
		}
		if got := table.Take(k, p, 1, at); got != want {
			t.Fatalf("step %d: has says %v, Take %v", i, want, got)
		}
	}
	if table.Widened() == 0 {
		t.Error("no key was charged to the bucket of all")
	}
}

// keys is how many keys TestManyKeysAtOnce takes through the table; make soak takes a hundred million.
var keys = flag.Uint64("keys", 1_000_000, "different keys of TestManyKeysAtOnce")

// TestManyKeysAtOnce: 64 goroutines with ever new addresses: the table does not grow, admits at most what its entries and the
// bucket of all hold, and of that at least 99 %; who was there before keeps an entry of his own.
func TestManyKeysAtOnce(t *testing.T) {
	const now, clients = 1_800_000_000 * second, 64
	p, many := Rate{PerSecond: 1, Burst: 2}.pace(), *keys
	if raceEnabled {
		many = min(many, 100_000)
	}
	table := NewTable(1<<14, 5)
	honest := IP(netip.MustParseAddr("192.0.2.1"))
	if !table.Take(honest, p, 1, now) {
		t.Fatal("refused at first")
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var admitted, next atomic.Uint64
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			var a [16]byte
			for {
				i := next.Add(1)
				if i > many {
					return
				}
				binary.BigEndian.PutUint64(a[:], 0x2001<<48|i*0x9e3779b97f4a7c15>>16) // each another /64
				k := IP(netip.AddrFrom16(a))
				for range 3 { // one more than the burst
					if table.Take(k, p, 1, now) {
						admitted.Add(1)
					}
				}
			}
		})
	}
	wg.Wait()
	runtime.ReadMemStats(&after)
	most := uint64(table.Entries()*2 + 2 - 2) // the honest one has two of them
	if got := admitted.Load(); got > most || many >= 100_000 && float64(got) < 0.99*float64(most) {
		t.Errorf("%d admitted of %d", got, most)
	}
	if grown := int64(after.TotalAlloc - before.TotalAlloc); grown > 1<<20 {
		t.Errorf("%d bytes were allocated", grown)
	}
	if !table.Take(honest, p, 1, now) || table.Take(honest, p, 1, now) {
		t.Error("the honest one has no longer what was his")
	}
}
