package realclient

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"weir/engine"
)

// TestSDKBehindNginx and TestSDKBehindHAProxy are a user's story through a real
// proxy, to the close code of the drain.
func TestSDKBehindNginx(t *testing.T) {
	t.Parallel()
	s := behind(t, proxyAddress, nil)
	story(t, s.nginx(t))
}

func TestSDKBehindHAProxy(t *testing.T) {
	t.Parallel()
	s := behind(t, "127.0.0.1", func(c *engine.Config) { c.ProxyProtocol = true })
	story(t, s.haproxy(t))
}

func story(t *testing.T, f *front) {
	t.Helper()
	n := f.s.connected(t, order{"url": f.url(wsPath)}, "feeds:a")
	f.s.mustReceive(n, "feeds:a", `{"n":1}`)
	n.do(order{"do": "publish", "channel": "feeds:a", "data": 2})
	n.both("published", "publication", chatter...)
	long := `"` + strings.Repeat("x", 60<<10) + `"`
	f.s.mustReceive(n, "feeds:a", long)
	f.s.clock.move(26 * time.Second)
	n.next("pong", "sent")
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		f.s.stop()
	}()
	if c := n.next("connecting", append(chatter, "subscribing")...); c.Code != 3001 || c.Reason == "" {
		t.Errorf("the drain: %d %q, want 3001", c.Code, c.Reason)
	}
	<-stopped
}

// TestClientsBehindNginx: limits count clients by the address that nginx names,
// whatever they write themselves.
func TestClientsBehindNginx(t *testing.T) {
	t.Parallel()
	s := behind(t, proxyAddress, oneEach)
	clients(t, s.nginx(t), http.StatusTooManyRequests)
}

func TestClientsBehindHAProxy(t *testing.T) {
	t.Parallel()
	s := behind(t, "127.0.0.1", func(c *engine.Config) {
		oneEach(c)
		c.ProxyProtocol = true
	})
	clients(t, s.haproxy(t), http.StatusBadGateway) // it is closed as on the public listener, which HAProxy tells so
}

// oneEach lets each address have one connection, and the proxy as many as it likes.
func oneEach(c *engine.Config) {
	c.Limits.IPConnections = 1
	c.Limits.Exempt = []netip.Prefix{netip.MustParsePrefix(proxyAddress + "/32")}
}

func clients(t *testing.T, f *front, refused int) {
	t.Helper()
	lies := http.Header{"X-Forwarded-For": {proxyAddress + ", 192.0.2.7"}, "X-Forwarded-Proto": {"http"},
		"X-Weir-Proxy-Secret": {"wrong"}, "X-Request-Id": {"theirs"}, "X-Real-Ip": {"192.0.2.8"}}
	if _, res, err := f.dial(t, "127.0.0.1", lies); err != nil {
		t.Fatalf("the first: %v, %v", res, err)
	}
	lies.Set("X-Forwarded-For", "192.0.2.9")
	if _, res, err := f.dial(t, "127.0.0.1", lies); err == nil || res == nil || res.StatusCode != refused {
		t.Errorf("one more of the same client: %v, %v; want %d", res, err, refused)
	}
	if _, res, err := f.dial(t, clientAddress, lies); err != nil {
		t.Errorf("another client: %v, %v", res, err)
	}
}

// TestProxiesThatSayTooLittle: each is refused, whatever its client says.
func TestProxiesThatSayTooLittle(t *testing.T) {
	t.Parallel()
	lies := http.Header{"X-Forwarded-For": {"192.0.2.7"}, "X-Forwarded-Proto": {"https"}, "X-Weir-Proxy-Secret": {"wrong"}}
	xff := behind(t, proxyAddress, nil)
	v2 := behind(t, "127.0.0.1", func(c *engine.Config) { c.ProxyProtocol = true })
	for _, c := range []struct {
		name   string
		front  *front
		status int
	}{
		{"nginx without the secret", xff.nginx(t, "include weir-proxy-secret.conf;", ""), http.StatusForbidden},
		{"nginx that passes the client's scheme on", xff.nginx(t, "X-Forwarded-Proto $scheme", "X-Forwarded-Proto http"), http.StatusForbidden},
		{"nginx that names no client", xff.nginx(t, "X-Forwarded-For   $proxy_add_x_forwarded_for", "X-Forwarded-For unknown"), http.StatusBadRequest},
		{"nginx where PROXY headers are due", v2.nginx(t), http.StatusBadGateway},
		{"HAProxy without the field of TLS", v2.haproxy(t, "send-proxy-v2-ssl check", "send-proxy-v2 check"), http.StatusForbidden},
		{"HAProxy with version 1", v2.haproxy(t, "send-proxy-v2-ssl check", "send-proxy check"), http.StatusBadGateway},
		{"HAProxy without the secret", v2.haproxy(t, `"${WEIR_PROXY_SECRET}"`, "wrong"), http.StatusForbidden},
		{"HAProxy where X-Forwarded-For is due", xff.haproxy(t), http.StatusBadGateway},
	} {
		if _, res, err := c.front.dial(t, "127.0.0.1", lies); err == nil || res == nil || res.StatusCode != c.status {
			t.Errorf("%s: %v, %v; want %d", c.name, res, err, c.status)
		}
	}
}
