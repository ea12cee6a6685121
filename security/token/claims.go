package token

import (
	"encoding/json"
	"slices"

	"weir/security/grant"
)

// Claims is what a connection token says. Dates are seconds since 1970. Immutable once returned;
// raw JSON is compact (no line break).
type Claims struct {
	Subject   string // "" is an explicit anonymous user
	ID        string // jti
	ExpiresAt int64  // exp: until when the token may be used
	IssuedAt  int64  // iat, 0 if absent
	ExpireAt  *int64 // expire_at: until when the connection may last, 0 for ever; nil: as ExpiresAt
	Info      json.RawMessage
	Meta      json.RawMessage
	Channels  []string             // server-side subscriptions
	Subs      map[string]Subscribe // server-side subscriptions with options
	Grant     *grant.Set           // compiled caps; nil denies
	Roles     []string             // names in the operator's policy, each once
}

// Subscribe holds the options of one server-side subscription.
type Subscribe struct {
	Info json.RawMessage
	Data json.RawMessage
}

// ServerChannels returns the names of all server-side subscriptions, each once: Channels in their
// order, then those of Subs sorted.
func (c *Claims) ServerChannels() []string {
	if len(c.Channels)+len(c.Subs) == 0 {
		return nil
	}
	list := make([]string, 0, len(c.Channels)+len(c.Subs))
	seen := make(map[string]struct{}, cap(list))
	add := func(name string) {
		if _, twice := seen[name]; !twice {
			seen[name] = struct{}{}
			list = append(list, name)
		}
	}
	for _, name := range c.Channels {
		add(name)
	}
	from := len(list)
	for name := range c.Subs {
		add(name)
	}
	slices.Sort(list[from:])
	return list
}

// SubClaims is what a subscription token says, as Claims.
type SubClaims struct {
	Subject   string
	ID        string
	Channel   string
	ExpiresAt int64
	IssuedAt  int64
	ExpireAt  *int64
	Info      json.RawMessage
}

// claims is everything that is read from a payload.
type claims struct {
	Claims
	channel                           string
	issuer                            string
	audience                          audience
	notBefore                         int64
	hasExpiry, hasSubject, hasChannel bool
}

// audience is aud: a name or a list of names. RFC 7519 §4.1.3.
type audience []string

func (a audience) holds(name string) bool { return slices.Contains(a, name) }

func (a *audience) read(value []byte) (ok bool) {
	if value[0] == '[' {
		*a, ok = texts(value)
		return ok
	}
	name, ok := text(value)
	*a = audience{name}
	return ok
}

// read takes the claims out of the payload of a verified token. Unknown claims are ignored.
func (c *claims) read(payload []byte) *Fault {
	if !wellFormed(payload) {
		return errClaims
	}
	fault := errClaims
	ok := members(payload, func(name string, value []byte) bool {
		ok, f := c.registered(name, value)
		if f != nil {
			fault = f
		}
		return ok && f == nil
	})
	if !ok {
		return fault
	}
	return nil
}

// registered takes one of the claims of RFC 7519 §4.1, or hands on to ours.
func (c *claims) registered(name string, value []byte) (ok bool, _ *Fault) {
	switch name {
	case "iss":
		c.issuer, ok = text(value)
	case "sub":
		c.Subject, c.hasSubject = text(value)
		ok = c.hasSubject
	case "aud":
		ok = c.audience.read(value)
	case "exp":
		c.ExpiresAt, c.hasExpiry = date(value)
		ok = c.hasExpiry
	case "nbf":
		c.notBefore, ok = date(value)
	case "iat":
		c.IssuedAt, ok = date(value)
	case "jti":
		c.ID, ok = text(value)
	default:
		return c.own(name, value)
	}
	return ok, nil
}

// own takes one of the claims of the client protocol.
func (c *claims) own(name string, value []byte) (ok bool, _ *Fault) {
	switch name {
	case "info":
		c.Info, ok = compact(value)
	case "meta":
		c.Meta, ok = compact(value)
	case "expire_at":
		var at int64
		at, ok = date(value)
		c.ExpireAt = &at
	case "channel":
		c.channel, c.hasChannel = text(value)
		if ok = c.hasChannel; ok && grant.CheckPattern(c.channel) != nil {
			return false, errChannel
		}
	case "channels":
		if c.Channels, ok = texts(value); ok && !areChannels(c.Channels) {
			return false, errChannel
		}
	case "subs":
		return c.readSubs(value)
	case "caps":
		return c.readCaps(value)
	case "roles":
		return c.readRoles(value)
	default:
		ok = true
	}
	return ok, nil
}

func areChannels(names []string) bool {
	return !slices.ContainsFunc(names, func(name string) bool { return grant.CheckPattern(name) != nil })
}

// readSubs takes {"channel":{"info":…,"data":…}}.
func (c *claims) readSubs(value []byte) (bool, *Fault) {
	var fault *Fault
	c.Subs = make(map[string]Subscribe)
	ok := members(value, func(channel string, options []byte) bool {
		if grant.CheckPattern(channel) != nil {
			fault = errChannel
			return false
		}
		var sub Subscribe
		ok := members(options, func(name string, value []byte) (ok bool) {
			switch name {
			case "info":
				sub.Info, ok = compact(value)
			case "data":
				sub.Data, ok = compact(value)
			default:
				ok = true
			}
			return ok
		})
		c.Subs[channel] = sub
		return ok
	})
	return ok, fault
}

// readRoles takes a list of names, or one. What a role grants is not the token's to say; a name that
// cannot be a role's is in no policy and passed over.
func (c *claims) readRoles(value []byte) (ok bool, _ *Fault) {
	list := []string{""}
	if value[0] == '[' {
		list, ok = texts(value)
	} else {
		list[0], ok = text(value)
	}
	if !ok {
		return false, nil
	}
	for _, name := range list {
		if grant.CheckRole(name) != nil || slices.Contains(c.Roles, name) {
			continue
		}
		if len(c.Roles) == grant.MaxRoles {
			return false, errRoles
		}
		c.Roles = append(c.Roles, name)
	}
	return true, nil
}

// readCaps takes [{"channels":[…],"match":"…","allow":[…]}]. A member that it does not know could
// be a restriction, so it is refused.
func (c *claims) readCaps(value []byte) (bool, *Fault) {
	caps := []grant.Capability{}
	ok := elements(value, func(entry []byte) bool {
		var one grant.Capability
		ok := members(entry, func(name string, value []byte) (ok bool) {
			switch name {
			case "channels":
				one.Channels, ok = texts(value)
			case "match":
				one.Match, ok = text(value)
			case "allow":
				one.Allow, ok = texts(value)
			}
			return ok
		})
		caps = append(caps, one)
		return ok
	})
	if !ok {
		return false, nil
	}
	set, err := grant.Compile(caps)
	if err != nil {
		return false, errGrant
	}
	c.Grant = set
	return true, nil
}
