package engine

import (
	"net/netip"

	"weir/engine/hub"
	"weir/engine/outbox"
	"weir/engine/poll"
	"weir/engine/session"
	"weir/engine/tlsconn"
	"weir/engine/ws"
	"weir/security/audit"
	"weir/security/origin"
	"weir/security/token"
)

// phase is how far a connection has come. It only grows.
type phase uint8

const (
	phaseHello     phase = iota // collecting the ClientHello
	phaseHandshake              // crypto/tls is at work off the loop
	phaseHead                   // collecting the request head
	phaseUpgrade                // the head's credential is with the workers
	phaseOpen                   // WebSocket
	phaseClosing                // our last bytes are queued; input is not looked at
	phaseFinished               // handed to poll to be finished
	phaseGone                   // closed; the slot waits for its next connection
)

// kind is what a WebSocket is for.
type kind uint8

const (
	kindProtocol kind = iota
	kindFeed
	kindEcho
	kinds
)

// form is how a connection of this kind is told of publications.
func (k kind) form() hub.Form {
	if k == kindFeed {
		return hub.Feed
	}
	return hub.Protocol
}

// conn is one connection. Everything in it is owned by its shard's loop. It
// lives in the shard's slab and is found by slot; a handle (slot and
// generation) is what others may keep.
type conn struct {
	poll.Conn

	generation uint32
	phase      phase
	link       link
	kind       kind
	busy       bool // a command or credential is with the workers: input waits
	dirty      bool // stands in shard.dirty
	awaitPong  bool
	compress   bool // permessage-deflate was negotiated
	exempt     bool // from limits per address and user
	counted    bool // among its user's connections
	behind     bool // a subscription of it may be held: see catchUp
	traced     bool // stands in shard.traces
	seated     bool // has a session: from the 101 on; never on /echo
	origin     origin.ID

	by             audit.Auth // what said who the session's user is
	wrong          uint8      // tokens that its user's session brought, and that were none
	account        account
	port           uint16 // of the peer
	opened         int64
	received, sent uint64 // bytes of the socket

	peer    netip.Addr
	tls     tlsconn.Conn
	frames  ws.Reader
	session session.Session // of one that is seated
	waiting *waiting        // nil but while something is held, or of a client that showed a certificate

	// What waits to be written: replies and control frames as bytes, sent first;
	// publications as references.
	control    *controls // nil: none
	out        outbox.Queue
	frontFrom  int32 // bytes sealed of the outbox's first frame
	unsentMark int32 // Unsent when writeBy was set

	// What the shard's sums have of it: see recount.
	heldSum, owedSum int32

	// Deadlines, 0: none.
	phaseBy   moment // the phase must be over
	recordBy  moment // a record that has begun must be whole
	messageBy moment // a message that has begun must be whole
	writeBy   moment // the kernel must have taken something
	pingAt    moment // next ping; with awaitPong: the pong must be here
	armed     moment // what the wheel knows
	expireBy  int64  // the token is over, or that of a subscription; nanoseconds of the server's clock
	endAt     int64  // session-max, or the end of the client's certificate; as expireBy

	charges *charges // owned by the ledger; nil: nothing is spent of what it may send

	identity    token.Identity // whose token the session lives by
	revocations uint32         // epoch of the revocations at the last look
}

// controls are replies and control frames that wait. The shard lends them.
type controls struct {
	bytes []byte
	from  int // sealed of bytes
}

// len is 0 for nil.
func (q *controls) len() int {
	if q == nil {
		return 0
	}
	return len(q.bytes)
}

// left is what is not sealed yet, in bytes; 0 for nil.
func (q *controls) left() int {
	if q == nil {
		return 0
	}
	return len(q.bytes) - q.from
}

// room is the memory that they take, in bytes; 0 for nil.
func (q *controls) room() int {
	if q == nil {
		return 0
	}
	return cap(q.bytes)
}

// waiting is what a connection has beyond its first phases only now and then: input
// that is not whole, or that came while a command was with the workers, and what is
// kept until the request is answered.
type waiting struct {
	handshake *tlsconn.Handshake // phaseHandshake
	asked     *asked             // until the request is answered

	// In the order in which they came.
	head    []byte // of the request, while it is collected
	lines   []byte // rest of a message
	plain   []byte // rest of a record
	partial []byte // of a hello or a record, sealed

	claims      *token.Claims  // of the handshake's credential, until connect
	certificate *token.Claims  // of the client's certificate, until the session is authenticated
	shown       token.Identity // of the client's certificate, for the life of the connection; zero: it has shown none
	upgrade     upgradePlan    // what the request asked for, while its credential is checked
}

// idle reports whether nothing is held or known.
func (w *waiting) idle() bool {
	return w.handshake == nil && w.asked == nil && len(w.head)+len(w.lines)+len(w.plain)+len(w.partial) == 0 &&
		w.claims == nil && w.certificate == nil && w.shown == token.Identity{}
}

// bytes is what is held of input, with the room for it.
func (w *waiting) bytes() int { return cap(w.head) + cap(w.lines) + cap(w.plain) + cap(w.partial) }

// handle names one life of a slot.
type handle uint64

// seat gives c a session, unseat takes it.
func (c *conn) seat() {
	c.seated, c.session = true, session.Session{}
	c.session.From(c.origin)
}

func (c *conn) unseat() { c.seated, c.session = false, session.Session{} }

// ofUser reports whether c is somebody's: of a user that was proven.
func (c *conn) ofUser() bool { return c.session.User() != "" }

func (c *conn) handle() handle { return handle(uint64(c.generation)<<32 | uint64(c.Slot)) }

// slab holds a shard's connections in chunks that never move.
type slab struct {
	chunks []*[slabChunk]conn
	free   []uint32
	used   int
}

// slabChunk is how many connections a chunk has: so many that what rounding it up to
// whole pages wastes is a few bytes for each.
const slabChunk = 1024

func (s *slab) at(slot uint32) *conn { return &s.chunks[slot/slabChunk][slot%slabChunk] }

// take returns a slot ready for a new connection.
func (s *slab) take() *conn {
	if len(s.free) == 0 {
		base := uint32(len(s.chunks) * slabChunk)
		s.chunks = append(s.chunks, new([slabChunk]conn))
		for i := range uint32(slabChunk) {
			s.free = append(s.free, base+slabChunk-1-i)
			s.at(base + i).phase = phaseGone
		}
	}
	slot := s.free[len(s.free)-1]
	s.free = s.free[:len(s.free)-1]
	s.used++
	c := s.at(slot)
	*c = conn{generation: c.generation + 1}
	c.Slot = slot
	return c
}

// give takes back a slot whose connection is closed.
func (s *slab) give(c *conn) {
	slot := c.Slot
	*c = conn{generation: c.generation, phase: phaseGone}
	s.free = append(s.free, slot)
	s.used--
}

// find returns the connection that h names, or nil when it is gone.
func (s *slab) find(h handle) *conn {
	slot := uint32(h)
	if int(slot/slabChunk) >= len(s.chunks) {
		return nil
	}
	if c := s.at(slot); c.phase != phaseGone && c.generation == uint32(h>>32) {
		return c
	}
	return nil
}

// each calls f for every live connection; f may close it.
func (s *slab) each(f func(*conn)) {
	for _, chunk := range s.chunks {
		for i := range chunk {
			if chunk[i].phase != phaseGone {
				f(&chunk[i])
			}
		}
	}
}
