package session

import (
	"errors"
	"time"

	"weir/engine/broker"
	"weir/engine/clientproto"
	"weir/security/token"
)

// SubChecked goes on with step, a SubToken or SubRefresh, whose token was
// checked: c is what it says, err why it is refused.
func (s *Session) SubChecked(dst []byte, step Step, c *token.SubClaims, err error, r *Rules, now time.Time) ([]byte, Step) {
	if err == nil && (c.Subject != s.user || c.Channel != step.Channel) {
		err = token.ErrInvalid
	}
	if step.Kind == SubRefresh {
		return s.subRefreshed(dst, &step, c, err, now)
	}
	_, known := r.namespace(step.Channel)
	switch {
	case errors.Is(err, token.ErrExpired):
		return reject(dst, step.ID, clientproto.ErrTokenExpired)
	case err != nil:
		return reject(dst, step.ID, clientproto.ErrPermissionDenied)
	case !known: // the token covers the name, so this is told
		return reject(dst, step.ID, clientproto.ErrUnknownChannel)
	case over(c.ExpireAt, now):
		return reject(dst, step.ID, clientproto.ErrExpired)
	}
	e := s.closed(step.Channel, r) // the rules may have changed while the token was checked
	if e == nil {
		e = s.Room(step.Channel, r) // and the server may have subscribed it
	}
	if e != nil {
		return reject(dst, step.ID, e)
	}
	step.Watch = step.Watch && s.MayWatch(step.Channel, r)
	step.Kind, step.Expires, step.Info = Subscribe, expiry(c.ExpireAt, c.ExpiresAt), c.Info
	return dst, step
}

// Subscribed ends a Subscribe: the subscription added last is what step asked
// for. It returns what is replied.
func (s *Session) Subscribed(step *Step, at *broker.Attached, now time.Time) clientproto.SubscribeResult {
	sub := s.Sub(len(s.Subs()) - 1)
	sub.By, sub.Expires, sub.Follows = step.By, step.Expires, step.Plan.Positioned
	sub.SetInfo(step.Info)
	res := step.Plan.Result(at)
	if sub.By == ByHook { // it is asked again once that is over
		res.Data = step.Data
		return res
	}
	res.Expires, res.TTL = sub.Expires > 0, ttl(sub.Expires, now)
	return res
}

func (s *Session) subRefresh(dst []byte, cmd *clientproto.Command) ([]byte, Step) {
	channel := string(cmd.SubRefresh.Channel)
	if i := s.Find(channel); i < 0 || s.Sub(i).By != ByToken || len(cmd.SubRefresh.Token) == 0 {
		return reject(dst, cmd.ID, clientproto.ErrBadRequest)
	}
	return dst, Step{Kind: SubRefresh, ID: cmd.ID, Channel: channel, Token: cmd.SubRefresh.Token}
}

func (s *Session) subRefreshed(dst []byte, step *Step, c *token.SubClaims, err error, now time.Time) ([]byte, Step) {
	switch {
	case errors.Is(err, token.ErrExpired):
		return dst, Step{Close: clientproto.CloseSubscriptionExpired}
	case err != nil:
		return dst, Step{Close: clientproto.CloseInvalidToken}
	}
	i := s.Find(step.Channel)
	if i < 0 { // it ended while its token was checked
		return reject(dst, step.ID, clientproto.ErrBadRequest)
	}
	expires := expiry(c.ExpireAt, c.ExpiresAt)
	sub := s.Sub(i)
	sub.Expires = expires
	sub.SetInfo(c.Info)
	return clientproto.AppendSubRefresh(dst, step.ID, &clientproto.SubRefreshResult{
		Expires: expires > 0, TTL: ttl(expires, now),
	}), Step{}
}

// NextExpiry is when the first of the tokens ends that the session and its
// subscriptions live by, in unix seconds; 0: none does.
func (s *Session) NextExpiry() int64 {
	next := s.Expires()
	subs := s.Subs()
	for i := range subs {
		if at := subs[i].Expires; at > 0 && (next <= 0 || at < next) {
			next = at
		}
	}
	return next
}
