package replay

import (
	"encoding/json"
	"errors"
	"sync"
	"time"

	"weir/security/audit/capture"
	"weir/security/grant"
	"weir/security/token"
)

// wallet has a live credential for each captured one. Any goroutine.
type wallet struct {
	secret []byte // signs tokens; nil: there is none
	token  string // for every connection token that was accepted; "": there is none
	now    func() time.Time

	mu     sync.Mutex
	minted map[string]string // guarded by mu: by name and state
}

var (
	errNoSecret = errors.New("it brought a token: give --token-hmac-secret of the server, or --token")
	errTicket   = errors.New("it brought a ticket, and what that granted is not known: give --token")
	errKey      = errors.New("it brought a token by a key that was not there")
	errClaims   = errors.New("it brought a token that cannot be made again")
)

// live is what to send for a credential. One that was invalid has none: its name is as good.
func (w *wallet) live(c *capture.Credential) (string, error) {
	switch {
	case c.State == capture.Invalid:
		return c.Name, nil
	case c.State == capture.UnknownKey:
		return "", errKey
	case w.token != "" && c.State == capture.Accepted && (c.Claims == nil || c.Claims.Channel == ""):
		return w.token, nil
	case isTicket(c.Name):
		return "", errTicket
	case w.secret == nil:
		return "", errNoSecret
	case c.Claims == nil:
		return "", errClaims
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	key := c.State + " " + c.Name
	if minted, again := w.minted[key]; again {
		return minted, nil
	}
	minted, err := w.mint(c.Claims)
	if err != nil {
		return "", errClaims // what it says may be the capture's words
	}
	w.minted[key] = minted
	return minted, nil
}

// mint signs a token with the same claims, whose times are as far from now as they were then.
func (w *wallet) mint(c *capture.Claims) (string, error) {
	now := w.now().Unix()
	at := func(d *int64) int64 {
		if d == nil {
			return 0
		}
		return now + *d
	}
	claims := token.SignClaims{
		Subject: c.Subject, Issuer: c.Issuer, Audience: c.Audience, Channel: c.Channel, Channels: c.Channels, Roles: c.Roles,
		ExpiresAt: now + c.Expires, IssuedAt: at(c.Issued), NotBefore: at(c.NotBefore),
	}
	if len(c.Caps) > 0 {
		if err := json.Unmarshal(c.Caps, (*[]grant.Capability)(&claims.Caps)); err != nil {
			return "", err
		}
	}
	if len(c.Subs) > 0 {
		claims.Subs = make(map[string]struct{}, len(c.Subs))
		for _, channel := range c.Subs {
			claims.Subs[channel] = struct{}{}
		}
	}
	if c.ExpireAt != nil {
		var until int64 // for ever
		if *c.ExpireAt != capture.Forever {
			until = now + *c.ExpireAt
		}
		claims.ExpireAt = &until
	}
	return token.Sign(w.secret, claims)
}

// credentials are those of one connection, by name.
type credentials map[string]string

// of finds what a connection needs, or says why that is not to be had. A credential that it brought and
// that was only judged elsewhere is one of known.
func (w *wallet) of(s *script, known map[string]*capture.Credential) (credentials, error) {
	list := credentials{}
	for i := range s.steps {
		c := s.steps[i].Credential
		if c == nil || list[c.Name] != "" {
			continue
		}
		live, err := w.live(c)
		if err != nil {
			return nil, err
		}
		list[c.Name] = live
	}
	s.names(func(name string) {
		if c := known[name]; c != nil && list[name] == "" && !isTicket(name) { // a ticket counts once
			if live, err := w.live(c); err == nil {
				list[name] = live
			}
		}
	})
	return list, nil
}

// names calls f for each name that the client of s sent.
func (s *script) names(f func(name string)) {
	for i := range s.steps {
		one := &s.steps[i]
		if one.Message != nil {
			one.Message.Names(f)
		}
		if q := one.Request; q != nil {
			for _, t := range []*capture.Text{q.Query, q.Protocols, q.Authorization} {
				if t != nil {
					t.Names(f)
				}
			}
		}
	}
}

// judged is what became of each credential of a capture, the first time.
func (c *Capture) judged() map[string]*capture.Credential {
	all := map[string]*capture.Credential{}
	for _, s := range c.scripts {
		for i := range s.steps {
			if k := s.steps[i].Credential; k != nil && all[k.Name] == nil {
				all[k.Name] = k
			}
		}
	}
	return all
}

// fill puts credentials in the place of their names; other names stay.
func (c credentials) fill(t *capture.Text) string {
	return t.Fill(func(name string) string {
		if live := c[name]; live != "" {
			return live
		}
		return name
	})
}

func isTicket(name string) bool {
	return len(name) > len(capture.KindTicket) && name[:len(capture.KindTicket)] == capture.KindTicket
}
