package engine

import (
	"errors"

	"weir/engine/session"
	"weir/engine/stats"
	"weir/engine/upgrade"
	"weir/engine/ws"
	"weir/security/audit"
	"weir/security/token"
)

const (
	pathProtocol = "/connection/websocket"
	pathFeed     = "/feed"
	pathEcho     = "/echo"
	pathDemo     = "/"

	subprotocol     = "centrifuge-json"
	subprotocolFeed = "weir-feed"
)

// upgradePlan is what a request asks for, in owned bytes.
type upgradePlan struct {
	kind      kind
	key       [24]byte // Sec-WebSocket-Key is 24 characters of base64
	protocol  string
	extension string
	feed      feedPlan // kindFeed
}

// head collects the request head and answers it: 101, a page or a refusal.
// Checks stand in the order of their cost.
func (s *shard) head(c *conn, b []byte) {
	in := b
	held := c.waiting != nil && len(c.waiting.head) > 0
	if held {
		c.waiting.head = append(c.waiting.head, b...)
		in = c.waiting.head
	}
	req, n, refusal := upgrade.Parse(in, upgrade.Limits{HeadBytes: headBytes, Headers: headFields, Proxied: c.proxied()})
	switch {
	case refusal != nil:
		s.malformed(c, &req, refusal)
		return
	case n == 0 && !held:
		c.waitings().head = append([]byte(nil), b...)
		return
	case n == 0:
		return
	}
	// What follows the head is never read as HTTP: it waits for the 101.
	if rest := in[n:]; len(rest) > 0 {
		c.waitings().plain = append([]byte(nil), rest...)
	}
	s.requested(c, &req)
	if c.proxied() {
		refusal = s.vouch(c, &req)
	}
	s.traceRequest(c, &req, true)
	if refusal != nil {
		s.refuse(c, refusal)
	} else {
		s.request(c, &req)
	}
	if c.waiting != nil {
		c.waiting.head = nil
	}
	s.resumeOpened(c)
}

// malformed refuses a head that is none of ours. Behind a proxy it counts for the
// client, as every request does, if the head says who that is.
func (s *shard) malformed(c *conn, req *upgrade.Request, f *upgrade.Refusal) {
	if c.link == linkProxy && s.vouch(c, req) == upgrade.TooManyRequests {
		f = upgrade.TooManyRequests
	}
	s.traceRequest(c, req, false)
	s.refuse(c, f)
}

// request decides about a whole head.
func (s *shard) request(c *conn, req *upgrade.Request) {
	plan := upgradePlan{}
	switch string(req.Path) {
	case pathProtocol:
	case pathFeed:
		plan.kind = kindFeed
	case pathEcho:
		if !s.echo {
			s.refuse(c, upgrade.NotFound)
			return
		}
		plan.kind = kindEcho
	case pathDemo:
		s.demo(c)
		return
	default:
		s.refuse(c, upgrade.NotFound)
		return
	}
	if refusal := req.WebSocket(); refusal != nil {
		s.refuse(c, refusal)
		return
	}
	if plan.kind != kindEcho && !s.originAllowed(c, req) {
		s.refuse(c, upgrade.ForbiddenOrigin)
		return
	}
	credential, refusal := s.negotiate(req, &plan)
	if refusal != nil {
		s.refuse(c, refusal)
		return
	}
	if plan.kind == kindFeed {
		if credential.none() && !s.anonymous && c.certificate() == nil {
			s.refuse(c, upgrade.Unauthorized)
			return
		}
		if plan.feed, refusal = parseFeed(req.RawQuery, s.rules.Channels); refusal != nil {
			s.refuse(c, refusal)
			return
		}
	}
	switch {
	case !credential.none() && plan.kind != kindEcho:
		s.authenticateHead(c, plan, credential)
	case plan.kind == kindFeed && !s.identify(c, c.certificate()):
		s.refuse(c, upgrade.Unauthorized)
	case plan.kind == kindFeed:
		s.openFeed(c, &plan, c.certificate())
	default:
		s.open(c, &plan)
	}
}

// demo answers with the page of --dev.
func (s *shard) demo(c *conn) {
	if s.page == nil {
		s.refuse(c, upgrade.NotFound)
		return
	}
	s.stats.Upgrade(200)
	s.attempted(c, audit.PageServed, "", 200)
	s.control(c, s.page)
	s.finish(c)
}

// originAllowed is row H4: exact match, and a missing Origin only where the
// operator lets native clients in without one.
func (s *shard) originAllowed(c *conn, req *upgrade.Request) (ok bool) {
	if !req.HasOrigin {
		return s.noOrigin
	}
	c.origin, ok = s.origins.Find(req.Origin)
	return ok
}

// credential is what came with a request, borrowed from the head. At most one
// is set.
type credential struct {
	token, ticket []byte
	by            audit.Auth
}

func (k credential) none() bool { return len(k.token)+len(k.ticket) == 0 }

// negotiate fills the plan from the request and returns the credential that
// came with it, if any: Authorization first, then the subprotocol, then the URL.
func (s *shard) negotiate(req *upgrade.Request, plan *upgradePlan) (k credential, f *upgrade.Refusal) {
	copy(plan.key[:], req.Key)
	offer := subprotocol
	if plan.kind == kindFeed {
		offer = subprotocolFeed
	}
	plan.protocol, k.token, f = upgrade.SelectProtocol(req.Protocols, offer)
	if f != nil {
		return credential{}, f
	}
	if s.compression {
		ext, ok, f := upgrade.NegotiateDeflate(req.Extensions)
		if f != nil {
			return credential{}, f
		}
		if ok {
			plan.extension = ext
		}
	}
	if auth, f := upgrade.Bearer(req.Authorization); f != nil || auth != nil {
		return credential{token: auth, by: audit.ByHeader}, f
	}
	if k.token != nil {
		k.by = audit.ByProtocol
		return k, nil
	}
	return s.credentialOfURL(req)
}

// credentialOfURL is a one-time ticket, or a token where that is allowed.
func (s *shard) credentialOfURL(req *upgrade.Request) (k credential, _ *upgrade.Refusal) {
	ticket, has, f := upgrade.QueryValue(req.RawQuery, "ticket", nil)
	if f != nil || has && len(ticket) == 0 {
		return k, upgrade.Unauthorized
	}
	if has {
		return credential{ticket: ticket, by: audit.ByTicket}, nil
	}
	t, has, f := upgrade.QueryValue(req.RawQuery, "token", nil)
	if f != nil || has && !s.tokenInURL {
		return k, upgrade.Unauthorized
	}
	return credential{token: t, by: audit.ByURL}, nil
}

// authenticateHead has the credential checked before the 101. A ticket is used
// up by it, so nothing else that could refuse the request comes after but what
// the session itself may not.
func (s *shard) authenticateHead(c *conn, plan upgradePlan, k credential) {
	if !s.mayFail(c) {
		s.refuse(c, upgrade.TooManyRequests)
		return
	}
	c.phase = phaseUpgrade
	c.waitings().upgrade = plan
	c.by = k.by
	if len(k.ticket) > 0 {
		claims, err := s.tickets.Redeem(k.ticket, s.wall())
		if err != nil {
			s.failed(c)
		}
		if c.traced {
			s.traceCredential(c, k.ticket, audit.ByTicket, err)
		}
		s.headAuthenticated(c, claims, err)
		return
	}
	step := session.Step{Token: k.token}
	if !s.checkAtOnce(c, authHead, &step) && !s.begin(c, newAuthJob(authHead, &step)) {
		s.refuse(c, upgrade.Overloaded)
	}
}

// headAuthenticated goes on where authenticateHead left off.
func (s *shard) headAuthenticated(c *conn, claims *token.Claims, err error) {
	if errors.Is(err, token.ErrUnknownKey) {
		s.refuse(c, upgrade.KeyPending)
		return
	}
	if reason := s.headReason(c, claims, err); reason != "" {
		s.unauthenticated(c, c.by, reason)
		s.refuse(c, upgrade.Unauthorized)
		return
	}
	if c.waiting.upgrade.kind == kindFeed {
		s.openFeed(c, &c.waiting.upgrade, claims)
		return
	}
	c.waiting.claims = claims
	s.open(c, &c.waiting.upgrade)
	c.session.Vouch()
}

// headReason says why a credential of the handshake does not count; "" if it does.
func (s *shard) headReason(c *conn, claims *token.Claims, err error) string {
	switch {
	case err != nil:
		return authReason(err)
	case session.Over(claims, s.wall()):
		return reasonExpired
	case !s.identify(c, claims):
		return reasonRevoked
	}
	return ""
}

// open answers 101: from here on the connection is a WebSocket.
func (s *shard) open(c *conn, plan *upgradePlan) {
	s.stats.Upgrade(101)
	s.attempted(c, audit.ConnectionAccepted, "", 101)
	if c.traced {
		s.trace(c).Answer(101, "", s.wall())
	}
	c.phase = phaseOpen
	c.kind = plan.kind
	c.compress = plan.extension != ""
	if c.compress && c.kind != kindEcho {
		s.hub.CompressFor(c.kind.form(), 1)
	}
	s.replies = upgrade.AppendSwitching(s.replies[:0], plan.key[:], plan.protocol, plan.extension)
	s.control(c, s.replies)
	c.phaseBy = 0
	switch c.kind {
	case kindProtocol:
		c.seat()
		c.phaseBy = s.after(s.strain.idle(s.limits.StaleCloseDelay))
		if c.certificate() != nil {
			c.session.Vouch()
		}
	case kindEcho:
		c.pingAt = s.after(s.strain.idle(s.limits.IdleTimeout))
	}
}

// refuse answers a request that gets no 101, and closes.
func (s *shard) refuse(c *conn, f *upgrade.Refusal) {
	s.stats.Upgrade(f.Status)
	s.stats.Label(stats.ProtocolErrors, f.Label)
	s.attempted(c, audit.UpgradeRefused, f.Label, f.Status)
	if c.traced {
		s.trace(c).Answer(f.Status, f.Label, s.wall())
		s.happened(c, audit.UpgradeRefused)
	}
	s.replies = upgrade.AppendRefusal(s.replies[:0], f)
	s.control(c, s.replies)
	s.finish(c)
}

// frameLimits are those of the connection's kind.
func (s *shard) frameLimits(c *conn) *ws.Limits {
	return &s.wsLimits[c.kind][b2i(c.compress)]
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
