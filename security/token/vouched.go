package token

import "encoding/json"

// Vouched takes what a backend that authenticates a connection itself says of it, in the place of a token: user,
// which must be there, and expire_at (absent or 0: never), info, meta, channels, subs, caps and roles as in a token. said are
// the members of an object in text that a strict validator accepted; others are ignored. The error is a *Fault.
func Vouched(said map[string]json.RawMessage) (*Claims, error) {
	var c claims
	if user := said["user"]; len(user) > 0 {
		c.Subject, c.hasSubject = text(user)
	}
	if !c.hasSubject {
		return nil, errNoSubject
	}
	for _, name := range []string{"expire_at", "info", "meta", "channels", "subs", "caps", "roles"} {
		value := said[name]
		if len(value) == 0 || string(value) == "null" {
			continue
		}
		ok, fault := c.own(name, value)
		switch {
		case fault != nil:
			return nil, fault
		case !ok:
			return nil, errClaims
		}
	}
	if c.ExpireAt == nil {
		c.ExpireAt = new(int64)
	}
	return &c.Claims, nil
}
