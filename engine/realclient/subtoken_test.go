package realclient

import (
	"slices"
	"testing"
	"time"

	"weir/engine"
	"weir/security/token"
)

// signSub makes a subscription token.
func signSub(t testing.TB, user, channel string, life time.Duration) string {
	t.Helper()
	jwt, err := token.Sign(secret, token.SignClaims{Subject: user, Channel: channel, ExpiresAt: time.Now().Add(life).Unix()})
	if err != nil {
		t.Fatal(err)
	}
	return jwt
}

// askedForToken subscribes to a $ channel with a token of at most two seconds.
func (n *script) askedForToken(channel string) {
	n.t.Helper()
	n.do(order{"do": "subscribe", "channel": channel, "askForToken": true})
	if e := n.next("token wanted", append(chatter, "subscribing")...); e.Channel != channel {
		n.t.Fatalf("a token is wanted for %q", e.Channel)
	}
	n.do(order{"do": "give token", "token": signSub(n.t, "alice", channel, 2*time.Second)})
	n.next("subscribed", append(chatter, "subscribing")...)
}

// TestSDKSubRefresh: when a subscription's token runs out the SDK brings
// another, and the subscription goes on past the first one's end.
func TestSDKSubRefresh(t *testing.T) {
	t.Parallel()
	s := serve(t, func(c *engine.Config) {
		c.Limits.ExpiredCloseDelay, c.Limits.PingInterval = 2*time.Second, time.Second
	})
	n := s.connected(t, order{})
	n.askedForToken("$feeds:a")
	s.mustReceive(n, "$feeds:a", `1`)
	n.next("token wanted", chatter...)
	n.do(order{"do": "give token", "token": signSub(t, "alice", "$feeds:a", time.Hour)})
	if sent := n.next("sent", "pong"); !slices.Equal(sent.Lines, []string{"sub_refresh"}) {
		t.Errorf("the SDK sent %q, want a sub_refresh", sent.Lines)
	}
	for range 5 { // a second each: past the end that was due
		n.next("pong")
	}
	s.mustReceive(n, "$feeds:a", `"still here"`)
}

// TestSDKSubUnrefreshed: a subscription whose token is not renewed ends with
// 2501, alone; the SDK then tries to subscribe again.
func TestSDKSubUnrefreshed(t *testing.T) {
	t.Parallel()
	s := serve(t, func(c *engine.Config) { c.Limits.ExpiredCloseDelay = time.Millisecond })
	n := s.connected(t, order{}, "feeds:plain")
	n.askedForToken("$feeds:a")
	if e := n.next("subscribing", append(chatter, "token wanted")...); e.Channel != "$feeds:a" || e.Code != 2501 {
		t.Fatalf("%s ended with %d, want $feeds:a and 2501", e.Channel, e.Code)
	}
	s.mustReceive(n, "feeds:plain", `"the connection stays"`)
}
