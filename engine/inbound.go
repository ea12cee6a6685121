package engine

import (
	"weir/engine/clientproto"
	"weir/engine/stats"
	"weir/engine/ws"
)

// records opens what has arrived, record by record and in place, and hands the
// plaintext on. While the connection is busy its input stays sealed.
func (s *shard) records(c *conn, b []byte) {
	if c.busy {
		if len(c.partial())+len(b) > s.heldLimit {
			s.tooMany(c, limitHeld)
			return
		}
		s.hold(c, b)
		return
	}
	if c.proxied() {
		s.plain(c, b)
		return
	}
	in, held := b, len(c.partial()) > 0
	if held {
		s.hold(c, b)
		in = c.partial()
	}
	for len(in) > 0 && c.phase < phaseClosing && !c.busy {
		r := c.tls.Open(s.tls, in, s.sealed[:0])
		if len(r.Out) > 0 {
			s.write(c, r.Out)
		}
		switch {
		case r.Violation != nil:
			s.violated(c, labelRecord)
			s.ended(c, 0, labelRecord)
			c.link = linkRaw // after the alert in r.Out nothing may follow
			s.finish(c)
			return
		case r.CloseNotify:
			s.hangUp(c)
			return
		case r.N == 0:
			s.keep(c, in, held)
			return
		}
		in = in[r.N:]
		c.recordBy = 0 // what follows is another record
		if len(r.Plain) > 0 {
			s.plaintext(c, r.Plain)
		}
	}
	if c.phase < phaseClosing {
		s.keep(c, in, held)
	}
}

// keep holds the rest of the input, which stands in the partial already if held.
func (s *shard) keep(c *conn, rest []byte, held bool) {
	switch {
	case len(rest) == 0:
		s.unhold(c)
	case held:
		w := c.waitings()
		w.partial = w.partial[:copy(w.partial, rest)]
		if cap(w.partial) > 4*len(rest)+keepPartialBytes {
			w.partial = append([]byte(nil), w.partial...) // a few bytes do not keep a large buffer
		}
		if c.recordBy == 0 {
			c.recordBy = s.after(int64(s.limits.PartialTimeout))
		}
	default:
		s.hold(c, rest)
	}
}

// plaintext is input of the request or of the WebSocket, by phase.
func (s *shard) plaintext(c *conn, b []byte) {
	if c.phase == phaseHead {
		s.head(c, b)
		return
	}
	s.read(c, b)
}

// read takes WebSocket frames out of b. Payloads are used in place.
func (s *shard) read(c *conn, b []byte) {
	for c.phase == phaseOpen {
		if c.busy {
			c.waitings().plain = append([]byte(nil), b...)
			break
		}
		ev, rest, v := c.frames.Next(b, s.frameLimits(c), &s.frames)
		if v != nil {
			if c.traced {
				s.trace(c).Broken(v.Label, s.wall())
			}
			s.violated(c, v.Label)
			s.closeWith(c, v.Code, v.Reason)
			break
		}
		b = rest
		if ev.Kind == ws.None {
			break
		}
		s.event(c, &ev)
	}
	switch {
	case !c.frames.Partial():
		c.messageBy = 0
	case c.messageBy == 0:
		c.messageBy = s.after(int64(s.limits.PartialTimeout))
	}
}

// event acts on a whole message or control frame.
func (s *shard) event(c *conn, ev *ws.Event) {
	if c.traced {
		s.traceEvent(c, ev)
	}
	switch ev.Kind {
	case ws.Text, ws.Binary:
		c.messageBy = 0 // what follows is another message
		s.stats.Inc(stats.MessagesIn)
		s.message(c, ev)
	case ws.Ping:
		s.stats.Inc(stats.ControlFramesIn)
		if !take(&s.charged(c).pings, s.rates.pings, 1, s.now) && c.kind != kindEcho {
			s.tooMany(c, limitPings)
			return
		}
		s.reply(c, ws.OpPong, ev.Payload)
	case ws.Pong:
		s.stats.Inc(stats.ControlFramesIn)
		if c.kind == kindFeed && c.awaitPong {
			s.pong(c)
			return
		}
		if !take(&s.charged(c).pings, s.rates.pings, 1, s.now) && c.kind != kindEcho { // nobody asked for it
			s.tooMany(c, limitPings)
		}
	case ws.Close:
		s.stats.Inc(stats.ControlFramesIn)
		s.answerClose(c, ev.Code)
	}
}

func (s *shard) message(c *conn, ev *ws.Event) {
	if c.kind == kindEcho {
		c.pingAt = s.after(s.strain.idle(s.limits.IdleTimeout))
		op := ws.OpText
		if ev.Kind == ws.Binary {
			op = ws.OpBinary
		}
		s.reply(c, op, ev.Payload)
		return
	}
	if c.kind == kindFeed { // it takes no commands
		s.close(c, clientproto.CloseBadRequest)
		return
	}
	if !take(&s.charged(c).bytes, s.rates.bytes, len(ev.Payload), s.now) {
		s.tooMany(c, limitBytes)
		return
	}
	if !s.userTakes(c, s.byUser.bytes, len(ev.Payload)) {
		s.tooMany(c, limitUserBytes)
		return
	}
	if ev.Kind == ws.Binary || len(ev.Payload) == 0 {
		s.close(c, clientproto.CloseBadRequest)
		return
	}
	s.lines(c, ev.Payload)
}

// hold appends to the partial input; settle keeps all of it within the shard's budget.
// The deadline is absolute: it starts with the first byte of what is not
// whole, and neither drips nor control frames extend it.
func (s *shard) hold(c *conn, b []byte) {
	if c.recordBy == 0 && c.phase >= phaseHead {
		c.recordBy = s.after(int64(s.limits.PartialTimeout))
	}
	w := c.waitings()
	w.partial = append(w.partial, b...)
}

// partial is input that is not whole yet: of a hello or a record.
func (c *conn) partial() []byte {
	if c.waiting == nil {
		return nil
	}
	return c.waiting.partial
}

// unhold drops the partial input.
func (s *shard) unhold(c *conn) {
	if c.waiting != nil {
		c.waiting.partial = nil
	}
	c.recordBy = 0
}

// waitings returns what the connection holds, made when first needed; settle takes it back.
func (c *conn) waitings() *waiting {
	if c.waiting == nil {
		c.waiting = new(waiting)
	}
	return c.waiting
}

// resume goes on with what waited while the connection was busy, in the order
// in which it came: the rest of the message, of the record, then what is sealed.
func (s *shard) resume(c *conn) {
	s.resumeOpened(c)
	if !c.busy && c.phase < phaseClosing && len(c.partial()) > 0 {
		s.records(c, nil)
	}
}

// resumeOpened is resume up to what is sealed, which is still in records'
// hands while the request head is.
func (s *shard) resumeOpened(c *conn) {
	if w := c.waiting; w != nil && !c.busy && c.phase == phaseOpen {
		if lines := w.lines; len(lines) > 0 {
			w.lines = nil
			s.lines(c, lines)
		}
		if plain := w.plain; len(plain) > 0 && !c.busy {
			w.plain = nil
			s.read(c, plain)
		}
	}
}
