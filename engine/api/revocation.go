package api

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"weir/engine/clientproto"
	"weir/security/grant"
)

// Revocation is who or what is no longer let in. One of User, TokenID and Client is set.
type Revocation struct {
	User         string
	TokenID      string    // claim jti
	Client       string    // what this client is connected by, and its certificate, by their jti
	IssuedBefore time.Time // of User: only tokens issued before; zero: the user, whatever the token
	Until        time.Time // how long this is kept; zero: until it is taken back or the process ends
}

// Ticket says what a one-time ticket stands for.
type Ticket struct {
	User     string
	Channels []string           // server-side subscriptions
	Caps     []grant.Capability // what else the session may
	Roles    []string           // names in the operator's policy, each once
	Info     json.RawMessage    // as the claim info; nil if none
	ExpireAt int64              // when the session ends, in unix seconds; 0: never
	Life     time.Duration      // until its use; 0: the longest there is
}

func (h *Handlers) blockUser(ctx context.Context, f fields) (any, *clientproto.Error) {
	user, err := f.required("user")
	if err != nil {
		return nil, err
	}
	return h.revoke(ctx, f, Revocation{User: user})
}

func (h *Handlers) unblockUser(ctx context.Context, f fields) (any, *clientproto.Error) {
	user, err := f.required("user")
	if err != nil {
		return nil, err
	}
	return done(h.cfg.Node.Unblock(ctx, user))
}

// revokeToken takes Centrifugo's uid for jti too, and the client whose token it is for either.
func (h *Handlers) revokeToken(ctx context.Context, f fields) (any, *clientproto.Error) {
	name := "jti"
	if !f.has(name) {
		name = "uid"
	}
	id, err := f.text(name)
	if err != nil {
		return nil, err
	}
	client, err := f.text("client")
	switch {
	case err != nil:
		return nil, err
	case id == "" && client == "":
		return nil, errNoTokenID
	case id != "" && client != "":
		return nil, errTwoTokens
	}
	return h.revoke(ctx, f, Revocation{TokenID: id, Client: client})
}

// invalidateUserTokens is about tokens issued before now, unless the call says before when.
func (h *Handlers) invalidateUserTokens(ctx context.Context, f fields) (any, *clientproto.Error) {
	user, err := f.required("user")
	if err != nil {
		return nil, err
	}
	if f.given("channel") {
		return nil, notAvailable("channel")
	}
	before, err := f.when("issued_before")
	if err != nil {
		return nil, err
	}
	if before.IsZero() {
		before = h.cfg.Now()
	}
	return h.revoke(ctx, f, Revocation{User: user, IssuedBefore: before})
}

func (h *Handlers) revoke(ctx context.Context, f fields, r Revocation) (_ any, err *clientproto.Error) {
	if r.Until, err = f.when("expire_at"); err != nil {
		return nil, err
	}
	return done(h.cfg.Node.Revoke(ctx, r))
}

type ticketResult struct {
	Ticket string `json:"ticket"`
}

// issueTicket reads the user from sub, as in a token, or from user, as in the other calls.
func (h *Handlers) issueTicket(ctx context.Context, f fields) (any, *clientproto.Error) {
	t, err := h.ticket(f)
	if err != nil {
		return nil, err
	}
	text, err := h.cfg.Node.IssueTicket(ctx, t)
	if err != nil {
		return nil, err
	}
	return ticketResult{text}, nil
}

func (h *Handlers) ticket(f fields) (t Ticket, err *clientproto.Error) {
	name := "sub"
	if !f.has(name) {
		name = "user"
	}
	if t.User, err = f.text(name); err != nil {
		return t, err
	}
	if t.User == "" {
		return t, errNoSubject
	}
	if t.Channels, err = f.texts("channels"); err != nil {
		return t, err
	}
	for _, channel := range t.Channels {
		if e := h.cfg.Channels(channel); e != nil {
			return t, e
		}
	}
	if f.has("caps") && json.Unmarshal(f["caps"], &t.Caps) != nil {
		return t, errCaps
	}
	if t.Roles, err = f.roles(); err != nil {
		return t, err
	}
	if len(t.Channels)+len(t.Caps)+len(t.Roles) == 0 {
		return t, errEmptyTicket
	}
	if f.has("info") {
		t.Info = compact(f["info"])
	}
	end, err := f.when("expire_at")
	if err != nil {
		return t, err
	}
	if !end.IsZero() {
		t.ExpireAt = end.Unix()
	}
	var seconds int64
	if f.has("ttl") && json.Unmarshal(f["ttl"], &seconds) != nil || seconds < 0 || seconds > maxTicketSeconds {
		return t, errTTL
	}
	t.Life = time.Duration(seconds) * time.Second
	return t, nil
}

// roles reads an array of names of roles, or one of them, as the claim does. A name that no role can have is the caller's mistake.
func (f fields) roles() ([]string, *clientproto.Error) {
	var one string
	list := []string{}
	if raw := f["roles"]; len(raw) > 0 && raw[0] == '"' && json.Unmarshal(raw, &one) == nil {
		list = append(list, one)
	} else if all, err := f.texts("roles"); err != nil {
		return nil, err
	} else {
		list = all
	}
	if len(list) > grant.MaxRoles || slices.ContainsFunc(list, func(name string) bool { return grant.CheckRole(name) != nil }) {
		return nil, errRoles
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}

// maxTicketSeconds is the longest life of a ticket that may be asked for; it is as long as a ticket may live at all.
const maxTicketSeconds = 30

// required reads a string that must not be empty.
func (f fields) required(name string) (string, *clientproto.Error) {
	s, err := f.text(name)
	if err == nil && s == "" {
		err = badRequest(name + " is required")
	}
	return s, err
}

// when reads a time in unix seconds; absent and 0 are the zero time.
func (f fields) when(name string) (at time.Time, err *clientproto.Error) {
	var seconds int64
	if f.has(name) && json.Unmarshal(f[name], &seconds) != nil || seconds < 0 || seconds > maxExpireAt {
		return at, badRequest(name + " must be a time in unix seconds, up to the year 9999")
	}
	if seconds == 0 {
		return at, nil
	}
	return time.Unix(seconds, 0), nil
}
