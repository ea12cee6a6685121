package engine

import (
	"weir/engine/hub"
	"weir/engine/outbox"
	"weir/engine/stats"
)

// fanout is the part of the inbox that a shard has taken and not yet spread.
type fanout struct {
	taken   hub.Taken
	next    int          // first of taken.Deliveries that is not spread
	refills []refill     // behind them: what the inbox lost and the history has
	again   hub.Delivery // the one of them that is being spread
}

// bytesPerDelivery makes long publications cost as much of a turn as several
// short ones (a megabyte is a turn): between turns the sockets take what waits.
const bytesPerDelivery = 64

// deliver appends publications to the outboxes of their subscribers, as many
// as one turn may. The rest waits for the next turn, in order.
func (s *shard) deliver() {
	for budget := sweepDeliveries; budget > 0; {
		d := s.upNext()
		if d == nil {
			break
		}
		budget -= s.spreadOut(d) + d.Bytes()/bytesPerDelivery
	}
	if s.fanout.next < len(s.fanout.taken.Deliveries) || len(s.fanout.refills) > 0 {
		s.loop.Wake()
	}
	s.closeSlow()
	s.countDrops()
	s.stats.Set(stats.OutboxBytes, s.queued)
	s.stats.Set(stats.PartialBytes, int64(s.partial))
}

// upNext returns what is to be spread next, nil if nothing has come.
func (s *shard) upNext() *hub.Delivery {
	for f := &s.fanout; ; {
		switch {
		case f.next < len(f.taken.Deliveries):
			f.next++
			return &f.taken.Deliveries[f.next-1]
		case len(f.refills) > 0:
			return s.refilled()
		case !s.take():
			return nil
		}
	}
}

// take answers for the gaps behind what was spread and takes what has come since;
// false if nothing has.
func (s *shard) take() bool {
	f := &s.fanout
	for ch, gap := range f.taken.Behind {
		s.gap(ch, gap)
	}
	f.taken, f.next = s.inbox.Take(f.taken.Deliveries), 0
	if f.taken.Lost > 0 {
		s.stats.Inc(stats.MailboxBehind)
		s.refill()
		s.stats.LabelN(stats.OutboxDrops, labelInboxFull, f.taken.Lost)
	}
	s.stats.Add(stats.EventsDropped, f.taken.Untold)
	return len(f.taken.Deliveries) > 0 || len(f.taken.Behind) > 0 || len(f.refills) > 0
}

// spreadOut hands a publication to the subscribers of each form. It returns its
// cost.
func (s *shard) spreadOut(d *hub.Delivery) int {
	if d.Event != nil {
		return s.tell(d)
	}
	if a := d.Channel.Arrears(s.id); a != nil {
		s.owe(a.Put(d))
	}
	cost := 1
	for form, frame := range d.Frames {
		if frame == nil {
			continue
		}
		members := d.Channel.Members(s.id, hub.Form(form)).All()
		var delta *outbox.Frame
		if hub.Form(form) == hub.Delta {
			delta = d.Delta
		}
		s.stats.Add(stats.Deliveries, uint64(s.push(d, members, frame, delta)))
		cost += len(members)
	}
	return cost
}

// push is the loop over subscribers to d: no encoding, allocation, lock, look-up by
// name or interface call while there is room. It returns how many outboxes took
// the frame, or in its place delta (nil: there is none) where what it is made
// against went before.
func (s *shard) push(d *hub.Delivery, members []hub.Member, full, delta *outbox.Frame) (delivered int) {
	offset, inStream, held := d.Offset, d.Offset != 0, 0
	for i := range members {
		m := &members[i]
		if offset <= m.From && inStream {
			continue
		}
		if m.Held {
			held++
			continue
		}
		frame := full
		if delta != nil && m.Synced {
			frame = delta
		}
		c := s.conns.at(m.Slot)
		if !c.out.Push(&s.blocks, frame, s.limits.MaxOutboxBytes) {
			if frame = s.pushAgain(c, m, d, frame); frame == nil {
				m.Synced = false
				continue
			}
		}
		if m.Synced != inStream { // one beside the stream is the last that the client has, and no delta's base
			m.Synced = inStream
		}
		s.queued += int64(len(frame.Plain))
		delivered++
		if !c.dirty {
			c.dirty = true
			s.dirty = append(s.dirty, m.Slot)
		}
	}
	s.passedOver(d.Channel, held)
	return delivered
}

// sweep flushes connections that deliveries made dirty, each once, in slices:
// between them the loop reads.
func (s *shard) sweep() {
	n := min(len(s.dirty), sweepConnections)
	for _, slot := range s.dirty[:n] {
		if c := s.conns.at(slot); c.dirty { // else closed since
			s.clean(c)
		}
	}
	s.dirty = s.dirty[:copy(s.dirty, s.dirty[n:])]
	if len(s.dirty) > 0 {
		s.loop.Wake()
	}
}

// clean flushes one connection of the sweep.
func (s *shard) clean(c *conn) {
	defer func() { s.contain(recover(), c) }()
	c.dirty = false
	s.pump(c)
	s.recount(c)
	s.arm(c)
}
