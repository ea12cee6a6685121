package session

import (
	"encoding/json"
	"time"

	"weir/engine/clientproto"
	"weir/security/grant"
)

// Asks says what the operator's backend is asked of every session; what it is
// asked of channels stands in their namespaces.
type Asks struct {
	Connect bool // who is it that brings no token
	RPC     bool
	Send    bool
}

func (s *Session) rpc(dst []byte, cmd *clientproto.Command, r *Rules) ([]byte, Step) {
	if !r.Asks.RPC {
		return reject(dst, cmd.ID, clientproto.ErrNotAvailable)
	}
	return dst, Step{Kind: RPC, ID: cmd.ID, Data: cmd.RPC.Data, Command: cmd}
}

// send has no reply, not even where nobody takes it.
func (s *Session) send(dst []byte, cmd *clientproto.Command, r *Rules) ([]byte, Step) {
	if !r.Asks.Send {
		return dst, Step{Error: clientproto.ErrNotAvailable}
	}
	return dst, Step{Kind: Send, Data: cmd.Send.Data, Command: cmd}
}

// asks reports whether the backend decides who subscribes to channel: that its
// namespace says so, or, of a pattern, one of those that it may lie in.
func (r *Rules) asks(channel string) bool {
	if !grant.Spans(channel) {
		return r.Namespaces[grant.Namespace(channel)].SubscribeHook
	}
	for _, ns := range r.Namespaces {
		if ns.SubscribeHook {
			return true
		}
	}
	return false
}

// mayAsk says whether the backend may be asked about a subscription. Its answer
// stands in the place of a grant: not of a subscription token, it opens nobody's
// channel to another, and it is about one channel.
func (s *Session) mayAsk(channel string, r *Rules) *clientproto.Error {
	if grant.NeedsToken(channel) || grant.IsPattern(channel) {
		return clientproto.ErrPermissionDenied
	}
	return s.closed(channel, r)
}

// Backed notes that the backend said whose the session is. It is asked again when
// that is over and the client connects anew, so clients are not told to bring a
// token.
func (s *Session) Backed() { s.backed = true }

// Approval is what the backend says of a subscription that it permits.
type Approval struct {
	Info    json.RawMessage // chan_info
	Data    []byte          // for the reply; JSON
	Expires int64           // unix seconds; 0: never
}

// Approved goes on with step, an AskSubscribe, to which the backend said yes.
func (s *Session) Approved(dst []byte, step Step, a *Approval, r *Rules, now time.Time) ([]byte, Step) {
	if a.Expires > 0 && a.Expires <= now.Unix() {
		return reject(dst, step.ID, clientproto.ErrExpired)
	}
	// While it was asked the rules may have changed, and the server may have subscribed it.
	e := s.closed(step.Channel, r)
	if e == nil && !r.asks(step.Channel) {
		e = s.MaySubscribe(step.Channel, r)
	}
	if e == nil {
		e = s.Room(step.Channel, r)
	}
	if e != nil {
		return reject(dst, step.ID, e)
	}
	step.Kind, step.Expires, step.Info, step.Data = Subscribe, a.Expires, a.Info, a.Data
	return dst, step
}

// ApprovedPublish goes on with step, an AskPublish, to which the backend said
// yes: it is kept as the rules now have it, or refused by them.
func (s *Session) ApprovedPublish(step *Step, r *Rules) *clientproto.Error {
	if _, e := s.mayOffer(step.Channel, r); e != nil {
		return e
	}
	step.Kind, step.Keep = Publish, r.Retention(step.Channel)
	return nil
}
