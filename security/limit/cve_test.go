package limit

import (
	"encoding/binary"
	"net/netip"
	"runtime"
	"testing"
	"time"
)

// TestCVE_2024_8184_MemoryByAddresses (Jetty): each of 2²⁰ addresses connects
// once and goes, admitted or not. What is remembered of them is the fixed table.
func TestCVE_2024_8184_MemoryByAddresses(t *testing.T) {
	all := uint64(1 << 20)
	if raceEnabled {
		all = 1 << 17
	}
	for name, cfg := range map[string]GateConfig{
		"most are refused":  {ConnectRate: Rate{PerSecond: 50, Burst: 200}, Connections: 1000, Entries: 1 << 12, Seed: 9},
		"none are, counted": {Connections: 1000, Entries: 1 << 12, Seed: 9},
	} {
		g, now := NewGate(cfg), time.Unix(1_800_000_000, 0)
		come := func(from, to uint64) {
			var a [16]byte
			for i := from; i < to; i++ {
				binary.BigEndian.PutUint64(a[:], 0x20010db8<<32|i)
				if peer := netip.AddrFrom16(a); g.Admit(peer, now) {
					g.Release(peer)
				}
			}
		}
		come(0, 1<<14) // more than the table has room for
		before := live()
		come(1<<14, all)
		if grown := live() - before; grown > 1<<20 {
			t.Errorf("%s: %d bytes are kept of addresses that are gone", name, grown)
		}
		c := g.Counters()
		if c.Unmatched != 0 || cfg.ConnectRate.Burst > 0 && (c.OverRate == 0 || c.Crowded == 0) || cfg.ConnectRate.Burst == 0 && c.Admitted != all {
			t.Errorf("%s: %+v", name, c)
		}
		runtime.KeepAlive(g)
	}
}

// live is the size of the heap after a collection.
func live() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
