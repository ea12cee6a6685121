package engine

import (
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"weir/security/anomaly"
	"weir/security/audit"
)

// contained is a server behind a proxy whose bans the test makes.
func contained(t *testing.T) (*testServer, *anomaly.Bans, *auditTrail) {
	t.Helper()
	bans := anomaly.NewBans(nil)
	var trail *auditTrail
	s := start(t, func(c *Config) {
		c.ProxyListen, c.Trust = "127.0.0.1:0", trusting("127.0.0.1/32", "")
		trail = audited(t, c, audit.Flood{})
		c.Anomaly = &anomaly.Response{Bans: bans, Log: c.Audit, Now: c.Now}
	})
	return s, bans, trail
}

func (s *testServer) ban(t *testing.T, bans *anomaly.Bans, prefix string, d time.Duration) netip.Prefix {
	t.Helper()
	p := netip.MustParsePrefix(prefix)
	if !bans.Add(p, s.clock.in(d), s.clock.now()) {
		t.Fatalf("%v is not banned", p)
	}
	return p
}

// TestBannedArriveNowhere: not on the public listener, nor through a proxy, where
// others of the same proxy do; and when the ban is over they are let in.
func TestBannedArriveNowhere(t *testing.T) {
	s, bans, trail := contained(t)
	s.ban(t, bans, "127.0.0.1/32", time.Minute)
	s.ban(t, bans, "192.0.2.1/32", time.Hour)
	s.ban(t, bans, "2001:db8::/64", time.Hour)
	if _, _, err := s.dial(pathProtocol, nil); err == nil {
		t.Error("a banned address is let in")
	}
	for addr, status := range map[string]int{testHost: 429, "2001:db8::7": 429, "192.0.2.2": 101, "2001:db8:1::7": 101} {
		if got, _ := answer(t, s.plain(t), forward("X-Forwarded-For: "+addr, overTLS)); got != status {
			t.Errorf("%s through the proxy: %d, want %d", addr, got, status)
		}
	}
	if n := s.metrics(t)[`weir_connections_refused_total{reason="banned"}`]; n != "3" {
		t.Errorf("%s refusals for a ban, want 3", n)
	}
	if n := s.metrics(t)["weir_bans"]; n != "3" {
		t.Errorf("weir_bans is %s, want 3", n)
	}

	s.clock.move(time.Minute + 2*time.Second)
	eventually(t, "the end of a ban", func() bool { return bans.Len() == 2 })
	s.client(t).mustDo(`"connect":{"token":"` + sign(t, "alice", "feeds:*") + `"}`)
	refused, over := 0, 0
	for _, e := range trail.entries(t) {
		switch {
		case e.Event == audit.ConnectionRefused && e.Reason == reasonBanned:
			refused++
		case e.Event == audit.Uncontained && e.Reason == anomaly.ReasonExpired && e.Prefix == netip.MustParsePrefix("127.0.0.1/32"):
			over++
		}
	}
	if refused != 3 || over != 1 {
		t.Errorf("the audit log has %d refusals and %d ends", refused, over)
	}
}

// TestBannedBetweenAdmissionAndLoop: who was admitted before the ban and comes to the loop after the walk does not stay, is
// accounted once, and counts for nothing when the ban is over.
func TestBannedBetweenAdmissionAndLoop(t *testing.T) {
	bans := anomaly.NewBans(nil)
	var trail *auditTrail
	s := start(t, func(c *Config) {
		c.Pollers, c.Limits.IPConnections = 1, 1
		trail = audited(t, c, audit.Flood{})
		c.Anomaly = &anomaly.Response{Bans: bans, Log: c.Audit, Now: c.Now}
	})
	admitted, stands, goOn := s.shared.gate.Counters().Admitted, make(chan struct{}), make(chan struct{})
	s.shards[0].post(post{order: func(*shard) { close(stands); <-goOn }})
	<-stands
	nc, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	eventually(t, "a peer that is admitted", func() bool { return s.shared.gate.Counters().Admitted == admitted+1 })
	s.ban(t, bans, "127.0.0.1/32", time.Minute)
	close(goOn)
	_ = nc.SetReadDeadline(time.Now().Add(testWait))
	if _, err := nc.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
		t.Errorf("a banned peer stays: %v", err)
	}
	if e := trail.await(t, audit.ConnectionRefused, reasonBanned); e.Addr != netip.MustParseAddr("127.0.0.1") || e.Port == 0 {
		t.Errorf("%+v", e)
	}
	if n := trail.attempts(t); n != 1 {
		t.Errorf("%d attempts are told, want 1", n)
	}
	s.clock.move(time.Minute + 2*time.Second)
	eventually(t, "the end of the ban", func() bool { return bans.Len() == 0 })
	s.client(t) // the only connection of its address
	if n := s.shared.gate.Counters().Unmatched; n != 0 {
		t.Errorf("%d releases of what was not admitted", n)
	}
}

// TestExpel: those of the prefix are sent away, in whatever phase; nobody
// else is, and not the proxy that brings them.
func TestExpel(t *testing.T) {
	s, _, _ := contained(t)
	alice := s.connected(t, sign(t, "alice", "feeds:*"))
	half := s.plain(t)
	through := func(addr string) {
		if got, _ := answer(t, s.plain(t), forward("X-Forwarded-For: "+addr, overTLS)); got != 101 {
			t.Fatalf("%s: %d", addr, got)
		}
	}
	through(testHost)
	through("192.0.2.2")
	expel := func(prefix string) {
		t.Helper()
		if err := s.Expel(t.Context(), netip.MustParsePrefix(prefix)); err != nil {
			t.Fatal(err)
		}
	}
	expel("198.51.100.0/24")
	expel("192.0.2.1/32")
	eventually(t, "one to be sent away", func() bool {
		return s.every(0, func(c *conn) bool { return c.phase == phaseOpen && c.peer == netip.MustParseAddr(testHost) })
	})
	if !s.every(1, func(c *conn) bool { return c.phase == phaseOpen && c.peer == netip.MustParseAddr("192.0.2.2") }) {
		t.Error("a neighbour was sent away")
	}
	alice.mustDo(`"subscribe":{"channel":"feeds:a"}`)
	expel("127.0.0.1/32")
	alice.wantClose(3011)
	if got, _ := answer(t, half, forward("X-Forwarded-For: 192.0.2.9", overTLS)); got != 101 {
		t.Errorf("what the proxy has only begun: %d, want 101", got)
	}
}

// TestAnomaliesAreCounted by detector.
func TestAnomaliesAreCounted(t *testing.T) {
	var response *anomaly.Response
	s := start(t, func(c *Config) {
		response = &anomaly.Response{Now: c.Now}
		c.Anomaly = response
	})
	response.Take(&anomaly.Alert{Detector: "failures"})
	response.Take(&anomaly.Alert{Detector: "failures"})
	m := s.metrics(t)
	for _, name := range anomaly.Detectors() {
		want := "0"
		if name == "failures" {
			want = "2"
		}
		if got := m[`weir_anomalies_total{detector="`+name+`"}`]; got != want {
			t.Errorf("%s: %q, want %s", name, got, want)
		}
	}
}
