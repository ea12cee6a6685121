package realclient

import (
	"testing"
	"time"

	"weir/security/token"
)

// wantPushed publishes by the API and wants the SDK to be sent, and to tell its
// application, what comes under each name, in this order.
func (s *server) wantPushed(n *script, channel, data string, under ...string) {
	s.t.Helper()
	s.publish(channel, data)
	var pushed, told []event
	for timeout := time.After(longest); len(pushed) < len(under) || len(told) < len(under); {
		switch e := n.event("publications under every name", timeout); e.Event {
		case "pushed":
			pushed = append(pushed, e)
		case "publication":
			told = append(told, e)
		}
	}
	for i, name := range under {
		named := name == channel
		if e := pushed[i]; e.Channel != name || string(e.Data) != data || named && e.Text != "" || !named && e.Text != channel {
			s.t.Errorf("push %d is %s on %s, of channel %q; want %s on %s", i, e.Data, e.Channel, e.Text, data, name)
		}
		if e := told[i]; e.Channel != name || string(e.Data) != data || named != (e.Offset > 0) {
			s.t.Errorf("the SDK tells %s on %s at %d; want %s on %s", e.Data, e.Channel, e.Offset, data, name)
		}
	}
}

// TestSDKWildcard: a pattern is a subscription like any to the SDK, also after it
// had to connect again. To its application it tells the pattern for a channel;
// the channel's own name stands in the push.
func TestSDKWildcard(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	n := s.connected(t, order{"pushes": true}, "feeds:*", "feeds:a")
	s.wantPushed(n, "feeds:b", `{"x":1}`, "feeds:*")
	s.wantPushed(n, "feeds:a", `2`, "feeds:a", "feeds:*")

	s.api("disconnect", `{"user":"alice","disconnect":{"code":3000,"reason":"come back"}}`)
	n.next("connecting", append(chatter, "subscribing")...)
	for range 2 {
		n.next("subscribed", append(chatter, "subscribing", "connected")...)
	}
	s.wantPushed(n, "feeds:new", `3`, "feeds:*")

	n.do(order{"do": "unsubscribe", "channel": "feeds:*"})
	n.next("unsubscribed", chatter...)
	n.do(order{"do": "publish", "channel": "feeds:a", "data": 4}) // behind the unsubscribe
	n.next("publication", append(chatter, "published", "pushed")...)
	s.publish("feeds:b", `"unseen"`)
	s.publish("feeds:a", `"seen"`)
	if p := n.next("publication", append(chatter, "published", "pushed")...); string(p.Data) != `"seen"` {
		t.Errorf("after unsubscribing came %s on %s", p.Data, p.Channel)
	}
	n.do(order{"do": "subscribe", "channel": "secret:*"})
	if e := n.next("unsubscribed", append(chatter, "subscribing")...); e.Code != 103 {
		t.Errorf("a pattern without a grant: %d %s, want 103", e.Code, e.Reason)
	}
}

// TestSDKServerWildcard: a pattern that the token subscribes is one of the
// server's to the SDK.
func TestSDKServerWildcard(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	jwt, err := token.Sign(secret, token.SignClaims{Subject: "alice", ExpiresAt: time.Now().Add(time.Hour).Unix(), Channels: []string{"feeds:*"}})
	if err != nil {
		t.Fatal(err)
	}
	n := s.sdk(t, order{"token": jwt, "pushes": true})
	n.do(order{"do": "connect"})
	if e := n.next("server subscribed", append(chatter, "connecting", "connected")...); e.Channel != "feeds:*" {
		t.Fatalf("subscribed to %s", e.Channel)
	}
	s.wantPushed(n, "feeds:a", `1`, "feeds:*")
	s.api("disconnect", `{"user":"alice","disconnect":{"code":3000,"reason":"come back"}}`)
	n.next("server subscribed", append(chatter, "connecting", "connected")...)
	s.wantPushed(n, "feeds:b", `2`, "feeds:*")
}
