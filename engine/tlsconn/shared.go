package tlsconn

import (
	"crypto/cipher"
	"time"

	"weir/engine/tlsconn/record"
)

// An expanded cipher costs a kilobyte; made anew for each record it costs a microsecond and garbage. So those of
// connections in use are kept, within bounds: a second for who has only come, longer for who is told of something every few
// seconds.
const (
	// keptFor is how long a kept cipher may be unused, in seconds of the clock.
	keptFor = 1
	// steadyFor is how long one in steady use may be. Pings are further apart, unless --ping-interval is shorter: then the ciphers of all
	// who answer stay, as far as there is room.
	steadyFor = 5
	// steadyAfter is in how many seconds beside the first a kept one must have been used to be in steady use. One that was used
	// again after more than keptFor, and within steadyFor, is so at once.
	steadyAfter = 3
	// displaceAfter is how long a cipher must be unused, in seconds, to make room for one that is used every second.
	displaceAfter = 2
	// displaceSteps bounds the search for one that makes room.
	displaceSteps = 4
)

// CiphersIdle is how long after its last use a cipher is gone that was not in steady use, if Tick is called every second. After
// a connect storm the ciphers of the storm itself are garbage by then: memory that is handed back earlier than that is too
// little.
const CiphersIdle = (keptFor + 1) * time.Second

// Shared is what the Conns of one loop have in common: scratch room, a clock of seconds, and the bounded set of
// ciphers that are kept. Owned by the loop.
type Shared struct {
	scratch record.Scratch
	clock   uint32 // seconds, set by Tick; never 0
	tight   bool   // no use is steady
	limit   int    // bytes
	held    int    // bytes of ciphers kept, by cipherBytes
	kept    []*Conn
	hand    int // where Tick, and whoever looks for room, goes on in kept
}

// NewShared keeps ciphers of at most cacheBytes, about 1 KB for each direction in use.
func NewShared(cacheBytes int) *Shared { return &Shared{limit: cacheBytes, clock: 1} }

// Tick sets the clock and drops all ciphers that have not been used for too long: since the last tick but one, or those in
// steady use for steadyFor. While memory is tight no use counts as steady. Call it about once a second. It costs some
// nanoseconds for each that is kept.
func (s *Shared) Tick(now time.Time, tight bool) {
	s.clock, s.tight = max(1, uint32(now.Unix())), tight
	for range len(s.kept) {
		s.sweep(false)
	}
}

// Held is how many bytes of ciphers are kept.
func (s *Shared) Held() int { return s.held }

// sweep looks at the connection under the hand and drops what it has not used for too long, or just not lately if another
// is to have its room.
func (s *Shared) sweep(displace bool) {
	if s.hand >= len(s.kept) {
		s.hand = 0
	}
	c := s.kept[s.hand]
	for d := range c.extra.aeads {
		most := uint16(keptFor)
		if displace {
			most = displaceAfter - 1
		} else if c.extra.seconds[d] >= steadyAfter && !s.tight {
			most = steadyFor
		}
		if uint16(s.clock)-c.used[d] > most {
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
// last second too, or the last few, and there is room.
func (s *Shared) cipher(c *Conn, d direction) cipher.AEAD {
	now := uint16(s.clock)
	since := now - c.used[d]
	known := c.used[d] != 0
	c.used[d] = now
	if c.extra != nil && c.extra.aeads[d] != nil {
		if since > 0 && c.extra.seconds[d] < steadyAfter {
			c.extra.seconds[d]++
		}
		return c.extra.aeads[d]
	}
	key := &c.keys[d]
	a := key.AEAD()
	slow := since > keptFor
	if known && (!slow || since <= steadyFor && !s.tight) && s.room(cipherBytes(key.Suite()), !slow) {
		s.keep(c, d, a)
		if slow {
			c.extra.seconds[d] = steadyAfter
		}
	}
	return a
}

// keep keeps a cipher for which there is room. c has none for that direction.
func (s *Shared) keep(c *Conn, d direction, a cipher.AEAD) {
	if c.extra == nil {
		c.extra = new(extra)
	}
	c.extra.aeads[d], c.extra.seconds[d] = a, 0
	s.held += cipherBytes(c.keys[d].Suite())
	if c.extra.place == 0 {
		s.kept = append(s.kept, c)
		c.extra.place = uint32(len(s.kept))
	}
}

// room reports whether cost more bytes may be kept; if others may give way for it, after a short search for ciphers that are
// idle. For one that is itself used only every few seconds none does: with more of them than there is room for, none would ever be used
// again.
func (s *Shared) room(cost int, displace bool) bool {
	for i := 0; displace && i < displaceSteps && s.held+cost > s.limit && len(s.kept) > 0; i++ {
		s.sweep(true)
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
