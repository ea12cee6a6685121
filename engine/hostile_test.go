package engine

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"weir/engine/stats"
	"weir/security/grant"
	"weir/security/token"
)

// What a client with a valid token may try once it is in.

// TestNothingLeaksAboutForeignChannels: for a channel outside the grant every
// command answers the same bytes, whether it is busy, kept, unknown, or in a
// namespace that does not exist.
func TestNothingLeaksAboutForeignChannels(t *testing.T) {
	s := historied(t, func(ns *Namespace) { ns.Presence, ns.JoinLeave = true, true })
	owner := s.connected(t, sign(t, "owner", "feeds:*"))
	owner.mustDo(`"subscribe":{"channel":"feeds:busy"}`)
	s.publishN("feeds:busy", 3)
	hostile := s.connected(t, sign(t, "mallory", "feeds:mine"))
	commands := []string{
		`"subscribe":{"channel":%q}`, `"subscribe":{"channel":%q,"recover":true,"offset":1}`, `"subscribe":{"channel":%q,"flag":2,"recover":true}`,
		`"publish":{"channel":%q,"data":1}`, `"history":{"channel":%q,"limit":5}`, `"presence":{"channel":%q}`,
		`"presence_stats":{"channel":%q}`, `"unsubscribe":{"channel":%q}`, `"sub_refresh":{"channel":%q,"token":"a.b.c"}`,
		`"subscribe":{"channel":%q,"token":"a.b.c"}`,
	}
	for _, command := range commands {
		want := ""
		for _, channel := range []string{"feeds:busy", "feeds:nobody", "nowhere:x", "feeds:busy#owner", "plain"} {
			reply := hostile.do(fmt.Sprintf(command, channel))
			_, reply, _ = strings.Cut(reply, ",") // the id differs
			if want == "" {
				want = reply
			}
			if reply != want {
				t.Errorf("%s of %s: %s, of feeds:busy: %s", command, channel, reply, want)
			}
		}
	}
	if n := s.shared.hub.Subscribers("feeds:busy"); n != 1 {
		t.Errorf("feeds:busy has %d subscribers", n)
	}
	s.publishN("feeds:busy", 1)
	if line := owner.mustNext(); !strings.Contains(line, `"data":{"x":1},"offset":1`) {
		t.Errorf("the owner is told %s", line) // of its own subscription, and of no refused publication
	}
}

// TestSubscribeToEverything: one client takes as many names as it may, then is
// refused, and what it took is gone with it.
func TestSubscribeToEverything(t *testing.T) {
	s := start(t, func(c *Config) { c.Limits.MessageRate, c.Limits.SubscribeRate = 0, 0 })
	c := s.connected(t, sign(t, "mallory", "feeds:*"))
	limit := s.policy.Load().limits.ChannelsPerSession
	for i := range 3 * limit {
		reply := c.do(fmt.Sprintf(`"subscribe":{"channel":"feeds:%d"}`, i))
		if refused := strings.Contains(reply, `"code":106`); refused != (i >= limit) {
			t.Fatalf("subscription %d: %s", i, reply)
		}
	}
	if n := s.shared.hub.Channels(); n != limit {
		t.Fatalf("%d channels for a client that may have %d", n, limit)
	}
	_ = c.ws.CloseNow()
	s.nothingHeld()
}

// TestChurn: names that were only ever subscribed to leave nothing behind.
func TestChurn(t *testing.T) {
	s := start(t, func(c *Config) { c.Limits.MessageRate, c.Limits.SubscribeRate = 0, 0 })
	s.publish("feeds:last", "1")
	c := s.connected(t, sign(t, "mallory", "feeds:*"))
	const rounds = 2000
	for i := range rounds {
		c.id += 2
		c.send(fmt.Sprintf(`{"id":%d,"subscribe":{"channel":"feeds:%d"}}`+"\n"+`{"id":%d,"unsubscribe":{"channel":"feeds:%d"}}`, c.id-1, i, c.id, i))
		for range 2 {
			if line := c.mustNext(); strings.Contains(line, "error") {
				t.Fatalf("round %d: %s", i, line)
			}
		}
	}
	if n := s.stats.Level(stats.Subscriptions); n != 0 || s.shared.hub.Channels() != 0 {
		t.Errorf("%d subscriptions and %d channels are left", n, s.shared.hub.Channels())
	}
	if n := s.memory.Streams(); n != 1 {
		t.Errorf("%d streams are held, beside the one that was published to", n-1)
	}
	if forgotten := s.memory.Sweep(time.Now().Add(1000 * time.Hour)); forgotten != 1 || s.memory.Streams() != 0 {
		t.Errorf("%d streams were forgotten, %d are left", forgotten, s.memory.Streams())
	}
}

// TestLiesAboutPositions: whatever position a client claims, it is told that it
// cannot be recovered, or gets what is kept; never more.
func TestLiesAboutPositions(t *testing.T) {
	s := historied(t, nil)
	epoch := s.publishN("feeds:a", 12)
	for _, x := range []struct {
		more      string
		recovered bool
		code      int
	}{
		{`,"recover":true,"offset":18446744073709551615,"epoch":"` + epoch + `"`, false, 0},
		{`,"recover":true,"offset":13,"epoch":"` + epoch + `"`, false, 0},
		{`,"recover":true,"offset":12,"epoch":"` + strings.Repeat("e", 4000) + `"`, false, 0},
		{`,"recover":true,"offset":12,"epoch":"\u0000"`, false, 0},
		{`,"recover":true,"offset":12,"epoch":"` + epoch + `"`, true, 0},
		{`,"recover":true,"offset":-1`, false, -1},
		{`,"recover":true,"offset":1.5`, false, -1},
		{`,"recover":true,"offset":1e3`, false, -1},
		{`,"recover":true,"offset":18446744073709551616`, false, -1},
		{`,"recover":"yes"`, false, -1},
		{`,"recover":true,"offset":13,"flag":2`, false, 112},
	} {
		c := s.connected(t, sign(t, "u", "feeds:*"))
		if x.code < 0 { // a malformed command ends the connection, or is answered 107
			c.send(`{"id":2,"subscribe":{"channel":"feeds:a"` + x.more + `}}`)
			if line, err := c.next(); err == nil && !strings.Contains(line, `"code":107`) {
				t.Errorf("%s: %s", x.more, line)
			}
			continue
		}
		got := c.subscribe("feeds:a", x.more)
		if x.code > 0 {
			if got.Error == nil || got.Error.Code != x.code {
				t.Errorf("%s: %+v, want error %d", x.more, got, x.code)
			}
			continue
		}
		if got.Error != nil || got.Subscribe.Recovered != x.recovered || got.Subscribe.Offset != 12 || len(got.Subscribe.Publications) != 0 {
			t.Errorf("%.100s: %+v", x.more, got)
		}
	}
}

// TestExpiredTokensInEachPlace: what is over opens nothing, wherever it stands.
func TestExpiredTokensInEachPlace(t *testing.T) {
	s := start(t, func(c *Config) { c.AllowTokenInURL = true })
	over := signClaims(t, token.SignClaims{Subject: "u", ExpiresAt: time.Now().Add(-time.Hour).Unix(), Channels: []string{"feeds:a"},
		Caps: []grant.Capability{{Channels: []string{"*"}, Match: "wildcard", Allow: []string{"sub", "pub", "hst", "prs"}}}})
	for name, x := range map[string]struct {
		path   string
		header http.Header
	}{
		"authorization":           {pathProtocol, http.Header{"Authorization": {"Bearer " + over}}},
		"subprotocol":             {pathProtocol, http.Header{"Sec-Websocket-Protocol": {"centrifuge-json, bearer." + over}}},
		"URL":                     {pathProtocol + "?token=" + over, http.Header{}},
		"/feed's authorization":   {pathFeed + "?channel=feeds:a", http.Header{"Authorization": {"Bearer " + over}}},
		"/feed's subprotocol":     {pathFeed + "?channel=feeds:a", http.Header{"Sec-Websocket-Protocol": {"weir-feed, bearer." + over}}},
		"/feed's URL":             {pathFeed + "?channel=feeds:a&token=" + over, http.Header{}},
		"/feed, unknown channels": {pathFeed + "?channel=nowhere:a", http.Header{"Authorization": {"Bearer " + over}}},
	} {
		x.header.Set("Origin", testOrigin)
		if _, res, err := s.dial(x.path, x.header); err == nil || res == nil || res.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: %v, %v; want 401", name, res, err)
		}
	}
	c := s.client(t)
	if reply := c.do(`"connect":{"token":"` + over + `"}`); !strings.Contains(reply, `"code":109`) {
		t.Errorf("connect: %s", reply)
	}
	c = s.connected(t, sign(t, "u", "feeds:*"))
	if reply := c.do(withToken("subscribe", "$feeds:a", subToken(t, "u", "$feeds:a", -time.Hour))); !strings.Contains(reply, `"code":109`) {
		t.Errorf("subscribe: %s", reply)
	}
	c.mustDo(withToken("subscribe", "$feeds:a", subToken(t, "u", "$feeds:a", time.Hour)))
	c.send(`{"id":9,` + withToken("sub_refresh", "$feeds:a", subToken(t, "u", "$feeds:a", -time.Hour)) + `}`)
	c.wantClose(3006)
	c = s.connected(t, sign(t, "u", "feeds:*"))
	c.send(`{"id":9,"refresh":{"token":"` + over + `"}}`)
	c.wantClose(3005)
}

// TestTokensOfOthers: a refresh changes nobody into somebody else.
func TestTokensOfOthers(t *testing.T) {
	s := start(t, nil)
	for name, jwt := range map[string]string{
		"another user's":      sign(t, "bob", "feeds:*"),
		"another secret's":    sign(t, "alice", "feeds:*") + "x",
		"a subscription's":    subToken(t, "alice", "feeds:a", time.Hour),
		"not a token":         "refresh me",
		"with another's case": sign(t, "Alice", "feeds:*"),
	} {
		c := s.connected(t, sign(t, "alice", "feeds:*"))
		c.send(fmt.Sprintf(`{"id":9,"refresh":{"token":%q}}`, jwt))
		line, err := c.next()
		if err == nil {
			t.Errorf("%s: refresh answers %s", name, line)
			continue
		}
		if !strings.Contains(err.Error(), "3500") {
			t.Errorf("%s: %v, want close 3500", name, err)
		}
	}
	for _, jwt := range []string{
		subToken(t, "bob", "$feeds:a", time.Hour),
		subToken(t, "alice", "$feeds:b", time.Hour),
		sign(t, "alice", "$feeds:*"),
	} {
		c := s.connected(t, sign(t, "alice", "feeds:*"))
		c.mustDo(withToken("subscribe", "$feeds:a", subToken(t, "alice", "$feeds:a", time.Hour)))
		c.send(`{"id":9,` + withToken("sub_refresh", "$feeds:a", jwt) + `}`)
		c.wantClose(3500)
	}
}

// TestPatternsWithoutAGrant: whom only the namespace lets in gets one pattern of
// it, which all such share, and cannot take the places of others.
func TestPatternsWithoutAGrant(t *testing.T) {
	s := start(t, func(c *Config) {
		c.AllowAnonymous = true
		c.Namespaces = []Namespace{{Name: "feeds", AllowSubscribeForClient: true}}
	})
	for range 8 {
		c := s.client(t)
		c.mustDo(`"connect":{}`)
		c.mustDo(`"subscribe":{"channel":"feeds:*"}`)
		for _, pattern := range []string{"feeds:**", "feeds:a*", "feeds:*a", "feeds:a:*", "*", "f*", "feeds*", "*:*", "feeds:*:*"} {
			if reply := c.do(`"subscribe":{"channel":"` + pattern + `"}`); !strings.Contains(reply, `"code":103`) {
				t.Errorf("%s: %s, want 103", pattern, reply)
			}
		}
	}
	if n := s.shared.hub.Patterns(); n != 1 {
		t.Errorf("%d patterns", n)
	}
	granted := s.connected(t, sign(t, "alice", "feeds:*"))
	granted.mustDo(`"subscribe":{"channel":"feeds:*b"}`)
}

// TestRecoveryOfSeveralInOneFrame: an SDK sends all its subscribes at once. What
// does not fit is told as gone; nobody is cut off for asking.
func TestRecoveryOfSeveralInOneFrame(t *testing.T) {
	s := historied(t, nil)
	data := []byte(`"` + strings.Repeat("x", 60<<10) + `"`)
	lines := ""
	const channels = 8
	for i := range channels {
		for range 6 {
			if _, _, err := s.Publish(t.Context(), fmt.Sprint("feeds:", i), data); err != nil {
				t.Fatal(err)
			}
		}
		lines += fmt.Sprintf(`{"id":%d,"subscribe":{"channel":"feeds:%d","recover":true,"offset":0}}`+"\n", i+10, i)
	}
	c := s.connected(t, sign(t, "u", "feeds:*"))
	c.send(strings.TrimSuffix(lines, "\n"))
	recovered := 0
	for range channels {
		line := c.mustNext()
		switch n := strings.Count(line, `"data":`); {
		case strings.Contains(line, `"error"`) || n != 0 && n != 6:
			t.Fatalf("%.100s with %d publications", line, n)
		case n == 6 && strings.Contains(line, `"recovered":true`):
			recovered++
		case strings.Contains(line, `"recovered":true`):
			t.Fatalf("%.200s: recovered without what was missed", line)
		}
	}
	if recovered < 2 {
		t.Errorf("%d came back", recovered)
	}
}

// TestFeedResumeOfShortOnes: what comes back on /feed is counted with its names,
// which weigh more than short publications do.
func TestFeedResumeOfShortOnes(t *testing.T) {
	s := start(t, func(c *Config) {
		c.Namespaces = []Namespace{{Name: "feeds", HistorySize: 300, HistoryTTL: time.Hour, ForceRecovery: true}}
	})
	query := ""
	const channels = 60
	for i := range channels {
		name := fmt.Sprintf("feeds:room-%02d-of-the-house", i)
		var epoch string
		for range 300 {
			_, epoch = s.publish(name, `12`)
		}
		query += fmt.Sprintf("&channel=%s&since=%s:0@%s", name, name, epoch)
	}
	f := s.feed(t, sign(t, "u", "feeds:*"), strings.TrimPrefix(query, "&"))
	whole, gaps := 0, 0
	for whole+gaps < channels {
		m := f.mustNext()
		switch {
		case m.Gap:
			gaps++
		case m.Offset == 300:
			whole++
		}
	}
	if whole < 20 || gaps == 0 {
		t.Errorf("%d channels came back and %d were gone: the test is of a sum that does not fit", whole, gaps)
	}
}
