package session

import (
	"weir/engine/clientproto"
	"weir/security/grant"
)

// presence answers who may ask who is subscribed: by a grant, or as a
// subscriber where the namespace says so.
func (s *Session) presence(dst []byte, cmd *clientproto.Command, r *Rules) ([]byte, Step) {
	channel := string(cmd.Presence.Channel)
	if grant.CheckChannel(channel) != nil {
		return reject(dst, cmd.ID, clientproto.ErrBadRequest)
	}
	if e := s.maySee(channel, s.subscribed(channel), r); e != nil {
		return reject(dst, cmd.ID, e)
	}
	if !r.Presence(channel) {
		return reject(dst, cmd.ID, clientproto.ErrNotAvailable)
	}
	return dst, Step{Kind: Presence, ID: cmd.ID, Channel: channel, Count: cmd.Method == clientproto.PresenceStats}
}

// maySee says whether the session may know who is subscribed to a channel,
// subscribed to it itself or not.
func (s *Session) maySee(channel string, subscribed bool, r *Rules) *clientproto.Error {
	return s.may(grant.Prs, channel, r, func(ns Namespace) bool { return ns.PresenceIfSubscribed && subscribed })
}

// MayWatch reports whether the session, subscribed to a channel, may be told who
// joins and leaves it: who may ask for its presence may.
func (s *Session) MayWatch(channel string, r *Rules) bool {
	return r.JoinLeave(channel) && s.maySee(channel, true, r) == nil
}

// JoinLeave reports whether it is told who joins and leaves channel.
func (r *Rules) JoinLeave(channel string) bool {
	ns, _ := r.namespace(channel)
	return ns.JoinLeave
}

// Presence reports whether it can be asked who is subscribed to channel.
func (r *Rules) Presence(channel string) bool {
	ns, _ := r.namespace(channel)
	return ns.Presence
}

// ClientInfo is how others see the session in the channel of subscription i.
func (s *Session) ClientInfo(i int) clientproto.ClientInfo {
	return clientproto.ClientInfo{Client: s.client.String(), User: s.user, ConnInfo: s.info(), ChanInfo: s.Sub(i).Info()}
}
