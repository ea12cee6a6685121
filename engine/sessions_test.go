package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/engine/api"
	"weir/security/token"
)

// identified is a client that has finished connect, and its id.
func (s *testServer) identified(t testing.TB, jwt string) (*client, string) {
	t.Helper()
	c := s.client(t)
	var reply struct{ Connect struct{ Client string } }
	if err := json.Unmarshal([]byte(c.mustDo(`"connect":{"token":"`+jwt+`"}`)), &reply); err != nil {
		t.Fatal(err)
	}
	return c, reply.Connect.Client
}

// mustAPI is a call that succeeds; it returns the result.
func (s *testServer) mustAPI(method, body string) map[string]any {
	s.t.Helper()
	out := s.api(method, body)
	result, ok := out["result"].(map[string]any)
	if !ok {
		s.t.Fatalf("%s %s: %v", method, body, out)
	}
	return result
}

// wantPush reads the next line, which must hold all of parts.
func (c *client) wantPush(parts ...string) {
	c.t.Helper()
	push := c.mustNext()
	for _, part := range parts {
		if !strings.Contains(push, part) {
			c.t.Fatalf("the next line is %s, want %s in it", push, part)
		}
	}
}

func TestSubscribeByAPI(t *testing.T) {
	s := historied(t, nil)
	epoch := s.publishN("feeds:a", 3)
	one, id := s.identified(t, sign(t, "u", "open:*"))
	two := s.connected(t, sign(t, "u", "open:*"))
	other := s.connected(t, sign(t, "v", "open:*"))
	push := `{"push":{"channel":"feeds:a","subscribe":{"recoverable":true,"positioned":true,"offset":3,"epoch":"` + epoch + `"}}}`

	s.mustAPI("subscribe", `{"user":"u","client":"`+id+`","channel":"feeds:a"}`)
	one.wantPush(push)
	s.mustAPI("subscribe", `{"user":"u","channel":"feeds:a"}`) // one has it: told nothing again
	two.wantPush(push)
	s.publishN("feeds:a", 1)
	for _, c := range []*client{one, two} {
		c.wantPush(`"pub":{"data":{"x":1},"offset":4}`)
	}
	s.onLoops(func(sh *shard) {
		sh.conns.each(func(c *conn) {
			if i := c.session.Find("feeds:a"); i >= 0 && !c.session.Sub(i).Server {
				t.Error("the subscription is not one of the server's: after a gap its client would not be told to come back")
			}
		})
	})
	if n := s.shared.hub.Subscribers("feeds:a"); n != 2 {
		t.Fatalf("%d subscribers, want 2: another user is none", n)
	}
	if reply := one.do(`"subscribe":{"channel":"feeds:a"}`); !strings.Contains(reply, `"code":105`) && !strings.Contains(reply, `"code":103`) {
		t.Fatalf("a second subscription: %s", reply)
	}
	if e := s.api("subscribe", `{"user":"u","channel":"nowhere:a"}`)["error"].(map[string]any); e["code"] != 102.0 {
		t.Fatalf("an unknown namespace: %v, want error 102", e)
	}
	s.mustAPI("subscribe", `{"user":"nobody","channel":"feeds:a"}`)
	if reply := other.mustDo(`"unsubscribe":{"channel":"feeds:a"}`); !strings.Contains(reply, `"unsubscribe":{}`) {
		t.Fatalf("another user: %s", reply)
	}
}

func TestSubscribeByAPIKeepsTheLimit(t *testing.T) {
	s := start(t, func(c *Config) { c.Limits.ChannelsPerSession = 1 })
	c := s.connected(t, sign(t, "u", "open:*"))
	s.mustAPI("subscribe", `{"user":"u","channel":"feeds:a"}`)
	c.wantPush(`"channel":"feeds:a","subscribe"`)
	if e, _ := s.api("subscribe", `{"user":"u","channel":"feeds:b"}`)["error"].(map[string]any); e == nil || e["code"] != 106.0 {
		t.Fatalf("one channel too many: %v, want error 106", e)
	}
	s.mustAPI("subscribe", `{"user":"u","channel":"feeds:a"}`)
}

func TestUnsubscribeByAPI(t *testing.T) {
	s := start(t, nil)
	jwt := signClaims(t, token.SignClaims{Subject: "u", ExpiresAt: time.Now().Add(time.Hour).Unix(), Channels: []string{"feeds:a", "feeds:b"}})
	one, id := s.identified(t, jwt)
	two := s.connected(t, jwt)
	by := s.connected(t, sign(t, "v", "feeds:*"))
	by.mustDo(`"subscribe":{"channel":"feeds:a"}`)
	const push = `{"push":{"channel":"feeds:a","unsubscribe":{"code":2000,"reason":"server unsubscribe"}}}`

	s.mustAPI("unsubscribe", `{"client":"`+id+`","channel":"feeds:a"}`)
	one.wantPush(push)
	if n := s.shared.hub.Subscribers("feeds:a"); n != 2 {
		t.Fatalf("%d subscribers, want 2", n)
	}
	s.mustAPI("unsubscribe", `{"user":"u","channel":"feeds:a"}`)
	two.wantPush(push)
	s.mustAPI("unsubscribe", `{"user":"u","channel":"feeds:a"}`) // none is no error
	s.mustAPI("publish", `{"channel":"feeds:a","data":"only v"}`)
	s.mustAPI("publish", `{"channel":"feeds:b","data":"all of u"}`)
	by.wantPush(`"only v"`)
	one.wantPush(`"all of u"`)
	two.wantPush(`"all of u"`)
}

// TestOrdersToFeeds: a push-only connection cannot be told what changes.
func TestOrdersToFeeds(t *testing.T) {
	s := start(t, nil)
	f := s.feed(t, sign(t, "u", "feeds:*"), "channel=feeds:a")
	s.mustAPI("subscribe", `{"user":"u","channel":"feeds:b"}`)
	if n := s.shared.hub.Subscribers("feeds:b"); n != 0 {
		t.Fatalf("%d subscribers of a channel that the request did not name", n)
	}
	list := s.mustAPI("connections", `{"user":"u"}`)["connections"].(map[string]any)
	for _, c := range list {
		if c.(map[string]any)["protocol"] != "feed" {
			t.Fatalf("it is listed as %v", c)
		}
	}
	if len(list) != 1 {
		t.Fatalf("%d connections, want 1", len(list))
	}
	s.mustAPI("unsubscribe", `{"user":"u","channel":"feeds:b"}`)
	s.mustAPI("publish", `{"channel":"feeds:a","data":1}`)
	f.want("feeds:a", false, 1)
	s.mustAPI("unsubscribe", `{"user":"u","channel":"feeds:a"}`)
	f.wantClose(3503)
}

func TestRefreshByAPI(t *testing.T) {
	s := start(t, nil)
	c := s.connected(t, sign(t, "u", "open:*"))
	at := s.clock.in(2 * time.Hour).Unix()
	s.mustAPI("refresh", fmt.Sprintf(`{"user":"u","expire_at":%d}`, at))
	s.onLoops(func(sh *shard) {
		sh.conns.each(func(c *conn) {
			if lives := time.Duration(c.expireBy - sh.now); c.session.Expires() != at || lives < 110*time.Minute || lives > 130*time.Minute {
				t.Errorf("the session expires at %d, in %v", c.session.Expires(), lives)
			}
		})
	})
	s.mustAPI("refresh", fmt.Sprintf(`{"user":"u","expire_at":%d}`, s.clock.in(time.Minute).Unix()))
	s.clock.move(2 * time.Minute)
	c.wantClose(3005)

	for _, body := range []string{`"expired":true`, `"expire_at":1`} {
		c, id := s.identified(t, sign(t, "u", "open:*"))
		stays := s.connected(t, sign(t, "u", "open:*"))
		s.mustAPI("refresh", `{"client":"`+id+`",`+body+`}`)
		c.wantClose(3005)
		stays.mustDo(`"unsubscribe":{"channel":"feeds:a"}`)
	}
}

func TestListingsByAPI(t *testing.T) {
	s := start(t, nil)
	a, aID := s.identified(t, sign(t, "a", "*"))
	b, bID := s.identified(t, sign(t, "b", "*"))
	_, idleID := s.identified(t, sign(t, "b", "*"))
	s.client(t) // not connected yet: in no list
	for _, channel := range []string{"feeds:x", "open:y"} {
		a.mustDo(`"subscribe":{"channel":"` + channel + `"}`)
	}
	b.mustDo(`"subscribe":{"channel":"feeds:x"}`)

	for body, want := range map[string]string{
		`{}`:                         `{"feeds:x":{"num_clients":2},"open:y":{"num_clients":1}}`,
		`{"pattern":"*:y"}`:          `{"open:y":{"num_clients":1}}`,
		`{"pattern":"feeds:x"}`:      `{"feeds:x":{"num_clients":2}}`,
		`{"pattern":"feeds:nobody"}`: `{}`,
	} {
		got, _ := json.Marshal(s.mustAPI("channels", body)["channels"])
		if string(got) != want {
			t.Errorf("channels %s: %s, want %s", body, got, want)
		}
	}
	info := func(user, channels string) string {
		return `{"protocol":"json","state":{` + channels + `},"transport":"websocket","user":"` + user + `"}`
	}
	all := map[string]string{aID: info("a", `"channels":{"feeds:x":{},"open:y":{}}`), bID: info("b", `"channels":{"feeds:x":{}}`), idleID: info("b", "")}
	for body, want := range map[string]map[string]string{
		`{}`:                              all,
		`{"user":"b"}`:                    {bID: all[bID], idleID: all[idleID]},
		`{"pattern":"*:x"}`:               {aID: info("a", `"channels":{"feeds:x":{}}`), bID: all[bID]},
		`{"user":"b","pattern":"open:*"}`: {},
	} {
		got := s.mustAPI("connections", body)["connections"].(map[string]any)
		if len(got) != len(want) {
			t.Errorf("connections %s: %v", body, got)
		}
		for id, c := range want {
			if text, _ := json.Marshal(got[id]); string(text) != c {
				t.Errorf("connections %s: %s is %s, want %s", body, id, text, c)
			}
		}
	}
	n := node{s.Server}
	for limit, want := range map[int]bool{5: false, 6: true} { // three connections and three subscriptions
		if list, ok, e := n.Connections(context.Background(), api.ConnectionQuery{Limit: limit}); ok != want || e != nil || ok != (len(list) == 3) {
			t.Errorf("limit %d: %v, %v, %d connections", limit, ok, e, len(list))
		}
	}
	for limit, want := range map[int]bool{1: false, 2: true} {
		if list, ok := n.Channels("", limit); ok != want || ok != (len(list) == 2) {
			t.Errorf("limit %d: %v, %d channels", limit, ok, len(list))
		}
	}
}

func TestBatchByAPI(t *testing.T) {
	s := start(t, nil)
	c := s.connected(t, sign(t, "u", "open:*"))
	out := s.api("batch", `{"commands":[{"subscribe":{"user":"u","channel":"feeds:a"}},{"publish":{"channel":"feeds:a","data":1}},{"unsubscribe":{"user":"u","channel":"feeds:a"}}]}`)
	got, _ := json.Marshal(out["replies"])
	if !strings.HasPrefix(string(got), `[{"subscribe":{}},{"publish":{"`) || !strings.HasSuffix(string(got), `},{"unsubscribe":{}}]`) {
		t.Fatalf("the answer is %v", out)
	}
	c.wantPush(`"subscribe":{`)
	for line := c.mustNext(); !strings.Contains(line, `"unsubscribe":{"code":2000`); line = c.mustNext() {
		if !strings.Contains(line, `"data":1`) {
			t.Fatalf("between the two stands %s", line)
		}
	}
}

// TestOrdersBesideEverything: orders of many callers, beside clients that come,
// subscribe and go and a publisher, leave the lists of members whole.
func TestOrdersBesideEverything(t *testing.T) {
	s := start(t, nil)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for range 15 {
				c := s.connected(t, sign(t, "u", "feeds:*"))
				for _, channel := range []string{"feeds:a", "feeds:b", "feeds:c"} {
					c.do(`"subscribe":{"channel":"` + channel + `"}`)
				}
				c.do(`"unsubscribe":{"channel":"feeds:a"}`)
				_ = c.ws.CloseNow()
			}
		})
	}
	for _, method := range []string{"subscribe", "unsubscribe", "subscribe", "connections", "channels"} {
		wg.Go(func() {
			for i := range 60 {
				channel := fmt.Sprint("feeds:", string(rune('a'+i%4)))
				s.mustAPI(method, `{"user":"u","channel":"`+channel+`"}`)
				s.mustAPI("publish", `{"channel":"`+channel+`","data":1}`)
			}
		})
	}
	wg.Wait()
	eventually(t, "an empty hub", func() bool { return s.shared.hub.Channels() == 0 })
}
