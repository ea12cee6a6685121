package attack

import (
	"encoding/binary"
	"math/bits"
	"net"
	"net/netip"
)

// source is the address that the attacker's next connection comes from, nil if
// the system is to choose.
func (a *attacker) source() net.Addr {
	if !a.target.From.IsValid() {
		return nil
	}
	n := a.next.Add(1)
	if a.kind.Sources > 0 {
		n %= uint64(a.kind.Sources)
	}
	return &net.TCPAddr{IP: nth(a.target.From, n).AsSlice()}
}

// nth is an address of the prefix: another for each n until all have had their
// turn. Of IPv6 the first 64 bits differ, for those are what is limited.
func nth(p netip.Prefix, n uint64) netip.Addr {
	if p.Addr().Is4() {
		b := p.Masked().Addr().As4()
		host := uint32(n) & (1<<(32-p.Bits()) - 1)
		binary.BigEndian.PutUint32(b[:], binary.BigEndian.Uint32(b[:])|host)
		if b[3] == 0 || b[3] == 255 { // some systems keep these for networks
			b[3] = 1
		}
		return netip.AddrFrom4(b)
	}
	b := p.Masked().Addr().As16()
	net64 := bits.Reverse64(n) >> p.Bits() // p is shorter than a /64; neighbours of n are far apart
	binary.BigEndian.PutUint64(b[:8], binary.BigEndian.Uint64(b[:8])|net64)
	b[15] = 1
	return netip.AddrFrom16(b)
}
