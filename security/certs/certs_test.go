package certs

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

var now = time.Date(2027, 1, 15, 12, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

// subject is a certificate of the tests with its key.
type subject struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func ecKey(t testing.TB, curve elliptic.Curve) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func rsaKey(t testing.TB, bits int) crypto.Signer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// issue makes a good server certificate for key, changed by change, signed by issuer (nil: by itself).
func issue(t testing.TB, issuer *subject, key crypto.Signer, change func(*x509.Certificate)) *subject {
	t.Helper()
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<62))
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "push.example.com"}, DNSNames: []string{"push.example.com"},
		NotBefore: now.Add(-day), NotAfter: now.Add(60 * day), BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if change != nil {
		change(template)
	}
	parent, signer := template, key
	if issuer != nil {
		parent, signer = issuer.cert, issuer.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &subject{cert, key}
}

// authority is a change that makes a certificate authority of this name.
func authority(name string) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		c.Subject, c.DNSNames, c.IsCA = pkix.Name{CommonName: name}, nil, true
		c.KeyUsage, c.ExtKeyUsage = x509.KeyUsageCertSign, nil
		c.NotAfter = now.Add(1000 * day)
	}
}

func certPEM(chain ...*subject) []byte {
	var b bytes.Buffer
	for _, s := range chain {
		_ = pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: s.cert.Raw})
	}
	return b.Bytes()
}

func keyPEM(t testing.TB, s *subject) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(s.key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// files writes a pair and returns the names.
func files(t testing.TB, cert, key []byte) (certFile, keyFile string) {
	t.Helper()
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	write(t, certFile, cert, 0o644)
	write(t, keyFile, key, 0o600)
	return certFile, keyFile
}

func write(t testing.TB, name string, b []byte, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(name, b, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, mode); err != nil {
		t.Fatal(err)
	}
}

// world is an authority known to the machine, one in between, and a server's certificate.
type world struct {
	root, between, leaf *subject
	options             Options
}

func newWorld(t testing.TB) *world {
	w := &world{}
	w.root = issue(t, nil, ecKey(t, elliptic.P256()), authority("Root"))
	w.between = issue(t, w.root, ecKey(t, elliptic.P256()), authority("Between"))
	w.leaf = issue(t, w.between, ecKey(t, elliptic.P256()), nil)
	pool := x509.NewCertPool()
	pool.AddCert(w.root.cert)
	w.options = Options{Now: func() time.Time { return now }, Roots: pool}
	return w
}

func TestGoodPairs(t *testing.T) {
	w := newWorld(t)
	private := issue(t, nil, ecKey(t, elliptic.P384()), authority("Private Root"))
	rsaLeaf := issue(t, w.between, rsaKey(t, 2048), func(c *x509.Certificate) {
		c.DNSNames, c.IPAddresses = nil, []net.IP{net.IPv4(192, 0, 2, 1)}
	})
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	edLeaf := issue(t, w.between, ed, nil)
	self := issue(t, nil, ecKey(t, elliptic.P256()), nil)
	selfCA := issue(t, nil, ecKey(t, elliptic.P256()), func(c *x509.Certificate) { c.IsCA, c.KeyUsage, c.ExtKeyUsage = true, 0, nil })
	orphan := issue(t, private, ecKey(t, elliptic.P256()), nil)
	allow := w.options
	allow.AllowSelfSigned = true
	pkcs1 := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(rsaLeaf.key.(*rsa.PrivateKey))})
	sec1, err := x509.MarshalECPrivateKey(w.leaf.key.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	sec1PEM := append([]byte("-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"),
		pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1})...)
	both := append(keyPEM(t, w.leaf), certPEM(w.leaf, w.between)...)
	for _, c := range []struct {
		name      string
		cert, key []byte
		options   Options
		chain     int
	}{
		{"chain up to a known root", certPEM(w.leaf, w.between), keyPEM(t, w.leaf), w.options, 2},
		{"with the root", certPEM(w.leaf, w.between, w.root), keyPEM(t, w.leaf), w.options, 3},
		{"up to a root of one's own", certPEM(orphan, private), keyPEM(t, orphan), w.options, 2},
		{"RSA, PKCS #1, IP address", certPEM(rsaLeaf, w.between), pkcs1, w.options, 2},
		{"SEC 1 with parameters", certPEM(w.leaf, w.between), sec1PEM, w.options, 2},
		{"Ed25519", certPEM(edLeaf, w.between), keyPEM(t, edLeaf), w.options, 2},
		{"text around", append([]byte("Subject: push\n\n"), certPEM(w.leaf, w.between)...), keyPEM(t, w.leaf), w.options, 2},
		{"key and chain in one file", both, both, w.options, 2},
		{"self-signed, allowed", certPEM(self), keyPEM(t, self), allow, 1},
		{"self-signed authority, allowed", certPEM(selfCA), keyPEM(t, selfCA), allow, 1},
		{"unknown issuer, allowed", certPEM(orphan), keyPEM(t, orphan), allow, 1},
	} {
		certFile, keyFile := files(t, c.cert, c.key)
		s, err := Load(certFile, keyFile, c.options)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		cert, err := s.Certificate(nil)
		if err != nil || len(cert.Certificate) != c.chain || cert.Leaf == nil {
			t.Errorf("%s: %d certificates, %v", c.name, len(cert.Certificate), err)
		}
		if s.NotAfter() != now.Add(60*day) {
			t.Errorf("%s: expires %v", c.name, s.NotAfter())
		}
	}
}

// TestBrokenPairs is row T2: each mistake has its own message, which names the flag and the mend.
func TestBrokenPairs(t *testing.T) {
	w := newWorld(t)
	change := func(f func(*x509.Certificate)) *subject { return issue(t, w.between, ecKey(t, elliptic.P256()), f) }
	private := issue(t, nil, ecKey(t, elliptic.P256()), authority("Private Root"))
	weakCA := issue(t, w.root, rsaKey(t, 1024), authority("Weak"))
	oldCA := issue(t, w.root, ecKey(t, elliptic.P256()), func(c *x509.Certificate) {
		authority("Old")(c)
		c.NotBefore, c.NotAfter = now.Add(-9*day), now.Add(-3*day)
	})
	namesCA := issue(t, w.root, ecKey(t, elliptic.P256()), func(c *x509.Certificate) {
		authority("Names")(c)
		c.PermittedDNSDomains = []string{"example.org"}
	})
	sha1CA := issue(t, w.root, rsaKey(t, 2048), authority("RSA"))
	good, goodKey := certPEM(w.leaf, w.between), keyPEM(t, w.leaf)
	type pairFiles struct{ cert, key []byte }
	of := func(s *subject, chain ...*subject) pairFiles {
		return pairFiles{certPEM(append([]*subject{s}, chain...)...), keyPEM(t, s)}
	}
	texts := make(map[string]string)
	for _, c := range []struct {
		name  string
		files pairFiles
		want  []string
	}{
		{"certificate missing", pairFiles{nil, goodKey}, []string{"--tls-cert", "no such file"}},
		{"key missing", pairFiles{good, nil}, []string{"--tls-key", "no such file"}},
		{"certificate empty", pairFiles{[]byte("\n"), goodKey}, []string{"--tls-cert", "no PEM certificate"}},
		{"key empty", pairFiles{good, []byte("\n")}, []string{"--tls-key", "no PEM private key"}},
		{"swapped", pairFiles{goodKey, good}, []string{"--tls-cert", "swapped"}},
		{"certificate for a key", pairFiles{good, good}, []string{"--tls-key", "holds a certificate and no private key"}},
		{"certificate cut short", pairFiles{pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.leaf.cert.Raw[:200]}), goodKey}, []string{"--tls-cert", "certificate 1", "does not parse"}},
		{"key garbage", pairFiles{good, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("garbage")})}, []string{"--tls-key", "does not parse"}},
		{"key encrypted", pairFiles{good, pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")})}, []string{"--tls-key", "encrypted", "openssl pkey"}},
		{"key of another", pairFiles{good, keyPEM(t, w.between)}, []string{"--tls-key", "does not belong", "--tls-cert"}},
		{"too large", pairFiles{bytes.Repeat([]byte("x"), maxFileBytes+1), goodKey}, []string{"--tls-cert", "larger than"}},
		{"RSA of 1024 bits", of(issue(t, w.between, rsaKey(t, 1024), nil), w.between), []string{"the certificate has", "1024 bits", "2048"}},
		{"curve P-224", of(issue(t, w.between, ecKey(t, elliptic.P224()), nil), w.between), []string{"P-224", "P-256"}},
		{"SHA-1", of(issue(t, sha1CA, ecKey(t, elliptic.P256()), func(c *x509.Certificate) { c.SignatureAlgorithm = x509.SHA1WithRSA }), sha1CA), []string{"the certificate is signed with SHA1", "SHA-256"}},
		{"expired", of(change(func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Second) }), w.between), []string{"the certificate expired at 2027-01-15T11:59:59Z", "renew"}},
		{"not yet valid", of(change(func(c *x509.Certificate) { c.NotBefore = now.Add(time.Minute) }), w.between), []string{"not valid before 2027-01-15T12:01:00Z", "clock"}},
		{"no SAN", of(change(func(c *x509.Certificate) { c.DNSNames = nil }), w.between), []string{"subject alternative name", "SAN"}},
		{"only an e-mail SAN", of(change(func(c *x509.Certificate) { c.DNSNames, c.EmailAddresses = nil, []string{"a@example.com"} }), w.between), []string{"subject alternative name"}},
		{"for clients only", of(change(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }), w.between), []string{"serverAuth"}},
		{"no digital signature", of(change(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }), w.between), []string{"digitalSignature"}},
		{"self-signed", of(issue(t, nil, ecKey(t, elliptic.P256()), nil)), []string{"self-signed", "--allow-self-signed"}},
		{"an authority's", of(change(func(c *x509.Certificate) {
			c.IsCA, c.KeyUsage = true, x509.KeyUsageDigitalSignature|x509.KeyUsageCertSign
		}), w.between), []string{"is an authority's", "first"}},
		{"intermediate missing", of(w.leaf), []string{"incomplete", `issuer "CN=Between"`, "append"}},
		{"root of one's own missing", of(issue(t, private, ecKey(t, elliptic.P256()), nil)), []string{"incomplete", `issuer "CN=Private Root"`}},
		{"root for intermediate", of(w.leaf, w.root), []string{"certificate 2 of the chain did not sign certificate 1"}},
		{"out of order", of(w.leaf, w.root, w.between), []string{"out of order", "issuer of certificate 1"}},
		{"weak authority", of(issue(t, weakCA, ecKey(t, elliptic.P256()), nil), weakCA), []string{"certificate 2 of the chain has", "1024 bits"}},
		{"expired authority", of(issue(t, oldCA, ecKey(t, elliptic.P256()), nil), oldCA), []string{"certificate 2 of the chain expired"}},
		{"name not permitted", of(issue(t, namesCA, ecKey(t, elliptic.P256()), nil), namesCA), []string{"does not verify", "issued again"}},
	} {
		certFile, keyFile := files(t, c.files.cert, c.files.key)
		if c.files.cert == nil {
			os.Remove(certFile)
		}
		if c.files.key == nil {
			os.Remove(keyFile)
		}
		s, err := Load(certFile, keyFile, w.options)
		if err == nil || s != nil {
			t.Errorf("%s: accepted", c.name)
			continue
		}
		for _, want := range append(c.want, "--tls-") {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q lacks %q", c.name, err, want)
			}
		}
		text := strings.NewReplacer(certFile, "F", keyFile, "F").Replace(err.Error())
		if other, twice := texts[text]; twice && !strings.Contains(c.name, "SAN") {
			t.Errorf("%s and %s have the same message %q", c.name, other, text)
		}
		texts[text] = c.name
	}
	if len(texts) < 12 {
		t.Errorf("only %d different messages", len(texts))
	}
}

func TestUnsetFlags(t *testing.T) {
	for _, c := range [][3]string{{"", "key.pem", "--tls-cert is not set"}, {"cert.pem", "", "--tls-key is not set"}} {
		if _, err := Load(c[0], c[1], Options{}); err == nil || !strings.Contains(err.Error(), c[2]) {
			t.Errorf("%q: %v", c[2], err)
		}
	}
}

func TestKeyFileOpenToOthers(t *testing.T) {
	w := newWorld(t)
	certFile, keyFile := files(t, certPEM(w.leaf, w.between), keyPEM(t, w.leaf))
	for mode, want := range map[os.FileMode]bool{0o600: true, 0o400: true, 0o640: true, 0o644: false, 0o604: false, 0o602: false, 0o777: false} {
		if err := os.Chmod(keyFile, mode); err != nil {
			t.Fatal(err)
		}
		_, err := Load(certFile, keyFile, w.options)
		if (err == nil) != want || err != nil && (!strings.Contains(err.Error(), "chmod 600") || !strings.Contains(err.Error(), "--tls-key")) {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
}

// The message about a broken key never quotes the file.
func TestErrorsHoldNoKey(t *testing.T) {
	w := newWorld(t)
	canary := "CANARYCANARYCANARY"
	for _, kind := range []string{"PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "DSA PRIVATE KEY", canary + " PRIVATE KEY"} {
		key := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: []byte(canary)})
		certFile, keyFile := files(t, certPEM(w.leaf, w.between), key)
		_, err := Load(certFile, keyFile, w.options)
		if err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestReload(t *testing.T) {
	w := newWorld(t)
	certFile, keyFile := files(t, certPEM(w.leaf, w.between), keyPEM(t, w.leaf))
	s, err := Load(certFile, keyFile, w.options)
	if err != nil {
		t.Fatal(err)
	}
	serves := func(step string, want *subject) {
		t.Helper()
		cert, err := s.Certificate(nil)
		if err != nil || !cert.Leaf.Equal(want.cert) {
			t.Errorf("%s: serves serial %v, %v", step, cert.Leaf.SerialNumber, err)
		}
	}
	serves("start", w.leaf)
	if changed, err := s.Check(); changed || err != nil {
		t.Errorf("nothing changed: %v, %v", changed, err)
	}
	renewed := issue(t, w.between, ecKey(t, elliptic.P256()), func(c *x509.Certificate) { c.NotAfter = now.Add(90 * day) })
	write(t, certFile, certPEM(renewed, w.between), 0o644) // between the two writes the pair does not match
	if changed, err := s.Check(); changed || err == nil || !strings.Contains(err.Error(), "does not belong") {
		t.Errorf("half a pair: %v, %v", changed, err)
	}
	serves("half a pair", w.leaf)
	write(t, keyFile, keyPEM(t, renewed), 0o600)
	if changed, err := s.Check(); !changed || err != nil {
		t.Errorf("whole pair: %v, %v", changed, err)
	}
	serves("whole pair", renewed)
	if s.NotAfter() != now.Add(90*day) {
		t.Errorf("expires %v", s.NotAfter())
	}
	for name, content := range map[string][]byte{"garbage": []byte("garbage"), "empty": {}, "self-signed": certPEM(issue(t, nil, renewed.key, nil)),
		"expired": certPEM(issue(t, w.between, renewed.key, func(c *x509.Certificate) { c.NotAfter = now.Add(-day) }), w.between)} {
		write(t, certFile, content, 0o644)
		if changed, err := s.Check(); changed || err == nil {
			t.Errorf("%s: %v, %v", name, changed, err)
		}
		if err := s.Reload(); err == nil {
			t.Errorf("%s reloads", name)
		}
		serves(name, renewed)
	}
	if err := os.Remove(certFile); err != nil {
		t.Fatal(err)
	}
	if err := s.Reload(); err == nil {
		t.Error("reloads without a file")
	}
	serves("no file", renewed)
	write(t, certFile, certPEM(w.leaf, w.between), 0o644)
	write(t, keyFile, keyPEM(t, w.leaf), 0o600)
	if err := s.Reload(); err != nil {
		t.Error(err)
	}
	serves("back", w.leaf)
}

// The expiry that counts is the first of the chain.
func TestNotAfterOfTheChain(t *testing.T) {
	w := newWorld(t)
	short := issue(t, w.root, ecKey(t, elliptic.P256()), func(c *x509.Certificate) { authority("Short")(c); c.NotAfter = now.Add(5 * day) })
	leaf := issue(t, short, ecKey(t, elliptic.P256()), nil)
	certFile, keyFile := files(t, certPEM(leaf, short), keyPEM(t, leaf))
	s, err := Load(certFile, keyFile, w.options)
	if err != nil {
		t.Fatal(err)
	}
	if s.NotAfter() != now.Add(5*day) {
		t.Errorf("expires %v", s.NotAfter())
	}
}

// watched runs watch; each tick returns when the previous one has been worked off.
func watched(t *testing.T, s *Store) (tick func(), logged *lines, stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	ticks, logged := make(chan time.Time), &lines{}
	var wg sync.WaitGroup
	wg.Go(func() { s.watch(ctx, ticks, slog.New(slog.NewTextHandler(logged, nil))) })
	return func() { ticks <- now; ticks <- now }, logged, func() { cancel(); wg.Wait() }
}

// lines is a log that can be read while it is written.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lines) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), text)
}

func TestWatch(t *testing.T) {
	w := newWorld(t)
	certFile, keyFile := files(t, certPEM(w.leaf, w.between), keyPEM(t, w.leaf))
	clock := now
	w.options.Now = func() time.Time { return clock } // changed only between ticks
	s, err := Load(certFile, keyFile, w.options)
	if err != nil {
		t.Fatal(err)
	}
	tick, log, stop := watched(t, s)
	expect := func(step string, replaced, refused, alarms int) {
		t.Helper()
		tick()
		tick()
		if log.count("certificate replaced") != replaced || log.count("not replaced") != refused || log.count("expires soon") != alarms {
			t.Errorf("%s: the log is %s", step, log.b.String())
		}
	}
	expect("nothing happens", 0, 0, 0)
	write(t, certFile, []byte("half a fi"), 0o644)
	expect("a bad file is told once", 0, 1, 0)
	renewed := issue(t, w.between, w.leaf.key, func(c *x509.Certificate) { c.NotAfter = now.Add(100 * day) })
	write(t, certFile, certPEM(renewed, w.between), 0o644)
	expect("a good one is taken", 1, 1, 0)
	if s.NotAfter() != now.Add(100*day) {
		t.Errorf("expires %v", s.NotAfter())
	}
	write(t, certFile, []byte("half a fi"), 0o644)
	expect("the same bad file is told again", 1, 2, 0)
	write(t, certFile, certPEM(renewed, w.between), 0o644)
	expect("and the old one is still there", 1, 2, 0)
	for i, days := range []int{30, 14, 7, 1} {
		stop()
		clock = now.Add(time.Duration(100-days) * day)
		tick, log, stop = watched(t, s)
		tick()
		tick()
		if log.count("expires soon") != 1 || log.count("days="+[]string{"30", "14", "7", "1"}[i]+" ") != 1 {
			t.Errorf("%d days ahead: the log is %s", days, log.b.String())
		}
	}
	stop()
}

func TestAlarm(t *testing.T) {
	var a alarm
	for _, step := range []struct {
		left time.Duration
		days int
		due  bool
	}{
		{31 * day, 0, false}, {30*day + 1, 0, false}, {30 * day, 30, true}, {29 * day, 30, false}, {14 * day, 14, true}, {13 * day, 14, false},
		{7 * day, 7, true}, {day, 1, true}, {time.Hour, 1, false}, {-day, 1, false}, {60 * day, 0, false}, {6 * day, 7, true}, {20 * day, 30, false},
	} {
		if days, due := a.due(now.Add(step.left), now); days != step.days || due != step.due {
			t.Errorf("%v left: %d, %v", step.left, days, due)
		}
	}
}

// Watch itself: stops with its context.
func TestWatchStops(t *testing.T) {
	w := newWorld(t)
	certFile, keyFile := files(t, certPEM(w.leaf, w.between), keyPEM(t, w.leaf))
	s, err := Load(certFile, keyFile, w.options)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.Watch(ctx, time.Hour, slog.New(slog.DiscardHandler))
}

// Handshakes go on while the pair changes, and an open connection stays.
func TestRotationUnderHandshakes(t *testing.T) {
	w := newWorld(t)
	other := issue(t, w.between, ecKey(t, elliptic.P256()), nil)
	certFile, keyFile := files(t, certPEM(w.leaf, w.between), keyPEM(t, w.leaf))
	s, err := Load(certFile, keyFile, w.options)
	if err != nil {
		t.Fatal(err)
	}
	config, err := ServerConfig(TLSOptions{Store: s})
	if err != nil {
		t.Fatal(err)
	}
	config.Time = w.options.Now
	open, _ := handshake(t, config, w)
	for i := range 10 {
		pair := []*subject{other, w.leaf}[i%2]
		write(t, certFile, certPEM(pair, w.between), 0o644)
		write(t, keyFile, keyPEM(t, pair), 0o600)
		if err := s.Reload(); err != nil {
			t.Fatal(err)
		}
		if _, state := handshake(t, config, w); !state.PeerCertificates[0].Equal(pair.cert) {
			t.Errorf("handshake %d got serial %v", i, state.PeerCertificates[0].SerialNumber)
		}
	}
	if _, err := open.Write([]byte("still here")); err != nil {
		t.Error(err)
	}
}

// handshake connects over a pipe with full verification; the server reads until the end.
func handshake(t testing.TB, config *tls.Config, w *world) (*tls.Conn, tls.ConnectionState) {
	t.Helper()
	near, far := net.Pipe()
	server := tls.Server(far, config)
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, 100)
		for {
			if _, err := server.Read(b); err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() { near.Close(); far.Close(); <-done })
	client := tls.Client(near, &tls.Config{RootCAs: w.options.Roots, ServerName: "push.example.com", Time: w.options.Now, NextProtos: []string{"http/1.1"}})
	if err := client.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	return client, client.ConnectionState()
}
