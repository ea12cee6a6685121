package session

import (
	"slices"
	"strings"

	"weir/engine/broker"
	"weir/engine/clientproto"
	"weir/security/grant"
)

func (s *Session) subscribe(dst []byte, cmd *clientproto.Command, r *Rules) ([]byte, Step) {
	req := &cmd.Subscribe
	channel := string(req.Channel)
	if grant.CheckPattern(channel) != nil {
		return reject(dst, cmd.ID, clientproto.ErrBadRequest)
	}
	by, e := ByGrant, (*clientproto.Error)(nil)
	switch {
	case len(req.Token) > 0:
		by, e = ByToken, s.closed(channel, r)
	case r.asks(channel):
		by, e = ByHook, s.mayAsk(channel, r)
	default:
		e = s.MaySubscribe(channel, r)
	}
	if e == nil {
		e = s.Room(channel, r)
	}
	if e != nil {
		return reject(dst, cmd.ID, e)
	}
	step := Step{Kind: Subscribe, ID: cmd.ID, Channel: channel, By: by, Plan: r.plan(channel, asked{
		recover: req.Recover, recoverable: req.Recoverable, positioned: req.Positioned,
		reject: req.Flag&clientproto.FlagRejectUnrecovered != 0, delta: string(req.Delta) == "fossil",
		from: broker.Position{Offset: req.Offset, Epoch: string(req.Epoch)},
	})}
	step.Watch = req.JoinLeave && s.MayWatch(channel, r)
	switch by {
	case ByToken:
		step.Kind, step.Token = SubToken, req.Token
	case ByHook:
		step.Kind, step.Data, step.Command = AskSubscribe, req.Data, cmd
	}
	return dst, step
}

// Room says whether one more subscription, to channel, is one too many: because
// it is there already, because of Rules.Channels or Rules.Overlap.
func (s *Session) Room(channel string, r *Rules) *clientproto.Error {
	switch {
	case s.Find(channel) >= 0:
		return clientproto.ErrAlreadySubscribed
	case r.Channels > 0 && len(s.Subs()) >= r.Channels,
		r.Overlap > 0 && grant.IsPattern(channel) && s.overlapping(grant.Literal(channel)) >= r.Overlap:
		return clientproto.ErrLimitExceeded
	default:
		return nil
	}
}

// overlapping counts the session's patterns that some name which begins with
// literal may match, by how they begin.
func (s *Session) overlapping(literal string) (n int) {
	subs := s.Subs()
	for i := range subs {
		if ch := subs[i].Channel; ch.Pattern {
			if other := grant.Literal(ch.Name); strings.HasPrefix(other, literal) || strings.HasPrefix(literal, other) {
				n++
			}
		}
	}
	return n
}

// MaySubscribe says whether the session may subscribe, without a subscription
// token or the backend, to a channel or pattern that is well formed: nil,
// ErrPermissionDenied, or, only where its grant covers the name,
// ErrUnknownChannel. A pattern is permitted where each channel is that comes
// through it.
func (s *Session) MaySubscribe(channel string, r *Rules) *clientproto.Error {
	if grant.NeedsToken(channel) || r.asks(channel) {
		return clientproto.ErrPermissionDenied
	}
	return s.may(grant.Sub, channel, r, func(ns Namespace) bool {
		return ns.Subscribe && (!grant.IsPattern(channel) || wholeNamespace(channel))
	})
}

// wholeNamespace reports whether pattern is "name:*". Without a grant there is no
// other: each pattern more is one more encoding of what everybody publishes.
func wholeNamespace(pattern string) bool {
	name, rest, found := strings.Cut(pattern, ":")
	return found && !grant.IsPattern(name) && rest == "*"
}

// may says whether the session's grant covers a verb on a channel, or else its
// namespace opens it to clients. The order of the answers tells nothing about
// channels outside the grant: they are denied whether they exist or not.
func (s *Session) may(verb grant.Verb, channel string, r *Rules, opens func(Namespace) bool) *clientproto.Error {
	if e := s.closed(channel, r); e != nil {
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

// closed is what nothing overrides: the rule of channels that end in #user, and
// that of namespaces for certain origins.
func (s *Session) closed(channel string, r *Rules) *clientproto.Error {
	if limited, allowed := grant.UserLimited(channel, s.user); limited && !allowed || !s.Admitted(channel, r) {
		return clientproto.ErrPermissionDenied
	}
	return nil
}

// Admitted reports whether a page of the session's origin may have to do with
// channel; of a pattern, with every namespace that it may lie in.
func (s *Session) Admitted(channel string, r *Rules) bool {
	if !r.ByOrigin {
		return true
	}
	if !grant.Spans(channel) {
		ns := r.Namespaces[grant.Namespace(channel)]
		return ns.Origins == nil || ns.Origins.Has(s.origin)
	}
	for _, ns := range r.Namespaces {
		if ns.Origins != nil && !ns.Origins.Has(s.origin) {
			return false
		}
	}
	return true
}

// namespace returns the options of the channel's namespace. Those of a pattern
// are none but whether clients may subscribe, and not even that if it lies in
// several.
func (r *Rules) namespace(channel string) (ns Namespace, known bool) {
	if grant.Spans(channel) {
		return Namespace{}, true
	}
	ns, known = r.Namespaces[grant.Namespace(channel)]
	if grant.IsPattern(channel) {
		ns = Namespace{Subscribe: ns.Subscribe}
	}
	return ns, known
}

// Subscribable is Known for server-side subscriptions: also for a pattern, if
// anything can come through it.
func (r *Rules) Subscribable(channel string) *clientproto.Error {
	if !grant.IsPattern(channel) {
		return r.Known(channel)
	}
	if grant.CheckPattern(channel) != nil || grant.ManyUsers(channel) {
		return clientproto.ErrBadRequest
	}
	if _, known := r.namespace(channel); !known {
		return clientproto.ErrUnknownChannel
	}
	return nil
}

// Known reports whether the channel's name is well formed and its namespace
// exists: what a publication by the API needs.
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
	subs := s.Subs()
	if len(subs) == 0 {
		s.single, s.only[0] = 1, sub
		return 0
	}
	if s.single > 0 {
		s.setMore(s.info(), append(make([]Sub, 0, 2), s.only[0], sub))
		s.single, s.only[0] = 0, Sub{}
		return 1
	}
	s.more.subs = append(subs, sub)
	return len(subs)
}

// Drop forgets subscription i. The last one takes its number: if that is
// another, moved is true and the engine tells the list of members.
func (s *Session) Drop(i int) (moved bool) {
	subs := s.Subs()
	last := len(subs) - 1
	if i != last {
		subs[i] = subs[last]
		moved = true
	}
	subs[last] = Sub{}
	switch last {
	case 0:
		s.single = 0
	case 1:
		s.single, s.only[0] = 1, subs[0]
		s.setMore(s.info(), nil)
	default:
		s.more.subs = subs[:last]
	}
	return moved
}

// Find returns the index of the subscription to channel, or -1. Sessions hold
// few subscriptions (Rules.Channels); a scan is smaller than a map.
func (s *Session) Find(channel string) int {
	subs := s.Subs()
	for i := range subs {
		if subs[i].Channel.Name == channel {
			return i
		}
	}
	return -1
}

// subscribed reports whether what is published to channel comes to the session:
// under its name, or through a pattern.
func (s *Session) subscribed(channel string) bool {
	return s.Find(channel) >= 0 || slices.ContainsFunc(s.Subs(), func(sub Sub) bool {
		return sub.Channel.Pattern && grant.Delivers(sub.Channel.Name, channel)
	})
}

// FindTopic returns the index of the subscription whose channel has that id, or -1.
func (s *Session) FindTopic(id uint64) int {
	subs := s.Subs()
	for i := range subs {
		if subs[i].Channel.ID == id {
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
	step := Step{Kind: Publish, ID: cmd.ID, Channel: channel, Data: cmd.Publish.Data, Keep: r.Retention(channel)}
	ask, e := s.mayOffer(channel, r)
	if e != nil {
		return reject(dst, cmd.ID, e)
	}
	if ask {
		step.Kind, step.Command = AskPublish, cmd
	}
	return dst, step
}

// mayOffer says whether the session may publish to channel, or ask the backend
// whether it may.
func (s *Session) mayOffer(channel string, r *Rules) (ask bool, e *clientproto.Error) {
	if ns, _ := r.namespace(channel); ns.PublishHook {
		return true, s.closed(channel, r)
	}
	return false, s.mayPublish(channel, r)
}

func (s *Session) mayPublish(channel string, r *Rules) *clientproto.Error {
	return s.may(grant.Pub, channel, r, func(ns Namespace) bool {
		return ns.Publish || ns.PublishIfSubscribed && s.subscribed(channel)
	})
}

// PublishInfo is what is told of a client that publishes to channel, beside its
// data; nil for an anonymous one.
func (s *Session) PublishInfo(channel string) []byte {
	if s.user == "" {
		return nil
	}
	info := clientproto.ClientInfo{Client: s.client.String(), User: s.user, ConnInfo: s.info()}
	if i := s.Find(channel); i >= 0 {
		info.ChanInfo = s.Sub(i).Info()
	}
	return clientproto.AppendClientInfo(nil, &info)
}
