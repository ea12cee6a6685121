package engine

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/security/grant"
	"weir/security/origin"
	"weir/security/token"
)

// reload gives the server its configuration with a change.
func (s *testServer) reload(change func(*Config)) {
	s.t.Helper()
	cfg := s.config
	change(&cfg)
	if err := s.Reload(context.Background(), cfg); err != nil {
		s.t.Fatal(err)
	}
	s.config = cfg
}

// TestReload changes everything that may change, beside a connection that
// stays.
func TestReload(t *testing.T) {
	s := start(t, nil)
	c := s.connected(t, sign(t, "alice", "feeds:*", "later:*"))
	for _, channel := range []string{"feeds:a", "open:a"} {
		c.mustDo(`"subscribe":{"channel":"` + channel + `"}`)
	}
	feed := s.feed(t, sign(t, "alice", "feeds:*"), "channel=feeds:a")
	openFeed := s.feed(t, sign(t, "bob", "feeds:*"), "channel=open:a")

	if reply := c.do(`"subscribe":{"channel":"later:a"}`); !strings.Contains(reply, `"code":102`) {
		t.Errorf("a namespace that comes later: %s", reply)
	}
	s.reload(func(cfg *Config) {
		cfg.Namespaces = []Namespace{{Name: "feeds", HistorySize: 5, HistoryTTL: time.Hour}, {Name: "later"}, {Name: "open"}}
	})
	if line := c.mustNext(); line != `{"push":{"channel":"open:a","unsubscribe":{"code":2003,"reason":"permission denied"}}}` {
		t.Errorf("no longer open to clients: %s", line)
	}
	openFeed.wantClose(3011)
	c.mustDo(`"subscribe":{"channel":"later:a"}`)
	s.publish("feeds:a", "1")
	if line := c.mustNext(); !strings.Contains(line, `"feeds:a"`) {
		t.Errorf("a subscription that stays: %s", line)
	}
	feed.want("feeds:a", false, 1)
	if answer := s.api("history", `{"channel":"feeds:a","limit":10}`); !strings.Contains(toJSON(t, answer), `"offset":1`) {
		t.Errorf("history, which was switched on: %v", answer)
	}

	// A namespace that is gone takes its subscriptions with it.
	s.reload(func(cfg *Config) { cfg.Namespaces = []Namespace{{Name: "feeds"}} })
	if line := c.mustNext(); !strings.Contains(line, `"later:a","unsubscribe":{"code":2003`) {
		t.Errorf("its namespace is gone: %s", line)
	}

	// Origins.
	elsewhere := http.Header{"Origin": {"https://new.example.com"}}
	if _, res, err := s.dial(pathProtocol, elsewhere); err == nil || res.StatusCode != http.StatusForbidden {
		t.Errorf("an origin that comes later: %v, %v", res, err)
	}
	origins, err := origin.Parse([]string{"https://new.example.com", testOrigin})
	if err != nil {
		t.Fatal(err)
	}
	s.reload(func(cfg *Config) { cfg.Origins = origins })
	ws, _, err := s.dial(pathProtocol, elsewhere)
	if err != nil {
		t.Errorf("an origin that came: %v", err)
	} else {
		_ = ws.CloseNow()
	}

	// Limits, of connections that are there already.
	s.reload(func(cfg *Config) { cfg.Limits.ChannelsPerSession = 1 })
	if reply := c.do(`"subscribe":{"channel":"feeds:b"}`); !strings.Contains(reply, `"code":106`) {
		t.Errorf("one channel a session: %s", reply)
	}
}

// TestReloadKeys: tokens of the old key open nothing new, those of the new one
// do; so with the key of the API.
func TestReloadKeys(t *testing.T) {
	s := start(t, nil)
	old := sign(t, "alice", "feeds:*")
	c := s.connected(t, old)
	secret := []byte("another-secret-of-32-bytes-or-more")
	tokens, err := token.New(token.Config{HMACSecrets: [][]byte{secret}})
	if err != nil {
		t.Fatal(err)
	}
	s.reload(func(cfg *Config) { cfg.Tokens, cfg.APIKey = tokens, "another key" })
	fresh, err := token.Sign(secret, token.SignClaims{Subject: "alice", ExpiresAt: time.Now().Add(time.Hour).Unix(),
		Caps: []grant.Capability{{Channels: []string{"feeds:*"}, Match: "wildcard", Allow: []string{"sub"}}}})
	if err != nil {
		t.Fatal(err)
	}
	s.connected(t, fresh)
	stale := s.client(t)
	stale.send(`{"id":1,"connect":{"token":"` + old + `"}}`)
	stale.wantClose(3500)
	c.mustDo(`"subscribe":{"channel":"feeds:a"}`) // its session goes on
	if answer := s.api("info", `{}`); answer["error"] == nil {
		t.Errorf("the old API key: %v", answer)
	}
	s.reload(func(cfg *Config) { cfg.Tokens, cfg.APIKey = nil, testAPIKey })
	if answer := s.api("info", `{}`); answer["error"] != nil {
		t.Errorf("the API key that came back: %v", answer)
	}
	stale = s.client(t)
	stale.send(`{"id":1,"connect":{"token":"` + fresh + `"}}`)
	stale.wantClose(3500)
}

// TestReloadRefusesWhatNewWould: a bad configuration changes nothing.
func TestReloadRefusesWhatNewWould(t *testing.T) {
	s := start(t, nil)
	before := s.policy.Load()
	for name, change := range map[string]func(*Config){
		"no outbox":   func(c *Config) { c.Limits.MaxOutboxBytes = 0 },
		"no deadline": func(c *Config) { c.Limits.HeadTimeout = 0 },
		"no room":     func(c *Config) { c.Limits.PartialBytes = 10 },
		"no room for texts": func(c *Config) {
			c.Namespaces, c.Limits.MaxOutboxBytes = []Namespace{{Name: "feeds", AllowDelta: true}}, 2*c.Limits.MessageSize
		},
		"no room in a namespace": func(c *Config) { c.Namespaces = []Namespace{{Name: "feeds", MaxOutboxBytes: 10}} },
	} {
		cfg := s.config
		change(&cfg)
		if err := s.Reload(context.Background(), cfg); err == nil || !strings.Contains(err.Error(), "--") {
			t.Errorf("%s: %v, want an error that names the option", name, err)
		}
	}
	if s.policy.Load() != before {
		t.Error("something changed")
	}
}

// TestReloadBesideEverything changes rules while clients come, subscribe and
// publish: nobody is lost whom both rules permit.
func TestReloadBesideEverything(t *testing.T) {
	s := start(t, func(c *Config) { c.Limits.MessageRate, c.Limits.SubscribeRate = 0, 0 })
	steady := s.connected(t, sign(t, "steady", "feeds:*"))
	steady.mustDo(`"subscribe":{"channel":"feeds:steady"}`)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				c := s.connected(t, sign(t, "u", "feeds:*"))
				c.mustDo(`"subscribe":{"channel":"feeds:x"}`)
				c.mustDo(`"publish":{"channel":"feeds:x","data":1}`)
				_ = c.ws.CloseNow()
			}
		})
	}
	for i := range 50 {
		s.reload(func(cfg *Config) {
			cfg.Namespaces = []Namespace{{Name: "feeds", HistorySize: i % 3, HistoryTTL: time.Hour * time.Duration(i%3)}}
			cfg.Limits.JSONDepth = 8 + i%8
		})
		s.publish("feeds:steady", "1")
		if line := steady.mustNext(); !strings.Contains(line, `"feeds:steady"`) {
			t.Errorf("reload %d: %s", i, line)
		}
	}
	close(stop)
	wg.Wait()
}

func toJSON(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
