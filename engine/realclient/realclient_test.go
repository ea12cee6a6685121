// Package realclient runs clients that others wrote against a whole server: the
// centrifuge SDK and ws in Node.js, OpenSSL's s_client, and the Go libraries
// coder/websocket and gorilla/websocket. What they take for granted of TLS, of
// RFC 6455 and RFC 7692, and of the client protocol is what their users will.
//
// A client in another process is driven over its standard input and output, a
// line an order or event, so tests wait for what happened and never for time
// to pass. A tool that is missing skips its tests and says so; with CI=true it
// fails them. Our own clients/js has its tests here too, over ws and in a browser;
// the demo page has its test in cmd/weir.
package realclient

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"weir/engine"
	"weir/security/certs"
	"weir/security/certs/certstest"
	"weir/security/grant"
	"weir/security/origin"
	"weir/security/token"
)

const (
	ourOrigin = "https://app.example.com"
	apiKey    = "test-api-key"
	longest   = 2 * time.Minute // for what must happen; a test that passes does not wait
	wsPath    = "/connection/websocket"
	echoPath  = "/echo"
	echoLimit = 16 << 20
)

var secret = []byte("0123456789abcdef0123456789abcdef")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// identity is a certificate that several servers may share.
type identity struct{ *certstest.Server }

func newIdentity(t testing.TB) *identity {
	t.Helper()
	return &identity{certstest.NewServer(t)}
}

// server is a whole engine on ports of the system's choice.
type server struct {
	*engine.Server
	*identity
	t       testing.TB
	origins *origin.List
	clock   *clock // stands until stop
	stop    func() // drains and waits; further calls do nothing
}

// serve runs a server with /echo whose configuration change may adjust. Its
// clock stands: no pings, no deadlines before the test moves it.
func serve(t testing.TB, change func(*engine.Config)) *server {
	t.Helper()
	return newIdentity(t).serve(t, change)
}

func (id *identity) serve(t testing.TB, change func(*engine.Config)) *server {
	t.Helper()
	store, err := certs.Load(id.CertFile, id.KeyFile, certs.Options{AllowSelfSigned: true})
	if err != nil {
		t.Fatal(err)
	}
	tlsConfig, err := certs.ServerConfig(certs.TLSOptions{Store: store})
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := token.New(token.Config{HMACSecrets: [][]byte{secret}})
	if err != nil {
		t.Fatal(err)
	}
	allowed, err := origin.Parse([]string{ourOrigin})
	if err != nil {
		t.Fatal(err)
	}
	clock := &clock{at: time.Now()}
	cfg := engine.Config{
		Listen: "127.0.0.1:0", APIListen: "127.0.0.1:0",
		TLS: tlsConfig, Tokens: tokens, Origins: allowed, APIKey: apiKey, Now: clock.now,
		Limits: engine.DefaultLimits(), Pollers: 2, Version: "test", EnableEcho: true,
		Namespaces: []engine.Namespace{{Name: "feeds"}},
	}
	cfg.Limits.DrainPeriod = 10 * time.Millisecond
	cfg.Limits.IPConnectRate = 0
	cfg.Limits.WriteTimeout = time.Hour // also the kernel's, whose clock goes on
	if change != nil {
		change(&cfg)
	}
	e, err := engine.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	s := &server{Server: e, identity: id, t: t, origins: cfg.Origins, clock: clock}
	stopped := false
	s.stop = func() {
		if stopped {
			return
		}
		stopped = true
		clock.run()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
	t.Cleanup(s.stop)
	return s
}

func (s *server) url(path string) string { return "wss://" + s.Addr().String() + path }

func (s *server) tlsConfig() *tls.Config {
	return &tls.Config{RootCAs: s.Pool, ServerName: "localhost"}
}

// sign makes a token for user with sub and pub on feeds:*.
func sign(t testing.TB, user string, life time.Duration) string {
	t.Helper()
	return signUntil(t, user, time.Now().Add(life))
}

func signUntil(t testing.TB, user string, end time.Time) string {
	t.Helper()
	jwt, err := token.Sign(secret, token.SignClaims{Subject: user, ExpiresAt: end.Unix(),
		Caps: []grant.Capability{{Channels: []string{"feeds:*"}, Match: "wildcard", Allow: []string{"sub", "pub"}}}})
	if err != nil {
		t.Fatal(err)
	}
	return jwt
}

// clock is a server's clock. It stands until the test moves it, so that nothing
// is over before a slow client came to use it; clients keep their own time.
type clock struct {
	mu    sync.Mutex
	at    time.Time
	since time.Time // when it began to run; zero: it stands
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.since.IsZero() {
		return c.at
	}
	return c.at.Add(time.Since(c.since))
}

func (c *clock) in(d time.Duration) time.Time { return c.now().Add(d) }

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// run lets it go from now on.
func (c *clock) run() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.since = time.Now()
}

// api calls the server API, which must not answer with an error. It returns the
// result.
func (s *server) api(method, body string) json.RawMessage {
	s.t.Helper()
	req, err := http.NewRequest(http.MethodPost, "http://"+s.APIAddr().String()+"/api/"+method, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("X-API-Key", apiKey)
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	var answer struct {
		Error           any
		Result, Replies json.RawMessage
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil || res.StatusCode != http.StatusOK || answer.Error != nil {
		s.t.Fatalf("%s: status %d, %v, %v", method, res.StatusCode, answer.Error, err)
	}
	if answer.Replies != nil {
		return answer.Replies
	}
	return answer.Result
}

// publish publishes JSON to a channel by the server API.
func (s *server) publish(channel, data string) {
	s.t.Helper()
	s.api("publish", fmt.Sprintf(`{"channel":%q,"data":%s}`, channel, data))
}

// missing skips the test, or with CI=true fails it, for want of a tool.
func missing(t testing.TB, what, mend string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("no %s: %s", what, mend)
	}
	t.Skipf("skipped for want of %s: %s", what, mend)
}
