package engine

import (
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"weir/engine/broker"
	"weir/engine/clientproto"
	"weir/engine/hub"
	"weir/engine/outbox"
	"weir/engine/poll"
	"weir/engine/stats"
	"weir/engine/tlsconn"
	"weir/engine/wheel"
	"weir/engine/work"
	"weir/engine/ws"
	"weir/security/anomaly"
	"weir/security/audit"
	"weir/security/audit/capture"
	"weir/security/limit"
	"weir/security/schema"
	"weir/security/token"
)

// shared is what all shards of a server read: immutable, or safe for
// concurrent use by itself.
type shared struct {
	wall    func() time.Time // by which tokens end; that of all deadlines is clock
	start   time.Time
	tokens  *token.Verifier
	tickets *token.Tickets
	revoked *token.Revocations
	gate    *limit.Gate
	users   *limit.Users
	fails   *limit.Failures // credentials that were none, by address
	pending *limit.Failures // tokens by keys that are not here yet, by address
	pool    *tlsconn.Pool
	work    *work.Pool
	hooks   *hooks // nil: the operator has no backend
	hub     *hub.Hub
	broker  broker.Broker
	desk    *desk
	audit   *audit.Log        // nil: there is none
	capture *capture.Recorder // nil: nothing is captured
	bans    *anomaly.Bans     // nil: there are none
	banned  atomic.Uint64     // refused for one

	compression, echo bool
	proxyProtocol     bool   // connections of --proxy-listen begin with a header of it
	page              []byte // whole response for "/"; nil outside --dev
}

// clock is nanoseconds since the server's start: monotonic, never 0.
func (sh *shared) clock() int64 { return int64(sh.wall().Sub(sh.start)) + 1 }

// shard is one loop and all that it owns. It implements poll.Handler and
// tlsconn.Sink; other goroutines reach it only through post, its inbox and
// its stats.
type shard struct {
	*shared
	*policy // owned by the loop; Reload gives it another
	id      int
	loop    *poll.Loop
	inbox   *hub.Inbox
	stats   *stats.Shard

	// Owned by the loop.
	conns   slab
	wheel   *wheel.Wheel
	tls     *tlsconn.Shared
	frames  ws.Scratch
	parser  clientproto.Parser
	command clientproto.Command
	blocks  outbox.Pool
	sealed  []byte // scratch of flush
	replies []byte // scratch of commands
	reason  []byte // scratch of refused payloads
	checker schema.Validator
	buffers []*controls // empty ones
	ledger  ledger
	due     []uint32
	dirty   []uint32 // connections with something to flush
	over    overflow
	fanout  fanout
	traces  map[uint32]*capture.Trace // by slot, of connections that are captured or may be
	walks   []*part                   // of surveys, at most presenceWalks
	walked  limit.Bucket              // what they cost
	events  limit.Bucket              // what joins and leaves cost
	drain   drain
	strain  strain
	pause   pause
	partial int   // bytes held of what is not whole
	queued  int64 // bytes referenced by outboxes, and those of replies
	shedBy  int64 // when the outboxes may be looked through again
	now     int64 // clock of this turn

	panicked func(v any, stack []byte) // immutable

	woken atomic.Int64 // clock of the tick that the loop has not had its turn for; 0: it has
	lag   atomic.Int64 // the longest that it came late for one since the ticker last looked

	mu    sync.Mutex
	posts []post // guarded by mu; bounded by what its producers have in flight
	spare []post // owned by the loop
}

// post is a message from another goroutine to the loop. One field is set,
// flight with handshake.
type post struct {
	handshake *tlsconn.Handshake
	flight    []byte // to be written for handshake; nil: it is done
	job       job
	part      *part // of a walk that begins
	order     func(*shard)
}

// post leaves p for the loop. It never blocks. The queue needs no bound of its
// own: handshakes, jobs and API calls in flight are bounded where they start.
func (s *shard) post(p post) {
	s.mu.Lock()
	s.posts = append(s.posts, p)
	s.mu.Unlock()
	s.loop.Wake()
}

// Open implements poll.Handler.
func (s *shard) Open(peer, _ netip.AddrPort, door uint8) *poll.Conn {
	s.now = s.clock()
	if door != doorProxy && s.bannedMeanwhile(peer) {
		return nil
	}
	c := s.conns.take()
	c.peer = peer.Addr().Unmap()
	c.port, c.opened = peer.Port(), s.now
	c.phaseBy = s.after(int64(s.limits.HandshakeTimeout))
	if door == doorProxy {
		s.openedByProxy(c)
	} else {
		c.exempt = s.gate.Exempt(c.peer)
	}
	if s.limits.SessionMax > 0 {
		c.endAt = s.now + int64(s.limits.SessionMax)
	}
	s.arm(c)
	s.stats.Inc(stats.ConnectionsAccepted)
	s.stats.Move(stats.Connections, 1)
	return &c.Conn
}

// Data implements poll.Handler: where a frame's way in begins.
func (s *shard) Data(pc *poll.Conn, b []byte) {
	c := s.conns.at(pc.Slot)
	s.now = s.clock()
	s.stats.Add(stats.BytesIn, uint64(len(b)))
	c.received += uint64(len(b))
	switch c.phase {
	case phaseHello:
		if c.proxied() {
			s.preamble(c, b)
		} else {
			s.hello(c, b)
		}
	case phaseHandshake:
		if !c.waiting.handshake.Feed(b) {
			s.abort(c, labelHandshakeFlood)
		}
	case phaseHead, phaseUpgrade, phaseOpen:
		s.records(c, b)
	}
	s.settle(c)
}

// Writable implements poll.Handler.
func (s *shard) Writable(pc *poll.Conn) {
	c := s.conns.at(pc.Slot)
	s.now = s.clock()
	c.writeBy = 0
	s.settle(c)
}

// Closed implements poll.Handler: the last that is heard of a connection.
func (s *shard) Closed(pc *poll.Conn) {
	c := s.conns.at(pc.Slot)
	s.now = s.clock()
	s.ended(c, 0, endGone)
	s.wheel.Cancel(c.Slot)
	if c.link != linkProxy {
		s.gate.Release(c.peer)
	}
	s.stats.Move(stats.Connections, -1)
	if w := c.waiting; w != nil && w.handshake != nil {
		w.handshake.Abort()
	}
	s.detach(c)
	s.forget(c)
	s.conns.give(c) // last: a slot that a channel still names is not used again
}

// Wake implements poll.Handler: everything that others left for the loop, then
// the timers, then one flush for each connection that has something to send.
func (s *shard) Wake(turn time.Time) {
	s.now = s.clock()
	s.roused()
	s.mu.Lock()
	posts := s.posts
	s.posts = s.spare[:0]
	s.mu.Unlock()
	for i := range posts {
		s.accept(&posts[i])
	}
	clear(posts)
	s.spare = posts
	s.deadlines(turn)
	s.forgive()
	s.drainSome()
	s.makeRoom()
	if s.walkOn() {
		s.loop.Wake()
	}
	s.deliver()
	s.sweep()
}

func (s *shard) accept(p *post) {
	var c *conn
	defer func() { s.contain(recover(), c) }()
	switch {
	case p.order != nil:
		p.order(s)
	case p.part != nil:
		s.walks = append(s.walks, p.part)
	case p.job != nil:
		if c = s.conns.find(p.job.of()); c != nil && c.busy {
			c.busy = false
			if c.phase < phaseClosing {
				p.job.finish(s, c)
				s.resume(c)
			}
			s.settle(c)
		}
	case p.flight != nil:
		if c = s.conns.find(handle(p.handshake.Tag())); c != nil && c.phase == phaseHandshake {
			s.write(c, p.flight)
		}
	default:
		if c = s.conns.find(handle(p.handshake.Tag())); c != nil && c.phase == phaseHandshake {
			s.handshaken(c)
			s.settle(c)
		}
	}
}

// contain ends a step of a turn: a panic in it, v, costs the connection that
// it was about (nil: none), not what else the turn has to do.
func (s *shard) contain(v any, c *conn) {
	if v == nil {
		return
	}
	s.panicked(v, debug.Stack())
	if c != nil && c.phase != phaseGone {
		c.phase = phaseFinished
		c.Abort()
	}
}

// settle ends a turn of one connection: what it has to send goes out in one
// write, the shard's budgets are kept, and the wheel learns its next deadline.
func (s *shard) settle(c *conn) {
	if c.phase == phaseGone {
		return
	}
	if !c.dirty {
		s.pump(c)
	}
	if c.waiting != nil && !c.busy && c.waiting.idle() {
		c.waiting = nil
	}
	s.recount(c)
	if s.partial > s.perShard.partial {
		s.relieve()
	}
	s.shed()
	s.arm(c)
}

// write hands raw bytes (handshake flights, sealed records) to the socket.
func (s *shard) write(c *conn, b []byte) {
	if c.Unsent() == 0 {
		c.writeBy = 0 // the batch before is out, whether or not Writable was told
	}
	if err := c.Write(b); err != nil {
		return // poll closes it, Closed follows
	}
	s.stats.Add(stats.BytesOut, uint64(len(b)))
	c.sent += uint64(len(b))
	if c.Unsent() > 0 && c.writeBy == 0 {
		c.writeBy, c.unsentMark = s.after(int64(s.limits.WriteTimeout)), int32(c.Unsent())
	}
}

var (
	_ poll.Handler = (*shard)(nil)
	_ tlsconn.Sink = (*shard)(nil)
)

// take charges a bucket; nil is no limit.
func take(b *limit.Bucket, r *limit.Rate, cost int, now int64) bool {
	return r == nil || b.Take(r, int64(cost), now)
}
