package engine

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"net"
	"testing"
	"time"

	"weir/engine/stats"
	"weir/engine/ws"
	"weir/security/token"
)

// Attacks that were found in other servers, against the whole one.
// docs/security.md lists all of them; what a part can show stands beside the part.

// closeCode is that of the close frame with which the connection ends, whatever
// frames come before; 0 if it ends without.
func closeCode(t testing.TB, r io.Reader) (code uint16) {
	t.Helper()
	got, err := io.ReadAll(r)
	if ne, ok := err.(net.Error); ok && ne.Timeout() {
		t.Fatal("the connection does not end")
	}
	for {
		h, n, v := ws.ParseHeader(got)
		if v != nil || n == 0 || uint64(len(got)-n) < h.Length {
			return code
		}
		if h.Opcode == ws.OpClose && h.Length >= 2 {
			code = binary.BigEndian.Uint16(got[n:])
		}
		got = got[n+int(h.Length):]
	}
}

// TestCVE_2026_27889_FrameLengthBeforeAuthentication (NATS): nobody has to be
// somebody to declare a length that is no number. It ends that connection only.
func TestCVE_2026_27889_FrameLengthBeforeAuthentication(t *testing.T) {
	s := start(t, func(c *Config) { c.EnableEcho, c.Compression = true, true })
	other := s.connected(t, sign(t, "alice", "feeds:*"))
	for _, path := range []string{pathProtocol, pathEcho} {
		for length, want := range map[uint64]uint16{math.MaxUint64: 1002, 1 << 63: 1002, math.MaxInt64: 1009, 1 << 62: 1009, 1 << 32: 1009} {
			for _, first := range []byte{0x81, 0x82, 0x01} {
				conn := s.rawWebSocket(t, path)
				if _, err := conn.Write(append(binary.BigEndian.AppendUint64([]byte{first, 0xff}, length), 1, 2, 3, 4, 'x')); err != nil {
					t.Fatal(err)
				}
				if got := closeCode(t, conn); got != want {
					t.Errorf("%s, % x of %d bytes: close %d, want %d", path, first, length, got, want)
				}
			}
		}
	}
	other.mustDo(`"subscribe":{"channel":"feeds:a"}`) // and nobody panicked: start looks
}

// TestCVE_2026_33203_ChatterIsNoAuthentication: whoever says much, but not who he
// is, is gone when his time is over. No byte of his moves it.
func TestCVE_2026_33203_ChatterIsNoAuthentication(t *testing.T) {
	const step = 500 * time.Millisecond
	head := fmt.Sprintf(rawUpgrade, pathProtocol)
	hello := append([]byte{22, 3, 1, 2, 0, 1, 0, 1, 0xfc}, make([]byte, 100)...)
	slow := masked(ws.Header{Fin: true, Opcode: ws.OpText}, string(bytes.Repeat([]byte{' '}, 200)))
	for name, x := range map[string]struct {
		open  func(t *testing.T, s *testServer) net.Conn
		over  func(l *Limits) time.Duration
		chat  func(i int) []byte
		phase phase // in which it is
		close uint16
	}{
		"a hello byte by byte": {func(t *testing.T, s *testServer) net.Conn {
			c, err := net.Dial("tcp", s.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = c.Close() })
			_ = c.SetDeadline(time.Now().Add(testWait))
			return c
		}, func(l *Limits) time.Duration { return l.HandshakeTimeout }, func(i int) []byte { return hello[i : i+1] }, phaseHello, 0},
		"a head byte by byte": {func(t *testing.T, s *testServer) net.Conn { return s.raw(t) },
			func(l *Limits) time.Duration { return l.HeadTimeout }, func(i int) []byte { return []byte(head[i : i+1]) }, phaseHead, 0},
		"pings": {func(t *testing.T, s *testServer) net.Conn { return s.rawWebSocket(t, pathProtocol) },
			func(l *Limits) time.Duration { return l.StaleCloseDelay },
			func(int) []byte { return masked(ws.Header{Fin: true, Opcode: ws.OpPing}, "here I am") }, phaseOpen, 3502},
		"pongs": {func(t *testing.T, s *testServer) net.Conn { return s.rawWebSocket(t, pathProtocol) },
			func(l *Limits) time.Duration { return l.StaleCloseDelay },
			func(int) []byte { return masked(ws.Header{Fin: true, Opcode: ws.OpPong}, "") }, phaseOpen, 3502},
		"a connect byte by byte": {func(t *testing.T, s *testServer) net.Conn { return s.rawWebSocket(t, pathProtocol) },
			func(l *Limits) time.Duration { return l.PartialTimeout }, func(i int) []byte { return slow[i : i+1] }, phaseOpen, 1008},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, func(c *Config) { c.Limits.StaleCloseDelay *= 2 }) // so that a message's time is over first
			peer := x.open(t, s)
			eventually(t, "the phase", func() bool { return s.every(1, func(c *conn) bool { return c.phase == x.phase }) })
			limit := x.over(&s.config.Limits)
			for i := range int(limit/step) - 1 {
				before := s.stats.Total(stats.BytesIn)
				if _, err := peer.Write(x.chat(i)); err != nil {
					t.Fatal(err)
				}
				eventually(t, "the chatter", func() bool { return s.stats.Total(stats.BytesIn) > before })
				s.clock.move(step)
			}
			if s.connections() != 1 {
				t.Fatal("closed before its time")
			}
			s.clock.move(2 * step)
			if got := closeCode(t, peer); got != x.close {
				t.Errorf("close %d, want %d", got, x.close)
			}
		})
	}
}

// TestCVE_2024_23672_DataAfterClose (Tomcat): behind a close frame nothing counts,
// and who goes on sending is cut off when the time for the closing handshake is
// over.
func TestCVE_2024_23672_DataAfterClose(t *testing.T) {
	s := start(t, func(c *Config) { c.AllowAnonymous = true })
	text := func(line string) []byte { return masked(ws.Header{Fin: true, Opcode: ws.OpText}, line) }
	for name, closing := range map[string][]byte{
		"the peer's": masked(ws.Header{Fin: true, Opcode: ws.OpClose}, "\x03\xe8"),
		"ours":       masked(ws.Header{Fin: true, Opcode: 7}, "reserved"),
	} {
		conn := s.rawWebSocket(t, pathProtocol)
		said := append(text(`{"id":1,"connect":{}}`), closing...)
		said = append(said, text(`{"id":2,"publish":{"channel":"open:a","data":1}}`)...)
		said = append(said, masked(ws.Header{Fin: true, Opcode: ws.OpClose}, "\x0f\xa0")...)
		if _, err := conn.Write(said); err != nil {
			t.Fatal(err)
		}
		if got := closeCode(t, conn); got != 1000 && got != 1002 {
			t.Errorf("%s: close %d", name, got)
		}
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() { // on the socket, for TLS has said its last
			defer close(stopped)
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := conn.NetConn().Write([]byte("\x17\x03\x03\x00\x20 more, and more, and more, and more")); err != nil {
					return
				}
			}
		}()
		if s.connections() != 1 {
			t.Errorf("%s: gone before the time of the closing handshake", name)
		}
		s.clock.move(closeTimeout + time.Second)
		eventually(t, name+": gone", func() bool { return s.connections() == 0 })
		close(stop)
		<-stopped
		_ = conn.Close()
	}
	if n := s.stats.Total(stats.Publications); n != 0 {
		t.Errorf("%d publications were taken from behind a close", n)
	}
}

// TestDuplicatePongs: of many pongs one is the answer to a ping. The others are
// charged, and extend nothing.
func TestDuplicatePongs(t *testing.T) {
	s := start(t, nil)
	pong := map[string][]byte{"/feed": masked(ws.Header{Fin: true, Opcode: ws.OpPong}, ""), "the protocol": masked(ws.Header{Fin: true, Opcode: ws.OpText}, "{}")}
	for name, open := range map[string]func() net.Conn{
		"/feed": func() net.Conn { return s.rawFeed(t, sign(t, "alice", "feeds:*"), "channel=feeds:a", "") },
		"the protocol": func() net.Conn {
			conn := s.rawWebSocket(t, pathProtocol)
			_, _ = conn.Write(masked(ws.Header{Fin: true, Opcode: ws.OpText}, `{"id":1,"connect":{"token":"`+sign(t, "alice", "feeds:*")+`"}}`))
			eventually(t, "connected", func() bool { return s.stats.Level(stats.Sessions) == 1 })
			return conn
		},
	} {
		peer := open()
		eventually(t, "subscribed", func() bool { return s.every(1, func(c *conn) bool { return c.pingAt != 0 }) })
		s.clock.move(s.config.Limits.PingInterval)
		eventually(t, "a ping", func() bool { return s.every(1, func(c *conn) bool { return c.awaitPong }) })
		_, _ = peer.Write(bytes.Repeat(pong[name], 300)) // beyond both bursts
		if got := closeCode(t, peer); got != 3013 {
			t.Errorf("%s: close %d, want 3013", name, got)
		}
		_ = peer.Close()
		eventually(t, name+": gone", func() bool { return s.connections() == 0 })
	}
}

// TestPongsThatNobodyReads: pings by somebody who reads no pong pile up to a bound.
func TestPongsThatNobodyReads(t *testing.T) {
	s := start(t, func(c *Config) { c.Limits.PingRate = 0 })
	conn := s.rawWebSocket(t, pathProtocol)
	pings := bytes.Repeat(masked(ws.Header{Fin: true, Opcode: ws.OpPing}, string(bytes.Repeat([]byte{'p'}, 125))), 100)
	sent := 0
	for ; ; sent += len(pings) {
		if _, err := conn.Write(pings); err != nil {
			if ne, ok := err.(net.Error); ok && ne.Timeout() {
				t.Fatal("neither cut off nor read: pongs that wait keep the pings out")
			}
			break
		}
	}
	eventually(t, "gone", func() bool { return s.connections() == 0 })
	if n := s.metrics(t)[`weir_slow_consumers_total{action="disconnect"}`]; n != "1" || sent > 64<<20 { // most of it lies with the kernel
		t.Errorf("%s slow consumers, after %d bytes of pings", n, sent)
	}
}

// TestCentrifugePR627_ExpiredRefreshToken: a token that is over prolongs nothing,
// however recently it was good; of a connection or of a subscription.
func TestCentrifugePR627_ExpiredRefreshToken(t *testing.T) {
	s := start(t, nil)
	for _, ago := range []time.Duration{2 * time.Second, time.Hour, 24 * 365 * time.Hour} {
		over := signClaims(t, token.SignClaims{Subject: "alice", IssuedAt: s.clock.now().Add(-ago - time.Hour).Unix(), ExpiresAt: s.clock.now().Add(-ago).Unix()})
		c := s.connected(t, sign(t, "alice", "feeds:*"))
		c.send(`{"id":9,"refresh":{"token":"` + over + `"}}`)
		c.wantClose(3005)
		c = s.connected(t, sign(t, "alice", "feeds:*"))
		c.mustDo(withToken("subscribe", "$feeds:a", subToken(t, "alice", "$feeds:a", time.Hour)))
		c.send(`{"id":9,` + withToken("sub_refresh", "$feeds:a", subToken(t, "alice", "$feeds:a", -ago)) + `}`)
		c.wantClose(3006)
	}
}
