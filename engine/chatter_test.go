package engine

import (
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"weir/engine/ws"
)

// TestChatterExtendsNothing: in no stage does what a peer goes on sending put its deadline off (SECURITY.md H1,
// CVE-2026-33203). Two parts of a third arrive within the time, and then it is over.
func TestChatterExtendsNothing(t *testing.T) {
	stale := func(c *Config) { c.Limits.StaleCloseDelay = time.Hour }
	open, message := func(c *conn) bool { return c.phase == phaseOpen }, func(c *conn) bool { return c.messageBy != 0 }
	limits := DefaultLimits()
	for _, x := range []struct {
		name   string
		change func(*Config)
		limit  time.Duration
		begin  func(s *testServer, t *testing.T) net.Conn
		begun  func(*conn) bool
		more   []byte
	}{
		{"a hello, byte by byte", nil, limits.HandshakeTimeout, func(s *testServer, t *testing.T) net.Conn {
			c, err := net.Dial("tcp", s.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = c.Close() })
			return wrote(t, c, []byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"))
		}, func(c *conn) bool { return len(c.partial()) > 0 }, []byte("x")},
		{"a head, byte by byte", nil, limits.HeadTimeout, func(s *testServer, t *testing.T) net.Conn {
			return wrote(t, s.raw(t), []byte("GET / HTTP/1.1\r\nX: "))
		}, func(c *conn) bool { return c.phase == phaseHead && c.waiting != nil }, []byte("x")},
		{"pings before authentication", nil, limits.StaleCloseDelay, func(s *testServer, t *testing.T) net.Conn {
			return s.rawWebSocket(t, pathProtocol)
		}, open, masked(ws.Header{Fin: true, Opcode: ws.OpPing}, "")},
		{"pongs before authentication", nil, limits.StaleCloseDelay, func(s *testServer, t *testing.T) net.Conn {
			return s.rawWebSocket(t, pathProtocol)
		}, open, masked(ws.Header{Fin: true, Opcode: ws.OpPong}, "")},
		{"fragments before authentication", nil, limits.StaleCloseDelay, func(s *testServer, t *testing.T) net.Conn {
			return wrote(t, s.rawWebSocket(t, pathProtocol), masked(ws.Header{Opcode: ws.OpText}, "{"))
		}, message, masked(ws.Header{Opcode: ws.OpContinuation}, " ")},
		{"fragments of a message", stale, limits.PartialTimeout, func(s *testServer, t *testing.T) net.Conn {
			return wrote(t, s.rawWebSocket(t, pathProtocol), masked(ws.Header{Opcode: ws.OpText}, "{"))
		}, message, masked(ws.Header{Opcode: ws.OpContinuation}, "")},
		{"pings within a message", stale, limits.PartialTimeout, func(s *testServer, t *testing.T) net.Conn {
			return wrote(t, s.rawWebSocket(t, pathProtocol), masked(ws.Header{Opcode: ws.OpText}, "{"))
		}, message, masked(ws.Header{Fin: true, Opcode: ws.OpPing}, "")},
		{"a frame, byte by byte", stale, limits.PartialTimeout, func(s *testServer, t *testing.T) net.Conn {
			return wrote(t, s.rawWebSocket(t, pathProtocol), masked(ws.Header{Fin: true, Opcode: ws.OpText}, "12345678")[:8])
		}, message, []byte("x")},
		{"a record, byte by byte", stale, limits.PartialTimeout, func(s *testServer, t *testing.T) net.Conn {
			return wrote(t, s.rawWebSocket(t, pathProtocol).NetConn(), []byte("\x17\x03\x03\x00\x40x"))
		}, func(c *conn) bool { return c.recordBy != 0 }, []byte("x")},
	} {
		t.Run(x.name, func(t *testing.T) {
			s := start(t, x.change)
			c := x.begin(s, t)
			heard := uint64(0)
			eventually(t, "the beginning", func() bool {
				return s.every(1, func(c *conn) bool { heard = c.received; return x.begun(c) })
			})
			more := func(what string) { // waits until the server has read more than before
				t.Helper()
				eventually(t, what, func() bool {
					at := uint64(0)
					s.every(1, func(c *conn) bool { at = c.received; return true })
					grown := at > heard
					heard = max(heard, at)
					return grown
				})
			}
			for i := range 2 {
				s.clock.move(x.limit * 2 / 5)
				wrote(t, c, x.more)
				more(fmt.Sprintf("part %d within the time", i))
			}
			s.clock.move(x.limit * 2 / 5)
			_ = c.SetDeadline(time.Now().Add(testWait))
			if _, err := io.ReadAll(c); err != nil {
				if ne, ok := err.(net.Error); ok && ne.Timeout() {
					t.Fatal("still open")
				}
			}
			_ = c.Close()
			eventually(t, "the connection being gone", func() bool { return s.connections() == 0 })
		})
	}
}

// wrote sends bytes on a connection and returns it.
func wrote(t *testing.T, c net.Conn, b []byte) net.Conn {
	t.Helper()
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
	return c
}
