package engine

import (
	"strings"
	"testing"
	"time"

	"weir/security/grant"
	"weir/security/token"
)

// roles compiles a policy: each role gets these verbs on these channels.
func roles(t testing.TB, list map[string][2][]string) *grant.Policy {
	t.Helper()
	source := map[string][]grant.Capability{}
	for name, g := range list {
		source[name] = []grant.Capability{{Channels: g[0], Match: "wildcard", Allow: g[1]}}
	}
	p, err := grant.NewPolicy(source)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// signRoles is a token that grants by its roles only.
func signRoles(t testing.TB, user string, names ...string) string {
	t.Helper()
	return signClaims(t, token.SignClaims{Subject: user, ExpiresAt: time.Now().Add(time.Hour).Unix(), Roles: names})
}

// TestRoles: each command asks the policy, and after a change of it every
// subscription does.
func TestRoles(t *testing.T) {
	reader, all := [2][]string{{"feeds:*"}, {"sub", "hst"}}, [2][]string{{"feeds:*"}, {"sub", "pub", "hst", "prs"}}
	s := start(t, func(c *Config) {
		c.Namespaces = []Namespace{{Name: "feeds", HistorySize: 5, HistoryTTL: time.Hour, Presence: true}}
		c.Roles = roles(t, map[string][2][]string{"reader": reader, "editor": {{"feeds:a"}, {"pub"}}})
	})
	c := s.connected(t, signRoles(t, "alice", "reader", "later"))
	editor := s.connected(t, signRoles(t, "bob", "reader", "editor"))
	nobody := s.connected(t, signRoles(t, "carol", "Reader", "admin"))
	denied := func(c *client, what string) {
		t.Helper()
		if reply := c.do(what); !strings.Contains(reply, `"code":103`) {
			t.Errorf("%s: %s, want error 103", what, reply)
		}
	}
	const subscribe, publish, history, presence = `"subscribe":{"channel":"feeds:a"}`, `"publish":{"channel":"feeds:a","data":1}`,
		`"history":{"channel":"feeds:a"}`, `"presence":{"channel":"feeds:a"}`
	for _, what := range []string{subscribe, publish, history, presence} {
		denied(nobody, what)
	}
	c.mustDo(subscribe)
	c.mustDo(history)
	denied(c, publish)
	denied(c, presence)
	editor.mustDo(publish)
	if line := c.mustNext(); !strings.Contains(line, `"feeds:a"`) {
		t.Errorf("the publication: %s", line)
	}
	feed := s.feed(t, signRoles(t, "dora", "reader"), "channel=feeds:a")

	// A role that the policy learns of counts for sessions that have it already.
	s.reload(func(cfg *Config) { cfg.Roles = roles(t, map[string][2][]string{"reader": reader, "later": all}) })
	c.mustDo(presence)
	denied(editor, publish)

	// One that it no longer knows takes its subscriptions with it.
	s.reload(func(cfg *Config) { cfg.Roles = roles(t, map[string][2][]string{"later": all}) })
	feed.wantClose(3011)
	denied(editor, subscribe)
	c.mustDo(history)
	s.reload(func(cfg *Config) { cfg.Roles = nil })
	if line := c.mustNext(); line != `{"push":{"channel":"feeds:a","unsubscribe":{"code":2003,"reason":"permission denied"}}}` {
		t.Errorf("no policy any more: %s", line)
	}
	for _, what := range []string{subscribe, publish, history, presence} {
		denied(c, what)
	}

	// A refresh brings other roles.
	s.reload(func(cfg *Config) { cfg.Roles = roles(t, map[string][2][]string{"reader": reader}) })
	c.mustDo(subscribe)
	c.mustDo(`"refresh":{"token":"` + signRoles(t, "alice", "other") + `"}`)
	if line := c.mustNext(); !strings.Contains(line, `"unsubscribe":{"code":2003`) {
		t.Errorf("refreshed without the role: %s", line)
	}
	denied(c, history)
}

// TestRolesOfTheHandshake: a session that is between its credential and its
// connect when the policy changes goes by the new one.
func TestRolesOfTheHandshake(t *testing.T) {
	s := start(t, func(c *Config) { c.Roles = roles(t, map[string][2][]string{"reader": {{"feeds:*"}, {"sub"}}}) })
	ws, _, err := s.dial(pathProtocol, bearer(signRoles(t, "alice", "reader")))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ws.CloseNow() }()
	c := &client{t: t, ws: ws}
	s.reload(func(cfg *Config) { cfg.Roles = nil })
	c.mustDo(`"connect":{}`)
	if reply := c.do(`"subscribe":{"channel":"feeds:a"}`); !strings.Contains(reply, `"code":103`) {
		t.Errorf("by the old policy: %s", reply)
	}
}
