package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/security/grant"
	"weir/security/token"
)

// TestFeed is the shortest whole story: connect, subscribe, publish by the API,
// receive, unsubscribe, receive no more.
func TestFeed(t *testing.T) {
	s := start(t, nil)
	c := s.connected(t, sign(t, "alice", "feeds:*"))
	if reply := c.mustDo(`"subscribe":{"channel":"feeds:prices"}`); reply != `{"id":2,"subscribe":{}}` {
		t.Fatalf("the reply is %s", reply)
	}
	answer := s.api("publish", `{"channel":"feeds:prices","data":{"text":"a\nb",  "n" : 1}}`)
	result, _ := answer["result"].(map[string]any)
	if result == nil || result["offset"] != 1.0 || result["epoch"] == "" {
		t.Fatalf("the API answers %v", answer)
	}
	want := `{"push":{"channel":"feeds:prices","pub":{"data":{"text":"a\nb","n":1},"offset":1}}}`
	if push := c.mustNext(); push != want {
		t.Fatalf("the push is %s, want %s", push, want)
	}
	c.mustDo(`"unsubscribe":{"channel":"feeds:prices"}`)
	s.api("publish", `{"channel":"feeds:prices","data":2}`)
	if reply := c.mustDo(`"subscribe":{"channel":"feeds:prices","positioned":true}`); !strings.Contains(reply, `"offset":2`) {
		t.Fatalf("subscribed again: %s, want the position behind what was missed", reply)
	}
	s.api("publish", `{"channel":"feeds:prices","data":3}`)
	if push := c.mustNext(); !strings.Contains(push, `"data":3`) {
		t.Fatalf("after subscribing again comes %s: want only what is new", push)
	}
}

// TestConnectAndSubscribeInOneFrame is what the JS SDK sends: connect must be
// finished before the lines behind it, and replies come in order.
func TestConnectAndSubscribeInOneFrame(t *testing.T) {
	s := start(t, nil)
	c := s.client(t)
	c.send(`{"id":1,"connect":{"token":"` + sign(t, "alice", "feeds:*") + `"}}` + "\n" +
		`{"id":2,"subscribe":{"channel":"feeds:a"}}` + "\n" + `{"id":3,"subscribe":{"channel":"feeds:b"}}` + "\n" +
		`{"id":4,"publish":{"channel":"feeds:b","data":{"x":1}}}` + "\n" + `{"id":5,"unsubscribe":{"channel":"feeds:a"}}`)
	c.send(`{"id":6,"subscribe":{"channel":"feeds:c"}}`)
	var got []string
	for len(got) < 7 {
		got = append(got, strings.Split(c.mustNext(), ":{")[0])
	}
	joined := strings.Join(got, " ")
	for i, want := range []string{`{"id":1,"connect"`, `{"id":2,"subscribe"`, `{"id":3,"subscribe"`, `{"id":4,"publish"`, `{"id":5,"unsubscribe"`, `{"id":6,"subscribe"`} {
		if at := strings.Index(joined, want); at < 0 || i > 0 && at < strings.Index(joined, `{"id":1,`) {
			t.Fatalf("reply %s is missing or early in %s", want, joined)
		}
	}
	if !strings.Contains(joined, `{"push"`) {
		t.Fatalf("the publication of its own is missing in %s", joined)
	}
}

func TestLinesBehindAFailedConnectDoNothing(t *testing.T) {
	s := start(t, nil)
	c := s.client(t)
	c.send(`{"id":1,"connect":{"token":"not.a.token"}}` + "\n" + `{"id":2,"publish":{"channel":"open:a","data":1}}`)
	c.wantClose(3500)
	if pos := s.api("publish", `{"channel":"open:a","data":2}`); pos["result"].(map[string]any)["offset"] != 1.0 {
		t.Fatalf("the publication behind a refused connect was carried out: %v", pos)
	}
}

func TestServerSideSubscriptions(t *testing.T) {
	s := start(t, nil)
	c := s.client(t)
	jwt := signClaims(t, token.SignClaims{Subject: "bob", ExpiresAt: time.Now().Add(time.Hour).Unix(), Channels: []string{"feeds:a", "nowhere:b"}})
	reply := c.mustDo(`"connect":{"token":"` + jwt + `"}`)
	if !strings.Contains(reply, `"subs":{"feeds:a":{`) || strings.Contains(reply, "nowhere") {
		t.Fatalf("the reply is %s; want the one subscription that can be made", reply)
	}
	if _, _, err := s.Publish(context.Background(), "feeds:a", []byte(`"hi"`)); err != nil {
		t.Fatal(err)
	}
	if push := c.mustNext(); !strings.Contains(push, `"data":"hi"`) {
		t.Fatalf("the push is %s", push)
	}
}

// TestEveryWayToBringAToken: connect command, Authorization, subprotocol; a
// bad one in the handshake is a 401, in connect a close.
func TestEveryWayToBringAToken(t *testing.T) {
	s := start(t, nil)
	good := sign(t, "alice", "feeds:*")
	for _, c := range []struct {
		name   string
		header http.Header
		path   string
		status int
	}{
		{"authorization", http.Header{"Authorization": {"Bearer " + good}}, "", 101},
		{"bad authorization", http.Header{"Authorization": {"Bearer " + good + "x"}}, "", 401},
		{"another scheme", http.Header{"Authorization": {"Basic " + good}}, "", 401},
		{"subprotocol", http.Header{"Sec-Websocket-Protocol": {"centrifuge-json, bearer." + good}}, "", 101},
		{"bad subprotocol", http.Header{"Sec-Websocket-Protocol": {"centrifuge-json, bearer.a.b.c"}}, "", 401},
		{"subprotocol alone", http.Header{"Sec-Websocket-Protocol": {"bearer." + good}}, "", 400},
		{"in the URL", http.Header{}, "?token=" + good, 401},
		{"unknown ticket", http.Header{}, "?ticket=abc", 401},
	} {
		c.header.Set("Origin", testOrigin)
		ws, res, err := s.dial(pathProtocol+c.path, c.header)
		if res == nil || res.StatusCode != c.status {
			t.Errorf("%s: %v, %v; want %d", c.name, res, err, c.status)
		}
		if err != nil {
			continue
		}
		cl := &client{t: t, ws: ws}
		if reply := cl.mustDo(`"connect":{}`); !strings.Contains(reply, `"client"`) {
			t.Errorf("%s: connect answers %s", c.name, reply)
		}
		_ = ws.CloseNow()
	}
}

func TestConnectErrors(t *testing.T) {
	s := start(t, nil)
	expired := signClaims(t, token.SignClaims{Subject: "a", ExpiresAt: time.Now().Add(-time.Hour).Unix()})
	c := s.client(t)
	if reply := c.do(`"connect":{"token":"` + expired + `"}`); !strings.Contains(reply, `"code":109`) {
		t.Errorf("an expired token: %s, want error 109", reply)
	}
	if reply := c.mustDo(`"connect":{"token":"` + sign(t, "a", "feeds:*") + `"}`); !strings.Contains(reply, `"client"`) {
		t.Errorf("a fresh one after it: %s", reply)
	}
	c = s.client(t)
	if reply := c.do(`"connect":{}`); !strings.Contains(reply, `"code":101`) {
		t.Errorf("no token: %s, want error 101", reply)
	}
	s.clock.move(time.Minute)
	c.wantClose(3502)
}

func TestExpiredConnectionIsClosed(t *testing.T) {
	s := start(t, nil)
	c := s.connected(t, signClaims(t, token.SignClaims{Subject: "a", ExpiresAt: s.clock.in(time.Minute).Unix()}))
	s.clock.move(time.Hour)
	c.wantClose(3005)
}

func TestPublishByClients(t *testing.T) {
	s := start(t, nil)
	a, b := s.connected(t, sign(t, "a", "feeds:*")), s.connected(t, sign(t, "b", "feeds:*"))
	b.mustDo(`"subscribe":{"channel":"feeds:x"}`)
	a.mustDo(`"publish":{"channel":"feeds:x","data":{ "v" : [1, 2] }}`)
	push := b.mustNext()
	if !strings.Contains(push, `"data":{"v":[1,2]}`) || !strings.Contains(push, `"info":{"user":"a","client":"`) {
		t.Fatalf("the push is %s", push)
	}
	if reply := a.do(`"publish":{"channel":"secret:x","data":1}`); !strings.Contains(reply, `"code":103`) {
		t.Fatalf("without a grant: %s, want 103", reply)
	}
}

// TestOrderAcrossPublishers: every subscriber sees each offset once, in order,
// whoever publishes and whenever it came.
func TestOrderAcrossPublishers(t *testing.T) {
	s := start(t, func(c *Config) { c.Limits.MaxOutboxBytes = 64 << 20 })
	const publishers, each, subscribers = 4, 500, 8
	jwt := sign(t, "u", "feeds:*")
	var wg sync.WaitGroup
	for range subscribers {
		c := s.connected(t, jwt)
		reply := c.mustDo(`"subscribe":{"channel":"feeds:x","positioned":true}`)
		var sub struct{ Subscribe struct{ Offset uint64 } }
		if err := json.Unmarshal([]byte(reply), &sub); err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			for next := sub.Subscribe.Offset + 1; next <= publishers*each; next++ {
				line, err := c.next()
				if err != nil || !strings.Contains(line, fmt.Sprintf(`"offset":%d}`, next)) {
					t.Errorf("%.100s, %v where offset %d was due", line, err, next)
					return
				}
			}
		})
	}
	for range publishers {
		wg.Go(func() {
			for range each {
				if _, _, err := s.Publish(context.Background(), "feeds:x", []byte("1")); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestAPI(t *testing.T) {
	s := start(t, nil)
	a, b := s.connected(t, sign(t, "a", "feeds:*")), s.connected(t, sign(t, "b", "feeds:*"))
	a.mustDo(`"subscribe":{"channel":"feeds:x"}`)
	b.mustDo(`"subscribe":{"channel":"feeds:y"}`)
	out := s.api("broadcast", `{"channels":["feeds:x","feeds:y"],"data":5}`)
	if n := len(out["result"].(map[string]any)["responses"].([]any)); n != 2 {
		t.Fatalf("broadcast answers %v", out)
	}
	for _, c := range []*client{a, b} {
		if push := c.mustNext(); !strings.Contains(push, `"data":5`) {
			t.Fatalf("the push is %s", push)
		}
	}
	nodes := s.api("info", `{}`)["result"].(map[string]any)["nodes"].([]any)
	if n := nodes[0].(map[string]any); len(nodes) != 1 || n["num_clients"] != 2.0 || n["num_users"] != 2.0 || n["num_channels"] != 2.0 {
		t.Fatalf("info says %v", nodes)
	}
	s.api("disconnect", `{"user":"a"}`)
	a.wantClose(3503)
	b.mustDo(`"unsubscribe":{"channel":"feeds:y"}`)
	if e, _ := s.api("publish", `{"channel":"nowhere:x","data":1}`)["error"].(map[string]any); e == nil || e["code"] != 102.0 {
		t.Fatalf("an unknown namespace: %v, want error 102", e)
	}
	if e, _ := s.api("presence", `{"channel":"feeds:x"}`)["error"].(map[string]any); e == nil || e["code"] != 108.0 {
		t.Fatalf("presence: %v, want error 108", e)
	}
}

func TestAnonymous(t *testing.T) {
	s := start(t, func(c *Config) { c.AllowAnonymous = true })
	c := s.client(t)
	c.mustDo(`"connect":{}`)
	c.mustDo(`"subscribe":{"channel":"open:x"}`)
	if reply := c.do(`"subscribe":{"channel":"feeds:x"}`); !strings.Contains(reply, `"code":103`) {
		t.Fatalf("what no namespace allows: %s, want 103", reply)
	}
}

func TestDrainTellsEverybody(t *testing.T) {
	s := start(t, func(c *Config) { c.Limits.DrainPeriod = 200 * time.Millisecond })
	jwt := signClaims(t, token.SignClaims{Subject: "a", ExpiresAt: time.Now().Add(time.Hour).Unix(),
		Caps: []grant.Capability{{Channels: []string{"feeds:*"}, Match: "wildcard", Allow: []string{"sub"}}}})
	var clients []*client
	for range 20 {
		c := s.connected(t, jwt)
		c.mustDo(`"subscribe":{"channel":"feeds:x"}`)
		clients = append(clients, c)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.stop() }()
	for _, c := range clients {
		c.wantClose(3001)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}
