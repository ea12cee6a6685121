package engine

import (
	"weir/engine/broker"
	"weir/engine/clientproto"
	"weir/engine/session"
	"weir/engine/upgrade"
	"weir/security/audit"
	"weir/security/token"
)

// openFeed gives a push-only connection all that it asked for, or refuses it:
// it is permitted each channel, subscribed, and only then told 101. Whoever gets
// no gap message for a position of his has missed nothing.
func (s *shard) openFeed(c *conn, plan *upgradePlan, claims *token.Claims) {
	c.kind = kindFeed
	c.seat()
	c.session.Authenticated(claims, s.rules) // server-side subscriptions come with connect only
	for i := range plan.feed {
		if e := c.session.MaySubscribe(plan.feed[i].name, s.rules); e != nil {
			s.refuse(c, forbidden(e))
			return
		}
	}
	if over := s.admitUser(c); over != "" {
		s.notice(c, audit.LimitHit, over)
		if over == limitUser {
			s.refuse(c, upgrade.ConnectionLimit)
		} else {
			s.refuse(c, upgrade.TooManyRequests)
		}
		return
	}
	left := s.rules.RecoveryBytes // for all of them: they wait together
	for i := range plan.feed {
		ch := &plan.feed[i]
		if c.session.Room(ch.name, s.rules) != nil {
			s.refuse(c, upgrade.ErrChannels)
			return
		}
		at, e := s.join(c, ch.name, ch.wanted(s.rules, left))
		left -= session.Size(&at) + len(at.Missed)*ch.envelope()
		if e != nil {
			s.refuse(c, upgrade.Overloaded)
			return
		}
		ch.at = at
	}
	c.session.Opened(session.NewClientID())
	s.begun(c)
	s.allJoined(c)
	switch {
	case claims == nil:
		c.by = audit.Anonymous
	case c.by == audit.NoAuth:
		c.by = audit.ByClientCert
	}
	s.open(c, plan)
	s.notice(c, audit.Authenticated, "")
	s.traceUser(c)
	for i := range plan.feed {
		s.resumeFeed(c, &plan.feed[i])
	}
}

// envelope is what a message of the channel has beyond what broker.Message.Size
// counts: each repeats the name and the epoch.
func (ch *feedChannel) envelope() int { return len(ch.name) + len(ch.since.Epoch) + 16 }

// wanted is what the client asks to have back of a channel, in so many bytes of
// messages; nil if it did not say where it left off.
func (ch *feedChannel) wanted(r *session.Rules, bytes int) *broker.Since {
	if ch.since == (broker.Position{}) {
		return nil
	}
	return &broker.Since{Position: ch.since, Limit: r.RecoveryLimit, Bytes: bytes, Envelope: ch.envelope()}
}

// resumeFeed sends what was missed, or says that it is gone.
func (s *shard) resumeFeed(c *conn, ch *feedChannel) {
	if ch.since == (broker.Position{}) {
		return
	}
	if !ch.at.Recovered {
		s.send(c, clientproto.AppendFeedGap(s.replies[:0], ch.name, ch.at.Offset, ch.at.Epoch))
		return
	}
	for i := range ch.at.Missed {
		if c.phase != phaseOpen { // one was one too many
			return
		}
		p := &ch.at.Missed[i]
		s.send(c, clientproto.AppendFeed(s.replies[:0], ch.name, p.Offset, p.Epoch, p.Data))
	}
}

// forbidden is how a session's refusal of a channel is answered. That a channel
// is unknown is said only to those whose grant covers its name.
func forbidden(e *clientproto.Error) *upgrade.Refusal {
	if e == clientproto.ErrUnknownChannel {
		return upgrade.UnknownChannel
	}
	return upgrade.Forbidden
}
