package engine

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"weir/engine/stats"
	"weir/security/audit"
	"weir/security/oplog/logtest"
	"weir/security/proxy"
)

// auditTrail is a server's audit log, as tests read it.
type auditTrail struct {
	log  *audit.Log
	text logtest.Log
}

// audited gives the configuration an audit log, with counts per hour unless the
// test flushes it.
func audited(t testing.TB, cfg *Config, f audit.Flood) *auditTrail {
	a := new(auditTrail)
	a.log = audit.New(audit.Config{Destinations: []audit.Destination{audit.Writer(&a.text, audit.ECS)}, Flood: f, Every: time.Hour, Now: cfg.Now})
	t.Cleanup(a.log.Close)
	cfg.Audit = a.log
	return a
}

func (a *auditTrail) entries(t testing.TB) (list []audit.Entry) {
	t.Helper()
	a.log.Flush()
	for e, err := range audit.Entries(strings.NewReader(a.text.String())) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, e)
	}
	return list
}

// attempts is how many attempts to connect the log accounts for.
func (a *auditTrail) attempts(t testing.TB) (n uint64) {
	t.Helper()
	for _, e := range a.entries(t) {
		if e.Event.Attempt() {
			n += e.N()
		}
	}
	return n
}

// await returns the first record of the event with this reason.
func (a *auditTrail) await(t testing.TB, event audit.Event, reason string) (found audit.Entry) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s %q", event, reason), func() bool {
		for _, e := range a.entries(t) {
			if e.Event == event && (reason == "*" || e.Reason == reason) {
				found = e
				return true
			}
		}
		return false
	})
	return found
}

const testTrace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

// TestAuditOfOneConnection: what is known stands in the records, which the
// connection's name joins.
func TestAuditOfOneConnection(t *testing.T) {
	var trail *auditTrail
	s := start(t, func(cfg *Config) { trail = audited(t, cfg, audit.Flood{}) })
	jwt := sign(t, "alice", "feeds:*")
	ws, _, err := s.dial("/connection/websocket?x=query-secret", http.Header{
		"Origin": {testOrigin}, "User-Agent": {"agent\x22\\x"}, "Traceparent": {testTrace}, "Authorization": {"Bearer " + jwt},
		"X-Request-Id": {"forged"},
	})
	if err != nil {
		t.Fatal(err)
	}
	c := &client{t: t, ws: ws}
	c.mustDo(`"connect":{}`)
	c.mustDo(`"subscribe":{"channel":"feeds:a"}`)
	c.do(`"subscribe":{"channel":"secret:a"}`)
	refused := trail.await(t, audit.SubscribeRefused, "*")
	_ = ws.CloseNow()

	accepted := trail.await(t, audit.ConnectionAccepted, "")
	if accepted.TLSVersion != tls.VersionTLS13 || accepted.TLSSuite == 0 || accepted.ServerName != "localhost" || accepted.Path != pathProtocol ||
		accepted.Origin != testOrigin || accepted.UserAgent != `agent"\x` || accepted.Status != 101 || !accepted.Addr.IsLoopback() ||
		accepted.Port == 0 || accepted.Trace.ID[0] != 0x4b || accepted.Trace.Flags != 1 || accepted.RequestID != "" {
		t.Errorf("accepted: %+v", accepted)
	}
	authenticated := trail.await(t, audit.Authenticated, "")
	if authenticated.User != "alice" || authenticated.Auth != audit.ByHeader || len(authenticated.Session) != 32 {
		t.Errorf("authenticated: %+v", authenticated)
	}
	end := trail.await(t, audit.Disconnected, endHungUp)
	if end.User != "alice" || end.In < 500 || end.Out < 500 {
		t.Errorf("disconnected: %+v", end)
	}
	for _, e := range []audit.Entry{refused, authenticated, end} {
		if e.Conn != accepted.Conn || e.Conn == (audit.ConnID{}) {
			t.Errorf("%s: connection %s, want %s", e.Event, e.Conn, accepted.Conn)
		}
	}
	if refused.Channel != "secret:a" || refused.Code != 103 && refused.Code != 102 || refused.User != "alice" {
		t.Errorf("refused: %+v", refused)
	}
}

// TestAuditSaysHowAnAttemptEnded: each way has its event and reason, and there is
// one for each attempt.
func TestAuditSaysHowAnAttemptEnded(t *testing.T) {
	var trail *auditTrail
	s := start(t, func(cfg *Config) { trail = audited(t, cfg, audit.Flood{Each: 1000}) })
	head := func(request string) func() {
		return func() {
			conn := s.raw(t)
			defer conn.Close()
			_, _ = io.WriteString(conn, request)
			_, _ = io.Copy(io.Discard, conn)
		}
	}
	dial := func(path string, h http.Header) func() {
		return func() {
			ws, _, err := s.dial(path, h)
			if err == nil {
				_ = ws.CloseNow()
				t.Errorf("%s %v was let in", path, h)
			}
		}
	}
	plain := func(text string) func() {
		return func() {
			conn, err := net.Dial("tcp", s.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.WriteString(conn, text)
			if text == "" {
				_ = conn.Close()
				return
			}
			_, _ = io.Copy(io.Discard, conn)
			_ = conn.Close()
		}
	}
	good := http.Header{"Origin": {testOrigin}}
	for i, c := range []struct {
		do     func()
		event  audit.Event
		reason string
	}{
		{plain(""), audit.HandshakeFailed, endGone},
		{plain("GET / HTTP/1.1\r\n\r\n"), audit.HandshakeFailed, labelNotTLS},
		{head("TRACE / HTTP/1.1\r\n\r\n"), audit.UpgradeRefused, "method"},
		{head("GET /nowhere HTTP/1.1\r\nHost: h\r\n\r\n"), audit.UpgradeRefused, "not_found"},
		{dial("/connection/websocket", http.Header{"Origin": {"https://evil.example"}}), audit.UpgradeRefused, "origin"},
		{dial("/connection/websocket?ticket=nope", good), audit.UpgradeRefused, "unauthorized"},
		{dial("/feed?channel=feeds:a", http.Header{"Origin": {testOrigin}, "Authorization": {"Bearer x.y.z"}}), audit.UpgradeRefused, "unauthorized"},
	} {
		c.do()
		e := trail.await(t, c.event, c.reason)
		eventually(t, "one outcome for each attempt", func() bool { return trail.attempts(t) == uint64(i+1) })
		if e.Event == audit.UpgradeRefused && e.Status < 400 {
			t.Errorf("%s: %+v", c.reason, e)
		}
	}
	foreign := trail.await(t, audit.UpgradeRefused, "origin")
	if foreign.Origin != "https://evil.example" || foreign.Status != 403 {
		t.Errorf("%+v", foreign)
	}
	if e := trail.await(t, audit.AuthenticationFailed, reasonInvalid); e.Auth != audit.ByTicket {
		t.Errorf("%+v", e)
	}
}

// TestAuditAccountsForEveryAttempt: a flood of every kind, at once; the sum of the
// log is the number of attempts, while most share a line.
func TestAuditAccountsForEveryAttempt(t *testing.T) {
	var trail *auditTrail
	s := start(t, func(cfg *Config) {
		trail = audited(t, cfg, audit.Flood{Each: 2, All: 20})
		cfg.Limits.IPConnections = 40 // some are refused by admission
	})
	const workers, each = 8, 60
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				conn, err := net.Dial("tcp", s.Addr().String())
				if errors.Is(err, syscall.ECONNRESET) {
					continue // admission was faster than the dialer
				}
				if err != nil {
					t.Error(err)
					return
				}
				switch (w + i) % 4 {
				case 0: // says nothing
				case 1:
					_, _ = io.WriteString(conn, "not TLS at all")
				case 2: // half a hello
					_, _ = conn.Write([]byte{22, 3, 1, 1, 0, 1})
				case 3:
					c := tls.Client(conn, s.tlsConfig())
					if c.Handshake() == nil {
						_, _ = io.WriteString(c, "GET /nowhere HTTP/1.1\r\nHost: h\r\n\r\n")
						_, _ = io.Copy(io.Discard, c)
					}
				}
				_ = conn.Close()
			}
		})
	}
	wg.Wait()
	eventually(t, "every attempt is accounted for", func() bool { return trail.attempts(t) == workers*each })
	accepted := s.stats.Total(stats.ConnectionsAccepted)
	var refused uint64
	for _, e := range trail.entries(t) {
		if e.Event == audit.ConnectionRefused {
			refused += e.N()
		}
	}
	if accepted+refused != workers*each {
		t.Errorf("%d accepted and %d refused of %d", accepted, refused, workers*each)
	}
}

// TestAuditOfOrders: what is done with the API key is written down, and who has it
// not.
func TestAuditOfOrders(t *testing.T) {
	var trail *auditTrail
	s := start(t, func(cfg *Config) { trail = audited(t, cfg, audit.Flood{}) })
	s.api("block_user", `{"user":"mallory"}`)
	s.api("unblock_user", `{"user":"mallory"}`)
	s.api("revoke_token", `{"jti":"id-of-a-token"}`)
	s.api("disconnect", `{"user":"bob"}`)
	s.api("issue_ticket", `{"sub":"carol","channels":["feeds:a"]}`)
	c := s.connected(t, sign(t, "dave", "feeds:*"))
	s.api("disconnect", `{"client":"`+s.clientID("dave")+`"}`)
	c.wantClose(3503)
	session := trail.await(t, audit.Authenticated, "").Session
	eventually(t, "an order about a client that says which", func() bool {
		return slices.ContainsFunc(trail.entries(t), func(e audit.Entry) bool {
			return e.Event == audit.DisconnectOrdered && e.Session == session && session != ""
		})
	})
	resp, err := http.Post("http://"+s.APIAddr().String()+"/api/info", "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	for event, user := range map[audit.Event]string{
		audit.UserBlocked: "mallory", audit.UserUnblocked: "mallory", audit.TokenRevoked: "", audit.DisconnectOrdered: "bob", audit.TicketIssued: "carol",
	} {
		if e := trail.await(t, event, ""); e.User != user || e.Auth != audit.ByAPIKey {
			t.Errorf("%s: %+v", event, e)
		}
	}
	if e := trail.await(t, audit.APIRefused, reasonInvalid); !e.Addr.IsLoopback() || e.Path != "/api/info" {
		t.Errorf("%+v", e)
	}
	trail.await(t, audit.Started, "")
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	trail.await(t, audit.Stopped, "")
}

// TestAuditOfLimitsAndViolations: with the connection that they are about.
func TestAuditOfLimitsAndViolations(t *testing.T) {
	var trail *auditTrail
	s := start(t, func(cfg *Config) {
		trail = audited(t, cfg, audit.Flood{})
		cfg.Limits.MessageRate = 2
	})
	c := s.connected(t, sign(t, "alice", "feeds:*"))
	for range 8 {
		c.send(`{"id":9,"presence":{"channel":"feeds:a"}}`)
	}
	if e := trail.await(t, audit.LimitHit, limitMessages); e.User != "alice" {
		t.Errorf("%+v", e)
	}
	if e := trail.await(t, audit.Disconnected, "too_many_requests"); e.Code != 3013 || e.User != "alice" {
		t.Errorf("%+v", e)
	}
	raw := s.rawWebSocket(t, pathProtocol)
	if _, err := raw.Write([]byte{0x81, 0x01, 'x'}); err != nil { // not masked
		t.Fatal(err)
	}
	trail.await(t, audit.ProtocolViolation, "*")
	trail.await(t, audit.Disconnected, "protocol")
}

// TestAuditBehindAProxy: the client that the proxy named, the proxy beside it, and
// the id that it gave the request.
func TestAuditBehindAProxy(t *testing.T) {
	var trail *auditTrail
	s := start(t, func(cfg *Config) {
		trail = audited(t, cfg, audit.Flood{})
		cfg.ProxyListen, cfg.Trust = "127.0.0.1:0", trusting("127.0.0.1/32", "")
	})
	conn := s.plain(t)
	_, _ = io.WriteString(conn, "GET /nowhere HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\nX-Request-ID: r-17\r\n\r\n")
	e := trail.await(t, audit.UpgradeRefused, "not_found")
	if e.Addr.String() != "203.0.113.7" || e.Proxy != "127.0.0.1" || e.RequestID != "r-17" || e.Path != "/nowhere" {
		t.Errorf("%+v", e)
	}
}

// TestMalformedHeadsOfProxiedClients: a head that is none of ours counts for the client
// that the proxy names, like any other; where it names none, nobody is blamed.
func TestMalformedHeadsOfProxiedClients(t *testing.T) {
	var trail *auditTrail
	s := start(t, func(cfg *Config) {
		trail = audited(t, cfg, audit.Flood{Each: 1000})
		cfg.ProxyListen, cfg.Trust = "127.0.0.1:0", trusting("127.0.0.1/32", "")
		cfg.Limits.IPConnectBurst, cfg.Limits.IPConnectRate = 5, 0.001
	})
	const head = "POST /connection/websocket HTTP/1.1\r\nHost: h\r\n"
	send := func(in string) int {
		nc := s.plain(t)
		defer nc.Close()
		status, _ := answer(t, nc, in)
		return status
	}
	statuses := map[int]int{}
	for range 8 {
		statuses[send(head+fromOne+"\r\n"+overTLS+"\r\n\r\n")]++
	}
	if statuses[405] != 5 || statuses[429] != 3 {
		t.Errorf("answered with %v, want 5 times 405 and 3 times 429", statuses)
	}
	for range 8 {
		if status := send(head + "\r\n"); status != 405 {
			t.Errorf("without a client: %d", status)
		}
	}
	told := map[string]int{}
	for _, e := range trail.entries(t) {
		if e.Event == audit.UpgradeRefused || e.Event == audit.ConnectionRefused {
			told[fmt.Sprintf("%v %s of %v by %s", e.Event, e.Reason, e.Addr, e.Proxy)]++
		}
	}
	for line, n := range map[string]int{
		"upgrade-refused method of 192.0.2.1 by 127.0.0.1": 5, "connection-refused rate of 192.0.2.1 by 127.0.0.1": 3,
		"upgrade-refused method of invalid IP by 127.0.0.1": 8,
	} {
		if told[line] != n {
			t.Errorf("%q is told %d times, want %d: %v", line, told[line], n, told)
		}
	}
	eventually(t, "all gone", func() bool { return s.connections() == 0 })
	if n := s.shared.gate.Counters().Unmatched; n != 0 {
		t.Errorf("%d releases of what was not admitted", n)
	}
}

// TestAuditOfUnfitPublications: by the channel, and never by what they hold.
func TestAuditOfUnfitPublications(t *testing.T) {
	var trail *auditTrail
	s := start(t, pricing(t, func(cfg *Config) { trail = audited(t, cfg, audit.Flood{}) }))
	c := s.connected(t, sign(t, "alice", "prices:*"))
	c.do(`"publish":{"channel":"prices:a","data":{"symbol":"hunter2hunter2"}}`)
	if e := trail.await(t, audit.PublishRefused, reasonSchema); e.Channel != "prices:a" || e.Code != 107 || e.User != "alice" {
		t.Errorf("%+v", e)
	}
	if strings.Contains(trail.text.String(), "hunter2") {
		t.Error("the value stands in the log")
	}
}

// TestAuditOfProxies: the chain of them, whose X-Request-ID counts, and that one
// which looks whether we are there is no attempt to connect.
func TestAuditOfProxies(t *testing.T) {
	const forged = "X-Forwarded-For: 198.51.100.9, 203.0.113.7, 10.0.0.2, 10.0.0.1"
	for _, c := range []struct {
		name, secret        string
		protocol            bool
		in, addr, proxy, id string
	}{
		{"X-Forwarded-For", "", false, forward(forged, overTLS, "X-Request-ID: r-1"), "203.0.113.7", "10.0.0.2,10.0.0.1,127.0.0.1", "r-1"},
		{"an unproven one", "s3cret", false, forward(forged, overTLS, "X-Request-ID: r-2"), "invalid IP", "127.0.0.1", ""},
		{"PROXY: the id may be the client's", "", true, proxyHeader(testHost, true) + forward(forged, "X-Request-ID: r-3"), testHost, "127.0.0.1", ""},
		{"PROXY and the secret", "s3cret", true, proxyHeader(testHost, true) + forward("X-Weir-Proxy-Secret: s3cret", "X-Request-ID: r-4"), testHost, "127.0.0.1", "r-4"},
	} {
		var trail *auditTrail
		s := start(t, func(cfg *Config) {
			trail = audited(t, cfg, audit.Flood{})
			cfg.ProxyListen, cfg.ProxyProtocol, cfg.Origins = "127.0.0.1:0", c.protocol, nil // all that get so far are refused
			cfg.Trust = proxy.NewTrust([]netip.Prefix{netip.MustParsePrefix("127.0.0.1/32"), netip.MustParsePrefix("10.0.0.0/8")}, c.secret)
		})
		for _, look := range []string{"", proxyHeader(testHost, true)[:12] + "\x20\x00\x00\x00"} {
			if look == "" || c.protocol {
				nc := s.plain(t)
				_, _ = io.WriteString(nc, look)
				eventually(t, "the check", func() bool {
					return s.stats.Total(stats.BytesIn) == uint64(len(look)) && s.every(1, func(*conn) bool { return true })
				})
				_ = nc.Close()
				eventually(t, "its end", func() bool { return s.connections() == 0 })
			}
		}
		_, _ = io.WriteString(s.plain(t), c.in)
		e := trail.await(t, audit.UpgradeRefused, "*")
		if e.Addr.String() != c.addr || e.Proxy != c.proxy || e.RequestID != c.id {
			t.Errorf("%s: %v by %q, %q", c.name, e.Addr, e.Proxy, e.RequestID)
		}
		if n := trail.attempts(t); n != 1 {
			t.Errorf("%s: %d attempts, want 1", c.name, n)
		}
	}
}
