package peers

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"weir/bench/peers/internal/feed"
)

func (p programs) cert() string { return filepath.Join(p.folder, "cert.pem") }
func (p programs) key() string  { return filepath.Join(p.folder, "key.pem") }

// certificate writes a new one, ECDSA P-256 as in the benchmarks.
func (p programs) certificate(t *testing.T) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{p.cert(): {Type: "CERTIFICATE", Bytes: cert}, p.key(): {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func (p programs) roots() *x509.CertPool {
	roots := x509.NewCertPool()
	text, err := os.ReadFile(p.cert())
	if err != nil || !roots.AppendCertsFromPEM(text) {
		panic(err)
	}
	return roots
}

// subscriber is a client with what it has seen of each channel.
type subscriber struct {
	ctx      context.Context
	conn     *websocket.Conn
	line     feed.Line
	channels []string
	seen     map[string]int
	waiting  [][]byte // messages of a frame with several
}

// dial connects; what the server may not do is checked here.
func (p programs) dial(ctx context.Context, t *testing.T, address string) *websocket.Conn {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: p.clientTLS()}}
	conn, response, err := websocket.Dial(ctx, address, &websocket.DialOptions{
		HTTPClient: client, CompressionMode: websocket.CompressionContextTakeover, HTTPHeader: http.Header{"Origin": {"https://elsewhere.example"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.CloseNow() })
	suite := tls.TLS_AES_128_GCM_SHA256
	if strings.HasSuffix(t.Name(), "/nbhttp") { // which cannot be told otherwise
		suite = tls.TLS_CHACHA20_POLY1305_SHA256
	}
	if s := response.TLS; s == nil || s.Version != tls.VersionTLS13 || s.CipherSuite != suite {
		t.Errorf("not TLS 1.3 with %s: %+v", tls.CipherSuiteName(suite), s)
	}
	if chosen := response.Header.Get("Sec-WebSocket-Extensions"); chosen != "" {
		t.Errorf("extensions were chosen: %s", chosen)
	}
	return conn
}

func (p programs) subscribe(ctx context.Context, t *testing.T, line feed.Line, channels []string) *subscriber {
	t.Helper()
	s := &subscriber{ctx: ctx, line: line, channels: channels, seen: map[string]int{}}
	if line.Protocol == feed.Plain {
		s.conn = p.dial(ctx, t, line.URL+"?channel="+strings.Join(channels, "&channel="))
		return s
	}
	s.conn = p.dial(ctx, t, line.URL)
	commands := `{"id":1,"connect":{}}`
	for i, channel := range channels {
		commands += fmt.Sprintf("\n"+`{"id":%d,"subscribe":{"channel":%q}}`, i+2, channel)
	}
	if err := s.conn.Write(ctx, websocket.MessageText, []byte(commands)); err != nil {
		t.Fatal(err)
	}
	for range 1 + len(channels) {
		if reply := s.next(t); bytes.Contains(reply, []byte(`"error"`)) || !bytes.HasPrefix(reply, []byte(`{"id":`)) {
			t.Fatalf("a command was answered %s", reply)
		}
	}
	return s
}

// next is one message: of the frame before, if that had several.
func (s *subscriber) next(t *testing.T) []byte {
	t.Helper()
	for len(s.waiting) == 0 {
		_, message, err := s.conn.Read(s.ctx)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.SplitSeq(message, []byte("\n")) {
			if len(line) > 0 && string(line) != "{}" {
				s.waiting = append(s.waiting, line)
			}
		}
	}
	message := s.waiting[0]
	s.waiting = s.waiting[1:]
	return message
}

// expect reads n publications.
func (s *subscriber) expect(t *testing.T, n int) {
	t.Helper()
	for range n {
		s.one(t)
	}
}

// publication is a message of the feed, or of the push inside the protocol of Centrifugo.
type publication struct {
	Channel string
	Offset  int
	Epoch   string
	Data    *struct {
		N    int
		To   string
		Text string
	}
	Push *struct {
		Channel string
		Pub     *publication
	}
}

// one reads one publication, which must be the next of its channel.
func (s *subscriber) one(t *testing.T) {
	t.Helper()
	text := s.next(t)
	var got publication
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	if got.Push != nil && got.Push.Pub != nil { // history is off: there are no offsets
		got.Channel, got.Data, got.Epoch, got.Offset = got.Push.Channel, got.Push.Pub.Data, "e", s.seen[got.Push.Channel]+1
	}
	if got.Data == nil || got.Channel != got.Data.To || got.Data.N != s.seen[got.Channel] || got.Offset != got.Data.N+1 || got.Epoch != "e" {
		t.Fatalf("subscriber of %v, after %v: %s", s.channels, s.seen, text)
	}
	if n := got.Data.N; n < publications && got.Data.Text != "ä <&> \u2028 "+strings.Repeat("x", n) {
		t.Fatalf("the data arrived as %q", got.Data.Text)
	}
	s.seen[got.Channel]++
}

// echo sends a message to /echo.
func (p programs) echo(ctx context.Context, t *testing.T, line feed.Line) {
	t.Helper()
	conn := p.dial(ctx, t, strings.TrimSuffix(line.URL, "/feed")+"/echo")
	for _, text := range []string{"x", strings.Repeat("long ", 2000)} {
		if err := conn.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
			t.Fatal(err)
		}
		kind, got, err := conn.Read(ctx)
		if err != nil || kind != websocket.MessageText || string(got) != text {
			t.Errorf("%.20q came back as %v %.20q, %v", text, kind, got, err)
		}
	}
}
