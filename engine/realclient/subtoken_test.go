package realclient

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"weir/security/token"
)

// signSub makes a subscription token.
func signSub(t testing.TB, user, channel string, end time.Time) string {
	t.Helper()
	jwt, err := token.Sign(secret, token.SignClaims{Subject: user, Channel: channel, ExpiresAt: end.Unix(), Info: json.RawMessage(`{"role":"host"}`)})
	if err != nil {
		t.Fatal(err)
	}
	return jwt
}

// askedForToken subscribes to a $ channel with a token of which one second is
// left, so that the SDK asks for another a second later.
func (s *server) askedForToken(n *script, channel string) {
	s.t.Helper()
	n.do(order{"do": "subscribe", "channel": channel, "askForToken": true})
	if e := n.next("token wanted", append(chatter, "subscribing")...); e.Channel != channel {
		s.t.Fatalf("a token is wanted for %q", e.Channel)
	}
	n.do(order{"do": "give token", "token": signSub(s.t, "alice", channel, s.clock.in(time.Second))})
	n.both("subscribed", "token wanted", append(chatter, "subscribing")...)
}

// TestSDKSubRefresh: when a subscription's token runs out the SDK brings
// another, and the subscription goes on past the first one's end.
func TestSDKSubRefresh(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	n := s.connected(t, order{})
	s.askedForToken(n, "$feeds:a")
	s.mustReceive(n, "$feeds:a", `1`)
	n.do(order{"do": "give token", "token": signSub(t, "alice", "$feeds:a", s.clock.in(time.Hour))})
	if sent := n.next("sent"); !slices.Equal(sent.Lines, []string{"sub_refresh"}) {
		t.Errorf("the SDK sent %q, want a sub_refresh", sent.Lines)
	}
	n.answered()
	s.clock.move(10 * time.Minute)
	s.mustReceive(n, "$feeds:a", `"still here"`)
}

// TestSDKSubUnrefreshed: a subscription whose token is not renewed ends with
// 2501, alone; the SDK then tries to subscribe again.
func TestSDKSubUnrefreshed(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	n := s.connected(t, order{}, "feeds:plain")
	s.askedForToken(n, "$feeds:a")
	s.clock.move(10 * time.Minute)
	if e := n.next("subscribing", chatter...); e.Channel != "$feeds:a" || e.Code != 2501 {
		t.Fatalf("%s ended with %d, want $feeds:a and 2501", e.Channel, e.Code)
	}
	if e := n.next("subscription error", chatter...); e.Channel != "$feeds:a" || e.Code != 109 {
		t.Fatalf("with the token that is over: %d on %s, want 109", e.Code, e.Channel)
	}
	n.next("token wanted", chatter...)
	s.mustReceive(n, "feeds:plain", `"the connection stays"`)
	for range 2 { // also who asked while the first subscription was there
		n.do(order{"do": "give token", "token": signSub(t, "alice", "$feeds:a", s.clock.in(time.Hour))})
	}
	n.next("subscribed", chatter...)
	s.mustReceive(n, "$feeds:a", `"back"`)
}

// TestSDKChannelInfo: what a subscription token says of its user comes with what he publishes there.
func TestSDKChannelInfo(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	n := s.connected(t, order{}, "feeds:plain")
	n.do(order{"do": "subscribe", "channel": "feeds:a", "options": order{"token": signSub(t, "alice", "feeds:a", time.Now().Add(time.Hour))}})
	n.next("subscribed", append(chatter, "subscribing")...)
	for channel, want := range map[string]string{"feeds:a": `{"role":"host"}`, "feeds:plain": ``} {
		n.do(order{"do": "publish", "channel": channel, "data": 1})
		p, _ := n.both("publication", "published", "sent")
		var info struct {
			User     string
			ChanInfo json.RawMessage
		}
		if err := json.Unmarshal(p.Info, &info); err != nil || p.Channel != channel || info.User != "alice" || string(info.ChanInfo) != want {
			t.Errorf("%s: %s, %v, want %s", p.Channel, p.Info, err, want)
		}
	}
}
