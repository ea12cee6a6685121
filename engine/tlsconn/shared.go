package tlsconn

import (
	"crypto/cipher"
	"time"

	"weir/engine/tlsconn/record"
)

// An expanded cipher costs a kilobyte; made anew for each record it costs half a microsecond and garbage. So those
// of connections in use are kept, within bounds.
const (
	// keptFor is how long a kept cipher may be unused, in seconds of the clock.
	keptFor = 1
	// displaceAfter is how long a cipher must be unused, in seconds, to make room for another.
	displaceAfter = 2
	// displaceSteps bounds the search for one that makes room.
	displaceSteps = 4
)

// CiphersIdle is how long after its last use a cipher is gone, if Tick is called every second. After a connect storm the
// ciphers of the storm itself are garbage by then: memory that is handed back earlier than that is too little.
const CiphersIdle = (keptFor + 1) * time.Second

// Shared is what the Conns of one loop have in common: scratch room, a clock of seconds, and the bounded set of
// ciphers that are kept. Owned by the loop.
type Shared struct {
	scratch record.Scratch
	clock   uint32 // seconds, set by Tick; never 0
	limit   int    // bytes
	held    int    // bytes of ciphers kept, by cipherBytes
	kept    []*Conn
	hand    int // where Tick, and whoever looks for room, goes on in kept
}

// NewShared keeps ciphers of at most cacheBytes, about 1 KB for each direction in use.
func NewShared(cacheBytes int) *Shared { return &Shared{limit: cacheBytes, clock: 1} }

// Tick sets the clock and drops all ciphers that have not been used since the last tick but one. Call it about once a
// second. It costs some nanoseconds for each that is kept.
func (s *Shared) Tick(now time.Time) {
	s.clock = max(1, uint32(now.Unix()))
	for range len(s.kept) {
		s.sweep(keptFor)
	}
}

// Held is how many bytes of ciphers are kept.
func (s *Shared) Held() int { return s.held }

// sweep looks at the connection under the hand and drops what it has not used for more than age seconds.
func (s *Shared) sweep(age uint32) {
	if s.hand >= len(s.kept) {
		s.hand = 0
	}
	c := s.kept[s.hand]
	for _, h := range []*half{&c.in, &c.out} {
		if h.aead != nil && s.clock-h.used > age {
			s.forget(h)
		}
	}
	if c.in.aead == nil && c.out.aead == nil {
		s.unlist(c) // another takes its place: the hand stays
		return
	}
	s.hand++
}

// cipher is h's cipher for one record: the kept one, else one made anew, which is kept if h was used within the last
// second too and there is room.
func (s *Shared) cipher(c *Conn, h *half) cipher.AEAD {
	recent := h.used != 0 && s.clock-h.used <= 1
	h.used = s.clock
	if h.aead != nil {
		return h.aead
	}
	a := h.key.AEAD()
	if recent && s.room(cipherBytes(h.key.Suite())) {
		h.aead = a
		s.held += cipherBytes(h.key.Suite())
		if c.kept == 0 {
			s.kept = append(s.kept, c)
			c.kept = uint32(len(s.kept))
		}
	}
	return a
}

// room reports whether cost more bytes may be kept, after a short search for ciphers that are idle.
func (s *Shared) room(cost int) bool {
	for i := 0; i < displaceSteps && s.held+cost > s.limit && len(s.kept) > 0; i++ {
		s.sweep(displaceAfter - 1)
	}
	return s.held+cost <= s.limit
}

// forget drops one cipher. Its connection stays listed until the next sweep.
func (s *Shared) forget(h *half) {
	if h.aead != nil {
		h.aead = nil
		s.held -= cipherBytes(h.key.Suite())
	}
}

// unlist takes c, which keeps no cipher, out of kept; the last one takes its place.
func (s *Shared) unlist(c *Conn) {
	last := s.kept[len(s.kept)-1]
	s.kept[c.kept-1] = last
	last.kept = c.kept
	s.kept[len(s.kept)-1] = nil
	s.kept = s.kept[:len(s.kept)-1]
	c.kept = 0
}

// drop forgets all that c keeps.
func (s *Shared) drop(c *Conn) {
	s.forget(&c.in)
	s.forget(&c.out)
	if c.kept != 0 {
		s.unlist(c)
	}
}

// cipherBytes is the live heap of one cipher, with the allocator's rounding.
func cipherBytes(suite uint16) int {
	const chaCha20Poly1305 = 0x1303
	if suite == chaCha20Poly1305 {
		return 32
	}
	return 1024
}
