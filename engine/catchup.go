package engine

import (
	"weir/engine/hub"
	"weir/engine/outbox"
	"weir/engine/stats"
)

// pump writes what waits, beginning with what the connection is owed if its socket
// has taken all so far. What is left then comes in the next turn.
func (s *shard) pump(c *conn) {
	if c.behind && c.phase == phaseOpen && c.Unsent() == 0 {
		s.catchUp(c)
	}
	s.flush(c)
	if c.behind && c.phase == phaseOpen && c.Unsent() == 0 && !c.dirty {
		c.dirty = true
		s.dirty = append(s.dirty, c.Slot)
		s.loop.Wake()
	}
}

// catchUp queues what is owed to the subscriptions of a connection that are held,
// as much as may wait of each namespace. Those that have it all go on.
func (s *shard) catchUp(c *conn) {
	c.behind = false
	for i := len(c.session.Subs()) - 1; i >= 0 && c.phase == phaseOpen; i-- { // the last takes the place of one that ends
		ch := c.session.Sub(i).Channel
		a := ch.Arrears(s.id)
		if a == nil {
			continue
		}
		if _, owed := a.Served(c.Slot); !owed {
			continue
		}
		level := false
		if a.Conflate() {
			level = s.bringNewest(c, i, a)
		} else {
			level = s.bringGap(c, i, a)
		}
		switch {
		case c.phase != phaseOpen || i >= len(c.session.Subs()) || c.session.Sub(i).Channel != ch: // it ended
		case level:
			s.member(c.session.Sub(i)).Held = false
			s.queued -= int64(ch.Rise(s.id, c.Slot))
		default:
			c.behind = true
		}
	}
}

// bringGap queues, behind what waits, that publications were dropped, once half of
// what the namespace may have waiting is free. It reports whether it did.
func (s *shard) bringGap(c *conn, i int, a *hub.Arrears) bool {
	sub := c.session.Sub(i)
	class := sub.Channel.Policy().Class
	switch {
	case c.out.Held(class) > s.blocks.Caps[class]/2:
		return false
	case c.kind == kindFeed:
		return s.bring(c, s.hub.GapFrame(sub.Channel, hub.Gap{To: a.Top()}))
	case needsAll(sub): // the policy was another when the gap began
		s.insufficient(c, i)
		return false
	}
	return true
}

// bringNewest queues what is owed of a conflating channel. It reports whether that
// was all of it.
func (s *shard) bringNewest(c *conn, i int, a *hub.Arrears) bool {
	sub := c.session.Sub(i)
	served, _ := a.Served(c.Slot)
	if number, at := a.Gone(); number > served {
		switch {
		case needsAll(sub):
			s.insufficient(c, i)
			return false
		case c.kind == kindFeed && at.Offset > 0 && !s.bring(c, s.hub.GapFrame(sub.Channel, hub.Gap{To: at})):
			return false
		}
		s.over.drops[hub.Conflate] += number - max(served, a.Since())
		served = number
	}
	from := s.member(sub).From
	for list := a.After(served); len(list) > 0; list = list[1:] {
		e := &list[0]
		if !e.Live {
			continue
		}
		f := e.Frames[sub.Form]
		due := f != nil && (f.Offset == 0 || f.Offset > from)
		if due && !s.bring(c, f) {
			if c.out.Len() > 0 {
				a.Serve(c.Slot, served)
				return false
			}
			s.over.drops[hub.Conflate]++ // longer than all that may wait
		}
		s.over.drops[hub.Conflate] += e.Number - served - 1
		served = e.Number
	}
	return true
}

// bring queues one frame that is owed, if there is room.
func (s *shard) bring(c *conn, f *outbox.Frame) bool {
	if !c.out.Push(&s.blocks, f, s.limits.MaxOutboxBytes) {
		return false
	}
	s.queued += int64(len(f.Plain))
	if !f.Notice {
		s.stats.Inc(stats.Deliveries)
	}
	return true
}

// arrears is the connection's part, in bytes, of what is kept for readers who are
// behind.
func (s *shard) arrears(c *conn) (n int) {
	if !c.behind {
		return 0
	}
	subs := c.session.Subs()
	for i := range subs {
		if a := subs[i].Channel.Arrears(s.id); a != nil {
			if _, owed := a.Served(c.Slot); owed {
				n += a.Share()
			}
		}
	}
	return n
}
