package engine

import (
	"net/netip"

	"weir/engine/poll"
	"weir/engine/upgrade"
	"weir/security/audit"
	"weir/security/proxy"
)

// A connection through a trusted proxy (SECURITY.md T6) is one without a record
// layer. Everything else is as ever, once it is known whose it is: by the header
// of the PROXY protocol, or by X-Forwarded-For in the request head. Which of the two
// is the operator's choice, and not guessed from what comes: where a proxy passes
// on what it is sent, the other one would be the client's word.

// link is what carries what we say to a connection.
type link uint8

const (
	linkRaw    link = iota // nothing: TLS is not up yet, or no more
	linkTLS                // what we say is sealed
	linkProxy              // plain; whose it is is not known: peer is the proxy, and no limit counts it
	linkClient             // plain; peer is the client that the proxy named
)

// proxied reports whether the connection is a proxy's, without a record layer.
func (c *conn) proxied() bool { return c.link >= linkProxy }

// doorProxy is the door of --proxy-listen; the public listener's is 0.
const doorProxy = 1

// admitProxy decides about a peer of --proxy-listen. A trusted proxy brings
// everybody's connections, so it has no limit of its own: its clients have.
func (s *Server) admitProxy(peer netip.Addr) bool {
	p := s.policy.Load()
	if !p.trust.Trusts(peer) {
		s.untrusted.Add(1)
		return s.refused(peer, proxy.ErrUntrusted.Label)
	}
	if s.pressure.refuses() {
		return s.refused(peer, reasonOverload)
	}
	return s.roomForOne(p) || s.refused(peer, poll.Full.String())
}

// openedByProxy makes a new connection one of a proxy.
func (s *shard) openedByProxy(c *conn) {
	c.link = linkProxy
	if s.proxyProtocol {
		return // its header comes first, in the time of the handshake that there is not
	}
	c.phase = phaseHead
	c.phaseBy = s.after(int64(s.limits.HeadTimeout))
}

// preamble collects the PROXY protocol header, which parts the proxy's word from
// the client's.
func (s *shard) preamble(c *conn, b []byte) {
	in := b
	if len(c.partial()) > 0 {
		s.hold(c, b)
		in = c.partial()
	}
	h, n, fault := proxy.ParseHeader(in)
	switch {
	case fault != nil:
		s.abort(c, fault.Label)
		return
	case n == 0:
		if len(c.partial()) == 0 {
			s.hold(c, b)
		}
		return
	}
	s.unhold(c)
	switch rest := in[n:]; {
	case h.Local:
		c.account = accountClosed // the proxy looked whether we are there: nobody came
		s.finish(c)
	case !h.TLS:
		s.refuse(c, upgrade.PlainClient)
	case !s.meet(c, h.Client.Addr(), nil):
		s.abort(c, "") // as the public listener does; the gate has counted it
	default:
		c.phase = phaseHead
		c.phaseBy = s.after(int64(s.limits.HeadTimeout))
		if len(rest) > 0 {
			s.head(c, rest)
		}
	}
}

// meet takes the client that the proxy named for the peer: from here on it is what
// limits count. forwarded is X-Forwarded-For, if it was that which named it.
func (s *shard) meet(c *conn, client netip.Addr, forwarded [][]byte) bool {
	via := c.peer
	s.through(c, client, forwarded)
	c.link = linkClient
	if reason := s.objection(client); reason != "" {
		s.attempted(c, audit.ConnectionRefused, reason, 0)
		c.peer, c.link = via, linkProxy // the client has no connection more
		return false
	}
	c.exempt = s.gate.Exempt(client)
	return true
}

// authored reports whether it is a proxy that wrote the heads of c: behind PROXY
// headers it may have passed on what its client wrote, unless the secret is there.
func (s *shard) authored(c *conn) bool {
	return c.proxied() && (!s.proxyProtocol || s.trust.Secured())
}

// vouch checks a proxy's request head: that it is the proxy's, where that was
// asked for, and what it says of the client, unless the PROXY header has said it.
func (s *shard) vouch(c *conn, req *upgrade.Request) *upgrade.Refusal {
	if !s.trust.Proven(req.ProxySecret) {
		return upgrade.UnprovenProxy
	}
	if c.link == linkClient {
		return nil
	}
	switch proxy.Secure(values(req.ForwardedProto)) {
	case nil:
	case proxy.ErrPlain:
		return upgrade.PlainClient
	default:
		return upgrade.ErrForwarded
	}
	forwarded := values(req.ForwardedFor)
	client, fault := s.trust.Client(c.peer, forwarded)
	if fault != nil {
		return upgrade.ErrForwarded
	}
	if !s.meet(c, client, forwarded) {
		return upgrade.TooManyRequests
	}
	return nil
}

// values are those of a header field as package proxy takes them; nil for none.
func values(field []byte) [][]byte {
	if field == nil {
		return nil
	}
	return [][]byte{field}
}

// plain is records for a connection without a record layer.
func (s *shard) plain(c *conn, b []byte) {
	in := b
	if len(c.partial()) > 0 {
		s.hold(c, b)
		in = c.partial()
		s.unhold(c)
	}
	s.plaintext(c, in)
}
