package engine

import (
	"weir/engine/clientproto"
	"weir/engine/session"
	"weir/engine/stats"
	"weir/security/schema"
)

// content is what the namespace asks of publications; nil: nothing.
func (n *Namespace) content(l *Limits) *schema.Rule {
	if n.Schema == nil && !n.SanitizeHTML {
		return nil
	}
	return &schema.Rule{
		Schema: n.Schema, Limits: schema.Limits{Depth: l.JSONDepth, Members: l.JSONMembers},
		HTML: n.SanitizeHTML, Bytes: l.MessageSize,
	}
}

// takes checks what a client publishes, before anything is done about it. What its
// channel does not take is answered with why and where. Nothing is allocated.
// Beyond its length, which is charged already, a payload costs the steps that its
// schema took: a small one that has to be looked at again and again is not cheap.
func (s *shard) takes(c *conn, step *session.Step) bool {
	r := s.refusal(c, step.Channel, step.Data)
	if !take(&s.charged(c).bytes, s.rates.bytes, s.checker.Spent(), s.now) {
		s.tooMany(c, limitBytes)
		return false
	}
	if r.Fault == nil {
		return true
	}
	s.stats.Code(stats.CommandErrors, clientproto.ErrBadRequest.Code)
	s.reason = r.AppendReason(append(s.reason[:0], "bad request: "...), step.Data)
	s.send(c, clientproto.AppendBadRequest(s.replies[:0], step.ID, s.reason))
	return false
}

// refusal is why data, valid JSON, of a client or in its place, is not published in
// a channel; it is counted and written down. No Fault says that it may be.
func (s *shard) refusal(c *conn, channel string, data []byte) schema.Refusal {
	r := s.rules.Content(channel).Check(&s.checker, data)
	if r.Fault == nil {
		return r
	}
	s.stats.Label(stats.PayloadsRefused, r.Fault.Keyword)
	s.unfit(c, channel)
	return r
}
