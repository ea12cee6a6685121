package api

import "weir/engine/clientproto"

// Target names connections of authenticated or anonymous clients. At least one of User and Client is not empty.
type Target struct {
	User      string   // "" is any user, and then Client is set
	Client    string   // "" is every client of the user
	Whitelist []string // clients that are left alone
}

// target reads whom a call is about.
func target(f fields) (t Target, err *clientproto.Error) {
	if t.User, err = f.text("user"); err != nil {
		return t, err
	}
	if t.Client, err = f.text("client"); err != nil {
		return t, err
	}
	if f.given("session") {
		return t, errSession // passed over, it would widen the call to all of the user's clients
	}
	if t.User == "" && t.Client == "" {
		return t, errNobody // never "everybody who is anonymous" by leaving out a field
	}
	return t, nil
}

// targetChannel reads whom and which channel or pattern a call is about.
func (h *Handlers) targetChannel(f fields) (t Target, channel string, err *clientproto.Error) {
	if t, err = target(f); err != nil {
		return t, "", err
	}
	if channel, err = f.text("channel"); err != nil {
		return t, "", err
	}
	return t, channel, h.cfg.Subscriptions(channel)
}
