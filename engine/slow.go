package engine

import (
	"slices"

	"weir/engine/broker"
	"weir/engine/clientproto"
	"weir/engine/hub"
	"weir/engine/outbox"
	"weir/engine/session"
	"weir/engine/stats"
)

// overflow is what a shard found of slow consumers and has not yet answered.
type overflow struct {
	slow  []uint32              // connections to be closed
	lost  []loss                // subscriptions to be ended
	drops [hub.Overflows]uint64 // publications that readers did not get, not yet in stats

	// Scratch of dropOldest.
	dropped []*outbox.Frame
	gaps    []outbox.Gap // in the order of their topics
}

// loss is a subscription that missed a publication and cannot go on without it.
type loss struct {
	slot  uint32
	topic uint64
}

// pushAgain is for an outbox at a bound. Its reader is not slow if the socket
// takes what waits: then only the turn was long. Else the channel's policy
// speaks. It returns what was queued, nil if nothing was.
func (s *shard) pushAgain(c *conn, m *hub.Member, d *hub.Delivery, f *outbox.Frame) *outbox.Frame {
	s.flush(c)
	if c.out.Push(&s.blocks, f, s.limits.MaxOutboxBytes) {
		return f
	}
	switch d.Channel.Policy().Overflow {
	case hub.DropOldest:
		if f.Class == 0 { // encoded before the policy was this
			s.miss(c, m, d)
			return nil
		}
		return s.dropOldest(c, m, d, f)
	case hub.DropNewest:
		s.miss(c, m, d)
	case hub.Conflate:
		s.fallBehind(c, m, d)
	default:
		s.over.slow = append(s.over.slow, m.Slot)
	}
	return nil
}

// miss passes over d for a subscriber whose outbox has no room. Who goes by
// positions gets nothing more before being told: /feed in the place of what it
// missed, once the rest has gone out.
func (s *shard) miss(c *conn, m *hub.Member, d *hub.Delivery) {
	s.over.drops[d.Channel.Policy().Overflow]++
	sub := c.session.Sub(int(m.Sub))
	switch {
	case d.Offset == 0: // nobody's position tells of it
	case c.kind == kindFeed:
		s.fallBehind(c, m, d)
	case needsAll(sub):
		s.lose(c, sub)
	}
}

// needsAll reports whether a subscription cannot go on when it missed something:
// its client goes by positions. To what the server subscribes them SDKs always do.
func needsAll(sub *session.Sub) bool {
	return (sub.Follows || sub.Server) && !sub.Channel.Pattern
}

// fallBehind has a subscriber get d, and what follows, only when it catches up.
func (s *shard) fallBehind(c *conn, m *hub.Member, d *hub.Delivery) {
	m.Held, c.behind = true, true
	s.owe(d.Channel.Fall(s.id, m.Slot, d))
}

// owe counts what hub.Arrears grew by, and what they gave up for their bounds.
func (s *shard) owe(grown, lost int) {
	s.queued += int64(grown)
	if lost > 0 {
		s.stats.LabelN(stats.OutboxDrops, labelConflateFull, uint64(lost))
	}
}

// passedOver counts a publication for those who are held. What a conflating
// channel's miss is known when they catch up.
func (s *shard) passedOver(ch *hub.Channel, held int) {
	if policy := ch.Policy().Overflow; held > 0 && policy != hub.Conflate {
		s.over.drops[policy] += uint64(held)
	}
}

// dropOldest takes out the oldest of the namespace's publications to make room
// for d as f, and has those told who miss them. It returns what was queued, nil if
// nothing was.
func (s *shard) dropOldest(c *conn, m *hub.Member, d *hub.Delivery, f *outbox.Frame) *outbox.Frame {
	before := c.out.Bytes()
	s.over.dropped = c.out.DropOldest(&s.blocks, f, s.limits.MaxOutboxBytes, c.frontFrom > 0, s.over.dropped[:0])
	s.queued -= int64(before - c.out.Bytes())
	for _, g := range slices.Backward(s.over.dropped) { // the newest of a topic says how far its gap goes
		if !g.Notice {
			s.over.drops[hub.DropOldest]++
		}
		if g.Offset > 0 {
			s.missing(c, g)
		}
	}
	clear(s.over.dropped)
	s.mend(c, f.Class)
	if m.Held { // its own was among them
		s.over.drops[hub.DropOldest]++
		return nil
	}
	if f.Full != nil && !m.Synced {
		f = f.Full
	}
	if c.out.Push(&s.blocks, f, s.limits.MaxOutboxBytes) {
		return f
	}
	s.miss(c, m, d)
	return nil
}

// missing notes that a publication, or a notice of some, was taken out. Who cannot
// go on without it loses the subscription; /feed is told by a notice.
func (s *shard) missing(c *conn, f *outbox.Frame) {
	at, known := outbox.FindGap(s.over.gaps, f.Topic)
	if known {
		if g := &s.over.gaps[at]; g.Epoch == f.Epoch {
			g.From = f.Offset
		}
		return
	}
	gap := outbox.Gap{Topic: f.Topic, From: f.Offset, To: f.Offset, Epoch: f.Epoch}
	if i := c.session.FindTopic(f.Topic); i >= 0 {
		sub := c.session.Sub(i)
		switch {
		case c.kind == kindFeed:
			gap.Notice = s.hub.GapFrame(sub.Channel, hub.Gap{To: broker.Position{Offset: f.Offset, Epoch: f.Epoch}})
		case needsAll(sub):
			s.lose(c, sub)
		}
	}
	s.over.gaps = slices.Insert(s.over.gaps, at, gap)
}

// mend sees to it that nobody is left with a delta of what was taken out: behind
// each gap the first that waits goes out in full, or else the next.
func (s *shard) mend(c *conn, class outbox.Class) {
	if len(s.over.gaps) == 0 {
		return
	}
	before := c.out.Bytes()
	s.over.drops[hub.DropOldest] += uint64(c.out.Mend(&s.blocks, s.over.gaps, class, s.limits.MaxOutboxBytes, c.frontFrom > 0))
	s.queued += int64(c.out.Bytes() - before)
	for k := range s.over.gaps {
		g := &s.over.gaps[k]
		if g.Closed {
			continue
		}
		if i := c.session.FindTopic(g.Topic); i >= 0 {
			s.member(c.session.Sub(i)).Synced = false
		}
	}
	clear(s.over.gaps)
	s.over.gaps = s.over.gaps[:0]
}

// lose ends a subscription that cannot go on, after the sweep. Nothing of it may
// go out behind what is missing.
func (s *shard) lose(c *conn, sub *session.Sub) {
	s.member(sub).Held = true
	s.over.drops[sub.Channel.Policy().Overflow] += uint64(s.takeOut(c, sub.Channel.ID))
	s.over.lost = append(s.over.lost, loss{c.Slot, sub.Channel.ID})
}

// member is what the fan-out knows of a subscription.
func (s *shard) member(sub *session.Sub) *hub.Member {
	return sub.Channel.Members(s.id, sub.Form).At(sub.Member)
}

// closeSlow ends the connections that were over their bound, and the
// subscriptions that cannot go on. It comes after the sweep, whose lists it
// changes.
func (s *shard) closeSlow() {
	for _, slot := range s.over.slow {
		c := s.conns.at(slot)
		if c.phase == phaseOpen {
			s.stats.Label(stats.SlowConsumers, labelDisconnect)
			s.close(c, clientproto.CloseSlow)
			s.settle(c)
		}
	}
	s.over.slow = s.over.slow[:0]
	for _, l := range s.over.lost {
		c := s.conns.at(l.slot)
		if c.phase != phaseOpen {
			continue
		}
		if i := c.session.FindTopic(l.topic); i >= 0 {
			done := labelUnsubscribe
			if c.session.Sub(i).Server {
				done = labelDisconnect
			}
			s.stats.Label(stats.SlowConsumers, done)
			s.insufficient(c, i)
		}
	}
	s.over.lost = s.over.lost[:0]
	s.shed()
}

// insufficient ends subscription i, which lacks publications. SDKs subscribe again
// by themselves, and recover; not to what the server subscribed them to, so that
// costs the connection.
func (s *shard) insufficient(c *conn, i int) {
	if c.session.Sub(i).Server {
		s.leave(c, i)
		s.close(c, clientproto.CloseInsufficientState)
		s.settle(c)
		return
	}
	s.evict(c, i, clientproto.UnsubscribeInsufficient, "insufficient state")
	if !c.dirty { // sweep sends it, in its slices
		c.dirty = true
		s.dirty = append(s.dirty, c.Slot)
		s.loop.Wake()
	}
}

// countDrops brings the counters up to what readers did not get.
func (s *shard) countDrops() {
	for i, n := range s.over.drops {
		if n > 0 {
			s.stats.LabelN(stats.OutboxDrops, dropLabels[i], n)
			s.over.drops[i] = 0
		}
	}
}
