package engine

import (
	"encoding/json"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"weir/engine/clientproto"
	"weir/engine/hub"
	"weir/engine/session"
	"weir/engine/stats"
	"weir/security/grant"
	"weir/security/token"
)

// populated is a server whose namespaces have presence, but for "quiet".
func populated(t testing.TB, change func(*Config)) *testServer {
	t.Helper()
	return start(t, func(c *Config) {
		c.Namespaces = []Namespace{
			{Name: "feeds", Presence: true},
			{Name: "room", Presence: true, AllowSubscribeForClient: true, AllowPresenceForSubscriber: true},
			{Name: "quiet", AllowPresenceForSubscriber: true},
		}
		if change != nil {
			change(c)
		}
	})
}

// granted makes a token for user with these verbs on the patterns.
func granted(t testing.TB, user string, verbs string, patterns ...string) string {
	t.Helper()
	return signClaims(t, token.SignClaims{Subject: user, ExpiresAt: time.Now().Add(time.Hour).Unix(), Info: json.RawMessage(`{"of":"` + user + `"}`),
		Caps: []grant.Capability{{Channels: patterns, Match: "wildcard", Allow: strings.Split(verbs, " ")}}})
}

// present asks for the presence of a channel and wants it to be these clients,
// each "user" and conn_info as granted makes it.
func (c *client) present(channel string, users map[string]string) {
	c.t.Helper()
	type member struct {
		Client, User string
		Info         struct{ Of string } `json:"conn_info"`
	}
	var got struct {
		Presence struct{ Presence map[string]member }
	}
	if err := json.Unmarshal([]byte(c.mustDo(`"presence":{"channel":"`+channel+`"}`)), &got); err != nil {
		c.t.Fatal(err)
	}
	want := map[string]member{}
	for id, user := range users {
		m := member{Client: id, User: user}
		m.Info.Of = user
		want[id] = m
	}
	if !reflect.DeepEqual(got.Presence.Presence, want) {
		c.t.Fatalf("presence of %s: %+v, want %+v", channel, got.Presence.Presence, want)
	}
}

// counted asks for the presence_stats of a channel and wants these.
func (c *client) counted(channel string, clients, users int) {
	c.t.Helper()
	reply := c.mustDo(`"presence_stats":{"channel":"` + channel + `"}`)
	if want := fmt.Sprintf(`{"id":%d,"presence_stats":{"num_clients":%d,"num_users":%d}}`, c.id, clients, users); reply != want {
		c.t.Fatalf("presence_stats of %s: %s, want %s", channel, reply, want)
	}
}

// TestPresence: who is subscribed, in every form and on every shard, and how
// many they are, for clients and by the API.
func TestPresence(t *testing.T) {
	s := populated(t, nil)
	asks := s.connected(t, granted(t, "watcher", "prs", "feeds:*"))
	asks.present("feeds:a", nil)
	asks.counted("feeds:a", 0, 0)

	users := map[string]string{}
	var clients []*client
	for _, user := range []string{"alice", "alice", "bob", "carol"} {
		c, id := s.identified(t, granted(t, user, "sub", "feeds:*"))
		c.mustDo(`"subscribe":{"channel":"feeds:a"}`)
		clients, users[id] = append(clients, c), user
	}
	asks.present("feeds:a", users)
	asks.counted("feeds:a", 4, 3)
	asks.present("feeds:b", nil)

	result := s.mustAPI("presence", `{"channel":"feeds:a"}`)
	members, _ := result["presence"].(map[string]any)
	for id, user := range users {
		want := map[string]any{"client": id, "user": user, "conn_info": map[string]any{"of": user}}
		if !reflect.DeepEqual(members[id], want) {
			t.Errorf("the API says of %s: %v, want %v", id, members[id], want)
		}
	}
	if len(members) != len(users) {
		t.Errorf("the API lists %d, want %d", len(members), len(users))
	}
	if got := s.mustAPI("presence_stats", `{"channel":"feeds:a"}`); got["num_clients"] != 4.0 || got["num_users"] != 3.0 {
		t.Errorf("the API counts %v", got)
	}

	for _, feed := range []string{"dave", "alice"} { // push-only connections are there, too
		s.feed(t, granted(t, feed, "sub", "feeds:*"), "channel=feeds:a")
	}
	asks.counted("feeds:a", 6, 4)

	clients[0].mustDo(`"unsubscribe":{"channel":"feeds:a"}`)
	asks.counted("feeds:a", 5, 4)
	_ = clients[2].ws.CloseNow()
	eventually(t, "bob being gone", func() bool { return s.shared.hub.Subscribers("feeds:a") == 4 })
	asks.counted("feeds:a", 4, 3)
}

// TestWhoMaySeePresence is the table of permissions: the verb prs, or for
// subscribers the namespace.
func TestWhoMaySeePresence(t *testing.T) {
	s := populated(t, func(c *Config) { c.AllowAnonymous = true })
	nobody := s.client(t)
	nobody.mustDo(`"connect":{}`)
	nobody.mustDo(`"subscribe":{"channel":"room:anonymous"}`)
	may := s.connected(t, granted(t, "may", "prs", "feeds:*", "quiet:*", "gone:*", "room:b", "$feeds:*"))
	subscribes := s.connected(t, granted(t, "sub", "sub pub hst", "feeds:*", "room:*", "quiet:*", "gone:*"))
	for _, channel := range []string{"feeds:a", "room:a", "quiet:a"} {
		subscribes.mustDo(`"subscribe":{"channel":"` + channel + `"}`)
	}
	for _, c := range []struct {
		who     *client
		channel string
		want    string // in the reply
	}{
		{may, "feeds:a", `{}`},
		{may, "feeds:nobody", `{}`},
		{may, "$feeds:a", `{}`}, // the token is for subscribing
		{may, "feeds:a#may", `{}`},
		{may, "feeds:a#sub", "103"}, // nothing overrides #user
		{may, "quiet:a", "108"},     // the namespace has none
		{may, "gone:a", "102"},      // its grant covers the name
		{may, "room:b", `{}`},
		{may, "room:a", "103"}, // not subscribed, no grant
		{may, "nowhere:a", "103"},
		{may, "other", "103"},
		{subscribes, "room:a", `{}`}, // a subscriber
		{subscribes, "room:b", "103"},
		{subscribes, "feeds:a", "103"}, // the namespace does not open it
		{subscribes, "quiet:a", "108"},
		{subscribes, "gone:a", "103"},
		{nobody, "room:anonymous", `{}`},
		{nobody, "room:a", "103"},
		{nobody, "feeds:a", "103"},
		{may, "feeds:*", "107"},
		{may, "*", "107"},
		{may, "", "107"},
		{may, "feeds:ü", "107"},
	} {
		for _, method := range []string{"presence", "presence_stats"} {
			reply := c.who.do(`"` + method + `":{"channel":"` + c.channel + `"}`)
			want := fmt.Sprintf(`{"id":%d,"error":{"code":%s,`, c.who.id, c.want)
			if c.want == `{}` {
				want = fmt.Sprintf(`{"id":%d,"%s":{`, c.who.id, method)
			}
			if !strings.HasPrefix(reply, want) {
				t.Errorf("%s of %q: %s, want %s", method, c.channel, reply, want)
			}
		}
	}
	for channel, want := range map[string]float64{"quiet:a": 108, "gone:a": 102, "feeds:*": 107, "": 107} {
		for _, method := range []string{"presence", "presence_stats"} {
			if e, _ := s.api(method, `{"channel":"`+channel+`"}`)["error"].(map[string]any); e == nil || e["code"] != want {
				t.Errorf("API %s of %q: %v, want error %v", method, channel, e, want)
			}
		}
	}
}

// TestForeignPresenceTellsNothing: outside the grant the answer is the same,
// byte for byte, whether the channel or its namespace exists, has presence, has
// subscribers, or not.
func TestForeignPresenceTellsNothing(t *testing.T) {
	s := populated(t, nil)
	s.connected(t, granted(t, "u", "sub", "*")).mustDo(`"subscribe":{"channel":"feeds:crowded"}`)
	spy := s.connected(t, granted(t, "spy", "prs", "mine:*"))
	for _, method := range []string{"presence", "presence_stats"} {
		seen := map[string]bool{}
		for _, channel := range []string{"feeds:crowded", "feeds:empty", "room:a", "quiet:a", "nowhere:a", "plain", "$feeds:a", "feeds:a#spy"} {
			reply := spy.do(`"` + method + `":{"channel":"` + channel + `"}`)
			_, answer, _ := strings.Cut(reply, ",")
			seen[answer] = true
		}
		if len(seen) != 1 {
			t.Errorf("%s: %d different answers: %v", method, len(seen), seen)
		}
	}
	if n := s.stats.Total(stats.PresenceWalks); n != 0 {
		t.Errorf("%d walks for who may not see", n)
	}
}

// TestPresenceIsBounded: a list that is too long, in members or in bytes, is
// error 106; counting goes on.
func TestPresenceIsBounded(t *testing.T) {
	s := populated(t, func(c *Config) {
		c.Limits.MessageSize, c.Limits.MaxOutboxBytes = 1024, 3<<10
	})
	asks := s.connected(t, granted(t, "watcher", "prs", "feeds:*"))
	long := signClaims(t, token.SignClaims{Subject: strings.Repeat("u", 400), ExpiresAt: time.Now().Add(time.Hour).Unix(),
		Caps: []grant.Capability{{Channels: []string{"feeds:*"}, Match: "wildcard", Allow: []string{"sub"}}}})
	for i := range 8 {
		s.connected(t, long).mustDo(`"subscribe":{"channel":"feeds:a"}`)
		if i == 3 {
			asks.mustDo(`"presence":{"channel":"feeds:a"}`)
		}
	}
	if reply := asks.do(`"presence":{"channel":"feeds:a"}`); !strings.Contains(reply, `"code":106`) {
		t.Errorf("8 members of 500 bytes: %.100s, want error 106", reply)
	}
	if e, _ := s.api("presence", `{"channel":"feeds:a"}`)["error"].(map[string]any); e == nil || e["code"] != 106.0 {
		t.Errorf("the API answers %v, want error 106", e)
	}
	asks.counted("feeds:a", 8, 1)

	walks := s.stats.Total(stats.PresenceWalks)
	var ch *hub.Channel
	s.onLoops(func(sh *shard) {
		for range presenceMembers + 1 {
			if sh.id == 0 {
				ch = s.shared.hub.Join(0, "feeds:crowd", hub.Protocol) // counted, though in no list
			}
		}
	})
	if reply := asks.do(`"presence":{"channel":"feeds:crowd"}`); !strings.Contains(reply, `"code":106`) {
		t.Errorf("%d members: %.100s, want error 106", presenceMembers+1, reply)
	}
	if n := s.stats.Total(stats.PresenceWalks); n != walks {
		t.Error("a list that is too long was walked for")
	}
	asks.counted("feeds:crowd", presenceMembers+1, 0)
	for range presenceMembers + 1 {
		s.shared.hub.Leave(0, ch, hub.Protocol)
	}
}

// held stops the loop of a shard until release is called.
func (s *shard) held(t testing.TB) (release func()) {
	t.Helper()
	running, let := make(chan struct{}), make(chan struct{})
	s.post(post{order: func(*shard) {
		close(running)
		<-let
	}})
	<-running
	release = sync.OnceFunc(func() { close(let) })
	t.Cleanup(release)
	return release
}

// TestPresenceFlood: however many ask for the presence of a channel at once,
// its members are gone through once for those who came before that began, and
// once for the others.
func TestPresenceFlood(t *testing.T) {
	const askers = 500
	s := populated(t, nil)
	s.connected(t, granted(t, "u", "sub", "feeds:*")).mustDo(`"subscribe":{"channel":"feeds:a"}`)
	release := s.shards[0].held(t)
	found := make(chan *findings, askers)
	for range askers {
		if !s.shared.desk.ask(survey{channel: "feeds:a"}, func(f *findings) { found <- f }) {
			t.Fatal("refused: those who ask the same need no place of their own")
		}
	}
	release()
	for range askers {
		select {
		case f := <-found:
			if f.err != nil || f.count != (clientproto.PresenceStatsResult{Clients: 1, Users: 1}) {
				t.Fatalf("%+v", f)
			}
		case <-time.After(testWait):
			t.Fatal("somebody got no answer")
		}
	}
	if n := s.stats.Total(stats.PresenceWalks); n != 2 {
		t.Fatalf("%d walks for %d questions, want 2", n, askers)
	}
}

// TestPresenceFloodOfChannels: questions about many channels wait in line, and
// those too many are refused; the connection goes on.
func TestPresenceFloodOfChannels(t *testing.T) {
	s := populated(t, func(c *Config) { c.Limits.PingInterval = 0 })
	asks := s.connected(t, granted(t, "u", "prs", "feeds:*"))
	s.onLoops(func(sh *shard) {
		for i := range openSurveys + 1 {
			if sh.id == 0 {
				s.shared.hub.Join(0, fmt.Sprint("feeds:", i), hub.Protocol)
			}
		}
	})
	var own int
	s.theirs(func(sh *shard, _ *conn) { own = sh.id })
	release := s.shards[1-own].held(t)
	found := make(chan *findings, openSurveys)
	for i := range openSurveys {
		if !s.shared.desk.ask(survey{channel: fmt.Sprint("feeds:", i)}, func(f *findings) { found <- f }) {
			t.Fatalf("question %d was refused", i)
		}
	}
	if d := s.shared.desk; d.walking != presenceWalks || len(d.line) != openSurveys-presenceWalks {
		t.Errorf("%d walks, %d in line", d.walking, len(d.line))
	}
	last := fmt.Sprint("feeds:", openSurveys)
	if reply := asks.do(`"presence_stats":{"channel":"` + last + `"}`); !strings.Contains(reply, `"code":111`) || !strings.Contains(reply, `"temporary":true`) {
		t.Errorf("one question too many: %s, want error 111", reply)
	}
	release()
	s.clock.run() // they cost more than a burst
	for range openSurveys {
		select {
		case f := <-found:
			if f.err != nil || f.count.Clients != 1 {
				t.Fatalf("%+v", f)
			}
		case <-time.After(testWait):
			t.Fatal("somebody got no answer")
		}
	}
	asks.counted(last, 1, 0)
	s.onLoops(func(sh *shard) {
		for i := range openSurveys + 1 {
			if sh.id == 0 {
				name := fmt.Sprint("feeds:", i)
				s.shared.hub.Leave(0, s.shared.hub.Find(name), hub.Protocol)
			}
		}
	})
	if d := s.shared.desk; len(d.rounds) != 0 || len(d.line) != 0 || d.walking != 0 {
		t.Errorf("left behind: %d rounds, %d in line, %d walks", len(d.rounds), len(d.line), d.walking)
	}
}

// crowd is a shard with a loop of nobody's, and n members of one channel, each
// a user of its own.
func crowd(n int) (*shard, *hub.Channel) {
	h := hub.New([]*hub.Inbox{hub.NewInbox(1, 1, func() {})}, hub.Limits{})
	sh := &shard{shared: &shared{hub: h}, policy: &policy{rules: &session.Rules{RecoveryBytes: 1 << 30}}, now: 1}
	sh.shared.desk = newDesk(sh.shared)
	ch := h.Join(0, "feeds:a", hub.Protocol)
	for i := range n {
		c := sh.conns.take()
		c.seat()
		c.session.Authenticated(&token.Claims{Subject: fmt.Sprint("user", i)}, sh.rules)
		sub := c.session.Add(session.Sub{Channel: ch})
		c.session.Sub(sub).Member = ch.Members(0, hub.Protocol).Add(hub.Member{Slot: c.Slot})
	}
	return sh, ch
}

// TestUsersAreCountedThroughChurn: members that leave and come between the
// slices of a walk do not hide one who stays.
func TestUsersAreCountedThroughChurn(t *testing.T) {
	const n = 20*walkStep + 7
	rng := rand.New(rand.NewPCG(1, 2))
	sh, ch := crowd(n)
	members := ch.Members(0, hub.Protocol)
	w := newWalk(sh.desk, survey{channel: ch.Name}, 1)
	gone := map[uint32]bool{}
	steps := 1
	for ; !sh.countUsers(&w.parts[0], ch); steps++ {
		for range walkStep / 2 {
			if i := uint32(rng.IntN(len(members.All()))); rng.IntN(3) > 0 {
				gone[members.All()[i].Slot] = true
				members.Remove(i)
			}
		}
	}
	if steps < 10 {
		t.Fatalf("%d members were gone through in %d steps: a step is too long", n, steps)
	}
	counted := map[uint64]bool{}
	for _, hash := range w.parts[0].users {
		counted[hash] = true
	}
	for _, m := range members.All() {
		if user := sh.conns.at(m.Slot).session.User(); !counted[maphash.String(sh.desk.seed, user)] {
			t.Fatalf("%s stayed and was not counted", user)
		}
	}
	if len(counted) > n || len(members.All()) > n-n/4 {
		t.Fatalf("%d users counted, %d stay of %d", len(counted), len(members.All()), n)
	}
}

// TestWalksAreTurnsApart: one turn goes through a bounded number of members, and
// what walks cost in the long run is bounded as well.
func TestWalksAreTurnsApart(t *testing.T) {
	const n = 10 * walkTurn
	sh, ch := crowd(n)
	w := newWalk(sh.desk, survey{channel: ch.Name}, 2) // the other part is never done
	sh.walks = append(sh.walks, &w.parts[0])
	more := sh.walkOn()
	if got := len(w.parts[0].users); got == 0 || got > walkTurn+walkStep || !more {
		t.Fatalf("%d members in one turn, more: %v; want %d at most, and to go on", got, more, walkTurn)
	}
	for more {
		more = sh.walkOn()
	}
	if got := len(w.parts[0].users); got != n {
		t.Fatalf("%d of %d members: a burst of %d did not let them through", got, n, walkRate.Burst)
	}
	for spent := 0; ; spent++ { // the burst is used up
		w = newWalk(sh.desk, survey{channel: ch.Name}, 2)
		sh.walks = append(sh.walks, &w.parts[0])
		if sh.walkOn(); len(sh.walks) > 0 && len(w.parts[0].users) == 0 {
			break
		}
		if sh.walks = nil; spent > walkRate.Burst {
			t.Fatal("nothing bounds what walks cost")
		}
	}
	sh.now += int64(tick)
	if sh.walkOn(); len(w.parts[0].users) == 0 {
		t.Fatal("the next tick does not go on")
	}
}

// TestPresenceAfterChurn: however connections end, nobody is left behind.
func TestPresenceAfterChurn(t *testing.T) {
	s := populated(t, nil)
	jwt := granted(t, "u", "sub", "feeds:*")
	asks := s.connected(t, granted(t, "watcher", "prs", "feeds:*"))
	var wg sync.WaitGroup
	for i := range 60 {
		wg.Go(func() {
			if i%5 == 4 {
				c := s.feed(t, jwt, "channel=feeds:a")
				_ = c.ws.CloseNow()
				return
			}
			c := s.connected(t, jwt)
			c.mustDo(`"subscribe":{"channel":"feeds:a"}`)
			switch i % 5 {
			case 0:
				_ = c.ws.Close(websocket.StatusNormalClosure, "")
			case 1:
				_ = c.ws.CloseNow()
			case 2:
				c.mustDo(`"unsubscribe":{"channel":"feeds:a"}`)
			case 3:
				c.send(`"nonsense`)
			}
		})
	}
	wg.Wait()
	eventually(t, "the channel being empty", func() bool { return s.shared.hub.Subscribers("feeds:a") == 0 })
	asks.present("feeds:a", nil)
	asks.counted("feeds:a", 0, 0)
}
