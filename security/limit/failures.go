package limit

import (
	"crypto/rand"
	"encoding/binary"
	"net/netip"
	"sync/atomic"
)

// Failures bounds how often an address, or an IPv6 prefix, may fail at something: at the bound it is not even asked any more. What
// succeeds costs nothing, so those who share an address with many do not pay for their number. Any goroutine.
type Failures struct {
	rate  *pace
	table *Table

	noted, refused atomic.Uint64
}

// NewFailures remembers so many addresses.
func NewFailures(r Rate, entries int) *Failures {
	return &Failures{rate: r.pace(), table: NewTable(entries, secretSeed())}
}

func secretSeed() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.LittleEndian.Uint64(b[:])
}

// May reports whether peer has a failure left at now nanoseconds. As many more as are under way at the same time may come through.
// No allocation.
func (f *Failures) May(peer netip.Addr, now int64) bool {
	ok := f.table.has(IP(peer), f.rate, 1, now)
	if !ok {
		f.refused.Add(1)
	}
	return ok
}

// Note charges a failure. No allocation.
func (f *Failures) Note(peer netip.Addr, now int64) {
	f.noted.Add(1)
	f.table.Take(IP(peer), f.rate, 1, now)
}

// Noted and Refused count since the start.
func (f *Failures) Noted() uint64   { return f.noted.Load() }
func (f *Failures) Refused() uint64 { return f.refused.Load() }
