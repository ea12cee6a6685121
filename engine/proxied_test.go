package engine

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"weir/engine/broker"
	"weir/engine/hub"
	"weir/engine/outbox"
	"weir/engine/stats"
	"weir/engine/ws"
	"weir/security/proxy"
)

// proxied is a server whose proxies are 127.0.0.1, with secret unless that is "".
func proxied(t testing.TB, secret string, change func(*Config)) *testServer {
	t.Helper()
	return start(t, func(c *Config) {
		c.ProxyListen, c.Trust = "127.0.0.1:0", trusting("127.0.0.1/32", secret)
		if change != nil {
			change(c)
		}
	})
}

func trusting(prefix, secret string) *proxy.Trust {
	return proxy.NewTrust([]netip.Prefix{netip.MustParsePrefix(prefix)}, secret)
}

// plain is a proxy's connection with nothing on it yet.
func (s *testServer) plain(t testing.TB) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", s.ProxyAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(testWait))
	return c
}

// forward is a request head as a proxy sends it, the fields last.
func forward(fields ...string) string {
	head := strings.TrimSuffix(fmt.Sprintf(rawUpgrade, pathProtocol), "\r\n")
	for _, f := range fields {
		head += f + "\r\n"
	}
	return head + "\r\n"
}

const (
	overTLS  = "X-Forwarded-Proto: https"
	fromOne  = "X-Forwarded-For: 192.0.2.1"
	testHost = "192.0.2.1"
)

// proxyHeader is a PROXY protocol v2 header for a client, over TLS or not.
func proxyHeader(client string, secure bool) string {
	from, to := netip.MustParseAddr(client), netip.MustParseAddr("198.51.100.1")
	family, addresses := byte(0x11), append(from.AsSlice(), to.AsSlice()...)
	if from.Is6() {
		family, addresses = 0x21, append(from.AsSlice(), make([]byte, 16)...)
	}
	body := append(addresses, 0x12, 0x67, 0x01, 0xbb)
	if secure {
		body = append(body, "\x20\x00\x0f\x01\x00\x00\x00\x00\x21\x00\x07TLSv1.3"...) // PP2_TYPE_SSL, PP2_CLIENT_SSL, the version
	}
	header := append([]byte("\r\n\r\n\x00\r\nQUIT\n\x21"), family)
	return string(append(binary.BigEndian.AppendUint16(header, uint16(len(body))), body...))
}

// answer sends in and returns the status of what comes back; 0 if it is closed
// without a byte.
func answer(t testing.TB, c net.Conn, in string) (status int, head http.Header) {
	t.Helper()
	if _, err := io.WriteString(c, in); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	switch ne := net.Error(nil); {
	case errors.As(err, &ne) && ne.Timeout():
		t.Fatalf("%.40q is not answered", in)
	case err != nil:
		return 0, nil
	}
	_ = res.Body.Close() // it is read to its end elsewhere, or a WebSocket
	return res.StatusCode, res.Header
}

// peers waits until the connections are those of these addresses.
func (s *testServer) peers(want ...string) {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("connections of %v", want), func() bool {
		for _, addr := range want {
			if !s.every(1, func(c *conn) bool { return c.phase == phaseOpen && c.peer == netip.MustParseAddr(addr) }) {
				return false
			}
		}
		return s.every(len(want), func(*conn) bool { return true })
	})
}

func TestProxiedByForwardedFor(t *testing.T) {
	s := proxied(t, "", nil)
	for _, c := range []struct {
		name   string
		fields []string
		status int
		peer   string
	}{
		{"one client", []string{fromOne, overTLS}, 101, testHost},
		{"the client's lie before it", []string{"X-Forwarded-For: 127.0.0.1, 198.51.100.7, 192.0.2.1", overTLS}, 101, testHost},
		{"the lie in a field of its own", []string{"X-Forwarded-For: 198.51.100.7", fromOne, overTLS}, 101, testHost},
		{"a proxy behind it", []string{"X-Forwarded-For: 192.0.2.1, 127.0.0.1", overTLS}, 101, testHost},
		{"IPv6", []string{"X-Forwarded-For: 2001:db8::1", overTLS}, 101, "2001:db8::1"},
		{"wss", []string{fromOne, "X-Forwarded-Proto: wss"}, 101, testHost},
		{"a secret nobody asked for", []string{fromOne, overTLS, "X-Weir-Proxy-Secret: s"}, 101, testHost},
		{"nothing", nil, 400, ""},
		{"no client", []string{overTLS}, 400, ""},
		{"proxies alone", []string{"X-Forwarded-For: 127.0.0.1", overTLS}, 400, ""},
		{"no address", []string{"X-Forwarded-For: unknown", overTLS}, 400, ""},
		{"no scheme", []string{fromOne}, 400, ""},
		{"two schemes", []string{fromOne, overTLS, "X-Forwarded-Proto: http"}, 400, ""},
		{"not TLS", []string{fromOne, "X-Forwarded-Proto: http"}, 403, ""},
		{"Forwarded is not read", []string{"Forwarded: for=192.0.2.1;proto=https"}, 400, ""},
		{"nor is X-Real-IP", []string{"X-Real-IP: 192.0.2.1", overTLS}, 400, ""},
	} {
		nc := s.plain(t)
		status, _ := answer(t, nc, forward(c.fields...))
		if status != c.status {
			t.Errorf("%s: %d, want %d", c.name, status, c.status)
		}
		if c.peer != "" {
			s.peers(c.peer)
		}
		_ = nc.Close()
		eventually(t, "the connection gone", func() bool { return s.connections() == 0 })
	}
	if n := s.shared.gate.Counters().Unmatched; n != 0 {
		t.Errorf("%d releases of what was not admitted", n)
	}
}

func TestProxySecret(t *testing.T) {
	s := proxied(t, "s3cret", nil)
	for fields, want := range map[string]int{
		"X-Weir-Proxy-Secret: s3cret": 101, "x-weir-proxy-secret:s3cret": 101,
		"X-Other: s3cret": 403, "X-Weir-Proxy-Secret: s3cre": 403, "X-Weir-Proxy-Secret: S3cret": 403, "X-Weir-Proxy-Secret:": 403,
		"X-Weir-Proxy-Secret: s3cret\r\nX-Weir-Proxy-Secret: s3cret": 400,
	} {
		if status, _ := answer(t, s.plain(t), forward(fromOne, overTLS, fields)); status != want {
			t.Errorf("%q: %d, want %d", fields, status, want)
		}
	}
	v2 := proxied(t, "s3cret", func(c *Config) { c.ProxyProtocol = true })
	for secret, want := range map[string]int{"s3cret": 101, "wrong": 403} {
		if status, _ := answer(t, v2.plain(t), proxyHeader(testHost, true)+forward("X-Weir-Proxy-Secret: "+secret)); status != want {
			t.Errorf("behind a PROXY header %q: %d, want %d", secret, status, want)
		}
	}
	s.reload(func(c *Config) { c.Trust = trusting("127.0.0.1/32", "another") })
	for secret, want := range map[string]int{"s3cret": 403, "another": 101} {
		if status, _ := answer(t, s.plain(t), forward(fromOne, overTLS, "X-Weir-Proxy-Secret: "+secret)); status != want {
			t.Errorf("after a reload %q: %d, want %d", secret, status, want)
		}
	}
}

func TestProxyProtocol(t *testing.T) {
	s := proxied(t, "", func(c *Config) { c.ProxyProtocol = true })
	good := proxyHeader(testHost, true)
	for _, c := range []struct {
		name, in string
		status   int
		peer     string
	}{
		{"over TLS", good + forward(), 101, testHost},
		{"IPv6", proxyHeader("2001:db8::1", true) + forward(), 101, "2001:db8::1"},
		{"the client's own fields", good + forward("X-Forwarded-For: 198.51.100.7", "X-Forwarded-Proto: http"), 101, testHost},
		{"in the clear", proxyHeader(testHost, false) + forward(), 403, ""},
		{"in the clear, the client says otherwise", proxyHeader(testHost, false) + forward(fromOne, overTLS), 403, ""},
		{"no header", forward(fromOne, overTLS), 0, ""},
		{"version 1", "PROXY TCP4 192.0.2.1 198.51.100.1 4711 443\r\n" + forward(), 0, ""},
		{"a TLS hello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 0, ""},
		{"longer than may be", good[:14] + "\xff\xff", 0, ""},
		{"UDP", good[:13] + "\x12" + good[14:], 0, ""},
		{"a health check", good[:12] + "\x20" + good[13:], 0, ""},
		{"two headers", good + good + forward(), 400, ""},
	} {
		nc := s.plain(t)
		status, _ := answer(t, nc, c.in)
		if status != c.status {
			t.Errorf("%s: %d, want %d", c.name, status, c.status)
		}
		if c.peer != "" {
			s.peers(c.peer)
		}
		_ = nc.Close()
		eventually(t, "the connection gone", func() bool { return s.connections() == 0 })
	}
	samples := s.metrics(t)
	for label, want := range map[string]string{"proxy_header": "3", "proxy_header_too_long": "1", "proxy_family": "1", "plain_client": "2"} {
		if got := samples[`weir_protocol_errors_total{kind="`+label+`"}`]; got != want {
			t.Errorf("%s counted %q times, want %s", label, got, want)
		}
	}
}

// TestProxyProtocolEverySplit gives the loop a header, a request and a frame in
// two pieces, cut anywhere, and byte by byte.
func TestProxyProtocolEverySplit(t *testing.T) {
	s := proxied(t, "", func(c *Config) { c.ProxyProtocol, c.Pollers, c.Limits.PingRate = true, 1, 0 })
	in := []byte(proxyHeader(testHost, true) + forward() + string(masked(ws.Header{Fin: true, Opcode: ws.OpPing}, "split")))
	header := len(proxyHeader(testHost, true))
	feed := func(name string, pieces ...[]byte) {
		nc := s.plain(t)
		eventually(t, "the connection", func() bool { return s.every(1, func(c *conn) bool { return c.phase == phaseHello }) })
		s.onLoops(func(sh *shard) {
			sh.conns.each(func(c *conn) {
				if c.phase != phaseHello {
					return
				}
				for _, p := range pieces {
					sh.Data(&c.Conn, p)
				}
			})
		})
		r := bufio.NewReader(nc)
		res, err := http.ReadResponse(r, nil)
		if err != nil || res.StatusCode != 101 {
			t.Fatalf("%s: %v, %v", name, res, err)
		}
		pong := make([]byte, 2+len("split"))
		if _, err := io.ReadFull(r, pong); err != nil || string(pong[2:]) != "split" {
			t.Fatalf("%s: %q, %v", name, pong, err)
		}
		s.peers(testHost)
		_ = nc.Close()
		eventually(t, "the connection gone", func() bool { return s.connections() == 0 })
	}
	for i := 1; i < len(in); i++ {
		if i > header+2 && i < len(in)-20 && i%16 != 0 {
			continue // heads have their own test of this
		}
		b := append([]byte(nil), in...) // frames are unmasked in place
		feed(fmt.Sprintf("cut at %d", i), b[:i], b[i:])
	}
	var bytewise [][]byte
	for i := range in {
		bytewise = append(bytewise, append([]byte(nil), in[i:i+1]...))
	}
	feed("byte by byte", bytewise...)
}

// TestUntrustedPeers: who is no proxy is closed at accept, whatever is sent.
func TestUntrustedPeers(t *testing.T) {
	for _, protocol := range []bool{false, true} {
		s := proxied(t, "", func(c *Config) { c.Trust, c.ProxyProtocol = trusting("127.0.0.2/32", ""), protocol })
		for range 3 {
			c, err := net.Dial("tcp", s.ProxyAddr().String())
			if err != nil {
				continue // already reset
			}
			_ = c.SetDeadline(time.Now().Add(testWait))
			_, _ = io.WriteString(c, proxyHeader(testHost, true)+forward(fromOne, overTLS))
			if b, err := io.ReadAll(c); len(b) > 0 || errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("answered %q, %v", b, err)
			}
			_ = c.Close()
		}
		eventually(t, "three refusals", func() bool { return s.metrics(t)[`weir_connections_refused_total{reason="untrusted"}`] == "3" })
		if n := s.stats.Total(stats.ConnectionsAccepted); n != 0 {
			t.Errorf("%d were let in", n)
		}
	}
}

// TestForgedHeadersOnThePublicListener: there nobody is a proxy, least of all who
// comes from a proxy's address.
func TestForgedHeadersOnThePublicListener(t *testing.T) {
	for _, protocol := range []bool{false, true} {
		s := proxied(t, "s3cret", func(c *Config) { c.ProxyProtocol = protocol })
		for _, fields := range [][]string{
			{"X-Forwarded-For: 192.0.2.1", overTLS, "X-Weir-Proxy-Secret: s3cret", "X-Request-ID: 1"},
			{"X-Forwarded-For: 192.0.2.1", "X-Forwarded-Proto: http"},
			{"X-Weir-Proxy-Secret: wrong", "X-Weir-Proxy-Secret: wrong"},
		} {
			c := s.raw(t)
			if status, _ := answer(t, c, forward(fields...)); status != 101 {
				t.Errorf("%q: %d", fields, status)
			}
			s.peers("127.0.0.1")
			_ = c.Close()
			eventually(t, "the connection gone", func() bool { return s.connections() == 0 })
		}
		if status, _ := answer(t, s.raw(t), proxyHeader(testHost, true)+forward()); status != 400 {
			t.Errorf("a PROXY header inside TLS: %d", status)
		}
		c, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(testWait))
		if status, _ := answer(t, c, proxyHeader(testHost, true)+forward()); status != 0 {
			t.Errorf("a PROXY header before TLS: %d", status)
		}
		_ = c.Close()
	}
}

// TestProxiedLimitsPerAddress: they are the clients'; the proxy has none, and is
// charged nothing before its client is known.
func TestProxiedLimitsPerAddress(t *testing.T) {
	for _, protocol := range []bool{false, true} {
		s := proxied(t, "", func(c *Config) {
			c.ProxyProtocol = protocol
			c.Limits.IPConnections, c.Limits.IPConnectRate, c.Limits.IPConnectBurst = 2, 1, 3
			c.Limits.Exempt = []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("127.0.0.1/32")}
		})
		come := func(client string) (net.Conn, int, http.Header) {
			c, in := s.plain(t), forward("X-Forwarded-For: "+client, overTLS)
			if protocol {
				in = proxyHeader(client, true) + forward()
			}
			status, head := answer(t, c, in)
			return c, status, head
		}
		refused := 429
		if protocol {
			refused = 0
		}
		for range 5 {
			s.plain(t) // of nobody yet
		}
		eventually(t, "five connections", func() bool { return s.connections() == 5 })
		if n := s.shared.gate.Counters().Admitted; n != 0 {
			t.Errorf("%d were charged before their client is known", n)
		}
		first, status, _ := come("192.0.2.1")
		_, second, _ := come("192.0.2.1")
		if status != 101 || second != 101 {
			t.Fatalf("%d, %d", status, second)
		}
		if _, status, head := come("192.0.2.1"); status != refused || refused != 0 && head.Get("Retry-After") == "" {
			t.Errorf("one too many: %d %v", status, head)
		}
		if _, status, _ := come("192.0.2.2"); status != 101 {
			t.Errorf("another client: %d", status)
		}
		for range 4 {
			if _, status, _ := come("198.51.100.9"); status != 101 {
				t.Errorf("an exempt client: %d", status)
			}
		}
		if !s.every(4, func(c *conn) bool { return c.exempt && c.link == linkClient }) {
			t.Error("who is exempt is not told by the client's address")
		}
		_ = first.Close()
		eventually(t, "the first gone", func() bool {
			return s.every(1, func(c *conn) bool { return c.peer == netip.MustParseAddr("192.0.2.1") })
		})
		if _, status, _ := come("192.0.2.1"); status != refused {
			t.Errorf("the rate: %d", status)
		}
		s.clock.move(2 * time.Second)
		if _, status, _ := come("192.0.2.1"); status != 101 {
			t.Errorf("later: %d", status)
		}
		if n := s.shared.gate.Counters().Unmatched; n != 0 {
			t.Errorf("%d releases of what was not admitted", n)
		}
	}
}

// TestProxiedDeadlines: drips extend neither the header's time nor the head's.
func TestProxiedDeadlines(t *testing.T) {
	header := proxyHeader(testHost, true)
	for _, c := range []struct {
		name     string
		protocol bool
		in       string
		label    string
	}{
		{"silence before a PROXY header", true, "", labelHandshakeTimeout},
		{"half a PROXY header", true, header[:20], labelHandshakeTimeout},
		{"silence behind a PROXY header", true, header, labelHeadTimeout},
		{"half a head behind a PROXY header", true, header + forward()[:40], labelHeadTimeout},
		{"silence", false, "", labelHeadTimeout},
		{"half a head", false, forward(fromOne)[:100], labelHeadTimeout},
	} {
		s := proxied(t, "", func(cfg *Config) {
			cfg.ProxyProtocol, cfg.Limits.HandshakeTimeout, cfg.Limits.HeadTimeout = c.protocol, 3*time.Second, 10*time.Second
		})
		nc := s.plain(t)
		if _, err := io.WriteString(nc, c.in); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the input", func() bool {
			return s.every(1, func(*conn) bool { return true }) && s.stats.Total(stats.BytesIn) == uint64(len(c.in))
		})
		if c.label == labelHeadTimeout {
			s.clock.move(7 * time.Second)
			s.onLoops(func(*shard) {}) // deadlines come after orders in a turn
			if !s.every(1, func(c *conn) bool { return c.phase == phaseHead }) {
				t.Errorf("%s: closed before its time", c.name)
			}
		}
		s.clock.move(4 * time.Second)
		if b, err := io.ReadAll(nc); len(b) > 0 || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %q, %v", c.name, b, err)
		}
		if got := s.metrics(t)[`weir_protocol_errors_total{kind="`+c.label+`"}`]; got != "1" {
			t.Errorf("%s: %s is %q", c.name, c.label, got)
		}
	}
}

// proxiedClient is a client behind a proxy that comes from address.
func (s *testServer) proxiedClient(t testing.TB, address string) *client {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testWait)
	defer cancel()
	c, _, err := websocket.Dial(ctx, "ws://"+s.ProxyAddr().String()+pathProtocol, &websocket.DialOptions{
		HTTPHeader: http.Header{"Origin": {testOrigin}, "X-Forwarded-For": {address}, "X-Forwarded-Proto": {"https"}},
		HTTPClient: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
	})
	if err != nil {
		t.Fatal(err)
	}
	c.SetReadLimit(32 << 20)
	t.Cleanup(func() { _ = c.CloseNow() })
	return &client{t: t, ws: c}
}

// TestProxiedSession: the same as over TLS, from the first command to the drain.
func TestProxiedSession(t *testing.T) {
	s := proxied(t, "", func(c *Config) {
		c.Compression = true
		c.Namespaces[0].HistorySize, c.Namespaces[0].HistoryTTL = 10, time.Hour
	})
	c, direct := s.proxiedClient(t, testHost), s.connected(t, sign(t, "bob", "feeds:*"))
	c.mustDo(`"connect":{"token":"` + sign(t, "alice", "feeds:*") + `"}`)
	c.mustDo(`"subscribe":{"channel":"feeds:a"}`)
	direct.mustDo(`"subscribe":{"channel":"feeds:a"}`)
	long := strings.Repeat("x", 60<<10) // several TLS records, one plain batch
	for i, data := range []string{`1`, `"` + long + `"`} {
		s.publish("feeds:a", data)
		for _, c := range []*client{c, direct} {
			if line := c.mustNext(); !strings.Contains(line, fmt.Sprintf(`"offset":%d`, i+1)) || !strings.Contains(line, data) {
				t.Fatalf("publication %d: %.80q", i+1, line)
			}
		}
	}
	c.mustDo(`"publish":{"channel":"feeds:a","data":"` + long + `"}`)
	if line := direct.mustNext(); !strings.Contains(line, long) {
		t.Errorf("what a proxied client publishes: %.80q", line)
	}
	s.pings(2)
	_ = c.do(`"history":{"channel":"feeds:a","limit":10}`) // reads and answers the ping on the way
	_ = direct.do(`"history":{"channel":"feeds:a","limit":10}`)
	s.pongs(2)

	big := s.proxiedClient(t, testHost)
	big.send(strings.Repeat(" ", 70<<10))
	big.wantClose(1009)
	stopped := make(chan error, 1)
	go func() { stopped <- s.stop() }()
	c.wantClose(3001)
	direct.wantClose(3001)
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// TestProxiedPipelining: commands right behind the request head wait for the 101,
// those behind a slow one for its answer.
func TestProxiedPipelining(t *testing.T) {
	s := proxied(t, "", nil)
	jwt := sign(t, "alice", "feeds:*")
	text := func(line string) string { return string(masked(ws.Header{Fin: true, Opcode: ws.OpText}, line)) }
	c := s.plain(t)
	in := forward(fromOne, overTLS, "Authorization: Bearer "+jwt) + text(`{"id":1,"connect":{}}`) + text(`{"id":2,"subscribe":{"channel":"feeds:a"}}`)
	for i := 3; i < 20; i++ {
		in += text(fmt.Sprintf(`{"id":%d,"publish":{"channel":"feeds:a","data":%d}}`, i, i))
	}
	if _, err := io.WriteString(c, in); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(c)
	if res, err := http.ReadResponse(r, nil); err != nil || res.StatusCode != 101 {
		t.Fatalf("%v, %v", res, err)
	}
	var got strings.Builder
	for one := make([]byte, 1); !strings.Contains(got.String(), `{"id":19,"publish":{}}`); {
		if _, err := io.ReadFull(r, one); err != nil {
			t.Fatalf("%v after %q", err, got.String())
		}
		got.Write(one)
	}
	for i := 1; i < 20; i++ {
		if !strings.Contains(got.String(), fmt.Sprintf(`{"id":%d,`, i)) {
			t.Errorf("no answer to %d: %q", i, got.String())
		}
	}
}

// TestNoAllocationBehindAProxy: messages in and publications out, as over TLS.
func TestNoAllocationBehindAProxy(t *testing.T) {
	if raceEnabled {
		t.Skip("skipped: the race detector allocates")
	}
	s := proxied(t, "", func(c *Config) { c.Pollers, c.Limits.PingInterval, c.Limits.PingRate = 1, 0, 0 })
	const n = 20
	text := func(line string) string { return string(masked(ws.Header{Fin: true, Opcode: ws.OpText}, line)) }
	for range n {
		if _, err := io.WriteString(s.plain(t), forward(fromOne, overTLS)+text(`{"id":1,"connect":{"token":"`+sign(t, "u", "feeds:*")+`"}}`)+
			text(`{"id":2,"subscribe":{"channel":"feeds:a"}}`)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all subscriptions", func() bool { return s.shared.hub.Subscribers("feeds:a") == n })
	s.onLoops(func(sh *shard) {
		c := sh.conns.at(firstOpen(sh))
		frame := &outbox.Frame{Plain: ws.AppendFrame(nil, ws.OpText, []byte(strings.Repeat("x", 64))), Topic: c.session.Subs()[0].Channel.ID}
		d := hub.Delivery{Channel: c.session.Subs()[0].Channel, Position: broker.Position{Offset: 1 << 40}, Frames: [hub.Forms]*outbox.Frame{hub.Protocol: frame}}
		deliver := func() {
			sh.spreadOut(&d)
			sh.sweep()
		}
		ping := masked(ws.Header{Fin: true, Opcode: ws.OpPing}, "ping")
		in := make([]byte, len(ping))
		receive := func() {
			copy(in, ping) // it is unmasked in place
			sh.Data(&c.Conn, in)
		}
		for name, run := range map[string]func(){"20 deliveries": deliver, "a message": receive} {
			for range 5 {
				run()
			}
			if n := testing.AllocsPerRun(100, run); n != 0 {
				t.Errorf("%s: %v allocations, want 0", name, n)
			}
		}
		if c.phase != phaseOpen {
			t.Error("the connection was closed")
		}
	})
}
