package realclient

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/engine"
)

// sdk starts the centrifuge SDK on the client protocol's endpoint.
func (s *server) sdk(t testing.TB, where order) *script {
	t.Helper()
	all := order{"url": s.url(wsPath)}
	for k, v := range where {
		all[k] = v
	}
	return s.node(t, "centrifuge.mjs", all)
}

// chatter is what the SDK tells all the time.
var chatter = []string{"sent", "pong", "open"}

// connected is an SDK that has connected and subscribed.
func (s *server) connected(t testing.TB, where order, channels ...string) *script {
	t.Helper()
	if where["token"] == nil {
		where["token"] = sign(t, "alice", time.Hour)
	}
	n := s.sdk(t, where)
	n.do(order{"do": "connect"})
	n.next("connected", append(chatter, "connecting")...)
	for _, c := range channels {
		n.do(order{"do": "subscribe", "channel": c})
		n.next("subscribed", append(chatter, "subscribing")...)
	}
	return n
}

// answered waits until the server has handled all that the SDK sent before.
func (n *script) answered() {
	n.t.Helper()
	n.do(order{"do": "publish", "channel": "feeds:nobody", "data": 0})
	n.next("published", chatter...)
}

// mustReceive publishes by the API and wants the SDK to get it.
func (s *server) mustReceive(n *script, channel, data string) {
	s.t.Helper()
	s.publish(channel, data)
	if p := n.next("publication", chatter...); p.Channel != channel || string(p.Data) != data {
		s.t.Fatalf("the SDK got %s on %s, want %s on %s", p.Data, p.Channel, data, channel)
	}
}

// TestSDK is a user's whole story: everything at once, then publications both
// ways, then less.
func TestSDK(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	n := s.sdk(t, order{"token": sign(t, "alice", time.Hour)})
	channels := []string{"feeds:a", "feeds:b", "feeds:c"}
	for _, c := range channels {
		n.do(order{"do": "subscribe", "channel": c})
		n.next("subscribing")
	}
	n.do(order{"do": "connect"})
	n.next("connecting")
	if o := n.next("open"); o.Protocol != "" {
		t.Errorf("subprotocol %q, want none: the SDK asks for none", o.Protocol)
	}
	if sent := n.next("sent"); !slices.Equal(sent.Lines, []string{"connect", "subscribe", "subscribe", "subscribe"}) {
		t.Fatalf("the first frame has %q: this test is about all of it in one", sent.Lines)
	}
	n.next("connected")
	for _, c := range channels {
		if sub := n.next("subscribed"); sub.Channel != c {
			t.Errorf("subscribed to %s where %s was due: replies out of order", sub.Channel, c)
		}
	}

	for _, data := range []string{`{"price":1.5,"text":"ü\n\u0000\"","deep":[[[{}]]]}`, `"text"`, `0`, `null`, `[]`} {
		s.publish("feeds:b", data)
		if got := n.next("publication"); got.Channel != "feeds:b" || !sameJSON(t, got.Data, []byte(data)) || got.Offset == 0 {
			t.Errorf("published %s, the SDK got %s on %s at %d", data, got.Data, got.Channel, got.Offset)
		}
	}
	big := `"` + strings.Repeat("x", 60_000) + `"`
	s.mustReceive(n, "feeds:c", big)

	n.do(order{"do": "publish", "channel": "feeds:a", "data": order{"by": "me"}})
	own := n.next("publication", "sent", "published")
	if own.Channel != "feeds:a" || string(own.Data) != `{"by":"me"}` || !strings.Contains(string(own.Info), `"user":"alice"`) {
		t.Errorf("its own publication came back as %+v", own)
	}
	n.do(order{"do": "publish", "channel": "secret:a", "data": 1})
	if e := n.next("publish error", "sent", "published"); e.Code != 103 {
		t.Errorf("publishing without a grant: error %d, want 103", e.Code)
	}

	n.do(order{"do": "subscribe", "channel": "secret:a"})
	if e := n.next("unsubscribed", "sent", "subscribing"); e.Code != 103 {
		t.Errorf("subscribing without a grant: %d %s, want 103", e.Code, e.Reason)
	}

	n.do(order{"do": "unsubscribe", "channel": "feeds:b"})
	n.next("unsubscribed", "sent")
	n.do(order{"do": "publish", "channel": "feeds:a", "data": 1}) // behind the unsubscribe
	n.next("publication", "sent", "published")
	s.publish("feeds:b", `"unseen"`)
	s.publish("feeds:a", `"seen"`)
	if p := n.next("publication", "sent", "published"); string(p.Data) != `"seen"` {
		t.Errorf("after unsubscribing came %s on %s", p.Data, p.Channel)
	}

	n.do(order{"do": "disconnect"})
	if d := n.next("disconnected", "subscribing", "unsubscribed"); d.Code != 0 {
		t.Errorf("disconnected with %d %s, want the SDK's own 0", d.Code, d.Reason)
	}
}

func sameJSON(t *testing.T, a, b []byte) bool {
	t.Helper()
	var x, y any
	if err := json.Unmarshal(a, &x); err != nil {
		t.Error(err)
	}
	if err := json.Unmarshal(b, &y); err != nil {
		t.Error(err)
	}
	ax, _ := json.Marshal(x) // what was unmarshalled can be marshalled
	by, _ := json.Marshal(y)
	return string(ax) == string(by)
}

// TestSDKCompressed is the same feed over permessage-deflate.
func TestSDKCompressed(t *testing.T) {
	t.Parallel()
	s := serve(t, func(c *engine.Config) { c.Compression = true })
	n := s.sdk(t, order{"token": sign(t, "alice", time.Hour), "compression": true})
	n.do(order{"do": "connect"})
	if o := n.next("open", "connecting"); !strings.Contains(o.Extensions, "permessage-deflate") {
		t.Fatalf("negotiated %q", o.Extensions)
	}
	n.next("connected", chatter...)
	n.do(order{"do": "subscribe", "channel": "feeds:a"})
	n.next("subscribed", append(chatter, "subscribing")...)
	s.mustReceive(n, "feeds:a", `{"text":"`+strings.Repeat("again and ", 500)+`"}`)
	s.mustReceive(n, "feeds:a", `1`)
}

// TestSDKPongs: pongs keep the SDK connected over several intervals. Without
// them it is closed with 3012, and comes back by itself.
func TestSDKPongs(t *testing.T) {
	t.Parallel()
	s := serve(t, func(c *engine.Config) { c.Limits.PongTimeout = time.Hour }) // longer than the pings below take
	speaking := s.connected(t, order{"token": sign(t, "speaking", 24*time.Hour)}, "feeds:a")
	mute := s.connected(t, order{"token": sign(t, "mute", 24*time.Hour), "mute": true})
	for range 4 {
		s.clock.move(30 * time.Second)
		speaking.next("pong", "sent")
		speaking.answered()
	}
	mute.next("pong", "sent")
	s.clock.move(2 * time.Hour)
	if c := mute.next("connecting"); c.Code != 3012 {
		t.Errorf("without pongs: %d %s, want 3012", c.Code, c.Reason)
	}
	mute.next("connected", chatter...)
	s.mustReceive(speaking, "feeds:a", `"still here"`)
}

// TestSDKPingsBelowASecond: the protocol counts in seconds, the option does not.
func TestSDKPingsBelowASecond(t *testing.T) {
	t.Parallel()
	s := serve(t, func(c *engine.Config) {
		c.Limits.PingInterval = 200 * time.Millisecond
	})
	n := s.connected(t, order{})
	for range 4 {
		s.clock.move(time.Second)
		n.next("pong", "sent")
		n.answered()
	}
}

// TestSDKExpiredToken: with error 109 the SDK asks its application for another
// token and connects with that.
func TestSDKExpiredToken(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	n := s.sdk(t, order{"token": sign(t, "alice", -time.Hour), "askForToken": true})
	n.do(order{"do": "connect"})
	if e := n.next("error", append(chatter, "connecting")...); e.Code != 109 {
		t.Fatalf("the error is %d %s, want 109", e.Code, e.Text)
	}
	n.next("token wanted", chatter...)
	n.do(order{"do": "give token", "token": sign(t, "alice", time.Hour)})
	n.next("connected", chatter...)
}

// TestSDKInvalidToken: a token that cannot be valid ends it, the SDK does not try again.
func TestSDKInvalidToken(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	good := sign(t, "alice", time.Hour)
	n := s.sdk(t, order{"token": good[:len(good)-8] + "AAAAAAAA"})
	n.do(order{"do": "connect"})
	if d := n.next("disconnected", append(chatter, "connecting")...); d.Code != 3500 {
		t.Errorf("disconnected with %d %s, want 3500", d.Code, d.Reason)
	}
}

// shortLived is an SDK that has connected with a token of which one second is
// left, so that it asks for another a second later.
func (s *server) shortLived(t testing.TB) *script {
	t.Helper()
	n := s.sdk(t, order{"askForToken": true})
	n.do(order{"do": "connect"})
	n.next("token wanted", "connecting")
	n.do(order{"do": "give token", "token": signUntil(t, "alice", s.clock.in(time.Second))})
	n.both("connected", "token wanted", chatter...)
	return n
}

// TestSDKRefresh: when a token runs out the SDK brings another, and the
// connection and its subscriptions go on past the first one's end.
func TestSDKRefresh(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	n := s.shortLived(t)
	n.do(order{"do": "subscribe", "channel": "feeds:a"})
	n.next("subscribed", append(chatter, "subscribing")...)
	n.do(order{"do": "give token", "token": signUntil(t, "alice", s.clock.in(time.Hour))})
	if sent := n.next("sent"); !slices.Equal(sent.Lines, []string{"refresh"}) {
		t.Errorf("the SDK sent %q, want a refresh", sent.Lines)
	}
	n.answered()
	s.clock.move(10 * time.Minute)
	s.mustReceive(n, "feeds:a", `"still here"`)
}

// TestSDKUnrefreshed: who brings no other token is closed with 3005, and is
// asked for one when it comes back.
func TestSDKUnrefreshed(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	n := s.shortLived(t)
	s.clock.move(10 * time.Minute)
	if c := n.next("connecting", chatter...); c.Code != 3005 {
		t.Fatalf("closed with %d %s, want 3005", c.Code, c.Reason)
	}
	if e := n.next("error", chatter...); e.Code != 109 {
		t.Fatalf("with the token that is over: %d %s, want 109", e.Code, e.Text)
	}
	n.next("token wanted", chatter...)
	for range 2 { // also who asked while the first connection was there
		n.do(order{"do": "give token", "token": signUntil(t, "alice", s.clock.in(time.Hour))})
	}
	n.next("connected", chatter...)
}

// TestSDKDisconnectedByServer: which codes bring the SDK back and which do not.
func TestSDKDisconnectedByServer(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	for _, c := range []struct {
		name, body string
		code       int
		back       bool
	}{
		{"3000", `{"user":"alice","disconnect":{"code":3000,"reason":"come back"}}`, 3000, true},
		{"3011", `{"user":"alice","disconnect":{"code":3011,"reason":"force reconnect"}}`, 3011, true},
		{"no code", `{"user":"alice"}`, 3503, false},
		{"3500", `{"user":"alice","disconnect":{"code":3500,"reason":"invalid token"}}`, 3500, false},
		{"application's", `{"user":"alice","disconnect":{"code":4500,"reason":"go away"}}`, 4500, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := s.connected(t, order{}, "feeds:a")
			s.api("disconnect", c.body)
			if !c.back {
				if d := n.next("disconnected", append(chatter, "subscribing")...); d.Code != c.code || d.Reason == "" {
					t.Fatalf("disconnected with %d %q, want %d", d.Code, d.Reason, c.code)
				}
				return
			}
			if d := n.next("connecting", append(chatter, "subscribing")...); d.Code != c.code || d.Reason == "" {
				t.Fatalf("connecting again with %d %q, want %d", d.Code, d.Reason, c.code)
			}
			n.next("connected", append(chatter, "subscribing")...)
			n.next("subscribed", append(chatter, "subscribing")...)
			s.mustReceive(n, "feeds:a", `"back"`)
		})
	}
}

// TestSDKDrain: a server that goes away says 3001, and the SDK subscribes
// again at the one that takes its place.
func TestSDKDrain(t *testing.T) {
	t.Parallel()
	first := serve(t, func(c *engine.Config) { c.ReusePort = true })
	n := first.connected(t, order{}, "feeds:a", "feeds:b")
	first.mustReceive(n, "feeds:a", `1`)
	// Before the first goes: nobody else may take its place.
	second := first.identity.serve(t, func(c *engine.Config) { c.Listen, c.ReusePort = first.Addr().String(), true })
	first.stop()
	if c := n.next("connecting", append(chatter, "subscribing")...); c.Code != 3001 || c.Reason == "" {
		t.Fatalf("the drain: %d %q, want 3001", c.Code, c.Reason)
	}
	for range 2 {
		n.next("subscribed", append(chatter, "subscribing", "connecting", "error", "connected")...)
	}
	second.mustReceive(n, "feeds:b", `2`)
}

// TestSDKForeignOrigin: from a page of another origin the SDK never gets in.
func TestSDKForeignOrigin(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	n := s.sdk(t, order{"token": sign(t, "alice", time.Hour), "origin": "https://evil.example"})
	n.do(order{"do": "connect"})
	for range 2 {
		n.next("error", "connecting")
	}
}

// TestSDKRecovers: what was published while the SDK was away comes back with its
// subscription, in order; what is no longer kept does not, and the SDK is told so.
func TestSDKRecovers(t *testing.T) {
	t.Parallel()
	s := serve(t, func(c *engine.Config) {
		c.Namespaces = []engine.Namespace{{Name: "feeds", HistorySize: 5, HistoryTTL: time.Hour, ForceRecovery: true}}
	})
	n := s.connected(t, order{}, "feeds:a")
	s.mustReceive(n, "feeds:a", `1`)
	for _, c := range []struct {
		missed    int
		recovered bool
	}{{3, true}, {0, true}, {7, false}} {
		n.do(order{"do": "disconnect"})
		n.next("disconnected", append(chatter, "subscribing")...)
		for i := range c.missed {
			s.publish("feeds:a", fmt.Sprint(100+i))
		}
		n.do(order{"do": "connect"})
		if e := n.next("subscribed", append(chatter, "connecting", "connected", "subscribing")...); e.Recovered != c.recovered {
			t.Fatalf("%d missed: recovered is %v, want %v", c.missed, e.Recovered, c.recovered)
		}
		for i := range c.missed {
			if !c.recovered {
				break
			}
			if p := n.next("publication", chatter...); string(p.Data) != fmt.Sprint(100+i) {
				t.Fatalf("%d missed: publication %d is %s", c.missed, i, p.Data)
			}
		}
		s.mustReceive(n, "feeds:a", `"live"`)
	}
}
