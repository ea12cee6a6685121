package session

import (
	"weir/engine/broker"
	"weir/engine/clientproto"
	"weir/security/grant"
)

func (s *Session) subscribe(dst []byte, cmd *clientproto.Command, r *Rules) ([]byte, Step) {
	req := &cmd.Subscribe
	channel := string(req.Channel)
	if grant.CheckChannel(channel) != nil {
		return reject(dst, cmd.ID, clientproto.ErrBadRequest)
	}
	e := s.userLimit(channel)
	if len(req.Token) == 0 { // else its token is what permits it
		e = s.MaySubscribe(channel, r)
	}
	if e != nil {
		return reject(dst, cmd.ID, e)
	}
	if s.Find(channel) >= 0 {
		return reject(dst, cmd.ID, clientproto.ErrAlreadySubscribed)
	}
	if r.Channels > 0 && len(s.subs) >= r.Channels {
		return reject(dst, cmd.ID, clientproto.ErrLimitExceeded)
	}
	ns, _ := r.namespace(channel)
	step := Step{Kind: Subscribe, ID: cmd.ID, Channel: channel, Plan: ns.plan(asked{
		recover: req.Recover, recoverable: req.Recoverable, positioned: req.Positioned,
		reject: req.Flag&clientproto.FlagRejectUnrecovered != 0,
		from:   broker.Position{Offset: req.Offset, Epoch: string(req.Epoch)},
	}, r)}
	if len(req.Token) > 0 {
		step.Kind, step.Token = SubToken, req.Token
	}
	return dst, step
}

// MaySubscribe says whether the session may subscribe, without a subscription
// token, to a channel with a valid name: nil, ErrPermissionDenied, or, only where
// its grant covers the name, ErrUnknownChannel.
func (s *Session) MaySubscribe(channel string, r *Rules) *clientproto.Error {
	if grant.NeedsToken(channel) {
		return clientproto.ErrPermissionDenied
	}
	return s.may(grant.Sub, channel, r, func(ns Namespace) bool { return ns.Subscribe })
}

// may says whether the session's grant covers a verb on a channel, or else its
// namespace opens it to clients. The order of the answers tells nothing about
// channels outside the grant: they are denied whether they exist or not.
func (s *Session) may(verb grant.Verb, channel string, r *Rules, opens func(Namespace) bool) *clientproto.Error {
	if e := s.userLimit(channel); e != nil {
		return e
	}
	ns, known := r.namespace(channel)
	covered := s.grant.Allows(verb, channel)
	switch {
	case covered && !known:
		return clientproto.ErrUnknownChannel
	case covered, known && opens(ns):
		return nil
	default:
		return clientproto.ErrPermissionDenied
	}
}

// userLimit is the rule of channels that end in #user, which nothing overrides.
func (s *Session) userLimit(channel string) *clientproto.Error {
	if limited, allowed := grant.UserLimited(channel, s.user); limited && !allowed {
		return clientproto.ErrPermissionDenied
	}
	return nil
}

// namespace returns the options of the channel's namespace.
func (r *Rules) namespace(channel string) (ns Namespace, known bool) {
	ns, known = r.Namespaces[grant.Namespace(channel)]
	return ns, known
}

// Known reports whether the channel's name is well formed and its namespace
// exists: what a server-side subscription or a publication by the API needs.
func (r *Rules) Known(channel string) *clientproto.Error {
	if grant.CheckChannel(channel) != nil {
		return clientproto.ErrBadRequest
	}
	if _, known := r.namespace(channel); !known {
		return clientproto.ErrUnknownChannel
	}
	return nil
}

// Add notes a subscription that the engine has made and returns its index.
func (s *Session) Add(sub Sub) int {
	s.subs = append(s.subs, sub)
	return len(s.subs) - 1
}

// Drop forgets subscription i. The last one takes its number: if that is
// another, moved is true and the engine tells the list of members.
func (s *Session) Drop(i int) (moved bool) {
	last := len(s.subs) - 1
	if i != last {
		s.subs[i] = s.subs[last]
		moved = true
	}
	s.subs[last] = Sub{}
	s.subs = s.subs[:last]
	return moved
}

// Find returns the index of the subscription to channel, or -1. Sessions hold
// few subscriptions (Rules.Channels); a scan is smaller than a map.
func (s *Session) Find(channel string) int {
	for i := range s.subs {
		if s.subs[i].Channel.Name == channel {
			return i
		}
	}
	return -1
}

func (s *Session) unsubscribe(dst []byte, cmd *clientproto.Command) ([]byte, Step) {
	i := s.Find(string(cmd.Unsubscribe.Channel))
	if i < 0 { // never an error
		return clientproto.AppendEmpty(dst, cmd.ID, clientproto.Unsubscribe), Step{}
	}
	return dst, Step{Kind: Unsubscribe, ID: cmd.ID, Sub: i}
}

func (s *Session) publish(dst []byte, cmd *clientproto.Command, r *Rules) ([]byte, Step) {
	channel := string(cmd.Publish.Channel)
	if grant.CheckChannel(channel) != nil || len(cmd.Publish.Data) == 0 {
		return reject(dst, cmd.ID, clientproto.ErrBadRequest)
	}
	if e := s.mayPublish(channel, r); e != nil {
		return reject(dst, cmd.ID, e)
	}
	return dst, Step{Kind: Publish, ID: cmd.ID, Channel: channel, Data: cmd.Publish.Data, Keep: r.Retention(channel)}
}

func (s *Session) mayPublish(channel string, r *Rules) *clientproto.Error {
	return s.may(grant.Pub, channel, r, func(ns Namespace) bool {
		return ns.Publish || ns.PublishIfSubscribed && s.Find(channel) >= 0
	})
}

// PublishInfo is what is told of a client that publishes to channel, beside its
// data; nil for an anonymous one.
func (s *Session) PublishInfo(channel string) []byte {
	if s.user == "" {
		return nil
	}
	info := clientproto.ClientInfo{Client: s.client, User: s.user, ConnInfo: s.info}
	if i := s.Find(channel); i >= 0 {
		info.ChanInfo = s.subs[i].Info()
	}
	return clientproto.AppendClientInfo(nil, &info)
}
