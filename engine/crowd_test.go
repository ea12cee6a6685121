package engine

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"weir/security/audit"
)

// TestCrowdIsTurnedAway: while as many hellos wait as may, newcomers are closed at accept, counted and written down; who is
// connected is served, and when the hellos had their turn newcomers are let in again, from the same addresses too.
func TestCrowdIsTurnedAway(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("skipped: clients with addresses of their own on loopback (Linux only)")
	}
	const room, late = 40, 3
	g := &certGate{}
	var trail *auditTrail
	s := start(t, func(c *Config) {
		g.cert = &c.TLS.Certificates[0]
		c.TLS = &tls.Config{GetCertificate: g.certificate}
		c.Limits.HandshakesMax, c.Limits.IPConnections = room, 1
		trail = audited(t, c, audit.Flood{})
	})
	there := s.connected(t, sign(t, "alice", "feeds:*"))
	there.mustDo(`"subscribe":{"channel":"feeds:a"}`)
	g.close()
	before, slots := s.shared.pool.Counters().Started, s.shared.pool.Counters().Slots
	// The first compute, and are the first to give way: then as many wait as may.
	for i := range room + slots {
		s.silentHello(t, fmt.Sprintf("127.0.1.%d", 1+i))
		eventually(t, "a hello", func() bool {
			return s.shared.pool.Counters().Started == before+uint64(i+1) && s.shared.coming.Load() == 0
		})
	}
	from := func(i int) net.Dialer {
		return net.Dialer{Timeout: testWait, LocalAddr: &net.TCPAddr{IP: net.ParseIP(fmt.Sprintf("127.0.2.%d", 1+i))}}
	}
	for i := range late {
		d := from(i)
		wire, err := d.Dial("tcp", s.Addr().String())
		if err != nil {
			continue // reset before the dial knew that it was through
		}
		_ = wire.SetReadDeadline(time.Now().Add(testWait))
		if _, err := wire.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
			t.Errorf("one more is let in: %v", err)
		}
		_ = wire.Close()
	}
	if n := s.metrics(t)[`weir_connections_refused_total{reason="handshakes"}`]; n != fmt.Sprint(late) {
		t.Errorf("%s refusals, want %d", n, late)
	}
	if e := trail.await(t, audit.ConnectionRefused, reasonHandshakes); e.Addr != netip.MustParseAddr("127.0.2.1") {
		t.Errorf("%+v", e)
	}
	s.api("publish", `{"channel":"feeds:a","data":"still"}`)
	there.mustNext()

	g.open()
	eventually(t, "nobody waiting", func() bool { return s.shared.pool.Counters().Queued == 0 })
	for i := range late {
		d := from(i)
		wire, err := tls.DialWithDialer(&d, "tcp", s.Addr().String(), s.tlsConfig())
		if err != nil {
			t.Fatalf("who was turned away is not let in later: %v", err)
		}
		_ = wire.Close()
	}
	if n := s.shared.gate.Counters().Unmatched; n != 0 {
		t.Errorf("%d releases of what was not admitted", n)
	}
}

// TestWhoIsComingCounts: who was let in counts as one that waits until its loop had the time to hear its hello, however late that
// is; and who is silent no longer.
func TestWhoIsComingCounts(t *testing.T) {
	const room = 5
	s := start(t, func(c *Config) { c.Pollers, c.Limits.HandshakesMax = 1, room })
	stands, held := make(chan struct{}), make(chan struct{})
	goOn := sync.OnceFunc(func() { close(held) })
	t.Cleanup(goOn) // before the server's end, which waits for the loop
	s.shards[0].post(post{order: func(*shard) { close(stands); <-held }})
	<-stands
	for i := range room + 1 {
		wire, err := net.Dial("tcp", s.Addr().String())
		if err == nil { // else it was reset before the dial knew that it was through
			t.Cleanup(func() { _ = wire.Close() })
		}
		eventually(t, "a decision", func() bool { return s.shared.coming.Load()+int64(s.crowded.Load()) == int64(i+1) })
	}
	if n := s.shared.coming.Load(); n != room {
		t.Errorf("%d were let in before the first was heard, want %d", n, room)
	}
	goOn()
	eventually(t, "nobody expected to speak", func() bool { return s.shared.coming.Load() == 0 })
	_ = s.connected(t, sign(t, "alice", "feeds:*"))
	if n := s.crowded.Load(); n != 1 {
		t.Errorf("%d were turned away, want 1", n)
	}
}
