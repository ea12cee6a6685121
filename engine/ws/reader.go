package ws

import (
	"encoding/binary"
	"unicode/utf8"
	"unsafe"
)

// Limits bound what a peer may send. The zero value allows only empty messages.
type Limits struct {
	Message     int  // bytes of a message's payload, after inflating; more closes with 1009
	Fragments   int  // frames of one message, empty ones counted; more closes with 1008; 0: no bound
	Compression bool // permessage-deflate was negotiated, without context takeover
	Client      bool // the reader is a client's, and expects frames that are not masked
}

// Kind says what an Event is.
type Kind uint8

// The kinds of events. None: the input is used up and more is needed, or the connection has ended.
const (
	None Kind = iota
	Text
	Binary
	Ping
	Pong
	Close
)

// Event is a whole message or control frame. Payload, of a Close its reason, is on loan: it may
// lie in the input or in the Scratch, and is good until the next call of Next with that Scratch.
type Event struct {
	Kind    Kind
	Payload []byte
	Code    uint16 // of a Close; NoStatus if the peer gave none
}

// Reader turns one connection's bytes into events. The zero value is a new one. It belongs to one
// goroutine.
type Reader struct {
	p *partial // what has begun; nil: nothing; Scratch.over: see ended
}

// ended reports whether a close frame or a violation has come: what follows is discarded.
func (r *Reader) ended() bool { return r.p != nil && r.p.over }

// Next takes the next event off in. It returns what is left of in, to be given to the next call; with
// None and with a violation nothing is left. Payloads are unmasked in place, so in must be writable, and is the caller's again
// when Next returns, except for the payload on loan. After a Close or a violation the connection has
// ended for this Reader, and further input is discarded (RFC 6455 §1.4, §7.1.7).
//
// A limit is judged on the header, before a byte of the payload is stored.
func (r *Reader) Next(in []byte, lim *Limits, s *Scratch) (ev Event, rest []byte, v *Violation) {
	s.reclaim()
	for !r.ended() {
		if r.p == nil || !r.p.inFrame {
			h, n, v := r.header(in, s)
			if v == nil && n > 0 {
				v = r.admit(h, lim)
			}
			if v != nil {
				return r.fail(v, s)
			}
			if n == 0 {
				return Event{}, nil, nil
			}
			in = in[n:]
			if h.Length <= uint64(len(in)) && (h.Opcode.Control() || h.Fin && h.Opcode != OpContinuation) {
				payload := in[:h.Length:h.Length]
				if h.Masked {
					Mask(payload, h.Mask, 0)
				}
				return r.deliver(h.Opcode, h.Rsv1, payload, in[h.Length:], lim, s)
			}
			r.begin(h, s)
		}
		n, v := r.p.take(in)
		if v != nil {
			return r.fail(v, s)
		}
		in = in[n:]
		p := r.p
		switch {
		case p.left > 0:
			return Event{}, nil, nil
		case p.frame.Opcode.Control():
			p.inFrame = false
			return r.deliver(p.frame.Opcode, false, p.control[:p.controlLen], in, lim, s)
		case p.frame.Fin:
			r.p, s.lent = nil, p
			return r.deliver(p.op, p.compressed, p.msg, in, lim, s)
		}
		p.inFrame = false
	}
	return Event{}, nil, nil
}

// Partial tells whether a frame or a message has begun and is not whole.
func (r *Reader) Partial() bool { return r.p != nil && !r.ended() }

// Buffered returns the memory, in bytes, that a partial frame or message holds; 0 if there is none.
func (r *Reader) Buffered() int {
	if !r.Partial() {
		return 0
	}
	return int(unsafe.Sizeof(*r.p)) + cap(r.p.msg)
}

// Release gives what is held back to the Scratch, at the end of the connection; further input is
// discarded. The payload of the last event stays good.
func (r *Reader) Release(s *Scratch) {
	if r.Partial() {
		s.giveBack(r.p)
	}
	r.p = s.theEnd()
}

// header reads the next header, part of which may have come with an earlier input. It returns how many
// bytes of in it took, 0 if the header is not whole yet, in which case all of in is kept.
func (r *Reader) header(in []byte, s *Scratch) (h Header, n int, v *Violation) {
	if r.p == nil || r.p.headLen == 0 {
		h, n, v = ParseHeader(in)
		if n == 0 && v == nil && len(in) > 0 {
			p := r.hold(s)
			p.headLen = uint8(copy(p.head[:], in))
		}
		return h, n, v
	}
	p := r.p
	had := int(p.headLen)
	whole := had + copy(p.head[had:], in)
	h, n, v = ParseHeader(p.head[:whole])
	if n == 0 {
		p.headLen = uint8(whole)
		return h, 0, v
	}
	p.headLen = 0
	return h, n - had, nil
}

// admit judges a header: first the protocol, then the limits.
func (r *Reader) admit(h Header, lim *Limits) *Violation {
	state := State{Client: lim.Client, Compression: lim.Compression}
	held, fragments, compressed := 0, 0, h.Rsv1
	if p := r.p; p != nil && p.op != OpContinuation {
		state.Fragmented = true
		held, fragments, compressed = len(p.msg), p.fragments, p.compressed
	}
	if v := Check(h, state); v != nil {
		return v
	}
	if h.Opcode.Control() {
		return nil
	}
	allowed := lim.Message
	if compressed {
		// A deflater may turn 8 bits into 9 and adds a few bytes for blocks.
		allowed += allowed/8 + 64
	}
	if held > allowed || h.Length > uint64(allowed-held) {
		return ErrTooBig
	}
	if lim.Fragments > 0 && fragments >= lim.Fragments {
		return ErrTooManyFragments
	}
	return nil
}

// hold returns the connection's partial, borrowed if it has none.
func (r *Reader) hold(s *Scratch) *partial {
	if r.p == nil {
		r.p = s.borrow()
	}
	return r.p
}

// begin starts a frame that is not whole in the input, or one of several of its message.
func (r *Reader) begin(h Header, s *Scratch) {
	p := r.hold(s)
	p.frame, p.inFrame, p.left, p.pos = h, true, int(h.Length), 0
	if h.Opcode.Control() {
		p.controlLen = 0
		return
	}
	if h.Opcode != OpContinuation {
		p.op, p.compressed = h.Opcode, h.Rsv1
	}
	p.fragments++
}

// take stores what in holds of the frame's payload and returns how much that was. Text is judged as
// far as it has come. RFC 6455 §8.1.
func (p *partial) take(in []byte) (n int, v *Violation) {
	n = min(p.left, len(in))
	var stored []byte
	if p.frame.Opcode.Control() {
		stored = p.control[p.controlLen:][:copy(p.control[p.controlLen:], in[:n])]
		p.controlLen += uint8(n)
	} else {
		p.grow(n)
		p.msg = append(p.msg, in[:n]...)
		stored = p.msg[len(p.msg)-n:]
	}
	if p.frame.Masked {
		Mask(stored, p.frame.Mask, p.pos)
	}
	p.left -= n
	p.pos += n
	if p.frame.Opcode.Control() || p.op != OpText || p.compressed {
		return n, nil
	}
	whole, ok := wholeRunes(p.msg[p.valid:])
	p.valid += whole
	if !ok || p.frame.Fin && p.left == 0 && p.valid != len(p.msg) {
		return n, ErrText
	}
	return n, nil
}

// deliver makes the event of a whole message or control frame.
func (r *Reader) deliver(op Opcode, compressed bool, payload, rest []byte, lim *Limits, s *Scratch) (Event, []byte, *Violation) {
	ev := Event{Payload: payload}
	var v *Violation
	switch op {
	case OpText:
		ev.Kind = Text
	case OpBinary:
		ev.Kind = Binary
	case OpPing:
		ev.Kind = Ping
	case OpPong:
		ev.Kind = Pong
	case OpClose:
		ev.Kind = Close
		ev.Code, ev.Payload, v = parseClose(payload)
	}
	if compressed {
		ev.Payload, v = s.inflate(payload, lim.Message)
	}
	// Text that was collected has been judged on the way.
	if v == nil && op == OpText && (compressed || s.lent == nil) && !utf8.Valid(ev.Payload) {
		v = ErrText
	}
	if v != nil {
		return r.fail(v, s)
	}
	if p := r.p; p != nil && (op == OpClose || p.idle()) { // ev.Payload may lie in its control buffer
		r.p, s.lent = nil, p
	}
	if op == OpClose {
		r.p = s.theEnd()
	}
	return ev, rest, nil
}

// fail ends the connection.
func (r *Reader) fail(v *Violation, s *Scratch) (Event, []byte, *Violation) {
	r.Release(s)
	return Event{}, nil, v
}

// parseClose splits a close frame's payload, which Check has found not to be one byte. RFC 6455 §5.5.1.
func parseClose(payload []byte) (code uint16, reason []byte, v *Violation) {
	if len(payload) < 2 {
		return NoStatus, nil, nil
	}
	code, reason = binary.BigEndian.Uint16(payload), payload[2:]
	if !ValidCloseCode(code) {
		return 0, nil, ErrCloseCode
	}
	if !utf8.Valid(reason) {
		return 0, nil, ErrCloseReason
	}
	return code, reason, nil
}

// wholeRunes returns how many bytes of b make up whole characters. What is left, at most three bytes,
// can still become one. ok is false once no continuation could make b valid UTF-8.
func wholeRunes(b []byte) (n int, ok bool) {
	n = len(b)
	for back := 1; back < utf8.UTFMax && back <= len(b); back++ {
		tail := b[len(b)-back:]
		if utf8.RuneStart(tail[0]) {
			if !utf8.FullRune(tail) {
				n -= back
			}
			break
		}
	}
	return n, utf8.Valid(b[:n])
}
