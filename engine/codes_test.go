package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"weir/engine/broker"
	"weir/engine/clientproto"
	"weir/security/grant"
	"weir/security/token"
)

// failingBroker is a broker of which some operations fail.
type failingBroker struct {
	broker.Broker
	attach bool // else publish
}

var errBroken = errors.New("broker is away")

func (b failingBroker) Publish(context.Context, string, broker.Message, broker.Retention) (broker.Position, error) {
	return broker.Position{}, errBroken
}

func (b failingBroker) Attach(ctx context.Context, channel string, since *broker.Since) (broker.Attached, error) {
	if b.attach {
		return broker.Attached{}, errBroken
	}
	return b.Broker.Attach(ctx, channel, since)
}

// broken is a server whose broker fails.
func broken(t *testing.T, attach bool) *testServer {
	s := start(t, func(c *Config) { c.Pollers = 1 })
	s.onLoops(func(sh *shard) { sh.shared.broker = failingBroker{sh.shared.broker, attach} })
	return s
}

// hourOf is a token of user u for an hour, with sub and pub on feeds:* and gone:*.
func hourOf(t *testing.T, s *testServer, more token.SignClaims) string {
	more.Subject, more.ExpiresAt = "u", s.clock.in(time.Hour).Unix()
	more.Caps = []grant.Capability{{Channels: []string{"feeds:*", "gone:*"}, Match: "wildcard", Allow: []string{"sub", "pub"}}}
	return signClaims(t, more)
}

// user is a connection of hourOf.
func user(t *testing.T, change func(*Config)) (*testServer, *client) {
	s := start(t, change)
	return s, s.connected(t, hourOf(t, s, token.SignClaims{}))
}

// reply is the situation of one command, on a connection of its own.
func reply(command string, before ...string) func(*testing.T) string {
	return func(t *testing.T) string {
		_, c := user(t, nil)
		for _, b := range before {
			c.mustDo(b)
		}
		return c.do(command)
	}
}

// TestErrorCodes: each error of PROTOCOL.md §2 by a situation that yields it.
func TestErrorCodes(t *testing.T) {
	over := func(s *testServer, channel string) string { // a valid token, of what would end before it begins
		claims := map[string]any{"sub": "u", "exp": s.clock.in(time.Hour).Unix(), "expire_at": s.clock.in(-time.Minute).Unix()}
		if channel != "" {
			claims["channel"] = channel
		}
		return signRaw(t, claims)
	}
	situations := []struct {
		code      uint32
		name      string
		temporary bool
		reply     func(*testing.T) string
	}{
		{100, "the broker is away", true, func(t *testing.T) string {
			s := broken(t, false)
			return s.connected(t, hourOf(t, s, token.SignClaims{})).do(`"publish":{"channel":"feeds:a","data":1}`)
		}},
		{101, "no token", false, func(t *testing.T) string { return start(t, nil).client(t).do(`"connect":{}`) }},
		{102, "a namespace that is not there", false, reply(`"subscribe":{"channel":"gone:a"}`)},
		{103, "no grant", false, reply(`"subscribe":{"channel":"secret:a"}`)},
		{104, "no such method", false, reply(`"nonsense":{}`)},
		{105, "subscribed twice", false, reply(`"subscribe":{"channel":"feeds:a"}`, `"subscribe":{"channel":"feeds:a"}`)},
		{106, "a channel too many", false, func(t *testing.T) string {
			_, c := user(t, func(c *Config) { c.Limits.ChannelsPerSession = 1 })
			c.mustDo(`"subscribe":{"channel":"feeds:a"}`)
			return c.do(`"subscribe":{"channel":"feeds:b"}`)
		}},
		{107, "no channel", false, reply(`"subscribe":{"channel":""}`)},
		{108, "no history", false, func(t *testing.T) string {
			s := start(t, nil)
			return s.connected(t, granted(t, "u", "hst", "feeds:*")).do(`"history":{"channel":"feeds:a"}`)
		}},
		{109, "a token that expired", false, func(t *testing.T) string {
			s := start(t, nil)
			return s.client(t).do(`"connect":{"token":"` + signClaims(t, token.SignClaims{Subject: "u", ExpiresAt: s.clock.in(-time.Hour).Unix()}) + `"}`)
		}},
		{110, "a connection that would be over", false, func(t *testing.T) string {
			s := start(t, nil)
			return s.client(t).do(`"connect":{"token":"` + over(s, "") + `"}`)
		}},
		{110, "a subscription that would be over", false, func(t *testing.T) string {
			s, c := user(t, nil)
			return c.do(withToken("subscribe", "feeds:a", over(s, "feeds:a")))
		}},
		{111, "too many subscribes", true, func(t *testing.T) string {
			_, c := user(t, func(c *Config) { c.Limits.SubscribeRate = 1 })
			for i := range 2 {
				c.mustDo(fmt.Sprintf(`"subscribe":{"channel":"feeds:%d"}`, i))
			}
			return c.do(`"subscribe":{"channel":"feeds:c"}`)
		}},
		{112, "a position that is gone", false, func(t *testing.T) string {
			s := historied(t, nil)
			s.publishN("feeds:a", 20)
			return s.connected(t, sign(t, "u", "feeds:*")).do(`"subscribe":{"channel":"feeds:a","recover":true,"offset":1,"flag":2}`)
		}},
	}
	yielded := map[uint32]bool{}
	for _, x := range situations {
		t.Run(fmt.Sprint(x.code, " ", x.name), func(t *testing.T) {
			var got struct{ Error *clientproto.Error }
			line := x.reply(t)
			if err := json.Unmarshal([]byte(line), &got); err != nil || got.Error == nil || got.Error.Code != x.code || got.Error.Temporary != x.temporary {
				t.Fatalf("%s", line)
			}
			if m := got.Error.Message; !clientproto.ValidReason(m) || len(m) > 40 {
				t.Errorf("the message is %q", m)
			}
		})
		yielded[x.code] = true
	}
	for code := uint32(100); code <= 112; code++ {
		if !yielded[code] {
			t.Errorf("no situation yields error %d", code)
		}
	}
}

// TestCloseCodes: each close of PROTOCOL.md §2 by a situation that yields it.
// Those that the server gives for nothing of its own come by the operator's order.
func TestCloseCodes(t *testing.T) {
	ordered := func(code int, reason string) func(*testing.T) *client {
		return func(t *testing.T) *client {
			s, c := user(t, nil)
			s.mustAPI("disconnect", fmt.Sprintf(`{"user":"u","disconnect":{"code":%d,"reason":%q}}`, code, reason))
			return c
		}
	}
	byOrder := func(why *clientproto.Close) func(*testing.T) *client { return ordered(int(why.Code), why.Reason) }
	after := func(d time.Duration) func(*testing.T) *client {
		return func(t *testing.T) *client {
			s, c := user(t, nil)
			s.clock.move(d)
			return c
		}
	}
	sends := func(text string) func(*testing.T) *client {
		return func(t *testing.T) *client {
			_, c := user(t, nil)
			c.send(text)
			return c
		}
	}
	connects := func(change func(*Config), claims token.SignClaims) func(*testing.T) *client {
		return func(t *testing.T) *client {
			s := start(t, change)
			return s.tryConnect(t, hourOf(t, s, claims))
		}
	}
	situations := []struct {
		code  int
		name  string
		cause func(*testing.T) *client
	}{
		{1009, "a message too long", sends(strings.Repeat(" ", 65<<10))},
		{3000, "an order", byOrder(clientproto.CloseNormal)},
		{3001, "the server ends", func(t *testing.T) *client {
			s, c := user(t, nil)
			ended := make(chan error, 1)
			go func() { ended <- s.stop() }()
			t.Cleanup(func() {
				if err := <-ended; err != nil {
					t.Error(err)
				}
			})
			return c
		}},
		{3004, "the broker is away while the server subscribes", func(t *testing.T) *client {
			s := broken(t, true)
			return s.tryConnect(t, hourOf(t, s, token.SignClaims{Channels: []string{"feeds:a"}}))
		}},
		{3005, "the token ran out", func(t *testing.T) *client {
			s, c := user(t, func(c *Config) { c.Limits.PingInterval = 0 })
			s.clock.move(2 * time.Hour)
			return c
		}},
		{3006, "a subscription is refreshed with a token that ran out", func(t *testing.T) *client {
			s, c := user(t, nil)
			c.mustDo(withToken("subscribe", "feeds:a", hourOf(t, s, token.SignClaims{Channel: "feeds:a"})))
			c.send(`{"id":9,` + withToken("sub_refresh", "feeds:a",
				signClaims(t, token.SignClaims{Subject: "u", Channel: "feeds:a", ExpiresAt: s.clock.in(-time.Hour).Unix()})) + `}`)
			return c
		}},
		{3008, "it does not read", slowReader},
		{3009, "an order", byOrder(clientproto.CloseWriteError)},
		{3010, "the server's subscription missed something", missed("")},
		{3011, "a session may last so long", after(25 * time.Hour)},
		{3012, "no pong", func(t *testing.T) *client {
			s, c := user(t, nil)
			s.pings(1)
			s.clock.move(time.Minute)
			return c
		}},
		{3013, "too many messages", func(t *testing.T) *client {
			_, c := user(t, func(c *Config) { c.Limits.MessageRate = 1 })
			for range 5 {
				c.send(`{}`)
			}
			return c
		}},
		{3500, "no token of ours", func(t *testing.T) *client { return start(t, nil).tryConnect(t, "a.b.c") }},
		{3501, "an empty message", sends("")},
		{3501, "not JSON", sends("nonsense")},
		{3502, "no connect", func(t *testing.T) *client {
			s := start(t, nil)
			c := s.client(t)
			s.clock.move(time.Minute)
			return c
		}},
		{3503, "an order without a code", func(t *testing.T) *client {
			s, c := user(t, nil)
			s.mustAPI("disconnect", `{"user":"u"}`)
			return c
		}},
		{3504, "a connection of the user's too many", func(t *testing.T) *client {
			s, _ := user(t, func(c *Config) { c.Limits.UserConnections = 1 })
			return s.tryConnect(t, hourOf(t, s, token.SignClaims{}))
		}},
		{3505, "a token with a channel too many", connects(func(c *Config) { c.Limits.ChannelsPerSession = 2 },
			token.SignClaims{Channels: []string{"feeds:a", "feeds:b", "feeds:c"}})},
		{3507, "an order", byOrder(clientproto.ClosePermissionDenied)},
		{3509, "an order", byOrder(clientproto.CloseTooManyErrors)},
	}
	yielded := map[uint16]bool{}
	for _, x := range situations {
		t.Run(fmt.Sprint(x.code, " ", x.name), func(t *testing.T) {
			if got := x.cause(t).end(); int(got.Code) != x.code || !clientproto.ValidReason(got.Reason) || len(got.Reason) > 40 {
				t.Errorf("close %d %q", got.Code, got.Reason)
			}
		})
		yielded[uint16(x.code)] = true
	}
	for _, c := range clientproto.Closes() {
		if !yielded[c.Code] {
			t.Errorf("no situation yields close %d", c.Code)
		}
		if !clientproto.ValidReason(c.Reason) || len(c.Reason) > 40 {
			t.Errorf("close %d has the reason %q", c.Code, c.Reason)
		}
	}
}

// TestUnsubscribeCodes: each unsubscribe push of PROTOCOL.md §2 by a situation
// that yields it.
func TestUnsubscribeCodes(t *testing.T) {
	subscribed := func(t *testing.T) (*testServer, *client) {
		s, c := user(t, nil)
		c.mustDo(`"subscribe":{"channel":"feeds:a"}`)
		return s, c
	}
	for _, x := range []struct {
		code  uint32
		name  string
		cause func(*testing.T) *client
	}{
		{clientproto.UnsubscribeServer, "an order", func(t *testing.T) *client {
			s, c := subscribed(t)
			s.mustAPI("unsubscribe", `{"user":"u","channel":"feeds:a"}`)
			return c
		}},
		{clientproto.UnsubscribePermission, "a refresh without the grant", func(t *testing.T) *client {
			s, c := subscribed(t)
			c.mustDo(`"refresh":{"token":"` + signClaims(t, token.SignClaims{Subject: "u", ExpiresAt: s.clock.in(time.Hour).Unix()}) + `"}`)
			return c
		}},
		{clientproto.UnsubscribeInsufficient, "it missed something", missed("feeds:a")},
		{clientproto.UnsubscribeExpired, "its token ran out", func(t *testing.T) *client {
			s, c := user(t, nil)
			c.mustDo(withToken("subscribe", "feeds:a", signClaims(t, token.SignClaims{Subject: "u", Channel: "feeds:a", ExpiresAt: s.clock.in(time.Minute).Unix()})))
			s.clock.move(2 * time.Minute)
			return c
		}},
	} {
		t.Run(fmt.Sprint(x.code, " ", x.name), func(t *testing.T) {
			var got struct {
				Push struct {
					Channel     string
					Unsubscribe *struct {
						Code   uint32
						Reason string
					}
				}
			}
			for c := x.cause(t); got.Push.Unsubscribe == nil; {
				if err := json.Unmarshal([]byte(c.mustNext()), &got); err != nil {
					t.Fatal(err)
				}
			}
			if u := got.Push.Unsubscribe; got.Push.Channel != "feeds:a" || u.Code != x.code || !clientproto.ValidReason(u.Reason) || len(u.Reason) > 40 {
				t.Errorf("%+v, %+v", got.Push, u)
			}
		})
	}
}

// TestOverBeforeItBegins: a valid token of a connection that would be over is
// refused in the handshake as well; after the error in connect another may come.
func TestOverBeforeItBegins(t *testing.T) {
	s := start(t, nil)
	over := signRaw(t, map[string]any{"sub": "u", "exp": s.clock.in(time.Hour).Unix(), "expire_at": s.clock.in(-time.Minute).Unix(),
		"caps": []grant.Capability{{Channels: []string{"feeds:a"}, Allow: []string{"sub"}}}})
	for _, path := range []string{pathProtocol, pathFeed + "?channel=feeds:a"} {
		if _, response, err := s.dial(path, bearer(over)); err == nil || response.StatusCode != 401 {
			t.Errorf("%s: %v, %+v; want 401", path, err, response)
		}
	}
	c := s.client(t)
	c.do(`"connect":{"token":"` + over + `"}`)
	c.mustDo(`"connect":{"token":"` + hourOf(t, s, token.SignClaims{}) + `"}`)
}

// end reads until the connection is closed, answering nothing.
func (c *client) end() websocket.CloseError {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testWait)
	defer cancel()
	for {
		_, _, err := c.ws.Read(ctx)
		var closed websocket.CloseError
		switch {
		case errors.As(err, &closed):
			return closed
		case err != nil:
			c.t.Fatalf("the connection ended with %v, not with a close", err)
		}
	}
}

// missed is a subscriber to feeds:a, of its own or for channel "" of the
// server's, for whom more was published at once than an inbox takes.
func missed(own string) func(*testing.T) *client {
	return func(t *testing.T) *client {
		s := start(t, func(c *Config) { c.Pollers, c.Limits.MaxOutboxBytes = 1, 16<<20 })
		var claims token.SignClaims
		if own == "" {
			claims.Channels = []string{"feeds:a"}
		}
		c := s.connected(t, hourOf(t, s, claims))
		if own != "" {
			c.mustDo(`"subscribe":{"channel":"` + own + `"}`)
		}
		s.onLoops(func(*shard) { s.publishN("feeds:a", inboxEntries+1) })
		return c
	}
}

// slowReader is a subscriber for whom more waits than may, while its socket
// takes nothing.
func slowReader(t *testing.T) *client {
	s, c := user(t, func(c *Config) { c.Pollers, c.Limits.PingInterval = 1, 0 })
	c.mustDo(`"subscribe":{"channel":"feeds:a"}`)
	data := []byte(`"` + strings.Repeat("x", 60_000) + `"`)
	for open := true; open; {
		for range 50 {
			if _, _, err := s.Publish(t.Context(), "feeds:a", data); err != nil {
				t.Fatal(err)
			}
		}
		open = false
		s.onLoops(func(sh *shard) { sh.conns.each(func(c *conn) { open = open || c.phase == phaseOpen }) })
	}
	return c
}
