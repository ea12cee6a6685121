package engine

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"weir/security/grant"
	"weir/security/origin"
	"weir/security/token"
)

const otherOrigin = "https://partner.example.com"

func originList(t testing.TB, words ...string) *origin.List {
	t.Helper()
	l, err := origin.Parse(words)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// from is a client whose handshake came from a page of that origin; "" sends none.
func (s *testServer) from(t testing.TB, page, jwt string) *client {
	t.Helper()
	header := http.Header{}
	if page != "" {
		header.Set("Origin", page)
	}
	ws, _, err := s.dial(pathProtocol, header)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ws.CloseNow() })
	c := &client{t: t, ws: ws}
	c.mustDo(`"connect":{"token":"` + jwt + `"}`)
	return c
}

// TestNamespaceOrigins: of two pages that may connect, one may have to do with a
// namespace: by commands, server-side subscriptions, orders of the API and on /feed. What the
// other is told does not depend on what there is.
func TestNamespaceOrigins(t *testing.T) {
	ns := Namespace{Name: "feeds", HistorySize: 5, HistoryTTL: time.Hour, Presence: true, AllowSubscribeForClient: true, AllowedOrigins: originList(t, testOrigin)}
	s := start(t, func(c *Config) {
		c.Origins, c.AllowNoOrigin = originList(t, testOrigin, otherOrigin), true
		c.Namespaces = []Namespace{ns, {Name: "open", AllowSubscribeForClient: true}}
	})
	jwt := signClaims(t, token.SignClaims{Subject: "alice", ExpiresAt: time.Now().Add(time.Hour).Unix(),
		Caps: []grant.Capability{{Channels: []string{"*"}, Match: "wildcard", Allow: []string{"sub", "pub", "hst", "prs"}}}})
	in := s.from(t, testOrigin, jwt)
	for _, what := range []string{`"subscribe":{"channel":"feeds:a"}`, `"publish":{"channel":"feeds:a","data":1}`, `"history":{"channel":"feeds:a"}`, `"presence":{"channel":"feeds:a"}`} {
		in.mustDo(what)
	}
	for _, page := range []string{otherOrigin, ""} {
		out := s.from(t, page, jwt)
		for _, channel := range []string{"feeds:a", "feeds:nobody", "feeds:*", "*"} {
			for _, what := range []string{`"subscribe":{"channel":%q}`, `"publish":{"channel":%q,"data":1}`, `"history":{"channel":%q}`, `"presence":{"channel":%q}`} {
				if strings.Contains(channel, "*") && !strings.Contains(what, "subscribe") {
					continue
				}
				if reply := out.do(fmt.Sprintf(what, channel)); !strings.Contains(reply, `"error":{"code":103,"message":"permission denied"}`) {
					t.Errorf("from %q: "+what+": %s", page, channel, reply)
				}
			}
		}
		out.mustDo(`"subscribe":{"channel":"open:a"}`)
	}
	if _, res, err := s.dial(pathFeed+"?channel=feeds:a", withOrigin(bearer(jwt), otherOrigin)); err == nil || res.StatusCode != http.StatusForbidden {
		t.Errorf("/feed from the other page: %v, %v", res, err)
	}

	// Server-side subscriptions: of the token they are passed over, by order they are refused.
	out := s.from(t, otherOrigin, signClaims(t, token.SignClaims{Subject: "bob", ExpiresAt: time.Now().Add(time.Hour).Unix(), Channels: []string{"feeds:a", "open:a"}}))
	if answer := toJSON(t, s.api("connections", `{"user":"bob"}`)); !strings.Contains(answer, "open:a") || strings.Contains(answer, "feeds:a") {
		t.Errorf("bob's subscriptions: %s", answer)
	}
	if answer := toJSON(t, s.api("subscribe", `{"user":"bob","channel":"feeds:a"}`)); !strings.Contains(answer, `"code":103`) {
		t.Errorf("by order: %s", answer)
	}

	// The list of a reload counts for whoever is there.
	feed := s.feed(t, jwt, "channel=feeds:a")
	s.reload(func(cfg *Config) {
		ns.AllowedOrigins = originList(t, otherOrigin)
		cfg.Namespaces = []Namespace{ns, {Name: "open", AllowSubscribeForClient: true}}
	})
	feed.wantClose(3011)
	if line := in.mustNext(); line != `{"push":{"channel":"feeds:a","unsubscribe":{"code":2003,"reason":"permission denied"}}}` {
		t.Errorf("its page is no longer one of them: %s", line)
	}
	if answer := toJSON(t, s.api("subscribe", `{"user":"bob","channel":"feeds:a"}`)); strings.Contains(answer, "error") {
		t.Errorf("by order, from a page that may now: %s", answer)
	}
	if line := out.mustNext(); !strings.Contains(line, `"subscribe"`) {
		t.Errorf("bob is told %s", line)
	}
	// Without the list all that may connect may.
	s.reload(func(cfg *Config) {
		ns.AllowedOrigins = nil
		cfg.Namespaces = []Namespace{ns, {Name: "open", AllowSubscribeForClient: true}}
	})
	in.mustDo(`"subscribe":{"channel":"feeds:a"}`)
	s.from(t, "", jwt).mustDo(`"subscribe":{"channel":"*"}`)
}

// TestNamespaceOriginsMustConnect: a list that names others than may connect is a mistake.
func TestNamespaceOriginsMustConnect(t *testing.T) {
	s := start(t, nil)
	cfg := s.config
	cfg.Namespaces = []Namespace{{Name: "feeds", AllowedOrigins: originList(t, testOrigin, otherOrigin)}}
	if err := s.Reload(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), otherOrigin) || !strings.Contains(err.Error(), "--allowed-origins") {
		t.Errorf("%v", err)
	}
}

func withOrigin(h http.Header, page string) http.Header {
	h.Set("Origin", page)
	return h
}
