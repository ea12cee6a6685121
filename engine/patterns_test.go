package engine

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/engine/hub"
	"weir/engine/outbox"
	"weir/engine/stats"
	"weir/engine/ws"
	"weir/security/grant"
	"weir/security/token"
)

// wild makes a token for user with every verb on the patterns.
func wild(t testing.TB, user string, patterns ...string) string {
	t.Helper()
	return signClaims(t, token.SignClaims{Subject: user, ExpiresAt: time.Now().Add(time.Hour).Unix(),
		Caps: []grant.Capability{{Channels: patterns, Match: "wildcard", Allow: []string{"sub", "pub", "hst"}}}})
}

// TestWildcard is the whole story of a wildcard subscription: a reply without a
// position, publications of channels that nobody named before, beside those of a
// subscription by name, and none after it ends.
func TestWildcard(t *testing.T) {
	s := historied(t, nil)
	c := s.connected(t, wild(t, "u", "feeds:*"))
	reply := c.do(`"subscribe":{"channel":"feeds:*","recover":true,"recoverable":true,"positioned":true,"epoch":"e","offset":3,"flag":2,"join_leave":true,"delta":"fossil"}`)
	if reply != `{"id":2,"subscribe":{}}` {
		t.Fatalf("the reply is %s", reply)
	}
	s.mustAPI("publish", `{"channel":"feeds:new","data":{"x":1},"tags":{"k":"v"}}`)
	c.wantPush(`{"push":{"channel":"feeds:*","pub":{"channel":"feeds:new","data":{"x":1},"tags":{"k":"v"}}}}`)
	s.mustAPI("publish", `{"channel":"feeds:aside","data":2,"skip_history":true}`)
	c.wantPush(`{"push":{"channel":"feeds:*","pub":{"channel":"feeds:aside","data":2}}}`)
	s.mustAPI("publish", `{"channel":"open:a","data":3}`)
	c.mustDo(`"subscribe":{"channel":"feeds:new"}`)
	by := s.connected(t, wild(t, "v", "feeds:*"))
	by.mustDo(`"publish":{"channel":"feeds:new","data":4}`)
	both := c.mustNext() + c.mustNext()
	if !strings.Contains(both, `{"push":{"channel":"feeds:new","pub":{"data":4,"offset":2,"info":{"user":"v"`) ||
		!strings.Contains(both, `{"push":{"channel":"feeds:*","pub":{"channel":"feeds:new","data":4,"info":{"user":"v"`) {
		t.Fatalf("by name and by pattern came %s", both)
	}
	if reply := c.mustDo(`"history":{"channel":"feeds:new","limit":5}`); !strings.Contains(reply, `"data":{"x":1},"offset":1`) {
		t.Fatalf("the history of a channel that came through a pattern: %s", reply)
	}
	for command, code := range map[string]string{
		`"history":{"channel":"feeds:*","limit":5}`: `"code":107`, `"publish":{"channel":"feeds:*","data":1}`: `"code":107`,
		`"subscribe":{"channel":"feeds:*"}`: `"code":105`, `"subscribe":{"channel":"*"}`: `"code":103`,
	} {
		if reply := c.do(command); !strings.Contains(reply, code) {
			t.Errorf("%s: %s, want %s", command, reply, code)
		}
	}
	c.mustDo(`"unsubscribe":{"channel":"feeds:*"}`)
	s.mustAPI("publish", `{"channel":"feeds:other","data":5}`)
	s.mustAPI("publish", `{"channel":"feeds:new","data":6}`)
	c.wantPush(`{"push":{"channel":"feeds:new","pub":{"data":6,"offset":3}}}`)
	c.mustDo(`"subscribe":{"channel":"feeds:*"}`)
	s.mustAPI("publish", `{"channel":"feeds:other","data":7}`)
	c.wantPush(`{"push":{"channel":"feeds:*","pub":{"channel":"feeds:other","data":7}}}`)
	for _, c := range []*client{c, by} {
		_ = c.ws.CloseNow()
	}
	s.nothingHeld()
	if n := s.shared.hub.Patterns(); n != 0 {
		t.Errorf("%d patterns are left", n)
	}
	defer func() {
		if recover() == nil {
			t.Error("the broker still watches for somebody")
		}
	}()
	s.memory.Unwatch("feeds:*")
}

// TestWildcardsOpenNothing: everybody who may subscribes to everything, every
// channel gets its canary, and nobody sees that of a channel that takes a token
// or is another user's.
func TestWildcardsOpenNothing(t *testing.T) {
	s := start(t, nil)
	bob := s.connected(t, sign(t, "bob", "*"))
	for _, pattern := range []string{"*", "**", "*a*", "feeds:*", "*#bob", "feeds:*#bob", strings.Repeat("*", 255)} {
		bob.mustDo(`"subscribe":{"channel":"` + pattern + `"}`)
	}
	bob.mustDo(withToken("subscribe", "$feeds:s*", subToken(t, "bob", "$feeds:s*", time.Hour)))
	star := s.connected(t, sign(t, "*", "*"))
	for _, pattern := range []string{"feeds:a#*", "*#*", "#*", "$*", "$feeds:*", "*#bob"} {
		for _, c := range []*client{bob, star} {
			if pattern == "*#bob" && c == bob {
				continue
			}
			if reply := c.do(`"subscribe":{"channel":"` + pattern + `"}`); !strings.Contains(reply, `"code":103`) {
				t.Errorf("%s: %s, want error 103", pattern, reply)
			}
		}
	}
	star.mustDo(`"subscribe":{"channel":"*"}`)
	got := func(c *client) (seen map[string]int) {
		seen = map[string]int{}
		for {
			var line struct {
				Push struct {
					Pub struct{ Channel, Data string }
				}
			}
			if err := json.Unmarshal([]byte(c.mustNext()), &line); err != nil {
				t.Fatal(err)
			}
			pub := line.Push.Pub
			if pub.Channel != pub.Data {
				t.Fatalf("the canary of %q came on %q", pub.Data, pub.Channel)
			}
			if seen[pub.Channel]++; pub.Channel == "last" && seen["last"] == 1 && c == star || pub.Channel == "last" && seen["last"] == 4 {
				return seen
			}
		}
	}
	for _, channel := range []string{"feeds:a", "feeds:a#bob", "feeds:a#ann", "feeds:a#", "$feeds:secret", "$feeds:other", "$feeds:s#bob", "b", "#bob", "last"} {
		s.publish(channel, fmt.Sprintf("%q", channel))
	}
	for c, want := range map[*client]map[string]int{
		bob:  {"feeds:a": 5, "feeds:a#bob": 2, "$feeds:secret": 1, "b": 3, "#bob": 1, "last": 4},
		star: {"feeds:a": 1, "b": 1, "last": 1},
	} {
		if seen := got(c); fmt.Sprint(seen) != fmt.Sprint(want) {
			t.Errorf("through patterns came %v, want %v", seen, want)
		}
	}
}

// TestWildcardByTheServer: a pattern in a token's channels and by the API is a
// server-side subscription, and is listed under its own name.
func TestWildcardByTheServer(t *testing.T) {
	s := start(t, nil)
	c := s.client(t)
	jwt := signClaims(t, token.SignClaims{Subject: "u", ExpiresAt: time.Now().Add(time.Hour).Unix(), Channels: []string{"feeds:*", "nowhere:*", "feeds:a#*"}})
	reply := c.mustDo(`"connect":{"token":"` + jwt + `","subs":{"feeds:*":{"recover":true,"offset":3,"epoch":"e"}}}`)
	if !strings.Contains(reply, `"subs":{"feeds:*":{}}`) {
		t.Fatalf("connected: %s", reply)
	}
	s.mustAPI("subscribe", `{"user":"u","channel":"open:a*"}`)
	c.wantPush(`{"push":{"channel":"open:a*","subscribe":{}}}`)
	s.publish("feeds:a", "1")
	c.wantPush(`{"push":{"channel":"feeds:*","pub":{"channel":"feeds:a","data":1}}}`)
	if list := fmt.Sprint(s.mustAPI("channels", `{}`)["channels"]); list != "map[feeds:*:map[num_clients:1] open:a*:map[num_clients:1]]" {
		t.Errorf("the channels are %s", list)
	}
	if list := fmt.Sprint(s.mustAPI("channels", `{"pattern":"open:*"}`)["channels"]); list != "map[open:a*:map[num_clients:1]]" {
		t.Errorf("those of a pattern that covers one: %s", list)
	}
	if list := fmt.Sprint(s.mustAPI("connections", `{"pattern":"feeds:*"}`)); !strings.Contains(list, "feeds:*") {
		t.Errorf("the connections are %s", list)
	}
	s.mustAPI("unsubscribe", `{"user":"u","channel":"feeds:*"}`)
	c.wantPush(`{"push":{"channel":"feeds:*","unsubscribe":{"code":2000`)
	s.publish("feeds:a", "2")
	s.publish("open:ab", "3")
	c.wantPush(`{"push":{"channel":"open:a*","pub":{"channel":"open:ab","data":3}}}`)
	for call, code := range map[[2]string]float64{
		{"publish", `{"channel":"feeds:*","data":1}`}: 107, {"history", `{"channel":"feeds:*"}`}: 107, {"history_remove", `{"channel":"feeds:*"}`}: 107,
		{"subscribe", `{"user":"u","channel":"nowhere:*"}`}: 102, {"subscribe", `{"user":"u","channel":"feeds:a#*"}`}: 107,
	} {
		if e, _ := s.api(call[0], call[1])["error"].(map[string]any); e == nil || e["code"] != code {
			t.Errorf("%s %s: %v, want error %v", call[0], call[1], e, code)
		}
	}
}

// TestWildcardToken: a subscription token for a pattern lives and ends like any.
func TestWildcardToken(t *testing.T) {
	s := start(t, nil)
	c := s.connected(t, sign(t, "alice", "feeds:*"))
	if reply := c.do(withToken("subscribe", "$feeds:a*", subToken(t, "alice", "$feeds:*", time.Hour))); !strings.Contains(reply, `"code":103`) {
		t.Errorf("a token for a wider pattern: %s", reply)
	}
	if reply := c.mustDo(withToken("subscribe", "$feeds:*", subToken(t, "alice", "$feeds:*", time.Hour))); !strings.Contains(reply, `"subscribe":{"expires":true,"ttl":3`) {
		t.Errorf("subscribed: %s", reply)
	}
	if reply := c.mustDo(withToken("sub_refresh", "$feeds:*", subToken(t, "alice", "$feeds:*", 2*time.Hour))); !strings.Contains(reply, `"expires":true,"ttl":7`) {
		t.Errorf("refreshed: %s", reply)
	}
	s.publish("$feeds:a", "1")
	c.wantPush(`{"push":{"channel":"$feeds:*","pub":{"channel":"$feeds:a","data":1}}}`)
	s.theirs(func(sh *shard, c *conn) {
		c.session.Sub(0).Expires = 1
		sh.expired(c)
	})
	c.wantPush(`{"push":{"channel":"$feeds:*","unsubscribe":{"code":2501`)
}

// TestWildcardRefreshed: a newer token takes away the patterns that it does not
// cover.
func TestWildcardRefreshed(t *testing.T) {
	s := start(t, nil)
	c := s.connected(t, sign(t, "alice", "feeds:*"))
	c.mustDo(`"subscribe":{"channel":"feeds:a*"}`)
	c.mustDo(`"subscribe":{"channel":"feeds:*"}`)
	c.send(`{"id":9,"refresh":{"token":"` + sign(t, "alice", "feeds:a*") + `"}}`)
	lines := c.mustNext() + c.mustNext()
	if !strings.Contains(lines, `{"id":9,"refresh":{`) || !strings.Contains(lines, `{"push":{"channel":"feeds:*","unsubscribe":{"code":2003`) {
		t.Fatalf("refreshed: %s", lines)
	}
	s.publish("feeds:b", "1")
	s.publish("feeds:ab", "2")
	c.wantPush(`{"push":{"channel":"feeds:a*","pub":{"channel":"feeds:ab","data":2}}}`)
}

// TestWildcardReloaded: a pattern that no longer stands in a namespace open to
// clients ends.
func TestWildcardReloaded(t *testing.T) {
	s := start(t, nil)
	c := s.connected(t, sign(t, "alice", "feeds:*"))
	c.mustDo(`"subscribe":{"channel":"feeds:*"}`)
	c.mustDo(`"subscribe":{"channel":"open:*"}`)
	s.reload(func(cfg *Config) { cfg.Namespaces = []Namespace{{Name: "feeds"}, {Name: "open"}} })
	c.wantPush(`{"push":{"channel":"open:*","unsubscribe":{"code":2003`)
	s.publish("open:a", "1")
	s.publish("feeds:a", "2")
	c.wantPush(`{"push":{"channel":"feeds:*","pub":{"channel":"feeds:a","data":2}}}`)
}

// TestWildcardFeed: a push-only connection gets the channel's own name, without
// a position.
func TestWildcardFeed(t *testing.T) {
	s := historied(t, nil)
	jwt := sign(t, "alice", "feeds:*")
	f := s.feed(t, jwt, "channel=feeds:*&channel=feeds:b")
	s.publish("feeds:a", "1")
	if text, _, err := f.next(); err != nil || text != `{"channel":"feeds:a","data":1}` {
		t.Fatalf("%s, %v", text, err)
	}
	s.publish("feeds:b", "2")
	offsets := f.mustNext().Offset + f.mustNext().Offset
	if offsets != 1 {
		t.Fatalf("by name and by pattern the offsets add up to %d, want 1", offsets)
	}
	s.publish("feeds:a#alice", "3")
	s.publish("feeds:c", "4")
	if m := f.mustNext(); m.Channel != "feeds:c" {
		t.Fatalf("%+v, want feeds:c", m)
	}
	query := "channel=feeds:*"
	for i := range patternsOverlapping {
		query += fmt.Sprintf("&channel=feeds:*%d", i)
	}
	if _, res, err := s.dial(pathFeed+"?"+query, bearer(jwt)); err == nil || res == nil || res.StatusCode != 400 {
		t.Errorf("%d patterns that overlap: %v, %v; want 400", patternsOverlapping+1, res, err)
	}
	_ = f.ws.CloseNow()
	s.nothingHeld()
}

// TestUnsubscribeTakesOutAPattern: what waits of it, and nothing else.
func TestUnsubscribeTakesOutAPattern(t *testing.T) {
	s := start(t, func(c *Config) { c.Pollers = 1 })
	s.onLoops(func(sh *shard) {
		c := socketless(sh)
		for _, name := range []string{"feeds:*", "feeds:a", "feeds:a*"} {
			if _, e := sh.join(c, name, nil); e != nil {
				t.Fatal(e.Message)
			}
		}
		for i := range 4 {
			s.publish("feeds:a", fmt.Sprint(i))
		}
		sh.deliver()
		if c.out.Len() != 12 {
			t.Fatalf("%d wait, want 4 of each", c.out.Len())
		}
		sh.leave(c, 0)
		for f := c.out.Pop(&sh.blocks); f != nil; f = c.out.Pop(&sh.blocks) {
			sh.queued -= int64(len(f.Plain))
			if strings.Contains(string(f.Plain), `"feeds:*"`) {
				t.Errorf("%s waits though its subscription is over", f.Plain)
			}
		}
		for len(c.session.Subs()) > 0 {
			sh.leave(c, 0)
		}
		sh.dirty, c.dirty = sh.dirty[:0], false
		sh.conns.give(c)
	})
	s.nothingHeld()
}

// TestWildcardBehind fills the shard's inbox while its loop is held: who
// subscribed by pattern loses what does not fit, is told nothing and goes on; who
// subscribed by name loses nothing to the patterns.
func TestWildcardBehind(t *testing.T) {
	s := start(t, func(c *Config) { c.Pollers, c.Limits.MaxOutboxBytes = 1, 16<<20 })
	jwt := sign(t, "alice", "feeds:*")
	c, named := s.connected(t, jwt), s.connected(t, jwt)
	c.mustDo(`"subscribe":{"channel":"feeds:*"}`)
	named.mustDo(`"subscribe":{"channel":"feeds:a"}`)
	s.onLoops(func(*shard) {
		for range inboxEntries * 3 / 4 {
			s.publish("feeds:a", "1")
		}
	})
	eventually(t, "the loop taking them", func() bool { return s.shards[0].inbox.Len() == 0 }) // it is full to the last place
	s.publish("feeds:a", "2")
	for i := range inboxEntries*3/4 + 1 {
		named.wantPush(fmt.Sprintf(`"offset":%d}`, i+1))
	}
	n := 0
	for ; ; n++ {
		if line := c.mustNext(); strings.Contains(line, `"data":2`) {
			break
		} else if !strings.Contains(line, `"pub":{"channel":"feeds:a","data":1}`) {
			t.Fatalf("%s in the place of publications", line)
		}
	}
	lost := s.Server.stats.LabelTotal(stats.OutboxDrops, labelInboxFull)
	if n == 0 || n > inboxEntries*3/4 || n+int(lost) != inboxEntries*3/4 {
		t.Errorf("%d came and %d are counted as lost, of %d", n, lost, inboxEntries*3/4)
	}
}

// TestPatternsAreBounded: one session, and all of them together, are refused
// patterns that would make every publication cost more.
func TestPatternsAreBounded(t *testing.T) {
	s := start(t, func(c *Config) { c.Limits.MessageRate, c.Limits.SubscribeRate = 0, 0 })
	var crowd []*client
	made := 0
	for made < patternOverlap {
		c := s.connected(t, sign(t, "mallory", "feeds:*", "news:*"))
		crowd = append(crowd, c)
		for i := range patternsOverlapping + 1 {
			reply := c.do(fmt.Sprintf(`"subscribe":{"channel":"feeds:*%d"}`, made))
			full := i == patternsOverlapping || made == patternOverlap
			if refused := strings.Contains(reply, `"code":106`); refused != full {
				t.Fatalf("pattern %d, the session's %d: %s", made, i, reply)
			}
			if full {
				break
			}
			made++
		}
	}
	c := s.connected(t, sign(t, "alice", "*"))
	for pattern, refused := range map[string]bool{
		"feeds:*": true, "*": true, "feeds:a*": true, "open:*": false, "feeds:*7": false, // the last is there already
	} {
		if reply := c.do(`"subscribe":{"channel":"` + pattern + `"}`); strings.Contains(reply, `"code":106`) != refused {
			t.Errorf("%s: %s", pattern, reply)
		}
	}
	if e, _ := s.api("subscribe", `{"user":"alice","channel":"feeds:zz*"}`)["error"].(map[string]any); e == nil || e["code"] != 106.0 {
		t.Errorf("by the API: %v, want error 106", e)
	}
	byClaims := s.client(t)
	byClaims.send(`{"id":1,"connect":{"token":"` + signClaims(t, token.SignClaims{Subject: "u", ExpiresAt: time.Now().Add(time.Hour).Unix(), Channels: []string{"feeds:zz*"}}) + `"}}`)
	byClaims.wantClose(3004) // a node may have room later, or another have it
	s.mustAPI("publish", `{"channel":"feeds:x7","data":1}`)
	c.wantPush(`{"channel":"feeds:x7","data":1}`)
	for _, c := range crowd {
		_ = c.ws.CloseNow()
	}
	eventually(t, "their patterns being gone", func() bool { return s.shared.hub.Patterns() == 2 })
	c.mustDo(`"subscribe":{"channel":"feeds:*"}`)
}

// TestPatternChurn: clients come and go with patterns of every kind while others
// publish; who stays gets all of it, in each channel's order, and nothing of
// theirs remains.
func TestPatternChurn(t *testing.T) {
	s := start(t, func(c *Config) { c.Limits.MessageRate, c.Limits.SubscribeRate = 0, 0 })
	honest := s.connected(t, sign(t, "alice", "feeds:*"))
	honest.mustDo(`"subscribe":{"channel":"feeds:*"}`)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for n := range 4 {
		c := s.connected(t, sign(t, "mallory", "*"))
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					_ = c.ws.CloseNow()
					return
				default:
				}
				pattern := fmt.Sprintf("feeds:%s*%d*%d", strings.Repeat("*", i%100), n, i)
				c.send(fmt.Sprintf(`{"id":%d,"subscribe":{"channel":%q}}`, 10+2*i, pattern) + "\n" + fmt.Sprintf(`{"id":%d,"unsubscribe":{"channel":%q}}`, 11+2*i, pattern))
				for line := ""; !strings.HasPrefix(line, fmt.Sprintf(`{"id":%d,`, 11+2*i)); {
					line = c.mustNext()
				}
			}
		})
	}
	const channels, each = 4, 500
	for i := range channels * each {
		s.publish(fmt.Sprintf("feeds:%d", i%channels), fmt.Sprint(i/channels))
	}
	next := [channels]int{}
	for range channels * each {
		var line struct {
			Push struct {
				Pub struct {
					Channel string
					Data    int
				}
			}
		}
		if err := json.Unmarshal([]byte(honest.mustNext()), &line); err != nil {
			t.Fatal(err)
		}
		pub, channel := line.Push.Pub, 0
		if _, err := fmt.Sscanf(pub.Channel, "feeds:%d", &channel); err != nil || pub.Data != next[channel] {
			t.Fatalf("%+v, %v; want %d", pub, err, next[channel])
		}
		next[channel]++
	}
	close(stop)
	wg.Wait()
	_ = honest.ws.CloseNow()
	s.nothingHeld()
	if n := s.shared.hub.Patterns(); n != 0 {
		t.Errorf("%d patterns are left", n)
	}
}

// TestWildcardScale: a publication to 10,000 subscribers of a pattern is encoded
// once, and each gets that frame.
func TestWildcardScale(t *testing.T) {
	const subscribers = 10_000
	s := start(t, func(c *Config) { c.Limits.OutboxBudget = 4 << 30 })
	frames := make([]map[*outbox.Frame]int, len(s.shards))
	s.onLoops(func(sh *shard) {
		for range subscribers / len(s.shards) {
			if _, e := sh.join(socketless(sh), "feeds:*", nil); e != nil {
				t.Fatal(e.Message)
			}
		}
	})
	s.publish("feeds:a", `{"x":1}`)
	eventually(t, "delivery to all", func() bool { return s.Server.stats.Total(stats.Deliveries) == subscribers })
	s.onLoops(func(sh *shard) {
		frames[sh.id] = map[*outbox.Frame]int{}
		sh.conns.each(func(c *conn) {
			frames[sh.id][c.out.Front()]++
			sh.leave(c, 0)
			c.dirty = false
			sh.conns.give(c)
		})
		sh.dirty = sh.dirty[:0]
	})
	for i, f := range frames {
		if len(f) != 1 || len(frames[0]) != 1 {
			t.Errorf("shard %d was given %d frames, want one", i, len(f))
		}
	}
	s.nothingHeld()
}

// TestNoAllocationPerWildcardDelivery runs the way from the inbox to the socket,
// as TestNoAllocationPerDelivery does for a channel.
func TestNoAllocationPerWildcardDelivery(t *testing.T) {
	if raceEnabled {
		t.Skip("skipped: the race detector allocates")
	}
	s := start(t, func(c *Config) { c.Pollers, c.Limits.PingInterval = 1, 0 })
	s.subscribers(t, 50, "feeds:*")
	s.onLoops(func(sh *shard) {
		ch := sh.conns.at(firstOpen(sh)).session.Subs()[0].Channel
		frame := &outbox.Frame{Plain: ws.AppendFrame(nil, ws.OpText, []byte(strings.Repeat("x", 64))), Topic: ch.ID}
		d := hub.Delivery{Channel: ch, Frames: [hub.Forms]*outbox.Frame{hub.Protocol: frame}}
		deliver := func() {
			if n := sh.spreadOut(&d); n != 51 {
				t.Errorf("spread to %d subscribers, want 50", n-1)
			}
			sh.sweep()
		}
		for range 5 {
			deliver() // the connections become hot: their AEADs are kept from now on
		}
		if n := testing.AllocsPerRun(100, deliver); n != 0 {
			t.Errorf("%v allocations for 50 deliveries, want 0", n)
		}
	})
}
