package limit

import (
	"crypto/rand"
	"encoding/binary"
	"math"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"
)

// defaultEntries is the size of a Gate's table of rates where the configuration has none: 512 KiB.
const defaultEntries = 1 << 16

// GateConfig says what one address, or one IPv6 prefix, may do. Zero is no limit.
type GateConfig struct {
	ConnectRate Rate           // --ip-connect-rate, --ip-connect-burst
	Connections int            // --ip-connections: open at once
	Exempt      []netip.Prefix // --limit-exempt: passed over by both
	Entries     int            // addresses and prefixes whose rate is remembered; 0 is 65,536; kept by Replace
	Seed        uint64         // of the hash; 0 draws one; kept by Replace
}

// Gate admits connections before anything is spent on them. Any goroutine.
type Gate struct {
	policy atomic.Pointer[policy]
	epoch  atomic.Pointer[time.Time] // the first time that Admit was given
	rates  *Table
	counts *counts

	admitted, overRate, overCount, unmatched atomic.Uint64
}

// policy is the part of a GateConfig that Replace replaces. Immutable.
type policy struct {
	rate   *pace
	max    uint32
	exempt []netip.Prefix
}

// GateCounters counts the decisions of a Gate since its start.
type GateCounters struct {
	Admitted  uint64 // also exempt ones
	OverRate  uint64 // refused: too many a second
	OverCount uint64 // refused: too many open
	Crowded   uint64 // decided by the bucket of all, for want of room in the table
	Unmatched uint64 // releases of what was never admitted: a fault of the caller
}

// NewGate makes a Gate. Its memory is fixed from here on but for the counts, which grow with what is open.
func NewGate(cfg GateConfig) *Gate {
	entries, seed := cfg.Entries, cfg.Seed
	if entries <= 0 {
		entries = defaultEntries
	}
	if seed == 0 {
		var b [8]byte
		_, _ = rand.Read(b[:]) // never fails
		seed = binary.LittleEndian.Uint64(b[:])
	}
	g := &Gate{rates: NewTable(entries, seed), counts: newCounts(seed)}
	g.Replace(cfg)
	return g
}

// Replace takes other limits for all connections from now on; what is open stays counted.
func (g *Gate) Replace(cfg GateConfig) {
	p := &policy{rate: cfg.ConnectRate.pace(), max: math.MaxUint32}
	if cfg.Connections > 0 && cfg.Connections < math.MaxUint32 {
		p.max = uint32(cfg.Connections)
	}
	for _, prefix := range cfg.Exempt {
		p.exempt = append(p.exempt, unmapPrefix(prefix))
	}
	g.policy.Store(p)
}

// unmapPrefix turns ::ffff:a.b.c.d/96+n into a.b.c.d/n.
func unmapPrefix(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96).Masked()
	}
	return p.Masked()
}

// Admit decides on a new connection and, if it is admitted, counts it until Release; an exempt one is
// counted too, so that limits may be replaced while it is open. A connection that is refused for being
// one too many has taken its token all the same. No allocation, but for the counts to grow.
func (g *Gate) Admit(peer netip.Addr, now time.Time) bool { return g.Decide(peer, now) == Admitted }

// Decision is what became of a connection.
type Decision uint8

// The decisions of a Gate.
const (
	Admitted  Decision = iota
	OverRate           // refused: too many a second
	OverCount          // refused: too many open
)

// Decide is Admit with the reason.
func (g *Gate) Decide(peer netip.Addr, now time.Time) Decision {
	k, p := IP(peer), g.policy.Load()
	limit := p.max
	if p.passes(peer) {
		limit = math.MaxUint32
	} else if k.kind == none || !g.rates.Take(k, p.rate, 1, g.nanoseconds(now)) {
		g.overRate.Add(1)
		return OverRate
	}
	if !g.counts.add(k, limit) {
		g.overCount.Add(1)
		return OverCount
	}
	g.admitted.Add(1)
	return Admitted
}

// nanoseconds is the time since an hour before the first call, by the monotonic clock where now has
// it: steps of the wall clock are then not seen.
func (g *Gate) nanoseconds(now time.Time) int64 {
	epoch := g.epoch.Load()
	if epoch == nil {
		first := now.Add(-time.Hour)
		g.epoch.CompareAndSwap(nil, &first)
		epoch = g.epoch.Load()
	}
	return int64(now.Sub(*epoch))
}

// Release ends a connection that Admit has admitted, once.
func (g *Gate) Release(peer netip.Addr) {
	if !g.counts.remove(IP(peer)) {
		g.unmatched.Add(1)
	}
}

// Exempt reports whether peer is passed over by limits: of addresses and of users.
func (g *Gate) Exempt(peer netip.Addr) bool { return g.policy.Load().passes(peer) }

func (p *policy) passes(peer netip.Addr) bool {
	if len(p.exempt) == 0 {
		return false
	}
	peer = peer.Unmap().WithZone("")
	return slices.ContainsFunc(p.exempt, func(prefix netip.Prefix) bool { return prefix.Contains(peer) })
}

// Counters reads the counters, each by itself.
func (g *Gate) Counters() GateCounters {
	return GateCounters{
		Admitted:  g.admitted.Load(),
		OverRate:  g.overRate.Load(),
		OverCount: g.overCount.Load(),
		Crowded:   g.rates.Widened(),
		Unmatched: g.unmatched.Load(),
	}
}
