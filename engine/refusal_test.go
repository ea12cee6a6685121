package engine

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"weir/engine/stats"
	"weir/engine/ws"
)

func TestRequestsThatGetNo101(t *testing.T) {
	s := start(t, nil)
	const socket = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
	origin := "Origin: " + testOrigin + "\r\n"
	for _, c := range []struct {
		name, head string
		status     int
	}{
		{"another path", "GET /nowhere HTTP/1.1\r\nHost: h\r\n" + socket + origin, 404},
		{"the demo page outside --dev", "GET / HTTP/1.1\r\nHost: h\r\n", 404},
		{"echo that is off", "GET /echo HTTP/1.1\r\nHost: h\r\n" + socket, 404},
		{"a foreign origin", "GET /connection/websocket HTTP/1.1\r\nHost: h\r\n" + socket + "Origin: https://evil.example\r\n", 403},
		{"a suffix of the origin", "GET /connection/websocket HTTP/1.1\r\nHost: h\r\n" + socket + "Origin: https://app.example.com.evil.example\r\n", 403},
		{"origin null", "GET /connection/websocket HTTP/1.1\r\nHost: h\r\n" + socket + "Origin: null\r\n", 403},
		{"no origin", "GET /connection/websocket HTTP/1.1\r\nHost: h\r\n" + socket, 403},
		{"two origins", "GET /connection/websocket HTTP/1.1\r\nHost: h\r\n" + socket + origin + origin, 400},
		{"not an upgrade", "GET /connection/websocket HTTP/1.1\r\nHost: h\r\n" + origin, 400},
		{"version 8", "GET /connection/websocket HTTP/1.1\r\nHost: h\r\n" + strings.Replace(socket, "13", "8", 1) + origin, 426},
		{"a short key", "GET /connection/websocket HTTP/1.1\r\nHost: h\r\n" + strings.Replace(socket, "dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ=", 1) + origin, 400},
		{"post", "POST /connection/websocket HTTP/1.1\r\nHost: h\r\n" + socket + origin, 405},
		{"http/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n", 400},
		{"a bare line feed", "GET /connection/websocket HTTP/1.1\nHost: h\n", 400},
		{"a body", "GET /connection/websocket HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n" + socket + origin, 400},
		{"8 KiB of head", "GET /connection/websocket HTTP/1.1\r\nHost: h\r\nX: " + strings.Repeat("x", 9000) + "\r\n", 400},
		{"100 headers", "GET /connection/websocket HTTP/1.1\r\nHost: h\r\n" + strings.Repeat("X: y\r\n", 100), 400},
	} {
		conn := s.raw(t)
		if _, err := io.WriteString(conn, c.head+"\r\n"); err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(conn)
		_ = conn.Close()
		if err != nil {
			t.Errorf("%s: %v after %.60q", c.name, err, answer)
			continue
		}
		status, body, _ := strings.Cut(string(answer), "\r\n\r\n")
		if !strings.HasPrefix(status, fmt.Sprintf("HTTP/1.1 %d ", c.status)) || body == "" {
			t.Errorf("%s: %.120q, want %d with a reason", c.name, answer, c.status)
		}
	}
	eventually(t, "every refused connection being gone", func() bool { return s.connections() == 0 })
}

func TestMissingOriginNeedsPermission(t *testing.T) {
	s := start(t, func(c *Config) { c.AllowNoOrigin = true })
	conn, _, err := s.dial(pathProtocol, http.Header{})
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.CloseNow()
}

// TestNotTLS: what is not TLS is closed unanswered, nothing parsed.
func TestNotTLS(t *testing.T) {
	s := start(t, nil)
	for name, hello := range map[string]string{
		"plain HTTP": "GET / HTTP/1.1\r\nHost: h\r\n\r\n", "garbage": "\x00\xff\x13garbage", "SSLv2": "\x80\x2e\x01\x00\x02",
		"an alert first": "\x15\x03\x01\x00\x02\x02\x28", "a huge record": "\x16\x03\x01\xff\xff" + strings.Repeat("x", 100),
		"not a ClientHello": "\x16\x03\x01\x00\x05\x02\x00\x00\x01\x00",
	} {
		c, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(testWait))
		_, _ = io.WriteString(c, hello)
		answer, err := io.ReadAll(c)
		if ne, ok := err.(net.Error); len(answer) > 0 || ok && ne.Timeout() {
			t.Errorf("%s: answered %q, %v; want it closed", name, answer, err)
		}
		_ = c.Close()
	}
}

func TestALPN(t *testing.T) {
	s := start(t, nil)
	cfg := s.tlsConfig()
	cfg.NextProtos = []string{"h2"}
	if _, err := tls.DialWithDialer(&net.Dialer{Timeout: testWait}, "tcp", s.Addr().String(), cfg); err == nil || !strings.Contains(err.Error(), "no application protocol") {
		t.Fatalf("h2 alone: %v, want no_application_protocol", err)
	}
	cfg.NextProtos = []string{"h2", "http/1.1"}
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: testWait}, "tcp", s.Addr().String(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if p := c.ConnectionState().NegotiatedProtocol; p != "http/1.1" {
		t.Fatalf("negotiated %q", p)
	}
	_ = c.Close()
}

// masked is one frame of a client.
func masked(h ws.Header, payload string) []byte {
	h.Masked, h.Mask = true, [4]byte{1, 2, 3, 4}
	if h.Length == 0 {
		h.Length = uint64(len(payload))
	}
	out := ws.AppendHeader(nil, h)
	body := []byte(payload)
	ws.Mask(body, h.Mask, 0)
	return append(out, body...)
}

// TestMalformedFrames: every rule of RFC 6455 §5 that a frame can break, over
// TLS against the whole server, with the close code that it must give.
func TestMalformedFrames(t *testing.T) {
	s := start(t, nil)
	text := ws.Header{Fin: true, Opcode: ws.OpText}
	length := func(n uint64) []byte { return append(binary.BigEndian.AppendUint64([]byte{0x81, 0xff}, n), 1, 2, 3, 4) }
	for _, c := range []struct {
		name string
		in   []byte
		code uint16
	}{
		{"unmasked", ws.AppendFrame(nil, ws.OpText, []byte("{}")), 1002},
		{"rsv1", masked(ws.Header{Fin: true, Rsv1: true, Opcode: ws.OpText}, "{}"), 1002},
		{"rsv2", masked(ws.Header{Fin: true, Rsv2: true, Opcode: ws.OpText}, "{}"), 1002},
		{"rsv3", masked(ws.Header{Fin: true, Rsv3: true, Opcode: ws.OpText}, "{}"), 1002},
		{"opcode 3", masked(ws.Header{Fin: true, Opcode: 3}, "{}"), 1002},
		{"opcode 11", masked(ws.Header{Fin: true, Opcode: 11}, ""), 1002},
		{"continuation of nothing", masked(ws.Header{Fin: true, Opcode: ws.OpContinuation}, "{}"), 1002},
		{"message within a message", append(masked(ws.Header{Opcode: ws.OpText}, "{"), masked(text, "}")...), 1002},
		{"fragmented ping", masked(ws.Header{Opcode: ws.OpPing}, ""), 1002},
		{"long ping", masked(ws.Header{Fin: true, Opcode: ws.OpPing}, strings.Repeat("x", 126)), 1002},
		{"close of one byte", masked(ws.Header{Fin: true, Opcode: ws.OpClose}, "\x03"), 1002},
		{"close 1005", masked(ws.Header{Fin: true, Opcode: ws.OpClose}, "\x03\xed"), 1002},
		{"close with bad UTF-8", masked(ws.Header{Fin: true, Opcode: ws.OpClose}, "\x03\xe8\xff"), 1007},
		{"bad UTF-8", masked(text, "\"\xff\""), 1007},
		{"2^63", length(1 << 63), 1002},
		{"2^63-1", length(1<<63 - 1), 1009},
		{"over the limit", length(65537), 1009},
		{"length not minimal", []byte{0x81, 0x80 | 126, 0, 5, 1, 2, 3, 4}, 1002},
		{"65 fragments", append(masked(ws.Header{Opcode: ws.OpText}, "["), bytes.Repeat(masked(ws.Header{Opcode: ws.OpContinuation}, "1"), 65)...), 1008},
		{"binary", masked(ws.Header{Fin: true, Opcode: ws.OpBinary}, "{}"), 3501},
		{"empty", masked(text, ""), 3501},
		{"not JSON", masked(text, "hello"), 3501},
		{"no connect", masked(text, `{"id":1,"subscribe":{"channel":"a"}}`), 3501},
	} {
		conn := s.rawWebSocket(t, pathProtocol)
		if _, err := conn.Write(c.in); err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(conn)
		_ = conn.Close()
		if err != nil || len(answer) < 4 || answer[0] != 0x88 {
			t.Errorf("%s: %x, %v; want a close frame and an orderly end", c.name, answer, err)
			continue
		}
		if code := binary.BigEndian.Uint16(answer[2:]); code != c.code {
			t.Errorf("%s: close %d %q, want %d", c.name, code, answer[4:], c.code)
		}
	}
	eventually(t, "every connection being gone", func() bool { return s.connections() == 0 })
}

func TestClosingHandshake(t *testing.T) {
	s := start(t, nil)
	for _, c := range []struct{ send, want string }{
		{"\x03\xe8bye", "\x88\x02\x03\xe8"}, {"", "\x88\x00"}, {"\x0f\xa0", "\x88\x02\x0f\xa0"},
	} {
		conn := s.rawWebSocket(t, pathProtocol)
		_, _ = conn.Write(append(masked(ws.Header{Fin: true, Opcode: ws.OpClose}, c.send), masked(ws.Header{Fin: true, Opcode: ws.OpText}, "after close")...))
		if answer, err := io.ReadAll(conn); err != nil || string(answer) != c.want {
			t.Errorf("close %x: answered %x, %v; want %x", c.send, answer, err, c.want)
		}
		_ = conn.Close()
	}
}

// cutConn lets so many bytes through and then vanishes without a word.
type cutConn struct {
	net.Conn
	left int
}

func (c *cutConn) Write(b []byte) (int, error) {
	if len(b) > c.left {
		_, _ = c.Conn.Write(b[:c.left])
		_ = c.Conn.(*net.TCPConn).SetLinger(0)
		_ = c.Conn.Close()
		return c.left, io.ErrClosedPipe
	}
	c.left -= len(b)
	return c.Conn.Write(b)
}

// TestVanishAtEachByte cuts a whole session (hello, handshake, head, connect,
// subscribe) at every byte that the client sends. Nothing may stay behind.
func TestVanishAtEachByte(t *testing.T) {
	s := start(t, nil)
	jwt := sign(t, "a", "feeds:*")
	session := func(left int) (sent int) {
		tcp, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer tcp.Close()
		_ = tcp.SetDeadline(time.Now().Add(testWait))
		cut := &cutConn{tcp, left}
		conn := tls.Client(cut, s.tlsConfig())
		if conn.Handshake() != nil {
			return left
		}
		if _, err := fmt.Fprintf(conn, rawUpgrade, pathProtocol); err != nil {
			return left
		}
		readHead(t, conn)
		frame := masked(ws.Header{Fin: true, Opcode: ws.OpText}, `{"id":1,"connect":{"token":"`+jwt+`"}}`+"\n"+`{"id":2,"subscribe":{"channel":"feeds:a"}}`)
		if _, err := conn.Write(frame); err != nil {
			return left
		}
		buf := make([]byte, 4096)
		for got := ""; !strings.Contains(got, `"id":2`); {
			n, err := conn.Read(buf)
			if err != nil {
				t.Fatalf("%v after %q", err, got)
			}
			got += string(buf[:n])
		}
		return left - cut.left
	}
	session(1 << 20) // warm up
	total := session(1 << 20)
	goroutines := runtime.NumGoroutine()
	step := 1
	if testing.Short() || raceEnabled {
		step = 7
	}
	for cut := 0; cut <= total; cut += step {
		session(cut)
	}
	eventually(t, "every cut connection being gone", func() bool { return s.connections() == 0 })
	eventually(t, "every goroutine being gone", func() bool { return runtime.NumGoroutine() <= goroutines })
	s.onLoops(func(sh *shard) {
		if sh.conns.used != 0 || sh.partial != 0 || sh.queued != 0 || sh.wheel.Len() != 0 {
			t.Errorf("left behind on shard %d: %d connections, %d bytes of input, %d of output, %d timers", sh.id, sh.conns.used, sh.partial, sh.queued, sh.wheel.Len())
		}
	})
	if n := s.shared.hub.Channels(); n != 0 {
		t.Errorf("%d channels left behind", n)
	}
}

func TestDeadlines(t *testing.T) {
	s := start(t, nil)
	gone := func(name string, c net.Conn, stage func(*conn) bool) (answer []byte) {
		t.Helper()
		eventually(t, name, func() bool { return s.every(1, stage) })
		s.clock.move(time.Minute)
		_ = c.SetDeadline(time.Now().Add(testWait))
		answer, err := io.ReadAll(c)
		if ne, ok := err.(net.Error); ok && ne.Timeout() {
			t.Errorf("%s: still open", name)
		}
		_ = c.Close()
		eventually(t, name+": gone", func() bool { return s.connections() == 0 })
		return answer
	}
	silent, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	gone("silent", silent, func(c *conn) bool { return c.phase == phaseHello })
	drip, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(drip, "\x16\x03\x01\x02\x00\x01")
	gone("half a hello", drip, func(c *conn) bool { return c.phase == phaseHello && len(c.partial()) > 0 })
	gone("no head", s.raw(t), func(c *conn) bool { return c.phase == phaseHead })
	half := s.raw(t)
	_, _ = io.WriteString(half, "GET / HTTP/1.1\r\n")
	gone("half a head", half, func(c *conn) bool { return c.phase == phaseHead && c.waiting != nil })
	answer := gone("no connect", s.rawWebSocket(t, pathProtocol), func(c *conn) bool { return c.phase == phaseOpen })
	if !bytes.Contains(answer, []byte{0x0d, 0xae}) { // 3502
		t.Errorf("no connect: %x, want close 3502", answer)
	}
}

func TestHalfAMessageIsClosed(t *testing.T) {
	s := start(t, func(c *Config) { c.Limits.StaleCloseDelay = time.Hour })
	half := s.rawWebSocket(t, pathProtocol)
	if _, err := half.Write(masked(ws.Header{Opcode: ws.OpText}, "{")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "half a message", func() bool { return s.every(1, func(c *conn) bool { return c.messageBy != 0 }) })
	s.clock.move(time.Minute)
	answer, err := io.ReadAll(half)
	if err != nil || len(answer) < 4 || binary.BigEndian.Uint16(answer[2:]) != closePolicyViolation {
		t.Fatalf("%x, %v; want close 1008", answer, err)
	}
}

func TestPings(t *testing.T) {
	s := start(t, nil)
	jwt := sign(t, "a", "feeds:*")
	answering := s.connected(t, jwt)
	ctx, cancel := context.WithTimeout(t.Context(), testWait)
	defer cancel()
	for range 4 {
		s.pings(1)
		if _, message, err := answering.ws.Read(ctx); err != nil || string(message) != "{}" {
			t.Fatalf("%q, %v where a ping was due", message, err)
		}
		answering.send("{}")
		s.pongs(1)
	}
	silent := s.rawWebSocket(t, pathProtocol)
	_, _ = silent.Write(masked(ws.Header{Fin: true, Opcode: ws.OpText}, `{"id":1,"connect":{"token":"`+jwt+`"}}`))
	eventually(t, "the other session", func() bool { return s.stats.Level(stats.Sessions) == 2 })
	s.pings(2)
	s.clock.move(time.Minute)
	answer, err := io.ReadAll(silent)
	if err != nil || !bytes.Contains(answer, []byte("\x81\x02{}")) || !bytes.Contains(answer, []byte{0x0b, 0xc4}) { // 3012
		t.Fatalf("no pong: %q, %v; want a ping, then close 3012", answer, err)
	}
}

func TestRates(t *testing.T) {
	s := start(t, func(c *Config) {
		c.Limits.MessageRate, c.Limits.PingRate, c.Limits.SubscribeRate = 5, 2, 1
	})
	jwt := sign(t, "a", "feeds:*")
	c := s.connected(t, jwt)
	for range 20 {
		c.id++
		c.send(`{"id":` + fmt.Sprint(c.id) + `,"unsubscribe":{"channel":"x"}}`)
	}
	c.wantClose(3013)
	p := s.rawWebSocket(t, pathProtocol)
	_, _ = p.Write(bytes.Repeat(masked(ws.Header{Fin: true, Opcode: ws.OpPing}, ""), 20))
	answer, _ := io.ReadAll(p)
	if pongs := bytes.Count(answer, []byte{0x8a, 0}); pongs != 4 || !bytes.Contains(answer, []byte{0x0b, 0xc5}) {
		t.Errorf("20 pings: %d pongs in %x; want the burst of 4, then close 3013", pongs, answer)
	}
	m := s.connected(t, jwt)
	m.send(`{"id":10,"subscribe":{"channel":"feeds:1"}}` + "\n" + `{"id":11,"subscribe":{"channel":"feeds:2"}}` + "\n" + `{"id":12,"subscribe":{"channel":"feeds:3"}}`)
	var last string
	for range 3 {
		last = m.mustNext()
	}
	if !strings.Contains(last, `"code":111`) || !strings.Contains(last, `"temporary":true`) {
		t.Errorf("the third subscribe of two: %s, want 111", last)
	}
}

func TestConnectionsPerAddress(t *testing.T) {
	s := start(t, func(c *Config) { c.Limits.IPConnections = 3 })
	var held []*tls.Conn
	for range 3 {
		held = append(held, s.raw(t))
	}
	if _, err := tls.DialWithDialer(&net.Dialer{Timeout: testWait}, "tcp", s.Addr().String(), s.tlsConfig()); err == nil {
		t.Fatal("a fourth connection of three was served")
	}
	_ = held[0].Close()
	eventually(t, "a place being free again", func() bool {
		c, err := tls.DialWithDialer(&net.Dialer{Timeout: testWait}, "tcp", s.Addr().String(), s.tlsConfig())
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
}

// TestSlowConsumer: a reader that stops is closed at its bound; another on the
// same channel gets everything.
func TestSlowConsumer(t *testing.T) {
	s := start(t, func(c *Config) { c.Limits.MaxOutboxBytes = 256 << 10 })
	jwt := sign(t, "a", "feeds:*")
	slow := s.rawWebSocket(t, pathProtocol)
	_ = slow.NetConn().(*net.TCPConn).SetReadBuffer(4 << 10)
	_, _ = slow.Write(masked(ws.Header{Fin: true, Opcode: ws.OpText}, `{"id":1,"connect":{"token":"`+jwt+`"}}`+"\n"+`{"id":2,"subscribe":{"channel":"feeds:a"}}`))
	eventually(t, "the slow reader's subscription", func() bool { return s.shared.hub.Subscribers("feeds:a") == 1 })
	fast := s.connected(t, jwt)
	fast.mustDo(`"subscribe":{"channel":"feeds:a"}`)
	data := `"` + strings.Repeat("x", 8000) + `"`
	for i := range 2000 {
		if _, _, err := s.Publish(t.Context(), "feeds:a", []byte(data)); err != nil {
			t.Fatal(err)
		}
		if line := fast.mustNext(); !strings.Contains(line, fmt.Sprintf(`"offset":%d}`, i+1)) {
			t.Fatalf("the fast reader missed offset %d: ...%s", i+1, line[len(line)-30:])
		}
	}
	eventually(t, "the slow reader being put out", func() bool { return s.shared.hub.Subscribers("feeds:a") == 1 })
	answer, _ := io.ReadAll(slow)
	if n := len(answer); n < 4 || !bytes.Contains(answer[n-20:], []byte{0x0b, 0xc0}) { // 3008
		t.Fatalf("the slow reader's last bytes are %x, want close 3008", answer[max(0, n-20):])
	}
}
