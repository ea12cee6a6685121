package realclient

import (
	"testing"
	"time"

	"weir/security/grant"
	"weir/security/token"
)

// signCaps makes a token of alice's with sub on the patterns, and server-side channels.
func signCaps(t testing.TB, issued, end time.Time, server []string, patterns ...string) string {
	t.Helper()
	jwt, err := token.Sign(secret, token.SignClaims{Subject: "alice", IssuedAt: issued.Unix(), ExpiresAt: end.Unix(), Channels: server,
		Caps: []grant.Capability{{Channels: patterns, Match: "wildcard", Allow: []string{"sub"}}}})
	if err != nil {
		t.Fatal(err)
	}
	return jwt
}

// wanting is an SDK that has connected with a token of one second and subscribed, and is asking for the next one.
func (s *server) wanting(t testing.TB, first string, channels ...string) *script {
	t.Helper()
	n := s.sdk(t, order{"askForToken": true})
	for _, c := range channels {
		n.do(order{"do": "subscribe", "channel": c})
	}
	n.do(order{"do": "connect"})
	n.next("token wanted", "connecting", "subscribing")
	n.do(order{"do": "give token", "token": first})
	timeout := time.After(longest)
	for due := len(channels) + 1; due > 0; {
		switch e := n.event("subscriptions and a token wanted", timeout); e.Event {
		case "subscribed", "token wanted":
			due--
		case "disconnected", "unsubscribed", "error":
			t.Fatalf("the script tells %+v", e)
		}
	}
	return n
}

// TestSDKRefreshTakesAway: the subscriptions that a newer token does not cover end, for good; the others, and the
// connection, stay.
func TestSDKRefreshTakesAway(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	n := s.wanting(t, signCaps(t, s.clock.in(-time.Hour), s.clock.in(time.Second), []string{"feeds:server"}, "feeds:*"), "feeds:a", "feeds:b")
	n.do(order{"do": "give token", "token": signCaps(t, s.clock.now(), s.clock.in(time.Hour), nil, "feeds:b")})
	if e := n.next("unsubscribed", chatter...); e.Channel != "feeds:a" || e.Code != 2003 || e.Reason != "permission denied" {
		t.Errorf("what ended is %+v, want feeds:a and 2003", e)
	}
	if e := n.next("server unsubscribed", chatter...); e.Channel != "feeds:server" {
		t.Errorf("what ended is %+v, want feeds:server", e)
	}
	s.publish("feeds:a", `"unseen"`)
	s.publish("feeds:server", `"unseen"`)
	s.mustReceive(n, "feeds:b", `"seen"`)
}

// TestSDKRefreshOlder: a token that was issued before the one that counts ends the connection, for good.
func TestSDKRefreshOlder(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	n := s.wanting(t, signCaps(t, s.clock.in(-time.Minute), s.clock.in(time.Second), nil, "feeds:a"), "feeds:a")
	n.do(order{"do": "give token", "token": signCaps(t, s.clock.in(-time.Hour), s.clock.in(time.Hour), nil, "feeds:*")})
	if d := n.next("disconnected", append(chatter, "subscribing")...); d.Code != 3500 || d.Reason != "invalid token" {
		t.Errorf("disconnected with %d %q, want 3500", d.Code, d.Reason)
	}
}
