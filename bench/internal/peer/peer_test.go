package peer

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// patience is how long anything may take on a busy machine.
const patience = 5 * time.Minute

// TestNames: the peers are found, and Weir is among them.
func TestNames(t *testing.T) {
	names, err := Names(t.Context())
	if err != nil || !slices.Contains(names, Weir) || !slices.Contains(names, "gorilla") || !slices.Contains(names, "uws") {
		t.Errorf("%v, %v", names, err)
	}
	if _, err := Open(t.Context(), []string{"nobody"}); err == nil || !strings.Contains(err.Error(), `"nobody"`) {
		t.Errorf("a server that is not there: %v", err)
	}
}

// TestServers: Weir in both protocols, and a peer, start twice each; a subscriber gets what is published; they end.
func TestServers(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	names := []string{Weir, WeirFeed, "gorilla"}
	b, err := Open(ctx, names)
	if err != nil && os.Getenv("CI") != "true" && strings.Contains(err.Error(), "building gorilla") {
		t.Skipf("skipped: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		for _, name := range names {
			var log bytes.Buffer
			s, err := b.Start(ctx, name, "peer", &log)
			if err != nil {
				t.Fatal(err)
			}
			converse(ctx, t, s)
			cpu, err := s.CPU()
			rss, err2 := s.RSS()
			if err != nil || err2 != nil || cpu < 0 || rss < 1<<20 {
				t.Errorf("%s: CPU %v, %v; memory %d, %v", name, cpu, err, rss, err2)
			}
			if err := s.Stop(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if err := syscall.Kill(s.PID, 0); err == nil {
				t.Errorf("%s: process %d is still there", name, s.PID)
			}
			if log.Len() > 0 {
				t.Errorf("%s logged %s", name, &log)
			}
		}
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(b.folder); !os.IsNotExist(err) {
		t.Errorf("the folder is still there: %v", err)
	}
}

// converse subscribes, publishes and receives.
func converse(ctx context.Context, t *testing.T, s *Server) {
	t.Helper()
	authority, err := os.ReadFile(s.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13}}
	const channel = "peer-one"
	address := s.URL
	if s.Protocol == Feed {
		address += "?channel=" + channel
	}
	conn, _, err := websocket.Dial(ctx, address, &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: transport}, HTTPHeader: http.Header{"Authorization": {"Bearer " + s.Token}},
	})
	if err != nil {
		t.Fatalf("%s: %v", s.Name, err)
	}
	defer func() { _ = conn.CloseNow() }()
	if s.Protocol == Centrifugo {
		hello := fmt.Sprintf(`{"id":1,"connect":{"token":%q}}`+"\n"+`{"id":2,"subscribe":{"channel":%q}}`, s.Token, channel)
		if err := conn.Write(ctx, websocket.MessageText, []byte(hello)); err != nil {
			t.Fatal(err)
		}
		for replies := 0; replies < 2; {
			_, reply, err := conn.Read(ctx)
			if err != nil || bytes.Contains(reply, []byte(`"error"`)) {
				t.Fatalf("%s: %s, %v", s.Name, reply, err)
			}
			replies += bytes.Count(reply, []byte(`"id"`))
		}
	}
	if err := s.Publish(ctx, channel, []byte(`{"to":"you"}`)); err != nil {
		t.Fatal(err)
	}
	if _, message, err := conn.Read(ctx); err != nil || !bytes.Contains(message, []byte(`"data":{"to":"you"}`)) {
		t.Errorf("%s: %s, %v", s.Name, message, err)
	}
	if err := s.Publish(ctx, channel, []byte(`{`)); err == nil {
		t.Errorf("%s: what is not JSON is published", s.Name)
	}
}
