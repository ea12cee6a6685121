package realclient

import (
	"testing"

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
