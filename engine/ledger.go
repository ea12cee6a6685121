package engine

import "weir/security/limit"

// charges are the buckets of a connection's own limits. Most connections have spent of
// none for a while: those have no charges. Owned by the shard's loop.
type charges struct {
	messages, bytes, subscribes, publishes, pings limit.Bucket

	slot  uint32 // of the connection
	place uint32 // in ledger.open
}

// full reports whether nothing is missing of any: they are as good as none.
func (x *charges) full(now int64) bool {
	return x.messages.Full(now) && x.bytes.Full(now) && x.subscribes.Full(now) && x.publishes.Full(now) && x.pings.Full(now)
}

// ledger lends charges to the connections of a shard. Owned by its loop.
type ledger struct {
	open []*charges // lent
	free []*charges // empty, at most chargesKept
	hand int        // where the next look at open is
	left int        // looks to go in this second
}

// charged returns the buckets of c, which is about to spend.
func (s *shard) charged(c *conn) *charges {
	if c.charges == nil {
		c.charges = s.ledger.lend(c.Slot)
	}
	return c.charges
}

func (l *ledger) lend(slot uint32) *charges {
	var x *charges
	if n := len(l.free); n > 0 {
		x, l.free = l.free[n-1], l.free[:n-1]
	} else {
		x = new(charges)
	}
	x.slot, x.place = slot, uint32(len(l.open))
	l.open = append(l.open, x)
	return x
}

// forget takes back what c has; what it spent is forgotten.
func (l *ledger) forget(c *conn) {
	x := c.charges
	if x == nil {
		return
	}
	c.charges = nil
	last := len(l.open) - 1
	l.open[x.place] = l.open[last]
	l.open[x.place].place = x.place
	l.open[last] = nil
	l.open = l.open[:last]
	if *x = (charges{}); len(l.free) < chargesKept {
		l.free = append(l.free, x)
	}
}

// begin has each of the charges looked at once, in this turn and those that follow.
// Called once a second.
func (l *ledger) begin() { l.left = len(l.open) }

// forgive takes back charges that are full again, of those that are to be looked at.
func (s *shard) forgive() {
	l := &s.ledger
	for n := min(l.left, chargesTurn); n > 0 && len(l.open) > 0; n-- {
		l.left--
		if l.hand >= len(l.open) {
			l.hand = 0
		}
		if x := l.open[l.hand]; x.full(s.now) {
			l.forget(s.conns.at(x.slot)) // the last takes its place: the hand stays
		} else {
			l.hand++
		}
	}
}
