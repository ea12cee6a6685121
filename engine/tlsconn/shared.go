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
func (s *Shared) sweep(age uint16) {
	if s.hand >= len(s.kept) {
		s.hand = 0
	}
	c := s.kept[s.hand]
	for d := range c.extra.aeads {
		if uint16(s.clock)-c.used[d] > age {
			s.forget(c, direction(d))
		}
	}
	if c.extra.aeads[reading] == nil && c.extra.aeads[writing] == nil {
		s.unlist(c) // another takes its place: the hand stays
		return
	}
	s.hand++
}

// cipher is c's cipher for one record: the kept one, else one made anew, which is kept if the key was used within the
// last second too and there is room.
func (s *Shared) cipher(c *Conn, d direction) cipher.AEAD {
	now := uint16(s.clock)
	recent := c.used[d] != 0 && now-c.used[d] <= 1
	c.used[d] = now
	if c.extra != nil && c.extra.aeads[d] != nil {
		return c.extra.aeads[d]
	}
	key := &c.keys[d]
	a := key.AEAD()
	if recent && s.room(cipherBytes(key.Suite())) {
		s.keep(c, d, a)
	}
	return a
}

// keep keeps a cipher for which there is room. c has none for that direction.
func (s *Shared) keep(c *Conn, d direction, a cipher.AEAD) {
	if c.extra == nil {
		c.extra = new(extra)
	}
	c.extra.aeads[d] = a
	s.held += cipherBytes(c.keys[d].Suite())
	if c.extra.place == 0 {
		s.kept = append(s.kept, c)
		c.extra.place = uint32(len(s.kept))
	}
}

// room reports whether cost more bytes may be kept, after a short search for ciphers that are idle.
func (s *Shared) room(cost int) bool {
	for i := 0; i < displaceSteps && s.held+cost > s.limit && len(s.kept) > 0; i++ {
		s.sweep(displaceAfter - 1)
	}
	return s.held+cost <= s.limit
}

// forget drops one cipher. Its connection stays listed until the next sweep.
func (s *Shared) forget(c *Conn, d direction) {
	if c.extra != nil && c.extra.aeads[d] != nil {
		c.extra.aeads[d] = nil
		s.held -= cipherBytes(c.keys[d].Suite())
	}
}

// unlist takes c, which keeps no cipher, out of kept; the last one takes its place.
func (s *Shared) unlist(c *Conn) {
	last := s.kept[len(s.kept)-1]
	s.kept[c.extra.place-1] = last
	last.extra.place = c.extra.place
	s.kept[len(s.kept)-1] = nil
	s.kept = s.kept[:len(s.kept)-1]
	c.extra.place = 0
	if c.extra.v12 == nil {
		c.extra = nil
	}
}

// drop forgets all that c keeps.
func (s *Shared) drop(c *Conn) {
	s.forget(c, reading)
	s.forget(c, writing)
	if c.extra != nil && c.extra.place != 0 {
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
