package certs

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/security/oplog/logtest"
)

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
	log := slog.New(slog.NewTextHandler(logged, nil))
	wg.Go(func() { watch(ctx, ticks, func(n *Notice) { n.Log(log) }, []Source{s}) })
	return func() { ticks <- now; ticks <- now }, logged, func() { cancel(); wg.Wait() }
}

// lines is a log that can be read while it is written.
type lines struct{ logtest.Log }

func (l *lines) count(text string) int { return strings.Count(l.String(), text) }

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
			t.Errorf("%s: the log is %s", step, log)
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
		if log.count("expires soon") != 1 || log.count("event=certificate_expires") != 1 || log.count("days="+[]string{"30", "14", "7", "1"}[i]+" ") != 1 {
			t.Errorf("%d days ahead: the log is %s", days, log)
		}
	}
	stop()
	// By SIGHUP, hence without a change that the watch itself sees: the new expiry has alarms of its own.
	brief := issue(t, w.between, w.leaf.key, func(c *x509.Certificate) { c.NotAfter = clock.Add(6 * day) })
	write(t, certFile, certPEM(brief, w.between), 0o644)
	if err := s.Reload(); err != nil {
		t.Fatal(err)
	}
	tick, log, stop = watched(t, s)
	tick()
	tick()
	stop()
	if log.count("expires soon") != 1 || log.count("days=7 ") != 1 {
		t.Errorf("after a rotation: the log is %s", log)
	}
}

func TestAlarm(t *testing.T) {
	var a alarm
	first, second := now.Add(100*day), now.Add(200*day)
	for _, step := range []struct {
		notAfter time.Time
		left     time.Duration
		days     int
		due      bool
	}{
		{first, 31 * day, 0, false}, {first, 30*day + 1, 0, false}, {first, 30 * day, 30, true}, {first, 29 * day, 30, false},
		{first, 14 * day, 14, true}, {first, 13 * day, 14, false}, {first, 20 * day, 30, false} /* the clock steps back */, {first, 13 * day, 14, false},
		{first, 7 * day, 7, true}, {first, day, 1, true}, {first, time.Hour, 1, false}, {first, -day, 1, false},
		{second, 60 * day, 0, false}, {second, 6 * day, 7, true}, {second, 5 * day, 7, false}, {first, 6 * day, 7, true},
	} {
		if days, due := a.due(step.notAfter, step.notAfter.Add(-step.left)); days != step.days || due != step.due {
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
	Watch(ctx, time.Hour, func(*Notice) {}, s)
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
