package engine

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// listening is a boundedListener with room for so many, under a server whose handler waits for release at /slow.
func listening(t *testing.T, room int, release <-chan struct{}) (address string, l *boundedListener) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l = newBoundedListener(ln, room)
	server := &http.Server{ConnState: l.state, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-release
		}
	})}
	done := make(chan error)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	return ln.Addr().String(), l
}

// dialed opens a connection and, if there is a path, sends a request for it.
func dialed(t *testing.T, address, path string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if path != "" {
		if _, err := io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// statusLine is the first line of what c is answered; "" if it is closed instead.
func statusLine(t *testing.T, c net.Conn) string {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(testWait))
	line, err := bufio.NewReader(c).ReadString('\n')
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal("neither answered nor closed")
	}
	return strings.TrimSpace(line)
}

// asking is how many connections have a request that is being answered.
func (l *boundedListener) asking() (asking, open int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, since := range l.open {
		if since == 0 {
			asking++
		}
	}
	return asking, len(l.open)
}

// TestInternalListenerBoundsItsConnections: who can reach an internal listener and holds connections
// open takes no more descriptors than its share, and keeps out nobody who asks something.
func TestInternalListenerBoundsItsConnections(t *testing.T) {
	const room = 8
	address, l := listening(t, room, nil)
	var silent []net.Conn
	for i := range 3 * room {
		path := ""
		if i%2 == 0 { // it asks once, and then no more
			path = "/"
		}
		c := dialed(t, address, path)
		if path != "" && statusLine(t, c) != "HTTP/1.1 200 OK" {
			t.Errorf("connection %d is not served beside %d that ask nothing", i, len(silent))
		}
		silent = append(silent, c)
		eventually(t, "it waits", func() bool {
			asking, open := l.asking()
			return asking == 0 && open == min(i+1, room)
		})
	}
	for i, c := range silent[:2*room] {
		_ = c.SetReadDeadline(time.Now().Add(testWait))
		if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("connection %d, which waited for longer than others, is open", i)
		}
	}
	for _, c := range silent {
		c.Close()
	}
	eventually(t, "the places are free", func() bool {
		_, open := l.asking()
		return open == 0
	})
}

// TestInternalListenerKeepsWhoAsks: a request that is being answered gives its place to nobody.
func TestInternalListenerKeepsWhoAsks(t *testing.T) {
	const room = 4
	release := make(chan struct{})
	address, l := listening(t, room, release)
	var busy []net.Conn
	for range room {
		busy = append(busy, dialed(t, address, "/slow"))
	}
	eventually(t, "all are asking", func() bool {
		asking, _ := l.asking()
		return asking == room
	})
	if said := statusLine(t, dialed(t, address, "")); said != "" {
		t.Errorf("one too many is answered %q", said)
	}
	close(release)
	for _, c := range busy {
		if said := statusLine(t, c); said != "HTTP/1.1 200 OK" {
			t.Errorf("who asked is answered %q", said)
		}
	}
}

// TestBodiesThatDoNotCome: who has no key cannot hold a connection open by a body that he announces, as long
// as somebody who has it may take to send his.
func TestBodiesThatDoNotCome(t *testing.T) {
	s := start(t, nil)
	type attempt struct {
		net.Conn
		request, want string
	}
	var all []attempt // at once: each may take a moment
	for _, c := range []struct{ address, request, want string }{
		{s.APIAddr().String(), "POST /api/publish", "HTTP/1.1 401 Unauthorized"},
		{s.APIAddr().String(), "GET /health", "HTTP/1.1 200 OK"},
		{s.HealthAddr().String(), "GET /metrics", "HTTP/1.1 200 OK"},
		{s.HealthAddr().String(), "POST /api/publish", "HTTP/1.1 404 Not Found"},
	} {
		for _, length := range []string{"Content-Length: 1000", "Transfer-Encoding: chunked"} {
			a := attempt{dialed(t, c.address, ""), c.request + " HTTP/1.1\r\nHost: a\r\n" + length + "\r\n\r\n", c.want}
			if _, err := io.WriteString(a, a.request); err != nil {
				t.Fatal(err)
			}
			_ = a.SetReadDeadline(time.Now().Add(bodyTimeout / 2))
			all = append(all, a)
		}
	}
	for _, a := range all {
		text, err := io.ReadAll(a)
		if first, _, _ := strings.Cut(string(text), "\r\n"); err != nil || first != a.want {
			t.Errorf("%q: %q, %v; want %q and the end", a.request, first, err, a.want)
		}
	}
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
