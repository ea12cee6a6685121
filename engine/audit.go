package engine

import (
	"cmp"
	"net/http"
	"net/netip"
	"time"

	"weir/engine/api"
	"weir/engine/backend"
	"weir/engine/clientproto"
	"weir/engine/poll"
	"weir/engine/stats"
	"weir/engine/tlsconn"
	"weir/engine/upgrade"
	"weir/security/audit"
)

// The audit log is told of each attempt to connect once, by its outcome, and of
// what comes after by records that name the connection. A connection keeps nothing
// for it but counts: what is known of a request is told with its outcome.

// account is how much of a connection the audit log was told.
type account uint8

const (
	accountAttempt  account = iota // nothing yet
	accountAccepted                // its 101; the end is still to be told
	accountClosed                  // all of it
)

// asked is what a connection has shown before its request is answered. Nil
// without an audit log.
type asked struct {
	tls    tlsconn.Info
	path   string
	origin string
	agent  string
	trace  audit.Trace
	proxy  string // addresses of the trusted proxies in between, by commas
	id     string // that it gave the request
}

// connID names a connection in the log: by shard, slot and how often that was used.
func (s *shard) connID(c *conn) audit.ConnID { return s.audit.Conn(s.connNumber(c)) }

func (s *shard) connNumber(c *conn) uint64 {
	return uint64(s.id)<<54 | uint64(c.Slot)<<32 | uint64(c.generation)
}

// record is what is known of c for any event.
func (s *shard) record(c *conn, e audit.Event, reason string) audit.Record {
	r := audit.Record{Time: s.wall(), Event: e, Reason: reason, Conn: s.connID(c), Addr: c.peer, Port: c.port, Auth: c.by}
	if c.link == linkProxy { // whose it is is not known: nobody may be blamed, the proxy least of all
		r.Addr, r.Port, r.Proxy = netip.Addr{}, 0, c.peer.String()
	}
	if c.seated {
		r.User, r.Session = c.session.User(), c.session.Client().String()
	}
	return r
}

// notice writes down an event of a connection.
func (s *shard) notice(c *conn, e audit.Event, reason string) {
	s.happened(c, e)
	if s.audit != nil {
		r := s.record(c, e, reason)
		s.audit.Add(&r)
	}
}

// remember keeps what the handshake agreed on until the request is answered.
func (s *shard) remember(c *conn, info tlsconn.Info) {
	if s.audit != nil {
		info.ServerName = audit.Bounded(info.ServerName, askedTextBytes)
		info.PeerCertificates = nil
		c.waitings().asked = &asked{tls: info}
	}
}

// unfit writes down a publication that is not as its channel asks. What it holds is
// nobody's business here.
func (s *shard) unfit(c *conn, channel string) {
	s.happened(c, audit.PublishRefused)
	if s.audit != nil {
		r := s.record(c, audit.PublishRefused, reasonSchema)
		r.Code, r.Channel = uint16(clientproto.ErrBadRequest.Code), audit.Bounded(channel, askedTextBytes)
		s.audit.Add(&r)
	}
}

// request is what c has shown so far.
func (c *conn) request() *asked {
	w := c.waitings()
	if w.asked == nil {
		w.asked = new(asked)
	}
	return w.asked
}

// through takes the client that a proxy named for the peer; the proxies, of which
// forwarded names those before the last, are told with the outcome.
func (s *shard) through(c *conn, client netip.Addr, forwarded [][]byte) {
	if s.audit != nil {
		c.request().proxy = s.trust.Via(c.peer, forwarded)
	}
	c.peer, c.port = client, 0
}

// requested keeps what a head says for its outcome: copies, for the head is borrowed.
func (s *shard) requested(c *conn, req *upgrade.Request) {
	if s.audit == nil {
		return
	}
	a := c.request()
	if s.authored(c) && s.trust.Proven(req.ProxySecret) {
		a.id = audit.Bounded(req.RequestID, askedTextBytes)
	}
	switch string(req.Path) { // no copy of those that all use
	case pathProtocol:
		a.path = pathProtocol
	case pathFeed:
		a.path = pathFeed
	default:
		a.path = audit.Bounded(req.Path, askedTextBytes)
	}
	a.origin = audit.Bounded(req.Origin, askedTextBytes)
	a.agent = audit.Bounded(req.UserAgent, askedTextBytes)
	a.trace, _ = audit.ParseTrace(req.Traceparent) // one that is malformed is none
}

// figures are how long a connection was open, and its bytes.
func (s *shard) figures(c *conn) (open time.Duration, in, out uint64) {
	return time.Duration(s.now - c.opened), c.received, c.sent
}

// attempted tells the outcome of an attempt, the first time that it is called.
func (s *shard) attempted(c *conn, e audit.Event, reason string, status int) {
	if s.audit == nil || c.account != accountAttempt {
		return
	}
	c.account = accountClosed
	if e == audit.ConnectionAccepted {
		c.account = accountAccepted
	}
	r := s.record(c, e, reason)
	r.Status = uint16(status)
	if w := c.waiting; w != nil && w.asked != nil {
		a := w.asked
		r.TLSVersion, r.TLSSuite, r.Resumed, r.ServerName = a.tls.Version, a.tls.Suite, a.tls.Resumed, a.tls.ServerName
		r.Path, r.Origin, r.UserAgent, r.Trace = a.path, a.origin, a.agent, a.trace
		r.Proxy, r.RequestID = cmp.Or(a.proxy, r.Proxy), a.id
		w.asked = nil
	}
	if c.account == accountClosed {
		r.Duration, r.In, r.Out = s.figures(c)
	}
	s.audit.Add(&r)
}

// ended tells the end of a connection, the first time that it is called; of one
// that did not come to a 101, the outcome.
func (s *shard) ended(c *conn, code uint16, reason string) {
	if c.traced {
		s.traceEnd(c, code, reason)
	}
	switch {
	case s.audit == nil || c.account == accountClosed:
	case c.link == linkProxy && c.received == 0: // a proxy that looks whether we are there
	case c.account == accountAttempt && c.phase <= phaseHandshake:
		s.attempted(c, audit.HandshakeFailed, reason, 0)
	case c.account == accountAttempt:
		s.attempted(c, audit.UpgradeRefused, reason, 0)
	default:
		c.account = accountClosed
		r := s.record(c, audit.Disconnected, reason)
		r.Code = code
		r.Duration, r.In, r.Out = s.figures(c)
		s.audit.Add(&r)
	}
}

// violated counts a broken rule, and writes it down where it is not the outcome of
// the attempt.
func (s *shard) violated(c *conn, label string) {
	s.stats.Label(stats.ProtocolErrors, label)
	if c.phase == phaseOpen {
		s.happened(c, audit.ProtocolViolation)
	}
	if c.account == accountAccepted {
		s.notice(c, audit.ProtocolViolation, label)
	}
}

// unauthenticated writes down a credential that was refused.
func (s *shard) unauthenticated(c *conn, by audit.Auth, reason string) {
	s.happened(c, audit.AuthenticationFailed)
	if s.audit != nil {
		r := s.record(c, audit.AuthenticationFailed, reason)
		r.Auth = by
		s.audit.Add(&r)
	}
}

// refusedCommand writes down a command that was answered with an error. channel is
// the client's word.
func (s *shard) refusedCommand(c *conn, m clientproto.Method, channel string, e *clientproto.Error) {
	if s.audit == nil && !c.traced {
		return
	}
	event := audit.CommandRefused
	switch {
	case e == clientproto.ErrUnauthorized && m == clientproto.Connect:
		s.unauthenticated(c, audit.ByConnect, reasonMissing)
		return
	case e.Code == clientproto.ErrTooManyRequests.Code || e.Code == clientproto.ErrLimitExceeded.Code:
		event = audit.LimitHit
	case m == clientproto.Publish:
		event = audit.PublishRefused
	case m == clientproto.Subscribe:
		event = audit.SubscribeRefused
	}
	s.happened(c, event)
	r := s.record(c, event, errorReason(e.Code))
	r.Code, r.Channel = uint16(min(e.Code, 1<<16-1)), audit.Bounded(channel, askedTextBytes)
	s.audit.Add(&r)
}

// turnedAway tells of a peer that no loop got: the listener's decision.
func (s *Server) turnedAway(peer netip.AddrPort, why poll.Refusal) {
	if s.shared.audit == nil || why == poll.NotAdmitted { // admit has told of it, with its reason
		return
	}
	s.shared.audit.Add(&audit.Record{Time: s.shared.wall(), Event: audit.ConnectionRefused, Reason: why.String(),
		Addr: peer.Addr().Unmap(), Port: peer.Port()})
}

// refused tells of a peer that admission did not let in.
func (s *Server) refused(peer netip.Addr, reason string) bool {
	s.shared.audit.Add(&audit.Record{Time: s.shared.wall(), Event: audit.ConnectionRefused, Reason: reason, Addr: peer.Unmap()})
	return false
}

// ordered writes down what somebody with the API key had done.
func (n node) ordered(e audit.Event, user, message string) { n.orderedFor(e, user, "", message) }

// orderedFor is ordered for one client of a user, or of anybody.
func (n node) orderedFor(e audit.Event, user, client, message string) {
	n.shared.audit.Add(&audit.Record{Time: n.shared.wall(), Event: e, User: user, Session: client, Auth: audit.ByAPIKey, Message: message})
}

// told writes down what happened to the node.
func (s *Server) told(e audit.Event, message string) {
	s.shared.audit.Add(&audit.Record{Time: s.shared.wall(), Event: e, Message: message})
}

// apiKeyless tells of a call without the right key.
func (s *Server) apiKeyless(r *http.Request) {
	record := audit.Record{Time: s.shared.wall(), Event: audit.APIRefused, Reason: reasonInvalid, Path: audit.Bounded(r.URL.Path, askedTextBytes),
		UserAgent: audit.Bounded(r.UserAgent(), askedTextBytes), Status: http.StatusUnauthorized}
	if at, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		record.Addr, record.Port = at.Addr(), at.Port()
	}
	record.Trace, _ = audit.ParseTrace([]byte(r.Header.Get("traceparent"))) // one that is malformed is none
	s.shared.audit.Add(&record)
}

// revocation writes down who is no longer let in.
func (n node) revocation(r *api.Revocation) {
	switch {
	case r.TokenID != "":
		n.ordered(audit.TokenRevoked, "", "one token") // its id is no secret, and yet names one
	case r.Client != "":
		n.orderedFor(audit.TokenRevoked, "", r.Client, "those of one client")
	case !r.IssuedBefore.IsZero():
		n.ordered(audit.TokensInvalidated, r.User, "issued before "+r.IssuedBefore.UTC().Format(time.RFC3339))
	default:
		n.ordered(audit.UserBlocked, r.User, "")
	}
}

// unpermitted writes down what the backend did not permit.
func (s *shard) unpermitted(c *conn, j *hookJob, e *clientproto.Error) {
	switch j.kind {
	case backend.Connect:
		if e.Temporary { // nobody said that it is wrong
			s.refusedCommand(c, clientproto.Connect, "", e)
			return
		}
		s.unauthenticated(c, audit.ByBackend, errorReason(e.Code))
	case backend.Subscribe:
		s.refusedCommand(c, clientproto.Subscribe, j.step.Channel, e)
	case backend.Publish:
		s.refusedCommand(c, clientproto.Publish, j.step.Channel, e)
	default:
		s.refusedCommand(c, clientproto.RPC, "", e)
	}
}
