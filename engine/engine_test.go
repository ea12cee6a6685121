package engine

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"weir/engine/clientproto"
	"weir/engine/stats"
	"weir/security/certs/certstest"
	"weir/security/grant"
	"weir/security/origin"
	"weir/security/token"
)

const (
	testOrigin = "https://app.example.com"
	testAPIKey = "test-api-key"
	testWait   = 2 * time.Minute // for what must happen; a test that passes does not wait
)

var testSecret = []byte("0123456789abcdef0123456789abcdef")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testLog shows the server's log beside the test that it belongs to.
type testLog struct{ t testing.TB }

func (l testLog) Write(b []byte) (int, error) {
	l.t.Logf("server: %s", b)
	return len(b), nil
}

// testClock is a server's clock. It stands until the test moves it, so that no
// deadline passes because the machine is slow, and none has to be waited for.
type testClock struct {
	mu    sync.Mutex
	at    time.Time
	since time.Time // when it began to run; zero: it stands
}

func (c *testClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.since.IsZero() {
		return c.at
	}
	return c.at.Add(time.Since(c.since))
}

func (c *testClock) in(d time.Duration) time.Time { return c.now().Add(d) }

func (c *testClock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// run lets it go from now on.
func (c *testClock) run() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.since = time.Now()
}

// testServer is a whole Server on ports of the system's choice.
type testServer struct {
	*Server
	t     testing.TB
	clock *testClock // stands until stop, unless the configuration has another
	roots *x509.CertPool
	stop  func() error // drains; the first call returns what Run returned

	shows    []tls.Certificate // what its clients show
	mayPanic bool              // panics are the test's subject
	config   Config            // as it was started
}

// start runs a server whose configuration change may adjust. Its clock stands:
// no pings, no deadlines, no full buckets before the test moves it.
func start(t testing.TB, change func(*Config)) *testServer {
	t.Helper()
	pair := certstest.NewServer(t)
	tokens, err := token.New(token.Config{HMACSecrets: [][]byte{testSecret}})
	if err != nil {
		t.Fatal(err)
	}
	origins, err := origin.Parse([]string{testOrigin})
	if err != nil {
		t.Fatal(err)
	}
	clock := &testClock{at: time.Now()}
	cfg := Config{
		Listen: "127.0.0.1:0", APIListen: "127.0.0.1:0", HealthListen: "127.0.0.1:0",
		TLS: &tls.Config{Certificates: []tls.Certificate{pair.TLS}}, Tokens: tokens, Origins: origins,
		APIKey: testAPIKey, Now: clock.now, Limits: DefaultLimits(), Pollers: 2, Version: "test",
		Log:        slog.New(slog.NewTextHandler(testLog{t}, &slog.HandlerOptions{Level: slog.LevelWarn})),
		Namespaces: []Namespace{{Name: "feeds"}, {Name: "open", AllowSubscribeForClient: true, AllowPublishForClient: true}},
	}
	cfg.Limits.DrainPeriod = 10 * time.Millisecond
	cfg.Limits.IPConnectRate = 0
	cfg.Limits.WriteTimeout = time.Hour // also the kernel's, whose clock goes on
	if change != nil {
		change(&cfg)
	}
	server, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s := &testServer{config: cfg, Server: server, t: t, clock: clock, roots: pair.Pool}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	stopped := false
	s.stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		clock.run()
		cancel()
		return <-ended
	}
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
		if n := server.stats.Total(stats.Panics); n != 0 && !s.mayPanic {
			t.Errorf("%d panics were contained", n)
		}
	})
	return s
}

func (s *testServer) url(path string) string { return "wss://" + s.Addr().String() + path }

func (s *testServer) tlsConfig() *tls.Config {
	return &tls.Config{RootCAs: s.roots, ServerName: "localhost", Certificates: s.shows}
}

func (s *testServer) httpClient() *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: s.tlsConfig(), DisableKeepAlives: true}}
}

// sign makes a token for user with sub and pub on the patterns.
func sign(t testing.TB, user string, patterns ...string) string {
	t.Helper()
	return signClaims(t, token.SignClaims{Subject: user, ExpiresAt: time.Now().Add(time.Hour).Unix(),
		Caps: []grant.Capability{{Channels: patterns, Match: "wildcard", Allow: []string{"sub", "pub"}}}})
}

func signClaims(t testing.TB, c token.SignClaims) string {
	t.Helper()
	jwt, err := token.Sign(testSecret, c)
	if err != nil {
		t.Fatal(err)
	}
	return jwt
}

// client speaks the client protocol over a WebSocket of another library.
type client struct {
	t     testing.TB
	ws    *websocket.Conn
	lines []string
	id    int
}

func (s *testServer) dial(path string, header http.Header) (*websocket.Conn, *http.Response, error) {
	if header == nil {
		header = http.Header{"Origin": {testOrigin}}
	}
	ctx, cancel := context.WithTimeout(context.Background(), testWait)
	defer cancel()
	return websocket.Dial(ctx, s.url(path), &websocket.DialOptions{HTTPClient: s.httpClient(), HTTPHeader: header})
}

func (s *testServer) client(t testing.TB) *client {
	t.Helper()
	ws, _, err := s.dial(pathProtocol, nil)
	if err != nil {
		t.Fatal(err)
	}
	ws.SetReadLimit(32 << 20)
	t.Cleanup(func() { _ = ws.CloseNow() })
	return &client{t: t, ws: ws}
}

// connected is a client that has finished connect.
func (s *testServer) connected(t testing.TB, jwt string) *client {
	t.Helper()
	c := s.client(t)
	c.mustDo(`"connect":{"token":"` + jwt + `"}`)
	return c
}

func (c *client) send(text string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testWait)
	defer cancel()
	if err := c.ws.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
		c.t.Fatalf("sending %.80q: %v", text, err)
	}
}

// next returns the next line that the server sends, pings answered.
func (c *client) next() (string, error) {
	for {
		if len(c.lines) > 0 {
			line := c.lines[0]
			c.lines = c.lines[1:]
			if line == clientproto.Ping {
				c.send(clientproto.Ping)
				continue
			}
			return line, nil
		}
		ctx, cancel := context.WithTimeout(context.Background(), testWait)
		_, message, err := c.ws.Read(ctx)
		cancel()
		if err != nil {
			return "", err
		}
		c.lines = strings.Split(string(message), "\n")
	}
}

func (c *client) mustNext() string {
	c.t.Helper()
	line, err := c.next()
	if err != nil {
		c.t.Fatalf("waiting for a line: %v", err)
	}
	return line
}

// mustDo sends a command and returns its reply, which must not be an error.
func (c *client) mustDo(command string) string {
	c.t.Helper()
	reply := c.do(command)
	if strings.Contains(reply, `"error"`) {
		c.t.Fatalf("%s: %s", command, reply)
	}
	return reply
}

func (c *client) do(command string) string {
	c.t.Helper()
	c.id++
	c.send(fmt.Sprintf(`{"id":%d,%s}`, c.id, command))
	for {
		line := c.mustNext()
		if strings.HasPrefix(line, fmt.Sprintf(`{"id":%d,`, c.id)) {
			return line
		}
	}
}

// wantClose reads until the connection ends and checks how it did.
func (c *client) wantClose(code int) {
	c.t.Helper()
	for {
		_, err := c.next()
		if err == nil {
			continue
		}
		var ce websocket.CloseError
		if !errors.As(err, &ce) {
			c.t.Fatalf("the connection ended with %v, want close %d", err, code)
		}
		if int(ce.Code) != code {
			c.t.Fatalf("close %d %q, want %d", ce.Code, ce.Reason, code)
		}
		if code >= 3000 && !clientproto.ValidReason(ce.Reason) {
			c.t.Fatalf("close %d has the reason %q: SDKs do not read it as meant", code, ce.Reason)
		}
		return
	}
}

// api calls the server API.
func (s *testServer) api(method, body string) map[string]any {
	s.t.Helper()
	req, err := http.NewRequest(http.MethodPost, "http://"+s.APIAddr().String()+"/api/"+method, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("X-API-Key", testAPIKey)
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: testWait}).Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	out := map[string]any{}
	if err := json.NewDecoder(res.Body).Decode(&out); err != nil {
		s.t.Fatalf("%s: status %d, %v", method, res.StatusCode, err)
	}
	return out
}

// raw is a TLS connection with nothing on it yet.
func (s *testServer) raw(t testing.TB) *tls.Conn {
	t.Helper()
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: testWait}, "tcp", s.Addr().String(), s.tlsConfig())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(testWait))
	return c
}

const rawUpgrade = "GET %s HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nOrigin: " + testOrigin + "\r\n\r\n"

// rawWebSocket is a TLS connection after the 101.
func (s *testServer) rawWebSocket(t testing.TB, path string) *tls.Conn {
	t.Helper()
	c := s.raw(t)
	if _, err := fmt.Fprintf(c, rawUpgrade, path); err != nil {
		t.Fatal(err)
	}
	head := readHead(t, c)
	if !strings.HasPrefix(head, "HTTP/1.1 101 ") {
		t.Fatalf("the answer is %q", head)
	}
	return c
}

// readHead reads byte by byte up to the empty line, and no further.
func readHead(t testing.TB, r io.Reader) string {
	t.Helper()
	var head []byte
	for one := make([]byte, 1); !strings.HasSuffix(string(head), "\r\n\r\n"); {
		if _, err := io.ReadFull(r, one); err != nil {
			t.Fatalf("reading the head: %v after %q", err, head)
		}
		head = append(head, one[0])
	}
	return string(head)
}

// eventually waits until ok, looking again whenever the loops have turned.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.After(testWait); !ok(); {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("%s did not come about in %v", what, testWait)
		}
	}
}

// every reports whether there are n connections of which ok holds.
func (s *testServer) every(n int, ok func(*conn) bool) bool {
	s.t.Helper()
	var found atomic.Int64
	s.onLoops(func(sh *shard) {
		sh.conns.each(func(c *conn) {
			if ok(c) {
				found.Add(1)
			}
		})
	})
	return found.Load() == int64(n)
}

// pings has n sessions pinged, and returns when their pongs are awaited.
func (s *testServer) pings(n int) {
	s.t.Helper()
	s.clock.move(s.policy.Load().limits.PingInterval + time.Second)
	eventually(s.t, "pings", func() bool { return s.every(n, func(c *conn) bool { return c.connected() && c.awaitPong }) })
}

// pongs waits for the pongs of n sessions.
func (s *testServer) pongs(n int) {
	s.t.Helper()
	eventually(s.t, "pongs", func() bool { return s.every(n, func(c *conn) bool { return c.connected() && !c.awaitPong }) })
}

// onLoops runs f on each shard's loop and waits.
func (s *testServer) onLoops(f func(*shard)) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testWait)
	defer cancel()
	// f has a goroutine of its own while the loop waits: ending it (t.Fatal) must
	// not end the loop.
	order := func(sh *shard) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			f(sh)
		}()
		<-done
	}
	if e := (node{s.Server}).everyShard(ctx, order); e != nil {
		s.t.Fatalf("the loops do not answer: %s", e.Message)
	}
}
