package ws

const (
	// keepFree and keepFreeBytes bound what a Scratch holds for reuse: enough that a loop's usual share
	// of half-read frames allocates nothing, small against the memory of its connections.
	keepFree      = 256
	keepFreeBytes = 1 << 20

	// keepBuffer is the largest buffer kept for reuse; one large message must not stay for good.
	keepBuffer = 128 << 10
)

// partial is what a connection holds while a frame or a message has begun and is not whole.
type partial struct {
	msg   []byte // the message's payload so far: unmasked, and still compressed if it came so
	valid int    // bytes of msg known to be whole UTF-8 characters, if it is plain text

	frame Header // the frame being read, if inFrame
	left  int    // bytes of its payload that have not come
	pos   int    // bytes of its payload that have

	op         Opcode // of the message; OpContinuation: none has begun
	compressed bool   // the message
	inFrame    bool
	fragments  int // frames of the message so far

	over       bool // nothing more begins: Scratch.over
	headLen    uint8
	controlLen uint8
	head       [MaxHeaderBytes]byte  // a header not yet whole
	control    [maxControlBytes]byte // a control frame's payload, which may come amid a message
}

// idle tells that nothing has begun.
func (p *partial) idle() bool { return !p.inFrame && p.headLen == 0 && p.op == OpContinuation }

// grow makes room for n more bytes of payload. The buffer doubles, but not beyond the end of the message
// once it is in sight: it is at most twice what has arrived, whatever was declared.
func (p *partial) grow(n int) {
	need := len(p.msg) + n
	if need <= cap(p.msg) {
		return
	}
	size := 2 * cap(p.msg)
	if p.frame.Fin {
		size = min(size, len(p.msg)+p.left)
	}
	p.msg = append(make([]byte, 0, max(need, size)), p.msg...)
}

// Scratch is the working memory that the connections of one loop share: buffers for reuse, and the
// inflater. The zero value is ready. It belongs to one goroutine.
type Scratch struct {
	lent      *partial // holds the payload of the last event
	free      []*partial
	freeBytes int // buffers of the free ones
	inflater  *inflater
	inflated  []byte // the payload of the last event, if it came compressed

	// over is in the place of what has begun in every Reader that has ended: so a Reader is one pointer.
	over partial
}

func (s *Scratch) theEnd() *partial {
	s.over.over = true
	return &s.over
}

// borrow returns an empty partial.
func (s *Scratch) borrow() *partial {
	last := len(s.free) - 1
	if last < 0 {
		return new(partial)
	}
	p := s.free[last]
	s.free[last] = nil
	s.free = s.free[:last]
	s.freeBytes -= cap(p.msg)
	return p
}

// giveBack takes p for reuse, or leaves it to the collector.
func (s *Scratch) giveBack(p *partial) {
	msg := p.msg[:0]
	if cap(msg) > keepBuffer || s.freeBytes+cap(msg) > keepFreeBytes {
		msg = nil
	}
	if len(s.free) >= keepFree {
		return
	}
	*p = partial{msg: msg}
	s.freeBytes += cap(msg)
	s.free = append(s.free, p)
}

// reclaim ends the loan of the last event's payload.
func (s *Scratch) reclaim() {
	if s.lent != nil {
		s.giveBack(s.lent)
		s.lent = nil
	}
	if cap(s.inflated) > keepBuffer {
		s.inflated = nil
	}
}

// inflate decompresses a message's payload; the result is on loan until reclaim.
func (s *Scratch) inflate(payload []byte, limit int) ([]byte, *Violation) {
	if s.inflater == nil {
		s.inflater = newInflater()
	}
	var v *Violation
	s.inflated, v = s.inflater.inflate(s.inflated[:0], payload, limit)
	return s.inflated, v
}
