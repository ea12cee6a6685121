package engine

import (
	"cmp"
	"slices"

	"weir/engine/clientproto"
	"weir/engine/stats"
	"weir/engine/ws"
	"weir/security/audit"
)

// Close codes of RFC 6455 §7.4.1 that the engine itself gives; violations of
// frames bring their own.
const (
	closeGoingAway       = 1001
	closePolicyViolation = 1008
)

// close ends a connection with one of the protocol's codes.
func (s *shard) close(c *conn, why *clientproto.Close) { s.closeWith(c, why.Code, why.Reason) }

// closeWith queues a close frame as the last thing that the connection is
// sent. Publications that wait are dropped; the session ends at once.
func (s *shard) closeWith(c *conn, code uint16, reason string) {
	if c.phase >= phaseClosing {
		return
	}
	if c.phase != phaseOpen {
		s.finish(c)
		return
	}
	s.stats.Close(code)
	s.ended(c, code, closeReason(code))
	s.dropOutbox(c)
	q := s.borrow(c)
	q.bytes = ws.AppendClose(q.bytes, code, reason)
	s.finish(c)
}

// tooMany closes a connection that is over one of its limits.
func (s *shard) tooMany(c *conn, limit string) {
	s.notice(c, audit.LimitHit, limit)
	s.close(c, clientproto.CloseTooManyRequests)
}

// answerClose completes the peer's closing handshake (RFC 6455 §5.5.1).
func (s *shard) answerClose(c *conn, code uint16) {
	s.stats.Close(code)
	s.ended(c, code, endByPeer)
	s.dropOutbox(c)
	q := s.borrow(c)
	if code == ws.NoStatus {
		q.bytes = ws.AppendFrame(q.bytes, ws.OpClose, nil)
	} else {
		q.bytes = ws.AppendClose(q.bytes, code, "")
	}
	s.finish(c)
}

// hangUp answers the peer's close_notify: nothing more will come from it.
func (s *shard) hangUp(c *conn) {
	s.ended(c, 0, endHungUp)
	s.dropOutbox(c)
	s.finish(c)
}

// finish lets what is queued go out, then close_notify and FIN; input is not
// looked at any more. The peer has closeTimeout to close its side.
func (s *shard) finish(c *conn) {
	if c.phase >= phaseClosing {
		return
	}
	s.ended(c, 0, endOurs)
	s.detach(c)
	s.dropInput(c)
	c.recordBy, c.messageBy, c.writeBy, c.pingAt = 0, 0, 0, 0
	c.expireBy, c.endAt = 0, 0
	c.phaseBy = s.after(int64(closeTimeout))
	c.phase = phaseClosing
	c.Ignore()
	if c.link == linkRaw { // no keys to say good-bye with
		c.phase = phaseFinished
		c.Finish()
	}
}

// abort closes at once: the peer broke the rules below WebSocket or takes
// nothing any more. label is counted as a protocol error unless empty.
func (s *shard) abort(c *conn, label string) {
	if label != "" {
		s.violated(c, label)
	}
	s.ended(c, 0, cmp.Or(label, endOurs))
	s.detach(c)
	c.phase = phaseFinished
	c.Abort()
}

// detach ends the session: the hub forgets the connection.
func (s *shard) detach(c *conn) {
	if c.compress && c.kind != kindEcho {
		c.compress = false
		s.hub.CompressFor(c.kind.form(), -1)
	}
	if !c.seated {
		return
	}
	// First, or each subscription would look for its publications in it.
	s.queued -= int64(c.out.Bytes())
	c.out.Reset(&s.blocks)
	c.frontFrom = 0
	for n := len(c.session.Subs()); n > 0; n-- {
		s.leave(c, n-1)
	}
	if c.session.Connected() {
		s.stats.Move(stats.Sessions, -1)
	}
	if c.counted {
		s.users.Release(c.session.User())
	}
	c.unseat()
}

// dropOutbox empties the outbox, but for the rest of a frame that has begun.
func (s *shard) dropOutbox(c *conn) {
	if c.frontFrom > 0 {
		s.finishFront(c)
	}
	s.queued -= int64(c.out.Bytes())
	c.out.Reset(&s.blocks)
}

// forget releases what a closed connection still holds.
func (s *shard) forget(c *conn) {
	s.queued -= int64(c.out.Bytes())
	c.out.Reset(&s.blocks)
	s.giveBack(c)
	s.dropInput(c)
	c.tls.Wipe(s.tls)
	s.ledger.forget(c)
	c.dirty = false
}

// relieve brings partial input back under its budget by closing those who hold
// the most of it, down to seven eighths: hoarders pay, and one walk frees room
// for many that follow.
func (s *shard) relieve() {
	var holders []*conn
	s.conns.each(func(c *conn) {
		if c.held() > 0 && c.phase < phaseClosing {
			holders = append(holders, c)
		}
	})
	slices.SortFunc(holders, func(a, b *conn) int {
		if d := cmp.Compare(b.held(), a.held()); d != 0 {
			return d
		}
		return cmp.Compare(a.recordBy, b.recordBy)
	})
	for _, c := range holders {
		if s.partial <= s.perShard.partial/8*7 {
			return
		}
		s.abort(c, labelPartialBudget)
		s.dropInput(c)
	}
}

// dropInput releases what is held of input that is not whole or waits.
func (s *shard) dropInput(c *conn) {
	if w := c.waiting; w != nil {
		*w = waiting{handshake: w.handshake, asked: w.asked}
	}
	c.frames.Release(&s.frames)
	s.recount(c)
}

// held is the memory, in bytes, of input that is not whole or waits.
func (c *conn) held() int {
	n := c.frames.Buffered()
	if c.waiting != nil {
		n += c.waiting.bytes()
	}
	return n
}

// owed is the memory, in bytes, of what waits to be sent.
func (c *conn) owed() int { return c.out.Bytes() + c.control.room() }

// recount brings the shard's sums of held input and waiting replies up to what
// the connection has of them now.
func (s *shard) recount(c *conn) {
	held, owed := int32(c.held()), int32(c.control.room())
	s.partial += int(held - c.heldSum)
	s.queued += int64(owed - c.owedSum)
	c.heldSum, c.owedSum = held, owed
}

// shed brings what waits to be sent back under its budget, down to seven
// eighths, by closing the readers with a backlog who owe the most of it.
func (s *shard) shed() {
	budget := int64(s.perShard.outbox)
	if budget == 0 || s.queued <= budget || s.now < s.shedBy { // 0: no budget
		return
	}
	s.shedBy = s.now + int64(tick) // when nobody has a backlog the next walk finds nobody either
	type debt struct {
		c    *conn
		owed int
	}
	var owing []debt
	s.conns.each(func(c *conn) {
		if c.phase == phaseOpen && c.Unsent() > 0 {
			owing = append(owing, debt{c, c.owed() + s.arrears(c)})
		}
	})
	slices.SortFunc(owing, func(a, b debt) int { return cmp.Compare(b.owed, a.owed) })
	for _, d := range owing {
		if s.queued <= budget/8*7 {
			return
		}
		s.stats.Label(stats.SlowConsumers, labelDisconnect)
		s.cutOff(d.c, clientproto.CloseSlow)
	}
}

// cutOff closes a connection to free what waits for it. One with many replies is
// not told why: a close frame would have to wait behind them.
func (s *shard) cutOff(c *conn, why *clientproto.Close) {
	if c.control.room() > controlFloorBytes {
		s.abort(c, "")
		s.giveBack(c)
	} else {
		s.close(c, why)
	}
	s.recount(c)
	s.arm(c)
}
