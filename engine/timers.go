package engine

import (
	"math"
	"math/rand/v2"
	"time"

	"weir/engine/clientproto"
	"weir/engine/stats"
	"weir/engine/ws"
)

// arm tells the wheel the connection's next deadline. A deadline that moves
// away is noticed when the old one fires: most do, and cost nothing then.
func (s *shard) arm(c *conn) {
	if c.phase == phaseGone {
		return
	}
	now, next := s.now/int64(tick), int64(math.MaxInt64)
	for _, m := range [...]moment{c.phaseBy, c.recordBy, c.messageBy, c.writeBy, c.pingAt} {
		if m != 0 {
			next = min(next, m.ticks(now))
		}
	}
	for _, at := range [...]int64{c.expireBy, c.endAt} {
		if at != 0 {
			next = min(next, (at-1)/int64(tick)+1)
		}
	}
	if next == math.MaxInt64 {
		return
	}
	if next = min(next, now+farthest/int64(tick)); c.armed == 0 || next < c.armed.ticks(now) {
		c.armed = momentOf(next)
		s.wheel.Set(c.Slot, next*int64(tick))
	}
}

// expire acts on the deadlines that have come.
func (s *shard) expire() {
	for {
		s.due = s.wheel.Due(s.now, s.due[:0])
		for _, slot := range s.due {
			s.wakeUp(s.conns.at(slot))
		}
		if len(s.due) < cap(s.due) {
			return
		}
	}
}

func (s *shard) wakeUp(c *conn) {
	defer func() { s.contain(recover(), c) }()
	c.armed = 0
	s.overdue(c)
	s.settle(c)
}

// overdue acts on the first deadline of a connection that has come, if any.
func (s *shard) overdue(c *conn) {
	past := func(at int64) bool { return at != 0 && at <= s.now }
	switch {
	case c.phase == phaseGone:
	case s.past(c.phaseBy):
		s.phaseOver(c)
	case past(c.endAt):
		s.close(c, clientproto.CloseForceReconnect)
	case s.past(c.recordBy) && c.busy: // it waits for us
		c.recordBy = s.after(int64(s.limits.PartialTimeout))
	case s.past(c.recordBy):
		s.abort(c, labelRecordTimeout)
	case s.past(c.messageBy):
		s.violated(c, labelMessageTimeout)
		s.closeWith(c, closePolicyViolation, "message timeout")
	case s.past(c.writeBy):
		s.stalled(c)
	case past(c.expireBy):
		s.expired(c)
	case s.past(c.pingAt):
		s.ping(c)
	}
}

// phaseOver ends a connection that took too long to get on.
func (s *shard) phaseOver(c *conn) {
	switch c.phase {
	case phaseHello, phaseHandshake:
		s.abort(c, labelHandshakeTimeout)
	case phaseHead, phaseUpgrade:
		s.abort(c, labelHeadTimeout)
	case phaseOpen:
		s.close(c, clientproto.CloseStale)
	default:
		s.abort(c, "")
	}
}

// stalled closes a reader of which the kernel has taken no byte for the write
// timeout; one that took some gets another.
func (s *shard) stalled(c *conn) {
	if c.Unsent() == 0 {
		c.writeBy = 0
		return
	}
	if left := int32(c.Unsent()); left < c.unsentMark {
		c.unsentMark = left
		c.writeBy = s.after(int64(s.limits.WriteTimeout))
		return
	}
	s.stats.Label(stats.SlowConsumers, labelWriteTimeout)
	s.close(c, clientproto.CloseSlow)
}

// expired ends a session or those of its subscriptions whose token is over, by
// the clock on the wall: it may have been set back, or a token refreshed.
func (s *shard) expired(c *conn) {
	last := s.wall().Add(-s.limits.ExpiredCloseDelay).Unix()
	over := func(at int64) bool { return at > 0 && at <= last }
	if over(c.session.Expires()) {
		s.close(c, clientproto.CloseExpired)
		return
	}
	for i := len(c.session.Subs()) - 1; i >= 0 && c.phase == phaseOpen; i-- { // the last takes the place of one that ends
		if over(c.session.Sub(i).Expires) {
			s.evict(c, i, clientproto.UnsubscribeExpired, "subscription expired")
		}
	}
	if c.phase == phaseOpen { // the pushes may have been too many
		s.expiry(c)
	}
}

// expiry sets expireBy from the tokens of the session and its subscriptions.
func (s *shard) expiry(c *conn) {
	c.expireBy = 0
	if at := c.session.NextExpiry(); at > 0 {
		left := min(time.Unix(at, 0).Sub(s.wall()), forever) + s.limits.ExpiredCloseDelay
		c.expireBy = max(s.now+int64(left), 1)
	}
}

// ping sends the protocol's ping (on /feed WebSocket's), or closes who did not
// answer the last. On /echo, which has none, it closes the idle.
func (s *shard) ping(c *conn) {
	switch {
	case c.kind == kindEcho:
		s.closeWith(c, closeGoingAway, "idle")
	case c.awaitPong && c.busy: // its pong may be here, and waits for us
		c.pingAt = s.after(int64(s.limits.PongTimeout))
	case c.awaitPong:
		s.close(c, clientproto.CloseNoPong)
	default:
		if c.kind == kindFeed {
			s.reply(c, ws.OpPing, nil)
		} else {
			s.reply(c, ws.OpText, []byte(clientproto.Ping))
		}
		if s.limits.PongTimeout > 0 {
			c.awaitPong = true
			c.pingAt = s.after(int64(s.limits.PongTimeout))
			return
		}
		c.pingAt = s.after(int64(s.limits.PingInterval))
	}
}

// pong is the client's answer. One that nobody asked for changes nothing.
func (s *shard) pong(c *conn) {
	if c.awaitPong {
		c.awaitPong = false
		c.pingAt = s.after(int64(s.limits.PingInterval))
	}
}

// spread returns a random time within d, so that the pings of clients that
// came together do not stay together.
func (s *shard) spread(d int64) int64 { return 1 + rand.Int64N(d) }
