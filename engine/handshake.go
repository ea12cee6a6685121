package engine

import (
	"errors"

	"weir/engine/stats"
	"weir/engine/tlsconn"
	"weir/security/audit"
)

// hello collects the ClientHello on the loop: a silent or dripping peer costs
// its bytes and no goroutine. What does not look like TLS is closed unanswered.
func (s *shard) hello(c *conn, b []byte) {
	in := b
	held := len(c.partial()) > 0
	if held {
		s.hold(c, b)
		in = c.partial()
	}
	whole, v := tlsconn.Hello(in)
	switch {
	case v != nil:
		s.abort(c, labelNotTLS)
	case !whole && !held:
		s.hold(c, b)
	case whole:
		c.phase = phaseHandshake
		c.waitings().handshake = s.pool.Start(in, c.peer, uint64(c.handle()), s)
		s.unhold(c)
	}
}

// HandshakeWrite implements tlsconn.Sink.
func (s *shard) HandshakeWrite(h *tlsconn.Handshake, flight []byte) {
	s.post(post{handshake: h, flight: flight})
}

// HandshakeDone implements tlsconn.Sink.
func (s *shard) HandshakeDone(h *tlsconn.Handshake) { s.post(post{handshake: h}) }

// handshaken takes over from crypto/tls. Bytes that the client pipelined
// behind its Finished are opened here, before any new ones can come.
func (s *shard) handshaken(c *conn) {
	h := c.waiting.handshake
	c.waiting.handshake = nil
	info, err := h.Take(&c.tls)
	if err != nil {
		s.stats.Label(stats.HandshakesFailed, reasonOf(err))
		s.attempted(c, audit.HandshakeFailed, reasonOf(err), 0)
		s.finish(c) // the alert is on its way
		return
	}
	s.stats.Inc(stats.HandshakesDone)
	if info.Resumed {
		s.stats.Inc(stats.HandshakesResumed)
	}
	s.remember(c, info)
	c.phase, c.link = phaseHead, linkTLS
	c.phaseBy = s.after(int64(s.limits.HeadTimeout))
	if info.ALPN == tlsconn.ChallengeProto {
		s.finish(c) // it has seen what it came for: nothing is said
		return
	}
	if len(info.PeerCertificates) > 0 {
		s.certified(c, info.PeerCertificates[0])
	}
	if left := h.Leftover(); len(left) > 0 {
		s.records(c, left)
	}
}

// reasonOf is the metric label of a failed handshake.
func reasonOf(err error) string {
	if f := (*tlsconn.Failure)(nil); errors.As(err, &f) {
		return f.Label
	}
	return stats.Other
}
