package engine

import (
	"net/http"
	"net/netip"
	"testing"
	"time"

	"weir/security/token"
)

// TestAuthFailures: an address that brought too many credentials that were none is no longer listened to, wherever it brings the
// next, good or bad; who is in stays, and after a while it is.
func TestAuthFailures(t *testing.T) {
	s := start(t, func(c *Config) { c.AllowAnonymous = true })
	good, bad := sign(t, "alice", "feeds:*"), sign(t, "alice", "feeds:*")+"x"
	expired := signClaims(t, token.SignClaims{Subject: "a", ExpiresAt: time.Now().Add(-time.Hour).Unix()})
	inside := s.connected(t, good)
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
	inside.mustDo(`"subscribe":{"channel":"feeds:a"}`)
	s.client(t).mustDo(`"connect":{}`) // nothing to look at
	inside.send(`{"id":9,"refresh":{"token":"` + good + `"}}`)
	inside.wantClose(3013)

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
