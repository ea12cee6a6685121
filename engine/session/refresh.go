package session

import (
	"slices"
	"time"

	"weir/engine/clientproto"
	"weir/security/token"
)

func (s *Session) refresh(dst []byte, cmd *clientproto.Command) ([]byte, Step) {
	switch {
	case len(cmd.Refresh.Token) == 0:
		return reject(dst, cmd.ID, clientproto.ErrBadRequest)
	case s.unnamed: // a token now would make it somebody
		return dst, Step{Close: clientproto.CloseInvalidToken}
	}
	return dst, Step{Kind: Refresh, ID: cmd.ID, Token: cmd.Refresh.Token}
}

// Refreshed takes a newer token: of the same user, and not issued before the
// one that counts, which a client may have kept to get back what it lost.
// Another one is a close. The engine then asks Keeps of every subscription.
func (s *Session) Refreshed(dst []byte, id uint32, c *token.Claims, r *Rules, now time.Time) ([]byte, *clientproto.Close) {
	expires := expiry(c.ExpireAt, c.ExpiresAt)
	switch {
	case c.Subject != s.user:
		return dst, clientproto.CloseInvalidToken
	case c.IssuedAt < int64(s.issued): // also one that does not say when
		return dst, clientproto.CloseInvalidToken
	case expires > 0 && expires <= now.Unix():
		return dst, clientproto.CloseExpired
	}
	s.grant, s.expires = r.Policy.Grant(c.Grant, c.Roles), seconds(expires)
	s.setInfo(c.Info)
	s.issued = max(s.issued, seconds(c.IssuedAt))
	return clientproto.AppendRefresh(dst, id, &clientproto.RefreshResult{
		Client: s.client.String(), Version: r.Version,
		Expires: s.expires > 0, TTL: ttl(s.Expires(), now),
	}), nil
}

// Keeps reports whether subscription i goes on after a refresh by a token with
// these server-side channels. What a subscription token, the backend or the
// operator made is theirs to end.
func (s *Session) Keeps(i int, channels []string, r *Rules) bool {
	sub := s.Sub(i)
	switch {
	case sub.By != ByGrant:
		return true
	case sub.Server:
		return slices.Contains(channels, sub.Channel.Name)
	default:
		return s.MaySubscribe(sub.Channel.Name, r) == nil
	}
}

// Adopt takes rules that have changed. The engine then asks Permitted of every
// subscription.
func (s *Session) Adopt(r *Rules) { s.grant = r.Policy.Regrant(s.grant) }

// Permitted reports whether subscription i may go on under rules that have
// changed since it was made.
func (s *Session) Permitted(i int, r *Rules) bool {
	sub := s.Sub(i)
	switch {
	case !s.Admitted(sub.Channel.Name, r):
		return false
	case sub.By == ByToken || sub.By == ByOrder || sub.Server:
		return r.Subscribable(sub.Channel.Name) == nil
	case sub.By == ByHook && r.asks(sub.Channel.Name):
		return true
	default:
		return s.MaySubscribe(sub.Channel.Name, r) == nil
	}
}
