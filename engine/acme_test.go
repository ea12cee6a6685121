package engine

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/acme"

	"weir/security/certs"
)

// certAuthority is an ACME server (RFC 8555) as far as a client needs one. It checks what it certifies by TLS-ALPN-01
// (RFC 8737) at the address that it is told, and no signatures of requests.
type certAuthority struct {
	*httptest.Server
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey

	mu       sync.Mutex
	at       string                    // address of who proves its names
	account  bool                      // there is one
	contact  []string                  // whom it named
	names    []string                  // of the order
	proven   map[string]bool           // by name
	chain    []byte                    // PEM, when it is issued
	change   func(c *x509.Certificate) // of what it issues; nil: nothing
	orders   int
	problem  string // what it answers orders with; "": nothing is wrong
	failures []error
}

func newCertAuthority(t testing.TB) *certAuthority {
	t.Helper()
	a := &certAuthority{t: t, proven: map[string]bool{}}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	root := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "fake authority"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(1000 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, root, root, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.Server = httptest.NewTLSServer(http.HandlerFunc(a.serve))
	t.Cleanup(a.Close)
	return a
}

// payload is what a request says inside its signature.
func payload(r *http.Request, into any) error {
	var jws struct{ Payload string }
	if err := json.NewDecoder(r.Body).Decode(&jws); err != nil {
		return err
	}
	b, err := base64.RawURLEncoding.DecodeString(jws.Payload)
	if err != nil || into == nil || len(b) == 0 {
		return err
	}
	return json.Unmarshal(b, into)
}

func (a *certAuthority) serve(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	w.Header().Set("Replay-Nonce", rand.Text())
	say := func(status int, location string, body any) {
		if location != "" {
			w.Header().Set("Location", a.URL+location)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(body)
	}
	order := func() map[string]any {
		o := map[string]any{"status": "pending", "finalize": a.URL + "/finalize", "identifiers": []any{}}
		var auths, ids []any
		ready := true
		for i, name := range a.names {
			ids, auths = append(ids, map[string]string{"type": "dns", "value": name}), append(auths, fmt.Sprintf("%s/auth/%d", a.URL, i))
			ready = ready && a.proven[name]
		}
		o["identifiers"], o["authorizations"] = ids, auths
		if ready {
			o["status"] = "ready"
		}
		if a.chain != nil {
			o["status"], o["certificate"] = "valid", a.URL+"/cert"
		}
		return o
	}
	path, n := r.URL.Path, -1
	if head, digits, found := strings.Cut(path[1:], "/"); found {
		path = "/" + head
		_, _ = fmt.Sscan(digits, &n)
	}
	switch path {
	case "/dir":
		say(200, "", map[string]any{"newNonce": a.URL + "/nonce", "newAccount": a.URL + "/account", "newOrder": a.URL + "/new",
			"meta": map[string]string{"termsOfService": a.URL + "/terms"}})
	case "/nonce":
	case "/account":
		var said struct{ Contact []string }
		_ = payload(r, &said)
		if a.account {
			say(200, "/acct", map[string]string{"status": "valid"})
			return
		}
		a.account, a.contact = true, said.Contact
		say(201, "/acct", map[string]string{"status": "valid"})
	case "/new":
		a.orders++
		if a.problem != "" {
			say(403, "", map[string]string{"type": "urn:ietf:params:acme:error:rejectedIdentifier", "detail": a.problem})
			return
		}
		var said struct{ Identifiers []struct{ Value string } }
		if err := payload(r, &said); err != nil {
			a.failures = append(a.failures, err)
		}
		a.names, a.chain, a.proven = nil, nil, map[string]bool{}
		for _, id := range said.Identifiers {
			a.names = append(a.names, id.Value)
		}
		say(201, "/order", order())
	case "/order":
		say(200, "/order", order())
	case "/auth", "/challenge":
		name, status := a.names[n], "pending"
		if path == "/challenge" {
			if err := a.verify(name); err != nil {
				a.failures = append(a.failures, err)
				status = "invalid"
			} else {
				a.proven[name] = true
			}
		}
		if a.proven[name] {
			status = "valid"
		} else if len(a.failures) > 0 {
			status = "invalid"
		}
		challenge := map[string]string{"type": "tls-alpn-01", "url": fmt.Sprintf("%s/challenge/%d", a.URL, n), "token": "token-of-" + name, "status": status}
		if path == "/challenge" {
			say(200, "", challenge)
			return
		}
		say(200, "", map[string]any{"status": status, "identifier": map[string]string{"type": "dns", "value": name}, "challenges": []any{challenge}})
	case "/finalize":
		var said struct{ CSR string }
		if err := payload(r, &said); err != nil {
			a.failures = append(a.failures, err)
		}
		a.issue(said.CSR)
		say(200, "/order", order())
	case "/cert":
		_, _ = w.Write(a.chain)
	default:
		http.NotFound(w, r)
	}
}

// verify is what RFC 8737 §3 has an authority do.
func (a *certAuthority) verify(name string) error {
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: testWait}, "tcp", a.at, &tls.Config{
		ServerName: name, NextProtos: []string{acme.ALPNProto}, InsecureSkipVerify: true, // it signs itself: that it holds the digest is the proof
	})
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	defer c.Close()
	state := c.ConnectionState()
	leaf := state.PeerCertificates[0]
	if state.NegotiatedProtocol != acme.ALPNProto || !slices.Equal(leaf.DNSNames, []string{name}) {
		return fmt.Errorf("%s: protocol %q, names %v", name, state.NegotiatedProtocol, leaf.DNSNames)
	}
	for _, extension := range leaf.Extensions {
		if extension.Id.Equal(asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 31}) && extension.Critical && len(extension.Value) == 2+sha256.Size {
			_, err := c.Read(make([]byte, 1))
			if !errors.Is(err, io.EOF) {
				return fmt.Errorf("%s: the connection is not closed in order: %w", name, err)
			}
			return nil
		}
	}
	return fmt.Errorf("%s: no acmeIdentifier", name)
}

func (a *certAuthority) issue(encoded string) {
	der, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		a.failures = append(a.failures, err)
		return
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil || csr.CheckSignature() != nil || !slices.Equal(csr.DNSNames, a.names) {
		a.failures = append(a.failures, fmt.Errorf("request for %v: %w", csr, err))
		return
	}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(int64(1 + a.orders)), DNSNames: csr.DNSNames, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(89 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true}
	if a.change != nil {
		a.change(leaf)
	}
	der, err = x509.CreateCertificate(rand.Reader, leaf, a.cert, csr.PublicKey, a.key)
	if err != nil {
		a.failures = append(a.failures, err)
		return
	}
	for _, c := range [][]byte{der, a.cert.Raw} {
		a.chain = append(a.chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c})...)
	}
}

// with runs f while no request is served.
func (a *certAuthority) with(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f()
}

// certified runs a server that has the authority certify it, by the clock; told gets what the operator is.
func (a *certAuthority) certified(t *testing.T, cache string, now func() time.Time) (s *testServer, told chan certs.Notice) {
	t.Helper()
	transport := a.Client().Transport.(*http.Transport).Clone()
	transport.DisableKeepAlives = true
	keeper, err := certs.LoadACME(certs.ACMEOptions{
		Domains: []string{"push.example.com", "Feed.example.com"}, Cache: cache, Email: "ops@example.com", Directory: a.URL + "/dir", Now: now,
		Client: &acme.Client{HTTPClient: &http.Client{Transport: transport}, RetryBackoff: func(int, *http.Request, *http.Response) time.Duration { return -1 }},
	})
	if err != nil {
		t.Fatal(err)
	}
	config, err := certs.ServerConfig(certs.TLSOptions{ACME: keeper})
	if err != nil {
		t.Fatal(err)
	}
	s = start(t, func(c *Config) { c.TLS, c.AllowAnonymous = config, true })
	a.with(func() { a.at = cmp.Or(a.at, s.Addr().String()) })
	s.roots = x509.NewCertPool()
	s.roots.AddCert(a.cert)
	ctx, cancel := context.WithCancel(context.Background())
	told = make(chan certs.Notice, 100)
	var run sync.WaitGroup
	run.Go(func() { keeper.Run(ctx, func(n *certs.Notice) { told <- *n }) })
	t.Cleanup(func() {
		cancel()
		run.Wait()
	})
	return s, told
}

func mustBeTold(t testing.TB, told chan certs.Notice, id string) certs.Notice {
	t.Helper()
	select {
	case n := <-told:
		if n.ID != id {
			t.Fatalf("told %s %v, want %s", n.ID, n.Attrs, id)
		}
		return n
	case <-time.After(testWait):
		t.Fatalf("never told %s", id)
	}
	panic("not reached")
}

// TestACME is row T7: a server without a certificate gets one for its names, proven on its own listener, serves and keeps it, so
// that the next start asks nobody.
func TestACME(t *testing.T) {
	a := newCertAuthority(t)
	cache := filepath.Join(t.TempDir(), "acme")
	s, told := a.certified(t, cache, nil)
	mustBeTold(t, told, certs.CertificateReplaced)
	a.with(func() {
		if len(a.failures) > 0 || a.orders != 1 || !slices.Equal(a.contact, []string{"mailto:ops@example.com"}) {
			t.Errorf("%d orders, contact %v, %v", a.orders, a.contact, a.failures)
		}
	})
	connect := func(s *testServer) {
		t.Helper()
		for _, name := range []string{"push.example.com", "feed.example.com"} {
			c, err := tls.Dial("tcp", s.Addr().String(), &tls.Config{RootCAs: s.roots, ServerName: name})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := fmt.Fprintf(c, rawUpgrade, pathProtocol); err != nil {
				t.Fatal(err)
			}
			if head := readHead(t, c); !strings.HasPrefix(head, "HTTP/1.1 101 ") {
				t.Errorf("%s: %s", name, head)
			}
			_ = c.Close()
		}
	}
	connect(s)
	for name, mode := range map[string]os.FileMode{".": 0o700, "account.pem": 0o600, "certificate.pem": 0o600} {
		if info, err := os.Stat(filepath.Join(cache, name)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if left, _ := os.ReadDir(cache); len(left) != 2 {
		t.Errorf("%d files", len(left))
	}
	// No proof is shown when none is asked for, not even to whoever asks as the authority does.
	a.with(func() {
		if err := a.verify("push.example.com"); err == nil {
			t.Error("a proof without an order")
		}
	})

	again, _ := a.certified(t, cache, nil)
	connect(again)
	a.with(func() {
		if a.orders != 1 {
			t.Errorf("%d orders: the next start orders again", a.orders)
		}
	})
}

// TestACMERenews: with a third of its life left another is ordered, by the same account, and the old one serves until
// it is there.
func TestACMERenews(t *testing.T) {
	a := newCertAuthority(t)
	cache := t.TempDir()
	if err := os.Chmod(cache, 0o700); err != nil {
		t.Fatal(err)
	}
	_, told := a.certified(t, cache, nil)
	mustBeTold(t, told, certs.CertificateReplaced)
	a.with(func() { a.at = "" })
	later := func() time.Time { return time.Now().Add(60 * time.Hour) } // of 90, one is over
	s, told := a.certified(t, cache, later)
	mustBeTold(t, told, certs.CertificateReplaced)
	c := s.raw0(t, "push.example.com")
	if serial := c.ConnectionState().PeerCertificates[0].SerialNumber.Int64(); serial != 3 {
		t.Errorf("serves number %d", serial)
	}
	a.with(func() {
		if a.orders != 2 || len(a.failures) > 0 {
			t.Errorf("%d orders, %v", a.orders, a.failures)
		}
	})
}

// raw0 is a TLS connection for a name.
func (s *testServer) raw0(t testing.TB, name string) *tls.Conn {
	t.Helper()
	c, err := tls.Dial("tcp", s.Addr().String(), &tls.Config{RootCAs: s.roots, ServerName: name})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// TestACMEFails: an authority that refuses, cannot see the proof, or issues something else, is told of with what it says, cut to
// plain text; there is no certificate, handshakes fail at once, and the server goes on.
func TestACMEFails(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*certAuthority)
		want   string
	}{
		"refuses":           {func(a *certAuthority) { a.problem = "no \x1b[31m\nnever " + strings.Repeat("x", 1000) }, "no ?[31m?never xx"},
		"sees no proof":     {func(a *certAuthority) { a.at = "127.0.0.1:1" }, "proving push.example.com"},
		"issues too little": {func(a *certAuthority) { a.change = func(c *x509.Certificate) { c.DNSNames = c.DNSNames[:1] } }, "not for feed.example.com"},
		"issues what is over": {func(a *certAuthority) {
			a.change = func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }
		}, "expired"},
	} {
		t.Run(name, func(t *testing.T) {
			a := newCertAuthority(t)
			c.change(a)
			s, told := a.certified(t, filepath.Join(t.TempDir(), "acme"), nil)
			n := mustBeTold(t, told, certs.CertificateRefused)
			text := fmt.Sprint(n.Attrs)
			if !strings.Contains(text, c.want) || len(text) > 700 || strings.ContainsAny(text, "\x1b\n") {
				t.Errorf("told %q", text)
			}
			if _, err := tls.Dial("tcp", s.Addr().String(), &tls.Config{RootCAs: s.roots, ServerName: "push.example.com"}); err == nil {
				t.Error("there is a certificate")
			}
		})
	}
}
