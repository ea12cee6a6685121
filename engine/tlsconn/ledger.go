package tlsconn

import (
	"container/list"
	"net/netip"
)

// ledger counts the handshakes in the pool by address prefix and names the one that gives way: the oldest of the
// fullest prefix. Every step is O(1), and it holds nothing of a peer that has no handshake here. Guarded by Pool.mu.
type ledger struct {
	total   int
	groups  map[netip.Addr]*group
	levels  []list.List // levels[n]: groups of n handshakes, the one that has stood at n the longest first
	fullest int         // no group above; lowered when asked
	exempt  group       // has no level and gives way last
}

// group is the handshakes of one prefix, oldest first.
type group struct {
	prefix  netip.Addr
	members list.List
	level   *list.Element
}

func newLedger(perPrefix int) ledger {
	return ledger{groups: make(map[netip.Addr]*group), levels: make([]list.List, perPrefix+2)}
}

// prefixOf is the address that stands for a peer: IPv4 whole (also when mapped into IPv6), IPv6 its /64, no zone.
func prefixOf(peer netip.Addr) netip.Addr {
	peer = peer.Unmap()
	if !peer.Is6() {
		return peer
	}
	prefix, err := peer.Prefix(64)
	if err != nil {
		panic("tlsconn: IPv6 address without a /64: " + err.Error())
	}
	return prefix.Addr()
}

// add enters h as the youngest of its prefix.
func (l *ledger) add(h *Handshake, peer netip.Addr, exempt bool) {
	l.total++
	if exempt {
		h.group, h.member = &l.exempt, l.exempt.members.PushBack(h)
		return
	}
	prefix := prefixOf(peer)
	g := l.groups[prefix]
	if g == nil {
		g = &group{prefix: prefix}
		l.groups[prefix] = g
	}
	h.group, h.member = g, g.members.PushBack(h)
	l.place(g, g.members.Len()-1)
}

// remove takes h out; again is harmless.
func (l *ledger) remove(h *Handshake) {
	g := h.group
	if g == nil {
		return
	}
	l.total--
	g.members.Remove(h.member)
	h.group, h.member = nil, nil
	if g != &l.exempt {
		l.place(g, g.members.Len()+1)
	}
}

// place moves g from the level it was at to the one that fits.
func (l *ledger) place(g *group, was int) {
	if g.level != nil {
		l.levels[was].Remove(g.level)
		g.level = nil
	}
	n := g.members.Len()
	if n == 0 {
		delete(l.groups, g.prefix)
		return
	}
	g.level = l.levels[n].PushBack(g)
	l.fullest = max(l.fullest, n)
}

// held is how many handshakes stand in h's own group; 0 if it is exempt.
func (l *ledger) held(h *Handshake) int {
	if h.group == &l.exempt {
		return 0
	}
	return h.group.members.Len()
}

// eldest is the oldest handshake of h's own group.
func (l *ledger) eldest(h *Handshake) *Handshake { return h.group.members.Front().Value.(*Handshake) }

// victim is the oldest handshake of the fullest prefix, else the oldest exempt one. nil: the ledger is empty.
func (l *ledger) victim() *Handshake {
	for l.fullest > 0 && l.levels[l.fullest].Len() == 0 {
		l.fullest--
	}
	g := &l.exempt
	if l.fullest > 0 {
		g = l.levels[l.fullest].Front().Value.(*group)
	}
	if g.members.Len() == 0 {
		return nil
	}
	return g.members.Front().Value.(*Handshake)
}
