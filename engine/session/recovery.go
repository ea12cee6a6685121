package session

import (
	"weir/engine/broker"
	"weir/engine/clientproto"
	"weir/security/grant"
	"weir/security/schema"
)

// Plan is how a subscription begins.
type Plan struct {
	Recoverable, Positioned bool
	Since                   *broker.Since // what the client asks to have back; nil: nothing
	Reject                  bool          // an answer that it is gone is an error instead
	Delta                   bool          // publications come as text, or as what changed of it
}

// Recover is the position that a client holds in a server-side subscription.
type Recover struct {
	Channel string
	From    broker.Position
}

// asked is what a request says of recovery.
type asked struct {
	recover, recoverable, positioned, reject, delta bool
	from                                            broker.Position
}

// plan is how a subscription to channel begins. In a pattern there are no
// positions.
func (r *Rules) plan(channel string, a asked) Plan {
	if grant.IsPattern(channel) {
		return Plan{}
	}
	ns, _ := r.namespace(channel)
	return ns.plan(a, r)
}

// plan decides by the namespace's options. Without history nothing is
// recoverable, whatever is asked.
func (ns *Namespace) plan(a asked, r *Rules) Plan {
	p := Plan{Reject: a.reject, Delta: a.delta && ns.Delta}
	p.Recoverable = !ns.Keep.None() && (ns.ForceRecovery || a.recoverable)
	p.Positioned = p.Recoverable || ns.ForcePositioning || a.positioned
	if p.Recoverable && a.recover {
		p.Since = &broker.Since{Position: a.from, Limit: r.RecoveryLimit, Bytes: r.RecoveryBytes, Latest: ns.Cache}
		if p.Delta {
			p.Since.Bytes /= 2 // as text, with its quotes escaped, it may become twice as long
		}
	}
	return p
}

// ServerPlan is how the server-side subscription to channel begins for a
// client that brought these positions.
func (r *Rules) ServerPlan(channel string, held []Recover) Plan {
	for i := range held {
		if held[i].Channel == channel {
			return r.plan(channel, asked{recover: true, positioned: true, from: held[i].From})
		}
	}
	return r.plan(channel, asked{positioned: true})
}

// Size is how many bytes a came with.
func Size(a *broker.Attached) (n int) {
	for i := range a.Missed {
		n += a.Missed[i].Size()
	}
	return n
}

// Delta reports whether what is published to a channel is sent as a delta
// without a wish of the publisher.
func (r *Rules) Delta(channel string) bool {
	ns, _ := r.namespace(channel)
	return ns.DeltaPublish
}

// Content is what is asked of publications in a channel; nil: nothing.
func (r *Rules) Content(channel string) *schema.Rule {
	ns, _ := r.namespace(channel)
	return ns.Content
}

// Retention is what is kept of a channel.
func (r *Rules) Retention(channel string) broker.Retention {
	ns, _ := r.namespace(channel)
	return ns.Keep
}

// Result is the reply to a subscribe that began by p: with what was missed, the
// client's own offset stays its position, and the publications move it on.
func (p *Plan) Result(a *broker.Attached) clientproto.SubscribeResult {
	res := clientproto.SubscribeResult{
		Recoverable: p.Recoverable, Positioned: p.Positioned, Offset: a.Offset, Epoch: a.Epoch,
		WasRecovering: p.Since != nil, Recovered: p.Since != nil && a.Recovered, Delta: p.Delta,
	}
	if res.Recovered && !p.Since.Latest {
		res.Offset = p.Since.Offset
	}
	if res.Recovered {
		res.Publications = Publications(a.Missed)
	}
	for i := range res.Publications {
		res.Publications[i].Text = p.Delta // in full: a delta is made once, not for each who comes back
	}
	return res
}

// Publications are kept publications as replies show them; they share the
// bytes.
func Publications(list []broker.Publication) []clientproto.Publication {
	out := make([]clientproto.Publication, len(list))
	for i := range list {
		p := &list[i]
		out[i] = clientproto.Publication{Offset: p.Offset, Data: p.Data, Info: p.Info, Tags: p.Tags}
	}
	return out
}

func recovers(subs []clientproto.SubRecover) (list []Recover) {
	for i := range subs {
		if sub := &subs[i]; sub.Recover {
			list = append(list, Recover{Channel: string(sub.Channel), From: broker.Position{Offset: sub.Offset, Epoch: string(sub.Epoch)}})
		}
	}
	return list
}

// history answers who may read: by a grant, or as a subscriber where the
// namespace says so.
func (s *Session) history(dst []byte, cmd *clientproto.Command, r *Rules) ([]byte, Step) {
	req := &cmd.History
	channel := string(req.Channel)
	if grant.CheckChannel(channel) != nil {
		return reject(dst, cmd.ID, clientproto.ErrBadRequest)
	}
	opens := func(ns Namespace) bool { return ns.HistoryIfSubscribed && s.subscribed(channel) }
	if e := s.may(grant.Hst, channel, r, opens); e != nil {
		return reject(dst, cmd.ID, e)
	}
	if r.Retention(channel).None() {
		return reject(dst, cmd.ID, clientproto.ErrNotAvailable)
	}
	f := broker.Filter{Limit: r.RecoveryLimit, Bytes: r.RecoveryBytes, Reverse: req.Reverse}
	if req.Limit >= 0 {
		f.Limit = int(min(req.Limit, int64(r.RecoveryLimit)))
	}
	if req.Since {
		f.Since = &broker.Position{Offset: req.Offset, Epoch: string(req.Epoch)}
	}
	return dst, Step{Kind: History, ID: cmd.ID, Channel: channel, Filter: f}
}
