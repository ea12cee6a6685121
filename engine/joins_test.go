package engine

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"weir/engine/hub"
	"weir/engine/outbox"
	"weir/engine/stats"
	"weir/security/grant"
	"weir/security/token"
)

// lobby is a server whose namespace feeds tells subscribers who comes and goes,
// and "hall" those who have a grant; in "quiet" nobody is told.
func lobby(t testing.TB, change func(*Config)) *testServer {
	t.Helper()
	return start(t, func(c *Config) {
		c.Namespaces = []Namespace{
			{Name: "feeds", JoinLeave: true, AllowPresenceForSubscriber: true, HistorySize: 10, HistoryTTL: time.Hour, AllowDelta: true},
			{Name: "hall", JoinLeave: true},
			{Name: "quiet", Presence: true, AllowPresenceForSubscriber: true},
		}
		if change != nil {
			change(c)
		}
	})
}

// watches subscribes c to a channel and asks for its joins and leaves; its own
// join comes first.
func (c *client) watches(channel, id string) {
	c.t.Helper()
	c.mustDo(`"subscribe":{"channel":"` + channel + `","join_leave":true}`)
	c.wantPush(`"channel":"`+channel+`","join"`, id)
}

// event is the push of a join or leave.
func event(channel, kind, user, client, more string) string {
	return `{"push":{"channel":"` + channel + `","` + kind + `":{"info":{"user":"` + user + `","client":"` + client + `"` + more + `}}}}`
}

func (c *client) wantLine(want string) {
	c.t.Helper()
	if line := c.mustNext(); line != want {
		c.t.Fatalf("the next line is\n%s, want\n%s", line, want)
	}
}

func TestJoinsAndLeaves(t *testing.T) {
	s := lobby(t, nil)
	alice, aliceID := s.identified(t, granted(t, "alice", "sub", "feeds:*"))
	alice.mustDo(`"subscribe":{"channel":"feeds:a","join_leave":true}`)
	alice.wantLine(event("feeds:a", "join", "alice", aliceID, `,"conn_info":{"of":"alice"}`)) // behind the reply
	deaf, deafID := s.identified(t, sign(t, "deaf", "feeds:*"))
	deaf.mustDo(`"subscribe":{"channel":"feeds:a"}`)
	alice.wantLine(event("feeds:a", "join", "deaf", deafID, ""))

	bob, bobID := s.identified(t, sign(t, "bob", "feeds:*"))
	said := signClaims(t, token.SignClaims{Subject: "bob", Channel: "feeds:a", ExpiresAt: s.clock.in(time.Hour).Unix(), Info: json.RawMessage(`"guest"`)})
	bob.mustDo(withToken("subscribe", "feeds:a", said))
	alice.wantLine(event("feeds:a", "join", "bob", bobID, `,"chan_info":"guest"`))
	s.publish("feeds:a", `1`) // in order with what is published
	alice.wantPush(`"data":1`)
	bob.mustDo(`"unsubscribe":{"channel":"feeds:a"}`)
	alice.wantLine(event("feeds:a", "leave", "bob", bobID, `,"chan_info":"guest"`))

	feed := s.feed(t, sign(t, "push-only", "feeds:*"), "channel=feeds:a")
	alice.wantPush(`"join":{"info":{"user":"push-only"`)
	_ = feed.ws.CloseNow()
	alice.wantPush(`"leave":{"info":{"user":"push-only"`)

	served := s.connected(t, signClaims(t, token.SignClaims{Subject: "served", ExpiresAt: s.clock.in(time.Hour).Unix(), Channels: []string{"feeds:a", "feeds:b"}}))
	alice.wantPush(`"join":{"info":{"user":"served"`)
	s.mustAPI("subscribe", `{"user":"bob","channel":"feeds:a"}`)
	alice.wantPush(`"join":{"info":{"user":"bob"`)
	s.mustAPI("unsubscribe", `{"user":"bob","channel":"feeds:a"}`)
	alice.wantPush(`"leave":{"info":{"user":"bob"`)

	alice.mustDo(`"unsubscribe":{"channel":"feeds:a"}`)
	alice.watches("feeds:a", aliceID) // not told of its own leave
	s.publish("feeds:a", `2`)
	for _, c := range []*client{deaf, served} { // who did not ask was told of publications only
		for _, data := range []string{"1", "2"} {
			if c == deaf || data == "2" {
				c.wantPush(`"data":` + data)
			}
		}
	}
}

// TestWhoIsToldOfJoins: who asks for it and may ask for presence, in a namespace
// that has it.
func TestWhoIsToldOfJoins(t *testing.T) {
	s := lobby(t, nil)
	for _, c := range []struct {
		verbs, channel string
		told           bool
	}{
		{"sub", "feeds:a", true},
		{"sub", "hall:a", false},
		{"sub prs", "hall:a", true},
		{"sub prs", "quiet:a", false},
		{"sub", "quiet:a", false},
		{"sub prs", "feeds:*", false}, // a pattern has no subscribers of its own to tell of
	} {
		asks, id := s.identified(t, granted(t, "asks", c.verbs, "*"))
		asks.mustDo(`"subscribe":{"channel":"` + c.channel + `","join_leave":true}`)
		s.publish(strings.Replace(c.channel, "*", "a", 1), `"first"`)
		if c.told {
			asks.wantPush(`"join"`, id)
		}
		asks.wantPush(`"first"`)
		_ = asks.ws.CloseNow()
		eventually(t, "it being gone", func() bool { return s.connections() == 0 }) // or the next one is told of it
	}
}

// TestLeaveIsToldOnce for each way in which a subscription can end.
func TestLeaveIsToldOnce(t *testing.T) {
	s := lobby(t, func(c *Config) { c.Limits.PingInterval, c.Limits.ExpiredCloseDelay = 0, time.Second })
	in := func(d time.Duration) int64 { return s.clock.in(d).Unix() }
	caps := []grant.Capability{{Channels: []string{"feeds:*"}, Match: "wildcard", Allow: []string{"sub"}}}
	hour := func(more token.SignClaims) string {
		more.Subject, more.ExpiresAt, more.Caps = "goes", in(time.Hour), caps
		return signClaims(t, more)
	}
	watcher, id := s.identified(t, signClaims(t, token.SignClaims{Subject: "stays", ExpiresAt: in(1000 * time.Hour), Caps: caps}))
	watcher.watches("feeds:a", id)
	for _, c := range []struct {
		name string
		jwt  string // "": an hour
		more string // of the subscribe
		end  func(*client)
	}{
		{"unsubscribe", "", "", func(c *client) { c.mustDo(`"unsubscribe":{"channel":"feeds:a"}`) }},
		{"reset", "", "", func(c *client) { _ = c.ws.CloseNow() }},
		{"close frame", "", "", func(c *client) { _ = c.ws.Close(websocket.StatusNormalClosure, "") }},
		{"protocol error", "", "", func(c *client) { c.send("nonsense") }},
		{"second connect", "", "", func(c *client) { c.send(`{"id":99,"connect":{}}`) }},
		{"binary message", "", "", func(c *client) { _ = c.ws.Write(t.Context(), websocket.MessageBinary, []byte("x")) }},
		{"disconnect by the API", "", "", func(*client) { s.mustAPI("disconnect", `{"user":"goes"}`) }},
		{"unsubscribe by the API", "", "", func(*client) { s.mustAPI("unsubscribe", `{"user":"goes","channel":"feeds:a"}`) }},
		{"expiry by the API", "", "", func(*client) { s.mustAPI("refresh", `{"user":"goes","expired":true}`) }},
		{"expiry of the token", signClaims(t, token.SignClaims{Subject: "goes", ExpiresAt: in(time.Minute), Caps: caps}), "",
			func(*client) { s.clock.move(2 * time.Minute) }},
		{"expiry of the subscription", hour(token.SignClaims{}),
			`,"token":"` + signClaims(t, token.SignClaims{Subject: "goes", Channel: "feeds:a", ExpiresAt: in(3 * time.Minute)}) + `"`,
			func(*client) { s.clock.move(2 * time.Minute) }},
		{"refresh without the grant", "", "", func(c *client) {
			c.mustDo(`"refresh":{"token":"` + signClaims(t, token.SignClaims{Subject: "goes", ExpiresAt: in(time.Hour)}) + `"}`)
		}},
		{"gap in the inbox", "", "", func(*client) {
			s.onLoops(func(sh *shard) {
				sh.conns.each(func(c *conn) {
					if c.seated && c.session.User() == "goes" {
						sh.evict(c, c.session.Find("feeds:a"), 2500, "insufficient state")
						sh.settle(c)
					}
				})
			})
		}},
		{"slow", "", "", func(*client) {
			s.onLoops(func(sh *shard) {
				sh.conns.each(func(c *conn) {
					if c.seated && c.session.User() == "goes" {
						sh.over.slow = append(sh.over.slow, c.Slot)
						sh.closeSlow()
					}
				})
			})
		}},
		{"panic", "", "", func(*client) {
			s.mayPanic = true
			s.onLoops(func(sh *shard) {
				sh.conns.each(func(c *conn) {
					if c.seated && c.session.User() == "goes" {
						sh.contain("test", c)
					}
				})
			})
		}},
		{"block", "", "", func(*client) { s.mustAPI("block_user", `{"user":"goes"}`) }}, // last: it does not come back
	} {
		jwt := c.jwt
		if jwt == "" {
			jwt = hour(token.SignClaims{})
		}
		goes, id := s.identified(t, jwt)
		goes.mustDo(`"subscribe":{"channel":"feeds:a"` + c.more + `}`)
		watcher.wantLine(event("feeds:a", "join", "goes", id, ""))
		c.end(goes)
		watcher.wantLine(event("feeds:a", "leave", "goes", id, ""))
		_ = goes.ws.CloseNow()
		s.publish("feeds:a", `"`+c.name+`"`)
		watcher.wantPush(c.name) // nothing between
	}
	eventually(t, "all but the watcher being gone", func() bool { return s.connections() == 1 })
	s.publish("feeds:a", `"last"`)
	watcher.wantPush("last")
}

// TestNothingIsToldOfWhatFailed: a subscription that is answered with an error
// was none.
func TestNothingIsToldOfWhatFailed(t *testing.T) {
	s := lobby(t, nil)
	s.publishN("feeds:a", 20)
	watcher, id := s.identified(t, sign(t, "stays", "feeds:*"))
	watcher.watches("feeds:a", id)
	fails := s.connected(t, sign(t, "fails", "feeds:*"))
	if got := fails.subscribe("feeds:a", `,"recoverable":true,"recover":true,"offset":1,"flag":2,"join_leave":true`); got.Error == nil || got.Error.Code != 112 {
		t.Fatalf("%+v, want error 112", got)
	}
	fails.do(`"subscribe":{"channel":"feeds:a","token":"a.b.c"}`)
	s.publish("feeds:a", `"then"`)
	watcher.wantPush("then")
}

// TestRefreshEndsWatching: a newer token without the verb ends it, the
// subscription goes on.
func TestRefreshEndsWatching(t *testing.T) {
	s := lobby(t, nil)
	watcher, id := s.identified(t, granted(t, "stays", "sub prs", "hall:*"))
	watcher.watches("hall:a", id)
	other := s.connected(t, sign(t, "other", "hall:*"))
	other.mustDo(`"subscribe":{"channel":"hall:a"}`)
	watcher.wantPush(`"join"`, "other")
	watcher.mustDo(`"refresh":{"token":"` + granted(t, "stays", "sub", "hall:*") + `"}`)
	other.mustDo(`"unsubscribe":{"channel":"hall:a"}`)
	s.publish("hall:a", `"then"`)
	watcher.wantPush("then")
}

// TestReloadEndsWatching: so does a namespace that no longer opens presence.
func TestReloadEndsWatching(t *testing.T) {
	s := lobby(t, nil)
	watcher, id := s.identified(t, granted(t, "stays", "sub", "feeds:*"))
	watcher.watches("feeds:a", id)
	other := s.connected(t, sign(t, "other", "feeds:*"))
	other.mustDo(`"subscribe":{"channel":"feeds:a"}`)
	watcher.wantPush(`"join"`, "other")
	s.reload(func(c *Config) { c.Namespaces = []Namespace{{Name: "feeds", JoinLeave: true}} })
	other.mustDo(`"unsubscribe":{"channel":"feeds:a"}`)
	s.publish("feeds:a", `"then"`)
	watcher.wantPush("then")
}

// TestWatchersAndTheirPlaces: subscriptions come and go in any order, and each
// watcher stands where its session says.
func TestWatchersAndTheirPlaces(t *testing.T) {
	s := lobby(t, func(c *Config) { c.Limits.MessageRate, c.Limits.SubscribeRate, c.Limits.PingInterval = 0, 0, 0 })
	rng := rand.New(rand.NewPCG(5, 6))
	var clients []*client
	for range 5 {
		clients = append(clients, s.connected(t, sign(t, "u", "feeds:*")))
	}
	in := map[[2]int]bool{}
	for range 400 {
		who, what := rng.IntN(len(clients)), rng.IntN(6)
		channel := fmt.Sprint("feeds:", what)
		if at := [2]int{who, what}; in[at] {
			clients[who].mustDo(`"unsubscribe":{"channel":"` + channel + `"}`)
			delete(in, at)
		} else {
			delta := [2]string{"", "fossil"}[rng.IntN(2)] // which stand in another list
			clients[who].mustDo(fmt.Sprintf(`"subscribe":{"channel":"%s","join_leave":%v,"delta":"%s"}`, channel, rng.IntN(3) > 0, delta))
			in[at] = true
		}
	}
	var mu sync.Mutex
	listed, watching := 0, 0
	seen := map[*hub.Channel]bool{}
	s.onLoops(func(sh *shard) {
		mu.Lock()
		defer mu.Unlock()
		mine := map[*hub.Channel]bool{}
		sh.conns.each(func(c *conn) {
			for i := range c.session.Subs() {
				sub := c.session.Sub(i)
				mine[sub.Channel] = true
				n, watches := sub.Watcher()
				if !watches {
					continue
				}
				watching++
				if m := sub.Channel.Watchers(sh.id)[n]; m.Slot != c.Slot || int(m.Sub) != i {
					t.Errorf("%s: the place of subscription %d of %d has subscription %d of %d", sub.Channel.Name, i, c.Slot, m.Sub, m.Slot)
				}
			}
		})
		for ch := range mine {
			listed += len(ch.Watchers(sh.id))
			seen[ch] = true
		}
	})
	if listed != watching || watching == 0 {
		t.Errorf("%d watchers listed, %d subscriptions say so", listed, watching)
	}
	for _, c := range clients {
		_ = c.ws.CloseNow()
	}
	eventually(t, "all being gone", func() bool { return s.connections() == 0 })
	s.onLoops(func(sh *shard) {
		for ch := range seen {
			if n := len(ch.Watchers(sh.id)); n != 0 {
				t.Errorf("%s: %d watchers left behind", ch.Name, n)
			}
		}
	})
}

// TestJoinsAreBounded: in the long run by their rate, and for each connection
// by half of its outbox. What is over is counted, and closes nobody.
func TestJoinsAreBounded(t *testing.T) {
	s := lobby(t, func(c *Config) { c.Pollers, c.Limits.PingInterval = 1, 0 })
	watcher, id := s.identified(t, sign(t, "stays", "feeds:*"))
	watcher.watches("feeds:a", id)
	told, dropped := s.stats.Total(stats.EventsTold), s.stats.Total(stats.EventsDropped)
	s.onLoops(func(sh *shard) {
		c := sh.conns.at(firstOpen(sh))
		ch := c.session.Sub(0).Channel
		d := &hub.Delivery{Channel: ch, Event: &outbox.Frame{Plain: make([]byte, sh.limits.MaxOutboxBytes/16), Topic: ch.ID}}
		for range 20 {
			sh.tell(d)
		}
		if got := c.out.Bytes(); got > sh.limits.MaxOutboxBytes/2 || got < sh.limits.MaxOutboxBytes/4 {
			t.Errorf("%d bytes of joins wait, the outbox takes %d", got, sh.limits.MaxOutboxBytes)
		}
		sh.takeOut(c, ch.ID)
		for sh.events.Take(&eventRate, 1<<10, sh.now) {
		}
		for sh.events.Take(&eventRate, 1, sh.now) {
		}
		if sh.tell(d); c.out.Bytes() != 0 {
			t.Error("told, with nothing left of the rate")
		}
	})
	told, dropped = s.stats.Total(stats.EventsTold)-told, s.stats.Total(stats.EventsDropped)-dropped
	if told == 0 || told > 9 || told+dropped != 21 {
		t.Errorf("%d told, %d dropped, of 21", told, dropped)
	}
	s.publish("feeds:a", `"still here"`)
	watcher.wantPush("still here")
	s.clock.move(time.Second)
	s.connected(t, sign(t, "later", "feeds:*")).mustDo(`"subscribe":{"channel":"feeds:a"}`)
	watcher.wantPush(`"join"`, "later")
}
