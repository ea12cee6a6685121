package engine

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"weir/security/token"
)

// TestAuthFailures: an address that brought too many credentials that were none is no longer listened to, wherever it brings the
// next, good or bad; who is in stays and may refresh, and after a while it is.
func TestAuthFailures(t *testing.T) {
	s := start(t, func(c *Config) { c.AllowAnonymous = true })
	good, bad := sign(t, "alice", "feeds:*"), sign(t, "alice", "feeds:*")+"x"
	expired := signClaims(t, token.SignClaims{Subject: "a", ExpiresAt: time.Now().Add(-time.Hour).Unix()})
	issued := func(ago time.Duration) string {
		now := s.clock.now()
		return signClaims(t, token.SignClaims{Subject: "alice", ExpiresAt: now.Add(time.Hour).Unix(), IssuedAt: now.Add(-ago).Unix()})
	}
	inside := s.connected(t, issued(time.Minute))
	status := func(path, jwt string, want int) {
		t.Helper()
		header := bearer(jwt)
		if jwt == "" {
			header = http.Header{"Origin": {testOrigin}}
		}
		ws, res, err := s.dial(path, header)
		if res == nil || res.StatusCode != want {
			t.Errorf("%s: %v, %v; want %d", path, res, err, want)
		}
		if err == nil {
			_ = ws.CloseNow()
		}
	}
	for range 3 { // what is merely over is no failure
		status(pathProtocol, expired, 401)
	}
	if n := s.shared.fails.Noted(); n != 0 {
		t.Errorf("%d failures of tokens that are over", n)
	}
	for range failureRate.Burst - 2 {
		s.shared.fails.Note(netip.MustParseAddr("127.0.0.1"), s.shared.clock())
	}
	status(pathProtocol, bad, 401)
	status(pathFeed+"?channel=feeds:a&ticket=abc", "", 401)
	status(pathProtocol, good, 429)
	status(pathProtocol+"?ticket=abc", "", 429)
	status(pathFeed+"?channel=feeds:a", good, 429)
	c := s.client(t)
	c.send(`{"id":1,"connect":{"token":"` + good + `"}}`)
	c.wantClose(3013)
	inside.mustDo(`"refresh":{"token":"` + issued(time.Second) + `"}`)
	inside.mustDo(`"subscribe":{"channel":"open:a","token":"` + signClaims(t, token.SignClaims{Subject: "alice", Channel: "open:a", ExpiresAt: time.Now().Add(time.Hour).Unix()}) + `"}`)
	nobody := s.client(t)
	nobody.mustDo(`"connect":{}`) // nothing to look at
	nobody.send(`{"id":9,"subscribe":{"channel":"feeds:a","token":"` + good + `"}}`)
	nobody.wantClose(3013)

	s.clock.move(time.Second)
	status(pathProtocol, good, 101)
	if m := s.metrics(t); m["weir_auth_failures_total"] != "100" || m["weir_auth_refused_total"] != "5" {
		t.Errorf("metrics: %s failed, %s refused", m["weir_auth_failures_total"], m["weir_auth_refused_total"])
	}
}

// TestAuthFailuresExempt: --limit-exempt is passed over.
func TestAuthFailuresExempt(t *testing.T) {
	s := start(t, func(c *Config) { c.Limits.Exempt = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	for range failureRate.Burst + 1 {
		s.shared.fails.Note(netip.MustParseAddr("127.0.0.1"), s.shared.clock())
	}
	s.connected(t, sign(t, "alice", "feeds:*"))
}

// TestAuthFailuresOfASession: who is in has a number of wrong tokens of its own, which count for its address too.
func TestAuthFailuresOfASession(t *testing.T) {
	s := start(t, nil)
	c, other := s.connected(t, sign(t, "alice", "feeds:*")), s.connected(t, sign(t, "alice", "feeds:*"))
	good := signClaims(t, token.SignClaims{Subject: "alice", Channel: "feeds:a", ExpiresAt: time.Now().Add(time.Hour).Unix()})
	for range sessionFailures {
		if reply := c.do(`"subscribe":{"channel":"feeds:a","token":"` + good + `x"}`); !strings.Contains(reply, `"code":103`) {
			t.Fatalf("a wrong token: %s", reply)
		}
	}
	c.send(`{"id":9,"subscribe":{"channel":"feeds:a","token":"` + good + `"}}`)
	c.wantClose(3013)
	other.mustDo(`"subscribe":{"channel":"feeds:a","token":"` + good + `"}`)
	if n := s.shared.fails.Noted(); n != sessionFailures {
		t.Errorf("%d failures of the address, want %d", n, sessionFailures)
	}
}
