package engine

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"weir/security/grant"
	"weir/security/token"
)

// issued makes a token of alice's that was issued so long ago, with sub on the
// patterns and these server-side channels.
func issued(t testing.TB, ago time.Duration, server []string, patterns ...string) string {
	t.Helper()
	return signClaims(t, token.SignClaims{Subject: "alice", IssuedAt: time.Now().Add(-ago).Unix(), ExpiresAt: time.Now().Add(time.Hour).Unix(),
		Channels: server, Caps: []grant.Capability{{Channels: patterns, Match: "wildcard", Allow: []string{"sub"}}}})
}

// TestRefreshTakesAway: what the newer token does not cover ends at once, and
// nothing is added that the client does not ask for.
func TestRefreshTakesAway(t *testing.T) {
	s := start(t, func(c *Config) { c.Pollers = 1 })
	c := s.connected(t, issued(t, time.Hour, []string{"feeds:s1", "feeds:s2"}, "feeds:*"))
	c.mustDo(`"subscribe":{"channel":"feeds:a"}`)
	c.mustDo(`"subscribe":{"channel":"feeds:b"}`)
	c.mustDo(`"subscribe":{"channel":"open:a"}`)
	c.mustDo(withToken("subscribe", "$feeds:t", subToken(t, "alice", "$feeds:t", time.Hour)))
	s.mustAPI("subscribe", `{"user":"alice","channel":"feeds:ordered"}`)
	c.wantPush(`"channel":"feeds:ordered","subscribe"`)

	c.mustDo(`"refresh":{"token":"` + issued(t, time.Minute, []string{"feeds:s2", "feeds:s3"}, "feeds:b") + `"}`)
	ended := c.mustNext() + c.mustNext()
	for _, channel := range []string{"feeds:a", "feeds:s1"} {
		if push := fmt.Sprintf(`{"push":{"channel":%q,"unsubscribe":{"code":2003,"reason":"permission denied"}}}`, channel); !strings.Contains(ended, push) {
			t.Errorf("%s is not in %s", push, ended)
		}
	}
	for _, channel := range []string{"feeds:a", "feeds:b", "feeds:s1", "feeds:s2", "feeds:s3", "open:a", "$feeds:t", "feeds:ordered"} {
		s.publish(channel, "1")
		switch channel {
		case "feeds:a", "feeds:s1", "feeds:s3":
		default:
			c.wantPush(`"channel":"` + channel + `","pub"`)
		}
	}
	if reply := c.do(`"subscribe":{"channel":"feeds:a"}`); !strings.Contains(reply, `"code":103`) {
		t.Errorf("subscribing again: %s, want 103", reply)
	}
	s.theirs(func(sh *shard, c *conn) {
		for i, sub := range c.session.Subs() {
			if m := sub.Channel.Members(sh.id, sub.Form).All()[sub.Member]; int(m.Sub) != i || m.Slot != c.Slot {
				t.Errorf("subscription %d to %s stands as %+v in the channel's list", i, sub.Channel.Name, m)
			}
		}
	})
}

// TestRefreshIsNewer: an older token, which may have granted more, is no refresh.
func TestRefreshIsNewer(t *testing.T) {
	s := start(t, func(c *Config) { c.AllowAnonymous = true })
	for _, x := range []struct {
		name, first, second string
		code                int
	}{
		{"older", issued(t, time.Minute, nil, "feeds:a"), issued(t, time.Hour, nil, "feeds:*"), 3500},
		{"expired", issued(t, time.Hour, nil, "feeds:a"), signClaims(t, token.SignClaims{Subject: "alice", ExpiresAt: time.Now().Add(-time.Hour).Unix()}), 3005},
		{"another user's", issued(t, time.Hour, nil, "feeds:a"), sign(t, "bob", "feeds:a"), 3500},
		{"nobody's", issued(t, time.Hour, nil, "feeds:a"), sign(t, "", "feeds:a"), 3500},
		{"somebody's, by nobody", "", sign(t, "alice", "feeds:a"), 3500},
		{"nobody's, by nobody", "", sign(t, "", "feeds:*"), 3500},
	} {
		t.Run(x.name, func(t *testing.T) {
			c := s.connected(t, x.first)
			c.send(`{"id":9,"refresh":{"token":"` + x.second + `"}}`)
			c.wantClose(x.code)
		})
	}
}
