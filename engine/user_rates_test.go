package engine

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"weir/engine/ws"
)

// chat sends n commands that cost a message each and change nothing.
func (c *client) chat(n int) {
	c.t.Helper()
	for range n {
		c.mustDo(`"unsubscribe":{"channel":"x"}`)
	}
}

// TestUserMessageRate: however many connections a user has, together they send what one user may. Others, and the
// anonymous user who is many, are not his neighbours.
func TestUserMessageRate(t *testing.T) {
	s := start(t, func(c *Config) { c.Limits.UserMessageRate, c.AllowAnonymous = 5, true })
	jwt := sign(t, "alice", "feeds:*")
	first, second := s.connected(t, jwt), s.connected(t, jwt)
	bob, nobody := s.connected(t, sign(t, "bob", "feeds:*")), s.client(t)
	nobody.mustDo(`"connect":{}`)
	first.chat(6) // connect comes before there is a user
	second.chat(4)
	second.send(`{"id":100,"unsubscribe":{"channel":"x"}}`)
	second.wantClose(3013)
	bob.chat(10)
	nobody.chat(30)
	s.clock.move(time.Second)
	first.chat(5)
	first.send(`{"id":100,"unsubscribe":{"channel":"x"}}`)
	first.wantClose(3013)
	if n := s.metrics(t)[`weir_user_limit_refused_total{limit="user_message_rate"}`]; n != "2" {
		t.Errorf("%q refused, want 2", n)
	}
}

func TestUserByteRate(t *testing.T) {
	s := start(t, func(c *Config) { c.Limits.UserByteRate = 64 << 10 })
	jwt := sign(t, "alice", "feeds:*")
	long := `{"id":9,"unsubscribe":{"channel":"x","pad":"` + strings.Repeat("x", 60_000) + `"}}`
	for i := range 3 {
		c := s.connected(t, jwt)
		c.send(long)
		if i == 2 {
			c.wantClose(3013)
			break
		}
		c.mustNext()
	}
}

func TestUserSubscribeRate(t *testing.T) {
	s := start(t, func(c *Config) { c.Limits.UserSubscribeRate = 1 })
	jwt := sign(t, "alice", "feeds:*")
	for i := range 3 {
		reply := s.connected(t, jwt).do(fmt.Sprintf(`"subscribe":{"channel":"feeds:%d"}`, i))
		if over := strings.Contains(reply, `"code":111`) && strings.Contains(reply, `"temporary":true`); over != (i == 2) {
			t.Errorf("subscribe %d of 2: %s", i+1, reply)
		}
	}
	s.clock.move(time.Second)
	s.connected(t, jwt).mustDo(`"subscribe":{"channel":"feeds:a"}`)
}

// TestUserConnectRate: sessions count, not connections that never say whose they are; also those of /feed.
func TestUserConnectRate(t *testing.T) {
	s := start(t, func(c *Config) { c.Limits.UserConnectRate = 1 })
	jwt := sign(t, "alice", "feeds:*")
	for range 5 {
		s.client(t)
	}
	s.connected(t, jwt)
	s.feed(t, jwt, "channel=feeds:a")
	s.tryConnect(t, jwt).wantClose(3013)
	if _, response, err := s.dial(pathFeed+"?channel=feeds:b", bearer(jwt)); err == nil || response.StatusCode != http.StatusTooManyRequests {
		t.Errorf("a third, push-only: %v, %+v", err, response)
	}
	if n := s.shared.hub.Subscribers("feeds:b"); n != 0 {
		t.Errorf("who is refused has %d subscriptions", n)
	}
	s.connected(t, sign(t, "bob", "feeds:*"))
	s.clock.move(time.Second)
	s.connected(t, jwt)
}

// TestUserRatesReload: a reload switches them on and off for connections that are there; who is exempt passes them over.
func TestUserRatesReload(t *testing.T) {
	s := start(t, nil)
	c := s.connected(t, sign(t, "alice", "feeds:*"))
	c.chat(30)
	s.reload(func(cfg *Config) { cfg.Limits.UserMessageRate = 5 })
	c.chat(10)
	s.reload(func(cfg *Config) { cfg.Limits.Exempt = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	c.chat(10)
	s.reload(func(cfg *Config) { cfg.Limits.UserMessageRate, cfg.Limits.Exempt = 6, nil })
	c.send(`{"id":100,"unsubscribe":{"channel":"x"}}`)
	c.wantClose(3013) // what was spent before is not given back by another rate
}

// TestPublishRate: publishing has a rate of its own, which a reload changes and which leaves other commands alone.
func TestPublishRate(t *testing.T) {
	s := start(t, func(c *Config) { c.Limits.PublishRate, c.Namespaces[0].AllowPublishForClient = 1, true })
	c := s.connected(t, sign(t, "alice", "feeds:*"))
	publish := func() string { return c.do(`"publish":{"channel":"feeds:a","data":1}`) }
	for i := range 3 {
		reply := publish()
		if over := strings.Contains(reply, `"code":111`) && strings.Contains(reply, `"temporary":true`); over != (i == 2) {
			t.Errorf("publication %d of 2: %s", i+1, reply)
		}
	}
	c.mustDo(`"subscribe":{"channel":"feeds:a"}`)
	if reply := s.connected(t, sign(t, "alice", "feeds:*")).do(`"publish":{"channel":"feeds:b","data":1}`); strings.Contains(reply, "error") {
		t.Errorf("another connection: %s", reply)
	}
	s.reload(func(cfg *Config) { cfg.Limits.PublishRate = 0 })
	if reply := publish(); strings.Contains(reply, "error") {
		t.Errorf("without a limit: %s", reply)
	}
}

func TestUserByteRateHoldsAMessage(t *testing.T) {
	s := start(t, nil)
	cfg := s.config
	cfg.Limits.UserByteRate = float64(cfg.Limits.MessageSize)/2 - 1
	if err := s.Reload(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "--user-byte-rate") {
		t.Errorf("a rate that lets no message through: %v", err)
	}
}

// TestNoAllocationPerUserLimit: messages that the buckets of users are charged for, accepted and refused.
func TestNoAllocationPerUserLimit(t *testing.T) {
	if raceEnabled {
		t.Skip("skipped: the race detector allocates")
	}
	s := start(t, func(c *Config) {
		l := &c.Limits
		c.Pollers, l.PingInterval, l.MessageRate, l.ByteRate = 1, 0, 0, 0
		l.UserMessageRate, l.UserByteRate, l.UserSubscribeRate = 1e6, 1e9, 1
	})
	s.subscribers(t, 1, "feeds:a")
	frame := masked(ws.Header{Fin: true, Opcode: ws.OpText}, `{"id":7,"subscribe":{"channel":"feeds:a"}}`)
	s.onLoops(func(sh *shard) {
		c := sh.conns.at(firstOpen(sh))
		in := make([]byte, len(frame))
		receive := func() {
			copy(in, frame)
			sh.read(c, in)
			sh.settle(c)
		}
		for range 5 {
			receive()
		}
		if n := testing.AllocsPerRun(100, receive); n != 0 || c.phase != phaseOpen {
			t.Errorf("%v allocations, phase %d", n, c.phase)
		}
	})
	if s.metrics(t)[`weir_user_limit_refused_total{limit="user_subscribe_rate"}`] == "0" {
		t.Error("nothing was refused")
	}
}
