package engine

import (
	"weir/engine/broker"
	"weir/engine/clientproto"
	"weir/engine/session"
	"weir/engine/upgrade"
	"weir/security/token"
)

// openFeed gives a push-only connection all that it asked for, or refuses it:
// it is permitted each channel, subscribed, and only then told 101. Whoever gets
// no gap message for a position of his has missed nothing.
func (s *shard) openFeed(c *conn, plan *upgradePlan, claims *token.Claims) {
	c.kind = kindFeed
	c.session = new(session.Session)
	c.session.Authenticated(claims) // server-side subscriptions come with connect only
	for i := range plan.feed {
		if e := c.session.MaySubscribe(plan.feed[i].name, s.rules); e != nil {
			s.refuse(c, forbidden(e))
			return
		}
	}
	for i := range plan.feed {
		top, e := s.join(c, plan.feed[i].name)
		if e != nil {
			s.refuse(c, upgrade.Overloaded)
			return
		}
		plan.feed[i].top = top
	}
	c.session.Opened(newClientID())
	s.begun(c)
	s.open(c, plan)
	for i := range plan.feed {
		if ch := &plan.feed[i]; ch.missed() {
			s.send(c, clientproto.AppendFeedGap(s.replies[:0], ch.name, ch.top.Offset, ch.top.Epoch))
		}
	}
}

// missed reports whether the client left off anywhere but at the top. Without
// history nothing can be made up for.
func (ch *feedChannel) missed() bool { return ch.since != broker.Position{} && ch.since != ch.top }

// forbidden is how a session's refusal of a channel is answered. That a channel
// is unknown is said only to those whose grant covers its name.
func forbidden(e *clientproto.Error) *upgrade.Refusal {
	if e == clientproto.ErrUnknownChannel {
		return upgrade.UnknownChannel
	}
	return upgrade.Forbidden
}
