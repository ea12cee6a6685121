package client_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"weir/engine/ws"
	"weir/loadtest/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen.
const patience = 2 * time.Minute

// serve runs a WebSocket server over TLS 1.3 that is not ours.
func serve(t *testing.T, config *tls.Config, each func(ctx context.Context, c *websocket.Conn)) client.Target {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/socket" {
			http.NotFound(w, r)
			return
		}
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"second"}})
		if err != nil {
			return
		}
		defer c.CloseNow()
		c.SetReadLimit(-1)
		each(r.Context(), c)
	}))
	s.TLS = config
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return client.Target{
		URL: "wss" + strings.TrimPrefix(s.URL, "https") + "/socket", Timeout: patience,
		CAs: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}),
	}
}

func echo(ctx context.Context, c *websocket.Conn) {
	for {
		kind, b, err := c.Read(ctx)
		if err != nil {
			return
		}
		if code, ok := strings.CutPrefix(string(b), "close "); ok {
			var n websocket.StatusCode
			_, _ = fmt.Sscan(code, &n)
			_ = c.Close(n, "as asked")
			return
		}
		if c.Write(ctx, kind, b) != nil {
			return
		}
	}
}

// seen collects what a loop tells.
type seen struct {
	mu       sync.Mutex
	changed  chan struct{}
	conns    map[uint32]*client.Conn
	messages map[uint32][]string
	ends     map[uint32]*client.End
}

func newSeen() *seen {
	return &seen{
		changed: make(chan struct{}, 1), conns: map[uint32]*client.Conn{}, messages: map[uint32][]string{}, ends: map[uint32]*client.End{},
	}
}

func (s *seen) note(f func()) {
	s.mu.Lock()
	f()
	s.mu.Unlock()
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

func (s *seen) Opened(c *client.Conn) { s.note(func() { s.conns[c.Tag] = c }) }
func (s *seen) Text(c *client.Conn, m []byte, _ time.Time) {
	s.note(func() { s.messages[c.Tag] = append(s.messages[c.Tag], string(m)) })
}
func (s *seen) Closed(c *client.Conn, end *client.End) { s.note(func() { s.ends[c.Tag] = end }) }

// await waits until ok, which is called with the lock held.
func (s *seen) await(t *testing.T, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		s.mu.Lock()
		done := ok()
		s.mu.Unlock()
		if done {
			return
		}
		select {
		case <-s.changed:
		case <-deadline.C:
			t.Fatalf("waited in vain: %d open, messages %.200v, ends %v", len(s.conns), s.messages, s.ends)
		}
	}
}

func dial(t *testing.T, d *client.Dialer, i int) (*client.Line, client.Timing) {
	t.Helper()
	l, took, err := d.Dial(t.Context(), i, "")
	if err != nil {
		t.Fatal(err)
	}
	return l, took
}

func loop(t *testing.T, s *seen) *client.Loop {
	t.Helper()
	l, err := client.NewLoop(s, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Stop)
	return l
}

// TestAdoptedConnectionsGoOn: whatever was said on a Line, and whatever cipher,
// the Conn reads and writes on where it stopped, with nothing lost in between.
func TestAdoptedConnectionsGoOn(t *testing.T) {
	target := serve(t, nil, echo)
	target.Subprotocols = []string{"first", "second"}
	d, err := client.NewDialer(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	s := newSeen()
	l := loop(t, s)
	const conns = 20
	for i := range conns {
		line, _ := dial(t, d, i)
		if line.Protocol() != "second" {
			t.Fatalf("protocol %q", line.Protocol())
		}
		for n := range i { // so many records under the keys already
			want := strings.Repeat("x", 1000*n)
			if err := line.Send(ws.OpText, []byte(want)); err != nil {
				t.Fatal(err)
			}
			if got, err := line.Next(); err != nil || string(got) != want {
				t.Fatalf("%d bytes, %v; want %d", len(got), err, len(want))
			}
		}
		for n := range i % 4 { // on their way while the loop takes over
			if err := line.Send(ws.OpText, fmt.Appendf(nil, "early %d", n)); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Adopt(line, uint32(i)); err != nil {
			t.Fatal(err)
		}
	}
	s.await(t, func() bool { return len(s.conns) == conns })
	long := strings.Repeat("y", 300_000)
	l.Do(func() {
		for _, c := range s.conns {
			c.Send(ws.OpText, []byte("late"))
			c.Send(ws.OpText, []byte(long))
		}
	})
	for i := range uint32(conns) {
		var want []string
		for n := range i % 4 {
			want = append(want, fmt.Sprintf("early %d", n))
		}
		want = append(want, "late", long)
		var got []string
		s.await(t, func() bool { got = slices.Clone(s.messages[i]); return len(got) >= len(want) })
		if !slices.Equal(got, want) {
			t.Errorf("connection %d: %.100v", i, got)
		}
	}
	l.Do(func() { s.conns[3].Send(ws.OpText, []byte("close 4321")); s.conns[4].Cut() })
	s.await(t, func() bool { return len(s.ends) == 2 })
	if end := s.ends[3]; end.Code != 4321 || end.Reason != "as asked" {
		t.Errorf("%+v", end)
	}
	if end := s.ends[4]; end.Code != 0 || end.Err != nil {
		t.Errorf("%+v", end)
	}
}

// TestLeftoverOfTheLine: messages that came in one record with the last that the
// line returned belong to the loop.
func TestLeftoverOfTheLine(t *testing.T) {
	release := make(chan struct{})
	target := serve(t, nil, func(ctx context.Context, c *websocket.Conn) {
		for i := range 50 {
			_ = c.Write(ctx, websocket.MessageText, fmt.Appendf(nil, "%d", i))
		}
		<-release
		_ = c.Write(ctx, websocket.MessageText, []byte("50"))
		_, _, _ = c.Read(ctx)
	})
	d, err := client.NewDialer(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	line, _ := dial(t, d, 0)
	for i := range 7 {
		if m, err := line.Next(); err != nil || string(m) != fmt.Sprint(i) {
			t.Fatalf("%q %v", m, err)
		}
	}
	s := newSeen()
	l := loop(t, s)
	if err := l.Adopt(line, 0); err != nil {
		t.Fatal(err)
	}
	s.await(t, func() bool { return len(s.messages[0]) >= 43 })
	close(release)
	var got []string
	s.await(t, func() bool { got = slices.Clone(s.messages[0]); return len(got) >= 44 })
	for i, m := range got {
		if m != fmt.Sprint(7+i) {
			t.Fatalf("message %d is %q", 7+i, m)
		}
	}
}

// TestResumption: a Resuming dialer's second connection resumes, another's does not.
func TestResumption(t *testing.T) {
	target := serve(t, nil, echo)
	d, err := client.NewDialer(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		d    *client.Dialer
		want bool
	}{{d, false}, {d.Resuming(), true}} {
		for i := range 3 {
			line, took := dial(t, c.d, i)
			if took.Resumed != (c.want && i > 0) {
				t.Errorf("connection %d: resumed %t", i, took.Resumed)
			}
			// The ticket is read with the first record.
			if err := line.Send(ws.OpText, []byte("a")); err != nil {
				t.Fatal(err)
			}
			if _, err := line.Next(); err != nil {
				t.Fatal(err)
			}
			if err := line.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestVerification: a server whose chain or name is not right is refused, and
// there is no way around it.
func TestVerification(t *testing.T) {
	target := serve(t, nil, echo)
	strange := target
	strange.CAs = nil
	d, err := client.NewDialer(t.Context(), strange)
	if err != nil {
		t.Fatal(err)
	}
	var unknown x509.UnknownAuthorityError
	if _, _, err := d.Dial(t.Context(), 0, ""); !errors.As(err, &unknown) {
		t.Errorf("an unknown authority: %v", err)
	}
	renamed := target
	renamed.URL = strings.Replace(target.URL, "127.0.0.1", "localhost", 1)
	if d, err = client.NewDialer(t.Context(), renamed); err != nil {
		t.Fatal(err)
	}
	var name x509.HostnameError
	if _, _, err := d.Dial(t.Context(), 0, ""); !errors.As(err, &name) {
		t.Errorf("another name: %v", err)
	}
	for _, url := range []string{"ws://127.0.0.1:1/", "https://127.0.0.1:1/", "wss://a:b@127.0.0.1:1/", "%"} {
		if _, err := client.NewDialer(t.Context(), client.Target{URL: url}); err == nil {
			t.Errorf("%s is accepted", url)
		}
	}
}

// TestPins: a chain that is good is not enough where keys are pinned, also on
// connections that resume.
func TestPins(t *testing.T) {
	target := serve(t, nil, echo)
	block, _ := pem.Decode(target.CAs)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	right := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	wrong := sha256.Sum256(cert.RawSubject)
	for _, c := range []struct {
		pins [][]byte
		good bool
	}{{[][]byte{right[:]}, true}, {[][]byte{wrong[:], right[:]}, true}, {[][]byte{wrong[:]}, false}, {[][]byte{nil}, false}} {
		target.Pins = c.pins
		d, err := client.NewDialer(t.Context(), target)
		if err != nil {
			t.Fatal(err)
		}
		d = d.Resuming()
		for i := range 2 {
			line, _, err := d.Dial(t.Context(), i, "")
			if (err == nil) != c.good {
				t.Errorf("%x: %v", c.pins, err)
			}
			if err != nil {
				continue
			}
			if err := line.Send(ws.OpText, []byte("a")); err != nil {
				t.Fatal(err)
			}
			if _, err := line.Next(); err != nil {
				t.Fatal(err)
			}
			_ = line.Close()
		}
	}
}

// TestQueries: a query goes behind the URL's own.
func TestQueries(t *testing.T) {
	asked := make(chan string, 1)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked <- r.RequestURI }))
	s.StartTLS()
	defer s.Close()
	for url, want := range map[string]string{"/socket": "/socket?a=b&c=d", "/socket?x=y": "/socket?x=y&a=b&c=d"} {
		d, err := client.NewDialer(t.Context(), client.Target{
			URL: "wss" + strings.TrimPrefix(s.URL, "https") + url, Timeout: patience,
			CAs: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}),
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := d.With("?a=b&c=d").Dial(t.Context(), 0, ""); err == nil {
			t.Error("no upgrade, and no error")
		}
		if got := <-asked; got != want {
			t.Errorf("%s, wanted %s", got, want)
		}
	}
}

// TestRefusals: what is no 101 is told with its status.
func TestRefusals(t *testing.T) {
	target := serve(t, nil, echo)
	target.URL = strings.Replace(target.URL, "/socket", "/elsewhere", 1)
	d, err := client.NewDialer(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	var refusal *client.Refusal
	if _, _, err := d.Dial(t.Context(), 0, ""); !errors.As(err, &refusal) || !strings.Contains(refusal.Status, "404") {
		t.Errorf("%v", err)
	}
}

// TestTLS12IsRefused: a Conn is possible with TLS 1.3 only.
func TestTLS12IsRefused(t *testing.T) {
	target := serve(t, &tls.Config{MaxVersion: tls.VersionTLS12}, echo)
	d, err := client.NewDialer(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := d.Dial(t.Context(), 0, ""); err == nil || !strings.Contains(err.Error(), "version") {
		t.Errorf("%v", err)
	}
}

// TestGroups: the key exchange is done in a group that was offered, or not at all.
func TestGroups(t *testing.T) {
	target := serve(t, &tls.Config{CurvePreferences: []tls.CurveID{tls.CurveP256}}, echo)
	for _, test := range []struct {
		offered []tls.CurveID
		good    bool
	}{{nil, true}, {[]tls.CurveID{tls.CurveP256}, true}, {[]tls.CurveID{tls.X25519}, false}} {
		target.Groups = test.offered
		d, err := client.NewDialer(t.Context(), target)
		if err != nil {
			t.Fatal(err)
		}
		l, _, err := d.Dial(t.Context(), 0, "")
		if err == nil {
			err = l.Close()
		} else if test.good || !strings.Contains(err.Error(), "handshake failure") {
			t.Errorf("%v: %v", test.offered, err)
		}
		if (err == nil) != test.good {
			t.Errorf("%v: %v", test.offered, err)
		}
	}
}
