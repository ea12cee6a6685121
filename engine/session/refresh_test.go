package session

import (
	"strings"
	"testing"
	"time"

	"weir/engine/clientproto"
	"weir/engine/hub"
	"weir/security/grant"
	"weir/security/token"
)

func TestRefresh(t *testing.T) {
	s := connectedAs(t, claims(t, "u"))
	if _, step := s.Command(nil, parse(t, `{"id":2,"refresh":{"token":"t"}}`), rules()); step.Kind != Refresh {
		t.Fatalf("%+v, want Refresh", step)
	}
	if _, end := s.Refreshed(nil, 2, claims(t, "v"), rules(), now); end != clientproto.CloseInvalidToken {
		t.Fatalf("another user's token: %+v, want close 3500", end)
	}
	longer := claims(t, "u", feeds)
	longer.ExpiresAt = now.Unix() + 500
	out, end := s.Refreshed(nil, 2, longer, rules(), now)
	if end != nil || s.Expires() != longer.ExpiresAt || !strings.Contains(string(out), `"ttl":500`) {
		t.Fatalf("refreshed: %s, %+v, expires %d", out, end, s.Expires())
	}
	if _, step := s.Command(nil, parse(t, `{"id":3,"subscribe":{"channel":"feeds:a"}}`), rules()); step.Kind != Subscribe {
		t.Fatalf("the new token's grant does not count: %+v", step)
	}
}

// TestRefreshIsNewer: a token that is older, over or another user's changes nothing.
func TestRefreshIsNewer(t *testing.T) {
	issued := func(iat, exp int64) *token.Claims {
		c := claims(t, "u", feeds)
		c.IssuedAt, c.ExpiresAt = iat, exp
		return c
	}
	at := now.Unix()
	over := issued(at, at+60)
	over.ExpireAt = &at
	never := int64(0)
	forever := issued(at, at+60)
	forever.ExpireAt = &never
	for _, c := range []struct {
		name   string
		first  int64 // iat of the token of connect
		second *token.Claims
		want   *clientproto.Close
	}{
		{"newer", at - 10, issued(at-9, at+60), nil},
		{"of the same second", at - 10, issued(at-10, at+60), nil},
		{"older", at - 10, issued(at-11, at+60), clientproto.CloseInvalidToken},
		{"the first without iat", 0, issued(at-11, at+60), nil},
		{"the second without iat", at - 10, issued(0, at+60), clientproto.CloseInvalidToken},
		{"both without iat", 0, issued(0, at+60), nil},
		{"over", at - 10, issued(at, at-1), clientproto.CloseExpired},
		{"over now", at - 10, issued(at, at), clientproto.CloseExpired},
		{"its connection over", at - 10, over, clientproto.CloseExpired},
		{"its connection for ever", at - 10, forever, nil},
	} {
		s := connectedAs(t, issued(c.first, at+30))
		out, end := s.Refreshed(nil, 2, c.second, rules(), now)
		if end != c.want || (c.want == nil) != (len(out) > 0) {
			t.Errorf("%s: %s, %+v, want %+v", c.name, out, end, c.want)
		}
		if c.want != nil && s.Expires() != at+30 {
			t.Errorf("%s: refused, and yet the session ends at %d", c.name, s.Expires())
		}
	}
	s := connectedAs(t, issued(at-10, at+30))
	s.Refreshed(nil, 2, issued(at-5, at+60), rules(), now)
	if _, end := s.Refreshed(nil, 3, issued(at-6, at+60), rules(), now); end != clientproto.CloseInvalidToken {
		t.Errorf("older than the second: %+v, want close 3500", end)
	}
}

// TestRefreshOfNobody: a connection without a token cannot become somebody.
func TestRefreshOfNobody(t *testing.T) {
	s := connectedAs(t, nil)
	if _, step := s.Command(nil, parse(t, `{"id":2,"refresh":{"token":"t"}}`), rules()); step.Close != clientproto.CloseInvalidToken {
		t.Errorf("%+v, want close 3500", step)
	}
	s = connectedAs(t, claims(t, "")) // a token said so
	if _, step := s.Command(nil, parse(t, `{"id":2,"refresh":{"token":"t"}}`), rules()); step.Kind != Refresh {
		t.Errorf("by a token without a name: %+v, want Refresh", step)
	}
}

// TestKeeps: what the newer token does not say is not kept.
func TestKeeps(t *testing.T) {
	s := connectedAs(t, claims(t, "u", feeds))
	newer := claims(t, "u", grant.Capability{Channels: []string{"feeds:a"}, Allow: []string{"sub"}})
	if _, end := s.Refreshed(nil, 2, newer, rules(), now); end != nil {
		t.Fatal(end)
	}
	for _, c := range []struct {
		sub  Sub
		name string
		want bool
	}{
		{Sub{}, "feeds:a", true}, {Sub{}, "feeds:b", false}, {Sub{}, "open:a", true}, {Sub{}, "$feeds:a", false}, {Sub{}, "feeds:a#v", false},
		{Sub{By: ByToken}, "feeds:b", true}, {Sub{By: ByToken}, "$feeds:b", true},
		{Sub{Server: true}, "feeds:s", true}, {Sub{Server: true}, "feeds:a", false}, {Sub{Server: true}, "open:a", false},
		{Sub{Server: true, By: ByOrder}, "feeds:b", true},
	} {
		c.sub.Channel = &hub.Channel{Name: c.name}
		if got := s.Keeps(s.Add(c.sub), []string{"feeds:s"}, rules()); got != c.want {
			t.Errorf("%+v of %s: %v, want %v", c.sub, c.name, got, c.want)
		}
	}
}

// TestRulesChangeWhileATokenIsChecked: those count that hold when it is done.
func TestRulesChangeWhileATokenIsChecked(t *testing.T) {
	open := &Rules{Namespaces: map[string]Namespace{"": {}, "r": {JoinLeave: true, Subscribe: true, PresenceIfSubscribed: true}}}
	shut := &Rules{Namespaces: map[string]Namespace{"": {}, "r": {JoinLeave: true, Subscribe: true}}}
	for _, after := range []*Rules{open, shut} {
		s := Session{state: connected, user: "u"}
		cmd := &clientproto.Command{ID: 1, Method: clientproto.Subscribe}
		cmd.Subscribe.Channel, cmd.Subscribe.Token, cmd.Subscribe.JoinLeave = []byte("r:a"), []byte("t"), true
		_, step := s.Command(nil, cmd, open)
		_, step = s.SubChecked(nil, step, &token.SubClaims{Subject: "u", Channel: "r:a", ExpiresAt: 9999}, nil, after, time.Unix(1, 0))
		if step.Kind != Subscribe || step.Watch != (after == open) {
			t.Errorf("kind %v, watches: %v", step.Kind, step.Watch)
		}
	}
}
