package engine

import (
	"context"
	"encoding/json"
	"errors"
	"sync/atomic"
	"time"

	"weir/engine/api"
	"weir/engine/clientproto"
	"weir/security/audit"
	"weir/security/grant"
	"weir/security/token"
)

// Revoke implements api.Node. The walk closes at once whom it is about; those
// that get in between find a new epoch with their next message.
func (n node) Revoke(ctx context.Context, r api.Revocation) *clientproto.Error {
	revoked, now := n.shared.revoked, n.shared.wall()
	if r.Client != "" {
		return n.revokeClient(ctx, &r)
	}
	var err error
	switch {
	case r.TokenID != "":
		err = revoked.RevokeToken(r.TokenID, r.Until, now)
	case !r.IssuedBefore.IsZero():
		err = revoked.InvalidateUser(r.User, r.IssuedBefore, r.Until, now)
	default:
		err = revoked.Block(r.User, r.Until, now)
	}
	if errors.Is(err, token.ErrRevocations) {
		return errManyRevocations
	}
	n.revocation(&r)
	return n.endRevoked(ctx)
}

// revokeClient revokes what the session of a client lives by, and the certificate that the client has shown.
func (n node) revokeClient(ctx context.Context, r *api.Revocation) *clientproto.Error {
	var found atomic.Pointer[clientproto.Error]
	found.Store(errNoClient)
	if e := n.eachSession(ctx, api.Target{Client: r.Client}, func(s *shard, c *conn) {
		found.Store(s.revoke(c, r.Until))
	}); e != nil {
		return e
	}
	if e := found.Load(); e != nil {
		return e
	}
	n.revocation(r)
	return n.endRevoked(ctx)
}

// revoke is revokeClient on the loop: no refresh comes in between.
func (s *shard) revoke(c *conn, until time.Time) *clientproto.Error {
	shown := []token.Identity{c.identity}
	if c.waiting != nil {
		shown = append(shown, c.waiting.shown)
	}
	named := false
	for _, id := range shown {
		ok, err := s.revoked.RevokeIdentity(id, until, s.wall())
		if err != nil {
			return errManyRevocations
		}
		named = named || ok
	}
	if !named {
		return errNamelessToken
	}
	return nil
}

// endRevoked closes whom a revocation is about.
func (n node) endRevoked(ctx context.Context) *clientproto.Error {
	return n.everyShard(ctx, func(s *shard) {
		s.conns.each(func(c *conn) {
			if c.connected() && !s.stillGood(c) {
				s.settle(c)
			}
		})
	})
}

// Unblock implements api.Node.
func (n node) Unblock(_ context.Context, user string) *clientproto.Error {
	n.shared.revoked.Unblock(user)
	n.ordered(audit.UserUnblocked, user, "")
	return nil
}

// IssueTicket implements api.Node.
func (n node) IssueTicket(_ context.Context, t api.Ticket) (string, *clientproto.Error) {
	set, err := grant.Compile(t.Caps)
	if err != nil {
		return "", &clientproto.Error{Code: clientproto.ErrBadRequest.Code, Message: "bad request: " + err.Error()}
	}
	now := n.shared.wall()
	text, err := n.shared.tickets.Issue(&token.Claims{
		Subject: t.User, Channels: t.Channels, Grant: set, Roles: t.Roles, Info: json.RawMessage(t.Info), ExpireAt: &t.ExpireAt, IssuedAt: now.Unix(),
	}, t.Life, now)
	if err != nil {
		return "", errManyTickets
	}
	n.ordered(audit.TicketIssued, t.User, "")
	return text, nil
}

// What the API is told of stores that are full, and of whom it does not find.
var (
	errManyRevocations = &clientproto.Error{Code: clientproto.ErrLimitExceeded.Code, Message: "limit exceeded: too many revocations are in force"}
	errNoClient        = &clientproto.Error{Code: clientproto.ErrNotAvailable.Code, Message: "not available: no such client is connected here"}
	errNamelessToken   = &clientproto.Error{Code: clientproto.ErrNotAvailable.Code, Message: "not available: what the client has shown has no jti"}
	errManyTickets     = &clientproto.Error{Code: clientproto.ErrTooManyRequests.Code, Message: "too many requests: too many tickets wait for their use", Temporary: true}
)

// identify notes whose token the connection lives by, and reports whether it
// is good: neither it, its user nor the client's certificate is revoked, nor is
// it another's than the certificate is.
func (s *shard) identify(c *conn, claims *token.Claims) bool {
	if claims == nil {
		return true
	}
	if !c.agrees(claims) {
		return false
	}
	c.revocations = s.revoked.Epoch()
	c.identity = s.revoked.Identify(claims)
	return !s.revokedNow(c, claims.Subject)
}

// stillGood is asked for each message: two comparisons, unless the token is over
// or anything was revoked since the last look. It closes who is no longer let in.
func (s *shard) stillGood(c *conn) bool {
	if c.expireBy != 0 && c.expireBy <= s.now { // before the wheel's next tick
		if s.expired(c); c.phase != phaseOpen {
			return false
		}
	}
	epoch := s.revoked.Epoch()
	if c.revocations == epoch {
		return true
	}
	c.revocations = epoch
	if !c.connected() || !s.revokedNow(c, c.session.User()) {
		return true
	}
	s.close(c, clientproto.CloseInvalidToken)
	return false
}
