package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"weir/engine/broker"
	"weir/security/grant"
	"weir/security/token"
)

// historied is a server whose namespace feeds keeps ten publications a channel.
func historied(t testing.TB, change func(*Namespace)) *testServer {
	t.Helper()
	return start(t, func(c *Config) {
		ns := Namespace{Name: "feeds", HistorySize: 10, HistoryTTL: time.Hour, ForceRecovery: true}
		if change != nil {
			change(&ns)
		}
		c.Namespaces = []Namespace{ns, {Name: "open", AllowSubscribeForClient: true}}
	})
}

// subscribed is what a subscribe reply says.
type subscribed struct {
	Error     *struct{ Code int }
	Subscribe struct {
		Recoverable, Positioned, Recovered bool
		WasRecovering                      bool `json:"was_recovering"`
		Offset                             uint64
		Epoch                              string
		Publications                       []struct {
			Offset uint64
			Data   json.RawMessage
		}
	}
}

func (c *client) subscribe(channel, more string) (out subscribed) {
	c.t.Helper()
	reply := c.do(`"subscribe":{"channel":"` + channel + `"` + more + `}`)
	if err := json.Unmarshal([]byte(reply), &out); err != nil {
		c.t.Fatalf("%s: %v", reply, err)
	}
	return out
}

func (s *testServer) publishN(channel string, n int) (epoch string) {
	s.t.Helper()
	for range n {
		_, e, err := s.Publish(context.Background(), channel, []byte(`{"x":1}`))
		if err != nil {
			s.t.Fatal(err)
		}
		epoch = e
	}
	return epoch
}

// TestRecovery is PROTOCOL.md's rule for a subscribe with a position, as the
// reply shows it.
func TestRecovery(t *testing.T) {
	s := historied(t, nil)
	epoch := s.publishN("feeds:a", 15) // 6 to 15 are kept
	jwt := sign(t, "u", "feeds:*")
	at := func(offset int, epoch string) string {
		return fmt.Sprintf(`,"recover":true,"offset":%d,"epoch":"%s"`, offset, epoch)
	}
	for _, c := range []struct {
		name, more   string
		recovered    bool
		offset       uint64 // in the reply
		publications int
	}{
		{"nothing asked", "", false, 15, 0},
		{"nothing missed", at(15, epoch), true, 15, 0},
		{"three missed", at(12, epoch), true, 12, 3},
		{"no epoch", at(12, ""), true, 12, 3},
		{"all that is kept", at(5, epoch), true, 5, 10},
		{"one is gone", at(4, epoch), false, 15, 0},
		{"another epoch", at(12, "other"), false, 15, 0},
		{"beyond the top", at(99, epoch), false, 15, 0},
	} {
		got := s.connected(t, jwt).subscribe("feeds:a", c.more).Subscribe
		if got.Recovered != c.recovered || got.Offset != c.offset || len(got.Publications) != c.publications ||
			!got.Recoverable || !got.Positioned || got.Epoch != epoch || got.WasRecovering != (c.more != "") {
			t.Errorf("%s: %+v", c.name, got)
		}
		for i, p := range got.Publications {
			if p.Offset != c.offset+uint64(i)+1 || string(p.Data) != `{"x":1}` {
				t.Errorf("%s: publication %d is %+v", c.name, i, p)
			}
		}
	}
	if got := s.connected(t, jwt).subscribe("feeds:a", at(4, epoch)+`,"flag":2`); got.Error == nil || got.Error.Code != 112 {
		t.Errorf("gone, with flag 2: %+v, want error 112", got)
	}
	if n := s.shared.hub.Subscribers("feeds:a"); n > 9 {
		t.Errorf("%d subscribers: who got error 112 is one", n)
	}
	// Without history nothing is recoverable, whatever is asked.
	if got := s.connected(t, jwt).subscribe("open:a", `,"recoverable":true`+at(0, "")).Subscribe; got.Recoverable || got.Recovered || got.WasRecovering {
		t.Errorf("no history: %+v", got)
	}
}

func TestRecoveryOfTheLatestOnly(t *testing.T) {
	s := historied(t, func(ns *Namespace) { ns.RecoverLatest = true })
	s.publishN("feeds:a", 4)
	got := s.connected(t, sign(t, "u", "feeds:*")).subscribe("feeds:a", `,"recover":true`).Subscribe
	if !got.Recovered || len(got.Publications) != 1 || got.Publications[0].Offset != 4 || got.Offset != 4 {
		t.Fatalf("%+v, want the newest publication", got)
	}
}

func TestRecoveryWithoutForce(t *testing.T) {
	s := historied(t, func(ns *Namespace) { ns.ForceRecovery = false })
	s.publishN("feeds:a", 3)
	jwt := sign(t, "u", "feeds:*")
	if got := s.connected(t, jwt).subscribe("feeds:a", `,"recover":true,"offset":1`).Subscribe; got.Recoverable || len(got.Publications) != 0 {
		t.Fatalf("nobody asked for a recoverable subscription: %+v", got)
	}
	if got := s.connected(t, jwt).subscribe("feeds:a", `,"recoverable":true,"recover":true,"offset":1`).Subscribe; !got.Recovered || len(got.Publications) != 2 {
		t.Fatalf("asked for: %+v, want 2 publications back", got)
	}
}

func TestServerSideRecovery(t *testing.T) {
	s := historied(t, nil)
	epoch := s.publishN("feeds:a", 5)
	jwt := signClaims(t, token.SignClaims{Subject: "u", ExpiresAt: time.Now().Add(time.Hour).Unix(), Channels: []string{"feeds:a"}})
	reply := s.client(t).do(`"connect":{"token":"` + jwt + `","subs":{"feeds:a":{"recover":true,"offset":3,"epoch":"` + epoch + `"}}}`)
	if !strings.Contains(reply, `"recovered":true,"publications":[{"data":{"x":1},"offset":4},{"data":{"x":1},"offset":5}]`) {
		t.Fatalf("the reply is %s", reply)
	}
}

func TestHistoryCommandAndAPI(t *testing.T) {
	s := historied(t, func(ns *Namespace) { ns.AllowHistoryForSubscriber = true })
	epoch := s.publishN("feeds:a", 12)
	reader := s.connected(t, signClaims(t, token.SignClaims{Subject: "r", ExpiresAt: time.Now().Add(time.Hour).Unix(),
		Caps: []grant.Capability{{Channels: []string{"feeds:*"}, Match: "wildcard", Allow: []string{"hst"}}}}))
	subscriber := s.connected(t, sign(t, "u", "feeds:*"))
	for _, c := range []struct{ command, want string }{
		{`"history":{"channel":"feeds:a"}`, fmt.Sprintf(`"publications":[],"offset":12,"epoch":"%s"`, epoch)},
		{`"history":{"channel":"feeds:a","limit":1}`, `"publications":[{"data":{"x":1},"offset":3}]`},
		{`"history":{"channel":"feeds:a","limit":1,"reverse":true}`, `"publications":[{"data":{"x":1},"offset":12}]`},
		{`"history":{"channel":"feeds:a","limit":-1,"since":{"offset":11,"epoch":"` + epoch + `"}}`, `"publications":[{"data":{"x":1},"offset":12}]`},
		{`"history":{"channel":"feeds:a","limit":-1,"since":{"offset":11,"epoch":"other"}}`, `"code":112`},
		{`"history":{"channel":"open:a"}`, `"code":103`},
	} {
		if reply := reader.do(c.command); !strings.Contains(reply, c.want) {
			t.Errorf("%s: %s, want %s", c.command, reply, c.want)
		}
	}
	if reply := subscriber.do(`"history":{"channel":"feeds:a","limit":1}`); !strings.Contains(reply, `"code":103`) {
		t.Errorf("before subscribing: %s, want 103", reply)
	}
	subscriber.subscribe("feeds:a", "")
	if reply := subscriber.do(`"history":{"channel":"feeds:a","limit":1}`); !strings.Contains(reply, `"offset":3`) {
		t.Errorf("a subscriber: %s", reply)
	}
	api := s.api("history", `{"channel":"feeds:a","limit":2,"reverse":true}`)["result"].(map[string]any)
	if list := api["publications"].([]any); len(list) != 2 || list[0].(map[string]any)["offset"] != 12.0 || api["epoch"] != epoch {
		t.Errorf("the API answers %v", api)
	}
	s.api("history_remove", `{"channel":"feeds:a"}`)
	if got := s.connected(t, sign(t, "v", "feeds:*")).subscribe("feeds:a", `,"recover":true,"offset":11,"epoch":"`+epoch+`"`).Subscribe; got.Recovered || got.Offset != 12 {
		t.Errorf("after history_remove: %+v", got)
	}
}

func TestSkipHistory(t *testing.T) {
	s := historied(t, nil)
	c := s.connected(t, sign(t, "u", "feeds:*"))
	c.subscribe("feeds:a", "")
	s.publishN("feeds:a", 1)
	s.api("publish", `{"channel":"feeds:a","data":"aside","skip_history":true}`)
	s.publishN("feeds:a", 1)
	for _, want := range []string{`"offset":1}`, `"pub":{"data":"aside"}`, `"offset":2}`} {
		if push := c.mustNext(); !strings.Contains(push, want) {
			t.Fatalf("%s, want %s", push, want)
		}
	}
}

// TestFeedResumes: /feed brings what was missed as messages, or says that it is gone.
func TestFeedResumes(t *testing.T) {
	s := historied(t, nil)
	epoch := s.publishN("feeds:a", 15)
	jwt := sign(t, "u", "feeds:*")
	f := s.feed(t, jwt, "channel=feeds:a&since=feeds:a:13@"+epoch)
	f.want("feeds:a", false, 14)
	f.want("feeds:a", false, 15)
	s.publishN("feeds:a", 1)
	f.want("feeds:a", false, 16)
	gone := s.feed(t, jwt, "channel=feeds:a&since=feeds:a:2@"+epoch)
	gone.want("feeds:a", true, 16)
}

// TestRecoveryFitsTheReply: what comes back shares one reply, which must fit
// beside a full outbox; what does not is told as gone, and the client stays.
func TestRecoveryFitsTheReply(t *testing.T) {
	s := start(t, func(c *Config) {
		c.Limits.MaxOutboxBytes = 256 << 10
		c.Namespaces = []Namespace{{Name: "feeds", HistorySize: 10, HistoryTTL: time.Hour, ForceRecovery: true}}
	})
	data := []byte(`"` + strings.Repeat("x", 40<<10) + `"`)
	for _, channel := range []string{"feeds:a", "feeds:b", "feeds:c"} {
		for range 5 {
			if _, _, err := s.Publish(t.Context(), channel, data); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.publishN("feeds:c", 1) // 6 now
	jwt := signClaims(t, token.SignClaims{Subject: "u", ExpiresAt: time.Now().Add(time.Hour).Unix(), Channels: []string{"feeds:a", "feeds:b"},
		Caps: []grant.Capability{{Channels: []string{"feeds:*"}, Match: "wildcard", Allow: []string{"sub", "hst"}}}})
	c := s.client(t)
	reply := c.mustDo(`"connect":{"token":"` + jwt + `","subs":{"feeds:a":{"recover":true},"feeds:b":{"recover":true}}}`)
	if n := strings.Count(reply, `"recovered":true`); n != 1 || len(reply) > 256<<10 {
		t.Fatalf("%d of two channels of 200 KB came back in %d bytes, want one", n, len(reply))
	}
	c.mustDo(`"unsubscribe":{"channel":"feeds:a"}`)
	if got := c.subscribe("feeds:c", `,"recover":true,"offset":0`).Subscribe; !got.Recovered || len(got.Publications) != 6 {
		t.Fatalf("recovered %v with %d, want the 6 that fit", got.Recovered, len(got.Publications))
	}
	f := s.feed(t, jwt, "channel=feeds:a&channel=feeds:b&since=feeds:a:0@"+s.epochOf("feeds:a")+"&since=feeds:b:0@"+s.epochOf("feeds:b"))
	for i := range uint64(5) {
		f.want("feeds:a", false, i+1)
	}
	f.want("feeds:b", true, 5)
}

func (s *testServer) epochOf(channel string) string {
	s.t.Helper()
	at, _, err := s.memory.History(s.t.Context(), channel, broker.Filter{})
	if err != nil {
		s.t.Fatal(err)
	}
	return at.Epoch
}
