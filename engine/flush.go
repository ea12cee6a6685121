package engine

import (
	"weir/engine/clientproto"
	"weir/engine/outbox"
	"weir/engine/stats"
	"weir/engine/tlsconn/record"
	"weir/engine/ws"
)

// flush writes everything that the connection has pending: into as few records
// as possible, and one write a batch. While the kernel holds bytes of an
// earlier batch nothing is sealed: what waits stays references.
func (s *shard) flush(c *conn) {
	for c.link != linkRaw && c.phase < phaseFinished && c.Unsent() == 0 {
		buf := s.batch(c)
		if c.phase == phaseClosing && !c.pending() {
			if !c.proxied() {
				buf = c.tls.AppendCloseNotify(s.tls, buf)
			}
			c.phase = phaseFinished
		}
		if len(buf) > 0 {
			s.sealed = buf
			s.stats.Inc(stats.Flushes)
			s.write(c, buf)
		} else if c.phase != phaseFinished {
			return
		}
		if c.phase == phaseFinished {
			c.Finish()
		}
	}
}

// pending reports whether anything waits to be sealed.
func (c *conn) pending() bool { return c.control.len() > 0 || c.out.Len() > 0 }

// batch seals up to batchBytes of what waits. Where a proxy has the TLS it stays
// plain.
func (s *shard) batch(c *conn) []byte {
	buf := s.sealed[:0]
	if c.proxied() {
		return s.fill(c, buf, batchBytes)
	}
	for left := batchBytes; left > 0 && c.pending(); {
		start := len(buf)
		buf = append(buf, make([]byte, record.HeaderLen)...)
		end := len(buf) + record.MaxPlaintext
		buf = s.fill(c, buf, end)
		left -= len(buf) - start
		buf = c.tls.Seal(s.tls, buf, start)
	}
	return buf
}

// fill appends pending plaintext to buf until it is end bytes long or nothing
// waits. A frame that has begun is finished first; then control bytes, which
// never wait behind publications; then publications in order.
func (s *shard) fill(c *conn, buf []byte, end int) []byte {
	if c.frontFrom > 0 {
		buf = s.fillFront(c, buf, end)
	}
	if n := min(c.control.left(), end-len(buf)); n > 0 && c.frontFrom == 0 {
		q := c.control
		buf = append(buf, q.bytes[q.from:q.from+n]...)
		if q.from += n; q.left() == 0 {
			s.giveBack(c)
		}
	}
	for c.out.Len() > 0 && len(buf) < end && c.control.len() == 0 {
		buf = s.fillFront(c, buf, end)
	}
	return buf
}

// fillFront appends what fits of the oldest publication, and takes it out of
// the outbox when that was all.
func (s *shard) fillFront(c *conn, buf []byte, end int) []byte {
	frame := c.wire(c.out.Front())
	from := int(c.frontFrom)
	n := min(len(frame)-from, end-len(buf))
	buf = append(buf, frame[from:from+n]...)
	if c.frontFrom += int32(n); from+n == len(frame) {
		c.frontFrom = 0
		s.queued -= int64(len(c.out.Pop(&s.blocks).Plain))
	}
	return buf
}

// wire is the form of a frame that this connection negotiated.
func (c *conn) wire(f *outbox.Frame) []byte {
	if c.compress && f.Deflated != nil {
		return f.Deflated
	}
	return f.Plain
}

// reply queues one frame of the connection's own.
func (s *shard) reply(c *conn, op ws.Opcode, payload []byte) {
	if s.room(c, len(payload)) {
		c.control.bytes = ws.AppendFrame(c.control.bytes, op, payload)
	}
}

// control queues bytes as they are: the answer to the request head.
func (s *shard) control(c *conn, b []byte) {
	if s.room(c, len(b)) {
		c.control.bytes = append(c.control.bytes, b...)
	}
}

// room makes sure that n more bytes of the connection's own may wait. A peer
// that asks and does not read the answers is cut off: its socket takes nothing,
// so no close frame would reach it either.
func (s *shard) room(c *conn, n int) bool {
	q := s.borrow(c)
	if q.from > 0 && q.from >= len(q.bytes)/2 {
		q.bytes = q.bytes[:copy(q.bytes, q.bytes[q.from:])]
		q.from = 0
	}
	if len(q.bytes)+n <= s.controlLimit[c.kind] {
		return true
	}
	s.stats.Close(clientproto.CloseSlow.Code)
	s.stats.Label(stats.SlowConsumers, labelDisconnect)
	s.abort(c, "")
	return false
}

// free is how many bytes one more reply may have without being one too many. It
// first offers the socket what waits: who asks much and reads it is not slow.
func (s *shard) free(c *conn) int {
	if c.control.left() > controlFloorBytes {
		s.flush(c)
	}
	return max(s.controlLimit[c.kind]-controlFloorBytes-c.control.left(), 0)
}

// borrow makes sure that there is a buffer for control bytes, and returns it;
// giveBack takes it back. An idle connection holds none.
func (s *shard) borrow(c *conn) *controls {
	if c.control != nil {
		return c.control
	}
	if n := len(s.buffers); n > 0 {
		c.control = s.buffers[n-1]
		s.buffers = s.buffers[:n-1]
	} else {
		c.control = &controls{bytes: make([]byte, 0, controlBufferBytes)}
	}
	return c.control
}

func (s *shard) giveBack(c *conn) {
	q := c.control
	if q.room() == controlBufferBytes && len(s.buffers) < controlBuffersKept {
		q.bytes, q.from = q.bytes[:0], 0
		s.buffers = append(s.buffers, q)
	}
	c.control = nil
}

// takeOut removes the publications of a topic that still wait and returns how many
// those were. One that has begun to go out must be finished: its rest becomes
// control bytes.
func (s *shard) takeOut(c *conn, topic uint64) int {
	if c.out.Len() == 0 {
		return 0
	}
	if f := c.out.Front(); c.frontFrom > 0 && f.Topic == topic {
		s.finishFront(c)
	}
	before := c.out.Bytes()
	removed := c.out.Remove(&s.blocks, topic)
	s.queued -= int64(before - c.out.Bytes())
	return removed
}

// finishFront turns the rest of a publication that has begun into control
// bytes, ahead of all others.
func (s *shard) finishFront(c *conn) {
	f := c.out.Pop(&s.blocks)
	s.queued -= int64(len(f.Plain))
	rest := c.wire(f)[c.frontFrom:]
	q := &controls{bytes: append(make([]byte, 0, len(rest)+c.control.len()), rest...)}
	if c.control != nil {
		q.bytes = append(q.bytes, c.control.bytes[c.control.from:]...)
	}
	c.control, c.frontFrom = q, 0
}
