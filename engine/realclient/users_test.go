package realclient

import (
	"testing"
	"time"

	"weir/engine"
)

// TestSDKUserConnections: one connection too many of a user is told so, once and for all; those before it stay.
func TestSDKUserConnections(t *testing.T) {
	t.Parallel()
	s := serve(t, func(c *engine.Config) { c.Limits.UserConnections = 1 })
	first := s.connected(t, order{}, "feeds:a")
	second := s.sdk(t, order{"token": sign(t, "alice", longest)})
	second.do(order{"do": "connect"})
	if d := second.next("disconnected", append(chatter, "connecting")...); d.Code != 3504 || d.Reason != "connection limit" {
		t.Errorf("disconnected with %d %q, want 3504", d.Code, d.Reason)
	}
	s.mustReceive(first, "feeds:a", `"the first stays"`)
	s.api("disconnect", `{"user":"alice"}`)
	s.connected(t, order{})
}

// TestSDKUserRates: what is too much for one user, over all his connections, is put off and not lost.
func TestSDKUserRates(t *testing.T) {
	t.Parallel()
	s := serve(t, func(c *engine.Config) {
		c.Limits.UserConnectRate, c.Limits.UserSubscribeRate = 1, 1
		c.Limits.IPConnectRate = 0 // it asks again until the clock moves
	})
	s.connected(t, order{}, "feeds:a")
	n := s.connected(t, order{}, "feeds:b")
	n.do(order{"do": "subscribe", "channel": "feeds:c"})
	if e := n.next("subscription error", append(chatter, "subscribing")...); e.Channel != "feeds:c" || e.Code != 111 {
		t.Errorf("a third subscription: %+v, want 111", e)
	}
	late := s.sdk(t, order{"token": sign(t, "alice", time.Hour)})
	late.do(order{"do": "connect"})
	for range 2 { // it comes again
		late.next("open", "sent", "connecting", "error")
	}
	s.clock.move(10 * time.Second)
	n.next("subscribed", append(chatter, "subscribing", "subscription error")...)
	late.next("connected", append(chatter, "connecting", "error")...)
}

// TestSDKPublishRate: a publication too many is answered so, and the connection stays.
func TestSDKPublishRate(t *testing.T) {
	t.Parallel()
	s := serve(t, func(c *engine.Config) { c.Limits.PublishRate = 0.5 })
	n := s.connected(t, order{}, "feeds:a")
	for _, data := range []int{1, 2} {
		n.do(order{"do": "publish", "channel": "feeds:nobody", "data": data})
	}
	n.next("published", chatter...)
	if e := n.next("publish error", chatter...); e.Code != 111 {
		t.Errorf("a second publication of one: %+v, want 111", e)
	}
	s.clock.move(2 * time.Second)
	n.answered()
}
