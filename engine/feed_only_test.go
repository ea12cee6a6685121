package engine

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"weir/engine/broker"
	"weir/engine/broker/memory"
	"weir/engine/clientproto"
	"weir/engine/hub"
	"weir/engine/outbox"
	"weir/engine/stats"
	"weir/engine/ws"
	"weir/security/grant"
	"weir/security/token"
)

// feedMessage is one message of /feed.
type feedMessage struct {
	Channel string
	Gap     bool
	Offset  uint64
	Epoch   string
	Data    json.RawMessage
}

// feedClient reads /feed over a WebSocket of another library, which answers
// pings by itself.
type feedClient struct {
	t  testing.TB
	ws *websocket.Conn
}

func bearer(jwt string) http.Header {
	return http.Header{"Origin": {testOrigin}, "Authorization": {"Bearer " + jwt}}
}

func (s *testServer) feed(t testing.TB, jwt, query string) *feedClient {
	t.Helper()
	conn, _, err := s.dial(pathFeed+"?"+query, bearer(jwt))
	if err != nil {
		t.Fatal(err)
	}
	conn.SetReadLimit(32 << 20)
	t.Cleanup(func() { _ = conn.CloseNow() })
	return &feedClient{t, conn}
}

func (c *feedClient) next() (text string, m feedMessage, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), testWait)
	defer cancel()
	kind, b, err := c.ws.Read(ctx)
	if err != nil {
		return "", m, err
	}
	if kind != websocket.MessageText {
		return "", m, fmt.Errorf("a message of kind %v", kind)
	}
	return string(b), m, json.Unmarshal(b, &m)
}

func (c *feedClient) mustNext() feedMessage {
	c.t.Helper()
	_, m, err := c.next()
	if err != nil {
		c.t.Fatalf("waiting for a message: %v", err)
	}
	return m
}

func (c *feedClient) want(channel string, gap bool, offset uint64) feedMessage {
	c.t.Helper()
	m := c.mustNext()
	if m.Channel != channel || m.Gap != gap || m.Offset != offset {
		c.t.Fatalf("%+v, want channel %s, gap %v, offset %d", m, channel, gap, offset)
	}
	return m
}

func (c *feedClient) wantClose(code int) {
	c.t.Helper()
	for {
		_, _, err := c.next()
		if err == nil {
			continue
		}
		var ce websocket.CloseError
		if !errors.As(err, &ce) || int(ce.Code) != code || !clientproto.ValidReason(ce.Reason) {
			c.t.Fatalf("the connection ended with %v, want close %d", err, code)
		}
		return
	}
}

// publish gives data to a channel and returns its place.
func (s *testServer) publish(channel, data string) (offset uint64, epoch string) {
	s.t.Helper()
	offset, epoch, err := s.Publish(context.Background(), channel, []byte(data))
	if err != nil {
		s.t.Fatal(err)
	}
	return offset, epoch
}

// nothingHeld checks that no connection left anything behind.
func (s *testServer) nothingHeld() {
	s.t.Helper()
	eventually(s.t, "every connection being gone", func() bool { return s.connections() == 0 })
	s.onLoops(func(sh *shard) {
		if sh.conns.used != 0 || sh.partial != 0 || sh.queued != 0 || sh.wheel.Len() != 0 {
			s.t.Errorf("left behind on shard %d: %d connections, %d bytes of input, %d of output, %d timers", sh.id, sh.conns.used, sh.partial, sh.queued, sh.wheel.Len())
		}
	})
	if n, subs, sessions := s.shared.hub.Channels(), s.Server.stats.Level(stats.Subscriptions), s.Server.stats.Level(stats.Sessions); n != 0 || subs != 0 || sessions != 0 {
		s.t.Errorf("left behind: %d channels, %d subscriptions, %d sessions", n, subs, sessions)
	}
}

// TestFeedOnly is the whole story of a push-only connection: the 101, what it
// is sent, how the API sees it, how it ends.
func TestFeedOnly(t *testing.T) {
	s := start(t, nil)
	jwt := sign(t, "alice", "feeds:*")
	c := s.feed(t, jwt, "channel=feeds:a&channel=feeds:b%20c&channel=feeds:a")
	answer := s.api("publish", `{"channel":"feeds:a","data":{"text":"a\nb",  "n" : 1},"tags":{"k":"v"}}`)
	epoch := answer["result"].(map[string]any)["epoch"].(string)
	want := `{"channel":"feeds:a","offset":1,"epoch":"` + epoch + `","data":{"text":"a\nb","n":1}}`
	if text, _, err := c.next(); err != nil || text != want {
		t.Fatalf("%s, %v; want %s", text, err, want)
	}
	s.publish("feeds:b c", `"x"`)
	if m := c.want("feeds:b c", false, 1); string(m.Data) != `"x"` {
		t.Fatalf("the data is %s", m.Data)
	}
	n := s.api("info", `{}`)["result"].(map[string]any)["nodes"].([]any)[0].(map[string]any)
	if n["num_clients"] != 1.0 || n["num_users"] != 1.0 || n["num_channels"] != 2.0 || n["num_subs"] != 2.0 {
		t.Fatalf("info says %v", n)
	}
	s.api("disconnect", `{"user":"alice"}`)
	c.wantClose(3503)
	s.nothingHeld()

	c = s.feed(t, jwt, "channel=feeds:a")
	var client string
	s.onLoops(func(sh *shard) {
		sh.conns.each(func(c *conn) {
			if c.seated {
				client = c.session.Client().String()
			}
		})
	})
	if len(client) != 36 {
		t.Fatalf("the client id is %q", client)
	}
	s.api("disconnect", `{"user":"alice","client":"`+client+`"}`)
	c.wantClose(3503)
}

func TestFeedCredentials(t *testing.T) {
	closed := start(t, nil)
	open := start(t, func(c *Config) { c.AllowAnonymous, c.AllowTokenInURL = true, true })
	jwt := sign(t, "alice", "feeds:*")
	expired := signClaims(t, token.SignClaims{Subject: "a", ExpiresAt: time.Now().Add(-time.Hour).Unix()})
	auth := func(value string) string { return "Authorization: " + value + "\r\n" }
	offer := func(value string) string { return "Sec-WebSocket-Protocol: " + value + "\r\n" }
	for _, c := range []struct {
		name     string
		server   *testServer
		header   string
		query    string
		status   int
		protocol string
	}{
		{"authorization", closed, auth("Bearer " + jwt), "channel=feeds:a", 101, ""},
		{"authorization that is wrong", closed, auth("Bearer " + jwt + "x"), "channel=feeds:a", 401, ""},
		{"authorization that expired", closed, auth("Bearer " + expired), "channel=feeds:a", 401, ""},
		{"another scheme", closed, auth("Basic " + jwt), "channel=feeds:a", 401, ""},
		{"subprotocol", closed, offer("weir-feed, bearer." + jwt), "channel=feeds:a", 101, "weir-feed"},
		{"subprotocol that is wrong", closed, offer("weir-feed, bearer.a.b.c"), "channel=feeds:a", 401, ""},
		{"subprotocol alone", closed, offer("bearer." + jwt), "channel=feeds:a", 400, ""},
		{"subprotocol of the other endpoint", closed, offer("centrifuge-json, bearer." + jwt), "channel=feeds:a", 400, ""},
		{"both", closed, auth("Bearer "+jwt) + offer("other, weir-feed"), "channel=feeds:a", 101, "weir-feed"},
		{"in the URL", closed, "", "channel=feeds:a&token=" + jwt, 401, ""},
		{"ticket", closed, "", "channel=feeds:a&ticket=abc", 401, ""},
		{"none", closed, "", "channel=feeds:a", 401, ""},
		{"none, for an open namespace", closed, "", "channel=open:a", 401, ""},
		{"in the URL, allowed", open, "", "channel=feeds:a&token=" + jwt, 101, ""},
		{"ticket, anonymous", open, "", "channel=open:a&ticket=abc", 401, ""},
		{"anonymous", open, offer("weir-feed"), "channel=open:a", 101, "weir-feed"},
		{"anonymous, without a grant", open, "", "channel=feeds:a", 403, ""},
		{"anonymous, one of two", open, "", "channel=open:a&channel=feeds:a", 403, ""},
		{"wrong, though anonymous may", open, auth("Bearer a.b.c"), "channel=open:a", 401, ""},
	} {
		conn := c.server.raw(t)
		head := strings.TrimSuffix(fmt.Sprintf(rawUpgrade, pathFeed+"?"+c.query), "\r\n")
		if _, err := io.WriteString(conn, head+c.header+"\r\n"); err != nil {
			t.Fatal(err)
		}
		answer := readHead(t, conn)
		_ = conn.Close()
		if !strings.HasPrefix(answer, fmt.Sprintf("HTTP/1.1 %d ", c.status)) {
			t.Errorf("%s: %q, want %d", c.name, answer, c.status)
		}
		if _, protocol, _ := strings.Cut(answer, "Sec-WebSocket-Protocol: "); !strings.HasPrefix(protocol, c.protocol) || c.protocol == "" && protocol != "" {
			t.Errorf("%s: the subprotocol is %q, want %q", c.name, protocol, c.protocol)
		}
	}
	closed.nothingHeld()
	open.nothingHeld()
}

func TestFeedRequestsThatGetNo101(t *testing.T) {
	s := start(t, func(c *Config) { c.Limits.ChannelsPerSession = 2 })
	jwt := sign(t, "alice", "feeds:*", "gone:*", "$feeds:*")
	const socket = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
	head := socket + "Origin: " + testOrigin + "\r\nAuthorization: Bearer " + jwt + "\r\n"
	for _, c := range []struct {
		name, target, head string
		status             int
		reason             string
	}{
		{"not an upgrade", "?channel=feeds:a", strings.Replace(head, "Upgrade: websocket\r\n", "", 1), 400, "not a WebSocket"},
		{"version 8", "?channel=feeds:a", strings.Replace(head, "Version: 13", "Version: 8", 1), 426, ""},
		{"a short key", "?channel=feeds:a", strings.Replace(head, "dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ=", 1), 400, "Key"},
		{"a foreign origin", "?channel=feeds:a", strings.Replace(head, testOrigin, "https://evil.example", 1), 403, "Origin"},
		{"no origin", "?channel=feeds:a", strings.Replace(head, "Origin: "+testOrigin+"\r\n", "", 1), 403, "Origin"},
		{"another path", "s?channel=feeds:a", head, 404, ""},
		{"no query", "", head, 400, "name what to receive"},
		{"no channel", "?since=feeds:a:1@e", head, 400, "name what to receive"},
		{"no channel and a wrong token", "", strings.Replace(head, jwt, "a.b.c", 1), 400, "name what to receive"},
		{"an empty name", "?channel=", head, 400, "channel"},
		{"a position in a pattern", "?channel=feeds:*&since=feeds:*:1@e", head, 400, "since"},
		{"a pattern wider than the grant", "?channel=*", head, 403, "not permitted"},
		{"a long name", "?channel=" + strings.Repeat("x", 256), head, 400, "channel"},
		{"a bad escape", "?channel=%2", head, 400, "query"},
		{"too many", "?channel=feeds:a&channel=feeds:b&channel=feeds:c", head, 400, "too many"},
		{"a bad position", "?channel=feeds:a&since=feeds:a:x@e", head, 400, "since"},
		{"a position of another channel", "?channel=feeds:a&since=feeds:b:1@e", head, 400, "since"},
		{"no grant", "?channel=open2:a", head, 403, "not permitted"},
		{"one of two", "?channel=feeds:a&channel=other", head, 403, "not permitted"},
		{"an unknown namespace outside the grant", "?channel=nowhere:a", head, 403, "not permitted"},
		{"an unknown namespace under the grant", "?channel=gone:a", head, 403, "unknown channel"},
		{"a channel that takes a token of its own", "?channel=$feeds:a", head, 403, "not permitted"},
		{"another user's", "?channel=feeds:a%23bob", head, 403, "not permitted"},
	} {
		conn := s.raw(t)
		if _, err := io.WriteString(conn, "GET /feed"+c.target+" HTTP/1.1\r\nHost: h\r\n"+c.head+"\r\n"); err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(conn)
		_ = conn.Close()
		status, body, _ := strings.Cut(string(answer), "\r\n\r\n")
		if err != nil || !strings.HasPrefix(status, fmt.Sprintf("HTTP/1.1 %d ", c.status)) || !strings.Contains(body, c.reason) {
			t.Errorf("%s: %.300q, %v; want %d, %q", c.name, answer, err, c.status, c.reason)
		}
	}
	for _, query := range []string{"channel=feeds:a%23alice", "channel=open:a", "channel=feeds:a&channel=feeds:b&channel=feeds:a"} {
		_ = s.feed(t, jwt, query).ws.CloseNow()
	}
	s.nothingHeld()
}

// TestFeedThatTheBrokerRefuses: of two channels the second cannot be had, so
// neither is.
func TestFeedThatTheBrokerRefuses(t *testing.T) {
	s := start(t, func(c *Config) { c.Pollers = 1 })
	small := memory.New(s.shared.hub, memory.Options{Streams: 1, IdleAfter: time.Hour})
	s.onLoops(func(sh *shard) { sh.broker = small })
	_, res, err := s.dial(pathFeed+"?channel=feeds:a&channel=feeds:b", bearer(sign(t, "alice", "feeds:*")))
	if res == nil || res.StatusCode != 503 || res.Header.Get("Retry-After") == "" {
		t.Fatalf("%v, %v; want 503 with Retry-After", res, err)
	}
	s.nothingHeld()
}

// TestFeedSince: without history only the very top of the same epoch is whole;
// everything else is told as the first message of its channel.
func TestFeedSince(t *testing.T) {
	s := start(t, nil)
	jwt := sign(t, "alice", "feeds:*")
	const a, b = "feeds:a", "feeds:b@c:9@d"
	s.publish(a, "1")
	_, epochA := s.publish(a, "2")
	_, epochB := s.publish(b, "1")
	offsetA, offsetB := uint64(2), uint64(1)
	for _, c := range []struct {
		name       string
		since      []string
		gapA, gapB bool
	}{
		{"nothing said", nil, false, false},
		{"both at the top", []string{a + ":%d@" + epochA, b + ":%d@" + epochB}, false, false},
		{"one behind", []string{a + ":1@" + epochA, b + ":%d@" + epochB}, true, false},
		{"one beyond", []string{b + ":99999@" + epochB}, false, true},
		{"another epoch", []string{a + ":%d@" + epochB, b + ":%d@" + epochA}, true, true},
		{"before the first", []string{a + ":0@" + epochA}, true, false},
	} {
		query := "channel=" + a + "&channel=" + b
		for _, since := range c.since {
			top := offsetA
			if strings.HasPrefix(since, b) {
				top = offsetB
			}
			query += "&since=" + strings.Replace(since, "%d", fmt.Sprint(top), 1)
		}
		f := s.feed(t, jwt, query)
		if c.gapA {
			if m := f.want(a, true, offsetA); m.Epoch != epochA || m.Data != nil {
				t.Errorf("%s: %+v, want epoch %s", c.name, m, epochA)
			}
		}
		if c.gapB {
			if m := f.want(b, true, offsetB); m.Epoch != epochB {
				t.Errorf("%s: %+v, want epoch %s", c.name, m, epochB)
			}
		}
		offsetA, _ = s.publish(a, "3")
		offsetB, _ = s.publish(b, "4")
		f.want(a, false, offsetA)
		f.want(b, false, offsetB)
		_ = f.ws.CloseNow()
	}
	// A channel that nobody has published to has a position too.
	first := s.feed(t, jwt, "channel=feeds:new&since=feeds:new:0@other")
	epoch := first.want("feeds:new", true, 0).Epoch
	again := s.feed(t, jwt, "channel=feeds:new&since=feeds:new:0@"+epoch)
	s.publish("feeds:new", "1")
	first.want("feeds:new", false, 1)
	again.want("feeds:new", false, 1)
}

// rawFeed is a TLS connection behind the 101 of /feed; what is sent behind the
// head comes with it.
func (s *testServer) rawFeed(t testing.TB, jwt, query, behind string) net.Conn {
	t.Helper()
	c := s.raw(t)
	head := strings.Replace(fmt.Sprintf(rawUpgrade, pathFeed+"?"+query), "\r\n\r\n", "\r\nAuthorization: Bearer "+jwt+"\r\n\r\n", 1)
	if _, err := io.WriteString(c, head+behind); err != nil {
		t.Fatal(err)
	}
	if got := readHead(t, c); !strings.HasPrefix(got, "HTTP/1.1 101 ") {
		t.Fatalf("the answer is %q", got)
	}
	return c
}

func TestFeedTakesNoMessages(t *testing.T) {
	s := start(t, nil)
	jwt := sign(t, "alice", "feeds:*")
	frame := func(h ws.Header, payload string) string { return string(masked(h, payload)) }
	text := ws.Header{Fin: true, Opcode: ws.OpText}
	for _, c := range []struct {
		name, in string
		code     uint16
	}{
		{"connect", frame(text, `{"id":1,"connect":{}}`), 3501},
		{"pong of the protocol", frame(text, `{}`), 3501},
		{"empty", frame(text, ""), 3501},
		{"binary", frame(ws.Header{Fin: true, Opcode: ws.OpBinary}, "x"), 3501},
		{"fragments", frame(ws.Header{Opcode: ws.OpText}, "{") + frame(ws.Header{Fin: true, Opcode: ws.OpContinuation}, "}"), 3501},
		{"unmasked", string(ws.AppendFrame(nil, ws.OpText, []byte("{}"))), 1002},
		{"over the limit", "\x81\xff\x00\x00\x00\x00\x00\x01\x00\x01mask", 1009},
		{"close", frame(ws.Header{Fin: true, Opcode: ws.OpClose}, "\x03\xe8"), 1000},
	} {
		for _, pipelined := range []bool{false, true} {
			behind := ""
			if pipelined {
				behind = c.in
			}
			conn := s.rawFeed(t, jwt, "channel=feeds:a", behind)
			if !pipelined {
				if _, err := io.WriteString(conn, c.in); err != nil {
					t.Fatal(err)
				}
			}
			answer, err := io.ReadAll(conn)
			_ = conn.Close()
			if err != nil || len(answer) < 4 || answer[0] != 0x88 || binary.BigEndian.Uint16(answer[2:]) != c.code {
				t.Errorf("%s, pipelined %v: %q, %v; want close %d and an orderly end", c.name, pipelined, answer, err, c.code)
			}
		}
	}
	conn := s.rawFeed(t, jwt, "channel=feeds:a", strings.Repeat(frame(ws.Header{Fin: true, Opcode: ws.OpPing}, "hi"), 20))
	answer, _ := io.ReadAll(conn)
	_ = conn.Close()
	if pongs := bytes.Count(answer, []byte("\x8a\x02hi")); pongs != 4 || !bytes.Contains(answer, []byte{0x0b, 0xc5}) { // 3013
		t.Errorf("20 pings: %d pongs in %x; want the burst of 4, then close 3013", pongs, answer)
	}
	s.nothingHeld()
}

func TestFeedPings(t *testing.T) {
	s := start(t, nil)
	jwt := sign(t, "alice", "feeds:*")
	answering := s.rawFeed(t, jwt, "channel=feeds:a", "")
	ping := make([]byte, 2)
	for i := range 5 {
		s.pings(1)
		if _, err := io.ReadFull(answering, ping); err != nil || string(ping) != "\x89\x00" {
			t.Fatalf("%x, %v where ping %d was due", ping, err, i)
		}
		if _, err := answering.Write(masked(ws.Header{Fin: true, Opcode: ws.OpPong}, "")); err != nil {
			t.Fatal(err)
		}
		s.pongs(1)
	}
	s.pings(1) // from now on it is silent
	s.clock.move(time.Minute)
	answer, err := io.ReadAll(answering)
	if err != nil || !bytes.HasPrefix(answer, []byte("\x89\x00\x88")) || !bytes.Contains(answer, []byte{0x0b, 0xc4}) { // 3012
		t.Fatalf("no pong: %q, %v; want a ping, then close 3012", answer, err)
	}
	// What is published while a ping is out is no pong.
	silent := s.rawFeed(t, jwt, "channel=feeds:a", "")
	s.pings(1)
	s.publish("feeds:a", "1")
	eventually(t, "the delivery", func() bool { return s.stats.Total(stats.Deliveries) == 1 })
	s.clock.move(time.Minute)
	answer, err = io.ReadAll(silent)
	if err != nil || !bytes.Contains(answer, []byte(`"data":1`)) || !bytes.Contains(answer, []byte{0x0b, 0xc4}) {
		t.Fatalf("%q, %v; want the publication, and close 3012", answer, err)
	}
}

// TestFeedEnds: what ends a session of the protocol ends one of /feed.
func TestFeedEnds(t *testing.T) {
	t.Run("expired", func(t *testing.T) {
		s := start(t, nil)
		c := s.feed(t, signClaims(t, token.SignClaims{Subject: "a", ExpiresAt: s.clock.in(time.Minute).Unix(),
			Caps: []grant.Capability{{Channels: []string{"feeds:a"}, Allow: []string{"sub"}}}}), "channel=feeds:a")
		s.clock.move(time.Hour)
		c.wantClose(3005)
	})
	t.Run("drain", func(t *testing.T) {
		s := start(t, nil)
		c := s.feed(t, sign(t, "a", "feeds:*"), "channel=feeds:a")
		ended := make(chan error, 1)
		go func() { ended <- s.stop() }()
		c.wantClose(3001)
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	})
	t.Run("slow", func(t *testing.T) {
		s := start(t, func(c *Config) { c.Limits.MaxOutboxBytes = 128 << 10 })
		slow := s.rawFeed(t, sign(t, "a", "feeds:*"), "channel=feeds:a", "")
		data := `"` + strings.Repeat("x", 8000) + `"`
		eventually(t, "the slow reader being put out", func() bool {
			for range 100 {
				s.publish("feeds:a", data)
			}
			return s.shared.hub.Subscribers("feeds:a") == 0
		})
		answer, _ := io.ReadAll(slow)
		if n := len(answer); !bytes.Contains(answer[max(0, n-20):], []byte{0x0b, 0xc0}) { // 3008
			t.Fatalf("the last bytes are %x, want close 3008", answer[max(0, n-20):])
		}
	})
}

// TestFeedGap fills the shard's inbox while its loop is held: subscribers of
// /feed get what fits, then the gap in its place, then what comes after it; those
// of the protocol are unsubscribed.
func TestFeedGap(t *testing.T) {
	s := start(t, func(c *Config) { c.Pollers, c.Limits.MaxOutboxBytes = 1, 16<<20 })
	jwt := sign(t, "alice", "feeds:*")
	f := s.feed(t, jwt, "channel=feeds:a&channel=feeds:b")
	p := s.connected(t, jwt)
	p.mustDo(`"subscribe":{"channel":"feeds:a"}`)
	const lost = 10
	var epoch string
	s.onLoops(func(*shard) {
		for range inboxEntries + lost {
			_, epoch = s.publish("feeds:a", "1")
		}
	})
	for i := range uint64(inboxEntries) {
		f.want("feeds:a", false, i+1)
	}
	if m := f.want("feeds:a", true, inboxEntries+lost); m.Epoch != epoch || m.Data != nil {
		t.Fatalf("the gap is %+v, want epoch %s and no data", m, epoch)
	}
	s.publish("feeds:a", "2")
	if m := f.want("feeds:a", false, inboxEntries+lost+1); string(m.Data) != "2" {
		t.Fatalf("behind the gap: %+v", m)
	}
	for line := ""; !strings.Contains(line, `"unsubscribe":{"code":2500`); {
		line = p.mustNext()
	}
	// Who came after the gap has not missed it.
	s.onLoops(func(sh *shard) {
		sh.conns.each(func(c *conn) {
			if c.kind == kindFeed {
				ch := c.session.Sub(1).Channel
				sh.gap(ch, hub.Gap{From: 1, To: broker.Position{Offset: ch.Members(0, hub.Feed).All()[0].From, Epoch: epoch}})
			}
		})
	})
	s.publish("feeds:b", "3")
	f.want("feeds:b", false, 1)
}

// TestTwoFormsOnOneChannel: clients of both endpoints on one channel, with and
// without compression, each get all of it in their own form.
func TestTwoFormsOnOneChannel(t *testing.T) {
	s := start(t, func(c *Config) { c.Compression = true })
	jwt := sign(t, "alice", "feeds:*")
	f := s.feed(t, jwt, "channel=feeds:a")
	deflated, res, err := websocket.Dial(t.Context(), s.url(pathFeed+"?channel=feeds:a"), &websocket.DialOptions{
		HTTPClient: s.httpClient(), HTTPHeader: bearer(jwt), CompressionMode: websocket.CompressionNoContextTakeover})
	if err != nil || !strings.Contains(res.Header.Get("Sec-Websocket-Extensions"), "permessage-deflate") {
		t.Fatalf("%v, %v; want compression", res, err)
	}
	t.Cleanup(func() { _ = deflated.CloseNow() })
	d := &feedClient{t, deflated}
	p := s.connected(t, jwt)
	p.mustDo(`"subscribe":{"channel":"feeds:a"}`)
	data := `"` + strings.Repeat("x", 1000) + `"`
	for i := range uint64(20) {
		s.publish("feeds:a", data)
		for _, c := range []*feedClient{f, d} {
			if m := c.want("feeds:a", false, i+1); string(m.Data) != data {
				t.Fatalf("offset %d: the data is %.50s", i+1, m.Data)
			}
		}
		if push, want := p.mustNext(), fmt.Sprintf(`{"push":{"channel":"feeds:a","pub":{"data":%s,"offset":%d}}}`, data, i+1); push != want {
			t.Fatalf("the push is %s", push)
		}
	}
	compressing := func() bool { return s.shared.hub.GapFrame(&hub.Channel{}, hub.Gap{}).Deflated != nil }
	if !compressing() {
		t.Error("frames of /feed are not deflated, though a connection takes them so")
	}
	_, _, _ = f.ws.CloseNow(), deflated.CloseNow(), p.ws.CloseNow()
	s.nothingHeld()
	if compressing() {
		t.Error("frames are still deflated after the last connection that takes them so")
	}
}

// TestNoAllocationPerDeliveryInBothForms: the sweep over subscribers of both
// forms, down to the socket.
func TestNoAllocationPerDeliveryInBothForms(t *testing.T) {
	if raceEnabled {
		t.Skip("skipped: the race detector allocates")
	}
	s := start(t, func(c *Config) { c.Pollers, c.Limits.PingInterval = 1, 0 })
	s.subscribers(t, 20, "feeds:a")
	jwt := sign(t, "u", "feeds:*")
	for range 20 {
		s.rawFeed(t, jwt, "channel=feeds:a", "")
	}
	s.onLoops(func(sh *shard) {
		ch := sh.conns.at(firstOpen(sh)).session.Subs()[0].Channel
		d := hub.Delivery{Channel: ch, Position: broker.Position{Offset: 1 << 40}, Frames: [hub.Forms]*outbox.Frame{
			hub.Protocol: {Plain: ws.AppendFrame(nil, ws.OpText, []byte(strings.Repeat("p", 64))), Topic: ch.ID},
			hub.Feed:     {Plain: ws.AppendFrame(nil, ws.OpText, []byte(strings.Repeat("f", 64))), Topic: ch.ID},
		}}
		deliver := func() {
			if n := sh.spreadOut(&d); n != 41 {
				t.Fatalf("spread to %d subscribers, want 40", n-1)
			}
			sh.sweep()
		}
		for range 5 {
			deliver()
		}
		if n := testing.AllocsPerRun(100, deliver); n != 0 {
			t.Errorf("%v allocations for 40 deliveries, want 0", n)
		}
	})
}

// TestFeedLosesNothingFromThe101 connects while publications of the same
// channel go on: what was acknowledged before the request is not sent, what is
// acknowledged after the 101 is, and nothing in between is missing or doubled.
func TestFeedLosesNothingFromThe101(t *testing.T) {
	s := start(t, nil)
	jwt := sign(t, "u", "feeds:*")
	const clients, burst = 24, 20
	var acknowledged atomic.Uint64
	var readers, publisher sync.WaitGroup
	stop := make(chan struct{})
	pace := s.connected(t, jwt) // the publisher waits for this one after each burst
	pace.mustDo(`"subscribe":{"channel":"feeds:x"}`)
	publisher.Go(func() {
		for going := true; going; {
			select {
			case <-stop:
				going = false
			default:
			}
			for range burst {
				offset, _, err := s.Publish(context.Background(), "feeds:x", []byte(fmt.Sprint(going)))
				if err != nil {
					t.Error(err)
				}
				acknowledged.Store(offset)
			}
			for range burst {
				if _, err := pace.next(); err != nil {
					t.Error(err)
					return
				}
			}
		}
	})
	for i := range clients {
		if i%4 == 0 { // the other form comes and goes as well
			c := s.connected(t, jwt)
			c.mustDo(`"subscribe":{"channel":"feeds:x"}`)
			_ = c.ws.CloseNow()
		}
		before := acknowledged.Load()
		c := s.feed(t, jwt, "channel=feeds:x")
		after := acknowledged.Load()
		readers.Go(func() {
			last := 0 // of the publisher's last burst
			for next := uint64(0); last < burst; next++ {
				_, m, err := c.next()
				if next == 0 && m.Offset > before && m.Offset <= after+2 { // one may be given out and not noted yet
					next = m.Offset
				}
				if err != nil || m.Gap || m.Offset != next {
					t.Errorf("%+v, %v where offset %d was due; connected between %d and %d", m, err, next, before, after)
					return
				}
				if string(m.Data) == "false" {
					last++
				}
			}
		})
	}
	close(stop)
	publisher.Wait()
	readers.Wait()
}
