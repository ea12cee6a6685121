package engine

import (
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/security/grant"
	"weir/security/token"
)

// limited is a server that lets a user have two connections.
func limited(t *testing.T, change func(*Config)) *testServer {
	t.Helper()
	return start(t, func(c *Config) {
		c.Limits.UserConnections, c.AllowAnonymous = 2, true
		if change != nil {
			change(c)
		}
	})
}

// tryConnect is a client that has sent connect, whatever becomes of it.
func (s *testServer) tryConnect(t testing.TB, jwt string) *client {
	t.Helper()
	c := s.client(t)
	c.send(`{"id":1,"connect":{"token":"` + jwt + `"}}`)
	return c
}

func TestUserConnections(t *testing.T) {
	s := limited(t, nil)
	jwt := signClaims(t, token.SignClaims{Subject: "alice", ExpiresAt: time.Now().Add(time.Hour).Unix(), Channels: []string{"feeds:a"},
		Caps: []grant.Capability{{Channels: []string{"feeds:*"}, Match: "wildcard", Allow: []string{"sub"}}}})
	first := s.connected(t, jwt)
	feed := s.feed(t, jwt, "channel=feeds:b")
	s.tryConnect(t, jwt).wantClose(3504)
	if _, response, err := s.dial(pathFeed+"?channel=feeds:b", bearer(jwt)); err == nil || response.StatusCode != http.StatusTooManyRequests || response.Header.Get("Retry-After") == "" {
		t.Errorf("a third, push-only: %v, %+v", err, response)
	}
	if a, b := s.shared.hub.Subscribers("feeds:a"), s.shared.hub.Subscribers("feeds:b"); a != 1 || b != 1 {
		t.Errorf("%d and %d subscribers, want 1 each: who is refused is subscribed to nothing", a, b)
	}
	s.connected(t, sign(t, "bob", "feeds:*"))
	for range 3 {
		s.client(t).mustDo(`"connect":{}`) // the anonymous user is many
	}
	if n := s.metrics(t)["weir_limited_users"]; n != "2" {
		t.Errorf("weir_limited_users is %s, want 2", n)
	}

	_ = feed.ws.CloseNow()
	eventually(t, "the end of a connection", func() bool { return s.shared.hub.Subscribers("feeds:b") == 0 })
	s.onLoops(func(*shard) {}) // the turn of it is over
	s.connected(t, jwt)
	s.tryConnect(t, jwt).wantClose(3504)
	first.mustDo(`"subscribe":{"channel":"feeds:c"}`)
}

// TestUserConnectionsOfTheHandshake: a credential of the handshake counts at connect.
func TestUserConnectionsOfTheHandshake(t *testing.T) {
	s := limited(t, func(c *Config) { c.Limits.UserConnections = 1 })
	var all []*client
	for range 2 {
		ws, _, err := s.dial(pathProtocol, bearer(sign(t, "alice", "feeds:*")))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = ws.CloseNow() })
		all = append(all, &client{t: t, ws: ws})
	}
	all[0].mustDo(`"connect":{}`)
	all[1].send(`{"id":1,"connect":{}}`)
	all[1].wantClose(3504)
}

func TestUserConnectionsExempt(t *testing.T) {
	s := limited(t, func(c *Config) { c.Limits.Exempt = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	for range 4 {
		s.connected(t, sign(t, "alice", "feeds:*"))
		s.feed(t, sign(t, "alice", "feeds:*"), "channel=feeds:a")
	}
	if n := s.shared.users.Connected(); n != 0 {
		t.Errorf("%d users are counted", n)
	}
}

// TestUserConnectionsChurn: however connections end (or are refused), each is released once.
func TestUserConnectionsChurn(t *testing.T) {
	s := limited(t, nil)
	var wg sync.WaitGroup
	for i := range 4 {
		jwt := sign(t, []string{"alice", "bob"}[i%2], "feeds:*")
		wg.Go(func() {
			for n := range 12 {
				c := s.tryConnect(t, jwt)
				switch n % 3 {
				case 0:
					_, _ = c.next() // the reply, or the close
					_ = c.ws.CloseNow()
				case 1:
					_ = c.ws.Close(1000, "")
				default:
					_ = c.ws.CloseNow() // perhaps while the token is checked
				}
			}
		})
	}
	wg.Wait()
	eventually(t, "nobody counted", func() bool { return s.shared.users.Connected() == 0 })
	for range 2 {
		s.connected(t, sign(t, "alice", "feeds:*"))
	}
	if reply, err := s.tryConnect(t, sign(t, "alice", "feeds:*")).next(); err == nil || !strings.Contains(err.Error(), "3504") {
		t.Errorf("a third: %s, %v", reply, err)
	}
}
