package engine

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"weir/engine/stats"
	"weir/security/token"
)

// subToken makes a subscription token.
func subToken(t testing.TB, user, channel string, life time.Duration) string {
	t.Helper()
	return signClaims(t, token.SignClaims{Subject: user, Channel: channel, ExpiresAt: time.Now().Add(life).Unix()})
}

func withToken(method, channel, jwt string) string {
	return fmt.Sprintf(`%q:{"channel":%q,"token":%q}`, method, channel, jwt)
}

// theirs runs f on the loop of each session, and then settles it.
func (s *testServer) theirs(f func(*shard, *conn)) {
	s.t.Helper()
	s.onLoops(func(sh *shard) {
		sh.conns.each(func(c *conn) {
			if c.phase == phaseOpen {
				f(sh, c)
				sh.settle(c)
			}
		})
	})
}

func TestSubscribeWithToken(t *testing.T) {
	s := start(t, nil)
	c := s.connected(t, sign(t, "alice", "feeds:*", "$feeds:*"))
	for _, x := range []struct {
		name, channel, jwt string
		want               string
	}{
		{"none on a $ channel", "$feeds:x", "", `"code":103`},
		{"garbage", "$feeds:x", "x.y.z", `"code":103`},
		{"a connection's", "$feeds:x", sign(t, "alice", "$feeds:*"), `"code":103`},
		{"another user's", "$feeds:x", subToken(t, "bob", "$feeds:x", time.Hour), `"code":103`},
		{"another channel's", "$feeds:x", subToken(t, "alice", "$feeds:y", time.Hour), `"code":103`},
		{"expired", "$feeds:x", subToken(t, "alice", "$feeds:x", -time.Hour), `"code":109`},
		{"another user's channel", "$feeds:x#bob", subToken(t, "alice", "$feeds:x#bob", time.Hour), `"code":103`},
		{"good", "$feeds:x", subToken(t, "alice", "$feeds:x", time.Hour), `"subscribe":{"expires":true,"ttl":3`},
		{"good, twice", "$feeds:x", subToken(t, "alice", "$feeds:x", time.Hour), `"code":105`},
		{"good, where none is needed", "open:x", subToken(t, "alice", "open:x", time.Hour), `"subscribe":{"expires":true,"ttl":3`},
	} {
		if reply := c.do(withToken("subscribe", x.channel, x.jwt)); !strings.Contains(reply, x.want) {
			t.Errorf("%s: %s, want %s", x.name, reply, x.want)
		}
	}
	s.publish("$feeds:x", "1")
	if push := c.mustNext(); !strings.Contains(push, `"channel":"$feeds:x","pub":{"data":1`) {
		t.Errorf("the push is %s", push)
	}
}

// TestCommandsBehindAToken wait until it is checked, and keep their order.
func TestCommandsBehindAToken(t *testing.T) {
	s := start(t, nil)
	c := s.connected(t, sign(t, "alice", "feeds:*"))
	c.send(`{"id":2,` + withToken("subscribe", "$feeds:a", subToken(t, "alice", "$feeds:a", time.Hour)) + "}\n" +
		`{"id":3,` + withToken("sub_refresh", "$feeds:a", subToken(t, "alice", "$feeds:a", 2*time.Hour)) + `}`)
	c.send(`{"id":4,"unsubscribe":{"channel":"$feeds:a"}}`)
	for _, want := range []string{`{"id":2,"subscribe":{"expires":true`, `{"id":3,"sub_refresh":{"expires":true,"ttl":7`, `{"id":4,"unsubscribe"`} {
		if line := c.mustNext(); !strings.HasPrefix(line, want) {
			t.Fatalf("%s where %s was due", line, want)
		}
	}
}

// TestSubscriptionExpires: without any traffic a subscription ends after its
// token and the delay; the others, and the connection, stay.
func TestSubscriptionExpires(t *testing.T) {
	s := start(t, func(c *Config) { c.Limits.PingInterval = 0 })
	c := s.connected(t, sign(t, "alice", "feeds:*"))
	for _, channel := range []string{"$feeds:first", "$feeds:short", "$feeds:long"} {
		life := 2 * time.Hour
		if channel == "$feeds:short" {
			life = time.Minute
		}
		c.mustDo(withToken("subscribe", channel, subToken(t, "alice", channel, life)))
	}
	c.mustDo(`"subscribe":{"channel":"feeds:plain"}`)
	s.clock.move(30 * time.Minute)
	if line := c.mustNext(); line != `{"push":{"channel":"$feeds:short","unsubscribe":{"code":2501,"reason":"subscription expired"}}}` {
		t.Fatalf("the push is %s", line)
	}
	for _, channel := range []string{"$feeds:first", "$feeds:short", "$feeds:long", "feeds:plain"} {
		s.publish(channel, "1")
		if line := ""; channel != "$feeds:short" {
			if line = c.mustNext(); !strings.Contains(line, `"`+channel+`"`) {
				t.Fatalf("%s where a publication of %s was due", line, channel)
			}
		}
	}
	if n := s.Server.stats.Level(stats.Subscriptions); n != 3 {
		t.Errorf("%d subscriptions, want 3", n)
	}
	s.theirs(func(sh *shard, c *conn) {
		if left := time.Duration(c.expireBy - sh.now); left < 20*time.Minute || left > 40*time.Minute {
			t.Errorf("the next deadline is in %v, that of the session in half an hour", left)
		}
	})
}

// TestSeveralExpireAtOnce: what is left finds its publications.
func TestSeveralExpireAtOnce(t *testing.T) {
	s := start(t, func(c *Config) { c.Pollers, c.Limits.PingInterval = 1, 0 })
	c := s.connected(t, sign(t, "alice", "feeds:*"))
	for i := range 6 {
		channel := fmt.Sprintf("$feeds:%d", i)
		c.mustDo(withToken("subscribe", channel, subToken(t, "alice", channel, time.Hour)))
	}
	s.theirs(func(sh *shard, c *conn) {
		for i := range c.session.Subs() {
			if sub := c.session.Sub(i); i%2 == 0 {
				sub.Expires = s.clock.in(-sh.limits.ExpiredCloseDelay).Unix() - 1
			}
		}
		sh.expiry(c)
	})
	s.clock.move(time.Second)
	for _, i := range []int{4, 2, 0} {
		if line := c.mustNext(); !strings.HasPrefix(line, fmt.Sprintf(`{"push":{"channel":"$feeds:%d","unsubscribe":{"code":2501`, i)) {
			t.Fatalf("%s where the end of %d was due", line, i)
		}
	}
	for _, i := range []int{1, 3, 5} {
		s.publish(fmt.Sprintf("$feeds:%d", i), "1")
		if line := c.mustNext(); !strings.Contains(line, fmt.Sprintf(`"$feeds:%d","pub"`, i)) {
			t.Fatalf("%s where a publication of %d was due", line, i)
		}
	}
}

func TestSubRefresh(t *testing.T) {
	const channel = "$feeds:a"
	subscribed := func(t *testing.T) (*testServer, *client) {
		s := start(t, func(c *Config) { c.Pollers, c.Limits.PingInterval = 1, 0 })
		c := s.connected(t, sign(t, "alice", "feeds:*"))
		c.mustDo(withToken("subscribe", channel, subToken(t, "alice", channel, 10*time.Minute)))
		return s, c
	}
	t.Run("newer", func(t *testing.T) {
		s, c := subscribed(t)
		if reply := c.mustDo(withToken("sub_refresh", channel, subToken(t, "alice", channel, 30*time.Minute))); !strings.Contains(reply, `"sub_refresh":{"expires":true,"ttl":1`) {
			t.Errorf("the reply is %s", reply)
		}
		s.theirs(func(sh *shard, c *conn) {
			if left := time.Duration(c.expireBy - sh.now); left < 29*time.Minute || left > 31*time.Minute {
				t.Errorf("the deadline is in %v, want half an hour", left)
			}
		})
	})
	t.Run("sooner", func(t *testing.T) {
		s, c := subscribed(t)
		c.mustDo(withToken("sub_refresh", channel, subToken(t, "alice", channel, time.Minute)))
		s.theirs(func(sh *shard, c *conn) {
			if left := time.Duration(c.expireBy - sh.now); left > 2*time.Minute {
				t.Errorf("the deadline is in %v, want a minute", left)
			}
		})
	})
	t.Run("nothing to refresh", func(t *testing.T) {
		_, c := subscribed(t)
		c.mustDo(`"subscribe":{"channel":"feeds:plain"}`)
		for _, name := range []string{"$feeds:other", "feeds:plain"} {
			if reply := c.do(withToken("sub_refresh", name, subToken(t, "alice", name, time.Hour))); !strings.Contains(reply, `"code":107`) {
				t.Errorf("%s: %s, want 107", name, reply)
			}
		}
	})
	for name, x := range map[string]struct {
		jwt  string
		code int
	}{
		"expired":           {subToken(t, "alice", channel, -time.Hour), 3006},
		"invalid":           {"x.y.z", 3500},
		"another user's":    {subToken(t, "bob", channel, time.Hour), 3500},
		"another channel's": {subToken(t, "alice", "$feeds:b", time.Hour), 3500},
	} {
		t.Run(name, func(t *testing.T) {
			_, c := subscribed(t)
			c.send(`{"id":9,` + withToken("sub_refresh", channel, x.jwt) + `}`)
			c.wantClose(x.code)
		})
	}
}
