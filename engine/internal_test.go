package engine

import (
	"bytes"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
)

// Who can reach the internal listener and holds connections open takes no more
// descriptors than its share, and gives them back.
func TestInternalListenerBoundsItsConnections(t *testing.T) {
	s := start(t, nil)
	open := make([]net.Conn, 0, internalConnections)
	hold := func() {
		c, err := net.Dial("tcp", s.HealthAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		open = append(open, c)
	}
	for range internalConnections {
		hold()
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: testWait}
	scrape := func() error {
		response, err := client.Get("http://" + s.HealthAddr().String() + "/health")
		if err != nil {
			return err
		}
		return response.Body.Close()
	}
	eventually(t, "the listener is full", func() bool {
		if scrape() != nil {
			return true
		}
		hold() // on a slow machine those that came first have been sent away for their silence
		return false
	})
	if c, err := net.DialTimeout("tcp", s.APIAddr().String(), testWait); err != nil {
		t.Errorf("the other listener: %v", err)
	} else {
		c.Close()
	}
	s.client(t) // the public listener has its own
	for _, c := range open[:len(open)-internalConnections+1] {
		c.Close()
	}
	eventually(t, "a place is free again", func() bool { return scrape() == nil })
}

// TestAPIIsGuarded: New itself refuses an API that others reach without a certificate, whoever calls it.
func TestAPIIsGuarded(t *testing.T) {
	mutual, open := &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert}, &tls.Config{ClientAuth: tls.VerifyClientCertIfGiven}
	for _, c := range []struct {
		listen string
		tls    *tls.Config
		good   bool
	}{
		{"", nil, true}, {"127.0.0.1:0", nil, true}, {"[::1]:0", nil, true}, {"localhost:0", nil, true}, {"[::ffff:127.0.0.1]:0", nil, true},
		{":0", nil, false}, {"0.0.0.0:0", nil, false}, {"[::]:0", nil, false}, {"192.0.2.1:0", nil, false}, {"api.example.com:0", nil, false},
		{":0", open, false}, {":0", mutual, true}, {"127.0.0.1:0", open, true},
	} {
		cfg := Config{APIListen: c.listen, APITLS: c.tls}
		if got := cfg.apiGuarded(); got != c.good {
			t.Errorf("%q, %v: %v", c.listen, c.tls != nil, got)
		}
	}
	if _, err := New(Config{TLS: &tls.Config{}, Listen: "127.0.0.1:0", APIListen: ":0", Limits: DefaultLimits()}); err == nil || !strings.Contains(err.Error(), "--api-client-ca-file") {
		t.Errorf("New: %v", err)
	}
}

// TestHandshakeErrorsAreNotQuoted: what net/http says of them holds the peer's words. What
// it says of anything else stands behind words of ours, so that one limit is for all of it.
func TestHandshakeErrorsAreNotQuoted(t *testing.T) {
	var b bytes.Buffer
	log := slog.NewLogLogger(internalErrors{slog.NewTextHandler(&b, nil)}, slog.LevelWarn)
	log.Print("http: TLS handshake error from 192.0.2.1:1: CANARY")
	log.Print("http: another error")
	log.Print("http: panic serving 192.0.2.1:1: why")
	for i, line := range strings.Split(strings.TrimSpace(b.String()), "\n") {
		words := []string{"--api-client-ca-file", `msg="internal listener" error="http: another error"`, `msg="panic in a request to an internal listener" error=`}
		if strings.Contains(line, "CANARY") || i >= len(words) || !strings.Contains(line, words[i]) {
			t.Errorf("line %d is %s", i, line)
		}
	}
	if strings.Count(b.String(), "\n") != 3 {
		t.Errorf("the log is %s", b.String())
	}
}
