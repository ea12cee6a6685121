package engine

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/engine/ws"
	"weir/security/audit"
	"weir/security/audit/capture"
	"weir/security/token"
)

// captured gives the configuration a capture of these connections; read ends it and returns what each connection is
// said to have done, in words, by its number from 1 in the order in which they came.
func captured(t *testing.T, cfg *Config, choice capture.Choice) (read func() [][]string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "captures")
	r, err := capture.New(capture.Config{Dir: dir, Limit: 1 << 30, Choice: choice, Now: cfg.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	cfg.Capture = r
	return func() (all [][]string) {
		r.Close()
		files, _ := filepath.Glob(filepath.Join(dir, "*"))
		f, err := os.Open(files[0])
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		number := map[string]int{}
		for l, err := range capture.Lines(f) {
			if err != nil {
				t.Fatal(err)
			}
			if l.Conn == "" {
				continue
			}
			at, known := number[l.Conn]
			if !known {
				at, all = len(all), append(all, nil)
				number[l.Conn] = at
			}
			all[at] = append(all[at], told(&l.Line))
		}
		return all
	}
}

// told is a line in words.
func told(l *capture.Line) string {
	text := func(t *capture.Text) string {
		if t == nil {
			return "-"
		}
		return t.Fill(func(name string) string { return "[" + strings.Split(name, "-")[0] + "]" })
	}
	switch {
	case l.Request != nil:
		r := l.Request
		return fmt.Sprintf("%s %s ?%s %s %s %s", r.Why, text(r.Path), text(r.Query), text(r.Origin), text(r.Protocols), text(r.Authorization))
	case l.Answer != nil:
		return strings.TrimSpace(fmt.Sprintf("answer %d %s", l.Answer.Status, l.Answer.Reason))
	case l.User != nil:
		return fmt.Sprintf("user %s by %s", l.User.ID, l.User.By)
	case l.Credential != nil:
		return fmt.Sprintf("%s by %s %s", strings.Split(l.Credential.Name, "-")[0], l.Credential.By, l.Credential.State)
	case l.Message != nil:
		return text(l.Message)
	case l.Frame != nil:
		return fmt.Sprintf("%s of %d", l.Frame.Kind, l.Frame.Bytes)
	case l.Broken != "":
		return "broken " + l.Broken
	case l.Reply != nil:
		return fmt.Sprintf("reply %d: %d", l.Reply.ID, l.Reply.Code)
	case l.End != nil:
		return fmt.Sprintf("end by %s %d %s", l.End.By, l.End.Code, l.End.Reason)
	}
	return "cut: " + l.Cut
}

func everybody() capture.Choice {
	return capture.Choice{Addresses: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
}

// over waits until all connections have ended and no trace is left of them.
func (s *testServer) over() {
	s.t.Helper()
	eventually(s.t, "the end of all connections", func() bool {
		left := make(chan int, len(s.shards))
		s.onLoops(func(sh *shard) { left <- sh.conns.used + len(sh.traces) })
		for range s.shards {
			if <-left > 0 {
				return false
			}
		}
		return true
	})
}

func wantTold(t *testing.T, got, want [][]string) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || !slices.Equal(got[i], want[i]) {
			t.Errorf("connection %d:\ngot  %q\nwant %q", i+1, slices.Concat(got[min(i, len(got)):min(i+1, len(got))]...), slices.Concat(want[min(i, len(want)):min(i+1, len(want))]...))
		}
	}
}

// TestCapture: what each connection sent and was answered, in its order, whatever it did.
func TestCapture(t *testing.T) {
	var read func() [][]string
	s := start(t, func(c *Config) { read = captured(t, c, everybody()) })
	socket := func(ws string) []string {
		return []string{"address /connection/websocket ?- https://app.example.com - -", "answer 101", ws}
	}
	jwt := sign(t, "alice", "feeds:*")
	over := signClaims(t, token.SignClaims{Subject: "alice", ExpiresAt: time.Now().Add(-time.Hour).Unix()})
	var want [][]string

	c := s.connected(t, jwt)
	c.mustDo(`"subscribe":{"channel":"feeds:a"}`)
	c.do(`"subscribe":{"channel":"other:a"}`)
	c.do(`"publish":{"channel":"feeds:a","data":{"x":1,"x":2}}`)
	s.pings(1)
	c.mustDo(`"unsubscribe":{"channel":"feeds:a"}`)
	s.pongs(1)
	_ = c.ws.Close(4001, "bye")
	s.over()
	want = append(want, append(socket(`{"id":1,"connect":{"token":"[token]"}}`), "token by connect accepted", "user alice by connect", "reply 1: 0",
		`{"id":2,"subscribe":{"channel":"feeds:a"}}`, "reply 2: 0", `{"id":3,"subscribe":{"channel":"other:a"}}`, "reply 3: 103",
		`{"id":4,"publish":{"channel":"feeds:a","data":{"x":1,"x":2}}}`, "reply 4: 107", `{"id":5,"unsubscribe":{"channel":"feeds:a"}}`,
		"reply 5: 0", "answer of 0", "end by client 4001 by_peer"))

	for _, hostile := range []struct {
		frame []byte
		told  []string
	}{
		{masked(ws.Header{Fin: true, Rsv2: true, Opcode: ws.OpText}, "{}"), []string{"broken reserved_bits", "end by server 1002 protocol"}},
		{masked(ws.Header{Fin: true, Opcode: ws.OpText}, `{"id":1,"connect":{"token":"`+over+`"}}`+"\n"+`{"id":2,"refresh":{"token":"abc"}}`),
			[]string{`{"id":1,"connect":{"token":"[token]"}}` + "\n" + `{"id":2,"refresh":{"token":"[token]"}}`, "token by connect expired", "reply 1: 109", "end by server 3501 bad_request"}},
		{masked(ws.Header{Fin: true, Opcode: ws.OpText}, `{"id":1,"connect":{"token":"abc.def.ghi"}}`),
			[]string{`{"id":1,"connect":{"token":"[token]"}}`, "token by connect invalid", "end by server 3500 invalid_token"}},
		{masked(ws.Header{Fin: true, Opcode: ws.OpText}, `{"id":1,"connect":{"token":"`+jwt), []string{`{"id":1,"connect":{"token":"[secret]`, "end by server 3501 bad_request"}},
		{masked(ws.Header{Fin: true, Opcode: ws.OpBinary}, `{"token":"`+jwt), []string{fmt.Sprintf("binary of %d", len(jwt)+10), "end by server 3501 bad_request"}},
		{slices.Concat(masked(ws.Header{Fin: true, Opcode: ws.OpPing}, "ab"), masked(ws.Header{Fin: true, Opcode: ws.OpPong}, "abc"), masked(ws.Header{Fin: true, Opcode: ws.OpClose}, "")),
			[]string{"ping of 2", "pong of 3", "end by client 1005 by_peer"}},
	} {
		raw := s.rawWebSocket(t, pathProtocol)
		if _, err := raw.Write(hostile.frame); err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, raw)
		_ = raw.Close()
		s.over()
		want = append(want, append(socket(hostile.told[0]), hostile.told[1:]...))
	}

	for _, refused := range []struct {
		path   string
		header http.Header
		told   []string
	}{
		{"/connection/websocket?x=y", http.Header{"Origin": {"https://evil.example"}},
			[]string{"address /connection/websocket ?x=[query] https://evil.example - -", "answer 403 origin", "end by server 0 closed"}},
		{"/feed?channel=feeds:a&ticket=abc", nil,
			[]string{"address /feed ?channel=feeds:a&ticket=[ticket] https://app.example.com - -", "ticket by ticket invalid", "answer 401 unauthorized", "end by server 0 closed"}},
		{"/feed?channel=other:a", bearer(jwt),
			[]string{"address /feed ?channel=other:a https://app.example.com - Bearer [token]", "token by header accepted", "answer 403 forbidden", "end by server 0 closed"}},
	} {
		if conn, _, err := s.dial(refused.path, refused.header); err == nil {
			t.Errorf("%s was let in", refused.path)
			_ = conn.CloseNow()
		}
		s.over()
		want = append(want, refused.told)
	}

	raw := s.raw(t)
	if _, err := io.WriteString(raw, "GET /feed?token="+jwt+" HTTP/1.1\r\nHost: h\r\nX: "+jwt+"\r\n folded\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, raw)
	_ = raw.Close()
	s.over()
	want = append(want, []string{"address - ?- - - -", "answer 400 folding", "end by server 0 closed"})

	feed := s.feed(t, jwt, "channel=feeds:a")
	eventually(t, "a feed", func() bool { return s.every(1, func(c *conn) bool { return c.phase == phaseOpen }) })
	s.api("disconnect", `{"user":"alice"}`)
	feed.wantClose(3503)
	s.over()
	want = append(want, []string{"address /feed ?channel=feeds:a https://app.example.com - Bearer [token]", "token by header accepted", "answer 101",
		"user alice by header", "end by server 3503 closed"})
	wantTold(t, read(), want)
}

// TestCaptureByUserAndRule: from the beginning on, though it is known only later; nobody else.
func TestCaptureByUserAndRule(t *testing.T) {
	var read func() [][]string
	s := start(t, func(c *Config) {
		read = captured(t, c, capture.Choice{Users: []string{"alice"}, Events: []audit.Event{audit.SubscribeRefused, audit.UpgradeRefused}})
	})
	for _, user := range []string{"alice", "bob", "carol"} {
		c := s.connected(t, sign(t, user, "feeds:*"))
		c.mustDo(`"subscribe":{"channel":"feeds:a"}`)
		if user == "carol" {
			c.do(`"subscribe":{"channel":"other:a"}`)
		}
		_ = c.ws.Close(1000, "")
		s.over()
	}
	if _, _, err := s.dial("/nowhere", nil); err == nil {
		t.Error("let in")
	}
	s.over()
	session := []string{"- /connection/websocket ?- https://app.example.com - -", "answer 101", `{"id":1,"connect":{"token":"[token]"}}`, "token by connect accepted",
		"- by connect", "reply 1: 0", `{"id":2,"subscribe":{"channel":"feeds:a"}}`, "reply 2: 0"}
	of := func(why, user string, more ...string) []string {
		list := slices.Concat(session, more, []string{"end by client 1000 by_peer"})
		list[0], list[4] = strings.Replace(list[0], "-", why, 1), "user "+user+" by connect"
		return list
	}
	wantTold(t, read(), [][]string{
		of("user", "alice"), of("subscribe-refused", "carol", `{"id":3,"subscribe":{"channel":"other:a"}}`, "reply 3: 103"),
		{"upgrade-refused /nowhere ?- https://app.example.com - -", "answer 404 not_found", "end by server 0 closed"},
	})
}

// TestCaptureWithoutAuditLog: it needs none for its rules, each of which chooses, and its figures are there.
func TestCaptureWithoutAuditLog(t *testing.T) {
	var read func() [][]string
	s := start(t, func(c *Config) { read = captured(t, c, capture.Choice{Events: capture.Rules()}) })
	jwt := sign(t, "alice", "feeds:*")
	for _, command := range []string{`"rpc":{"method":"m"}`, `"publish":{"channel":"other:a","data":1}`, `"subscribe":{"channel":"other:a"}`, `"history":{"channel":"other:a"}`} {
		c := s.connected(t, jwt)
		c.do(command)
		_ = c.ws.Close(1000, "")
		s.over()
	}
	for _, frames := range [][]byte{
		masked(ws.Header{Fin: true, Rsv2: true, Opcode: ws.OpText}, "{}"), masked(ws.Header{Fin: true, Opcode: ws.OpText}, `{"id":1,"connect":{"token":"a.b.c"}}`),
		bytes.Repeat(masked(ws.Header{Fin: true, Opcode: ws.OpPing}, ""), 10),
	} {
		raw := s.rawWebSocket(t, pathProtocol)
		if _, err := raw.Write(frames); err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, raw)
		_ = raw.Close()
		s.over()
	}
	if _, _, err := s.dial("/nowhere", nil); err == nil {
		t.Error("let in")
	}
	s.over()
	if m := s.metrics(t); m["weir_capture_connections_total"] != "8" || m["weir_capture_stopped"] != "0" || m["weir_capture_missed_total"] != "0" {
		t.Errorf("metrics: %v, %v", m["weir_capture_connections_total"], m["weir_capture_stopped"])
	}
	var why []string
	for _, one := range read() {
		reason, _, _ := strings.Cut(one[0], " ")
		why = append(why, reason)
	}
	if want := []string{"command-refused", "publish-refused", "subscribe-refused", "command-refused", "protocol-violation", "authentication-failed", "limit-hit", "upgrade-refused"}; !slices.Equal(why, want) {
		t.Errorf("%q, want %q", why, want)
	}
}

// TestNoAllocationForOthers: who is not captured pays nothing while others are.
func TestNoAllocationForOthers(t *testing.T) {
	if raceEnabled {
		t.Skip("skipped: the race detector allocates")
	}
	s := start(t, func(c *Config) {
		captured(t, c, capture.Choice{Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
		c.Pollers, c.Limits.PingInterval, c.Limits.MessageRate, c.Limits.ByteRate = 1, 0, 0, 0
	})
	s.subscribers(t, 1, "feeds:a")
	frame := masked(ws.Header{Fin: true, Opcode: ws.OpText}, `{"id":7,"publish":{"channel":"feeds:a","data":{"a":1,"a":2}}}`)
	s.onLoops(func(sh *shard) {
		c := sh.conns.at(firstOpen(sh))
		in := make([]byte, len(frame))
		receive := func() {
			copy(in, frame) // it is unmasked in place
			sh.read(c, in)
			sh.settle(c)
		}
		for range 5 {
			receive()
		}
		if n := testing.AllocsPerRun(100, receive); n != 0 || c.traced {
			t.Errorf("%v allocations, want 0; traced: %v", n, c.traced)
		}
	})
}

func TestVerdict(t *testing.T) {
	for reply, want := range map[string][2]uint32{
		`{"id":1,"connect":{}}`: {1, 0}, `{"id":4294967295,"error":{"code":103,"message":"x"}}`: {4294967295, 103}, `{"id":7,"error":{"code":4294967295}}`: {7, 4294967295},
	} {
		if id, code, ok := verdict([]byte(reply)); !ok || id != want[0] || code != want[1] {
			t.Errorf("%s: %d, %d, %v", reply, id, code, ok)
		}
	}
	for _, other := range []string{"", "{}", `{"push":{}}`, `{"id":`, `{"id":x}`, `{"id":4294967296}`, `{"id":1,"error":{"code":`} {
		if id, code, ok := verdict([]byte(other)); ok {
			t.Errorf("%s: %d, %d", other, id, code)
		}
	}
}
