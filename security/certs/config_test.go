package certs

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestServerConfig(t *testing.T) {
	store := &Store{}
	for _, c := range []struct {
		name    string
		options TLSOptions
		min     uint16
		curves  []tls.CurveID
		err     string
	}{
		{"defaults", TLSOptions{Store: store}, tls.VersionTLS12, nil, ""},
		{"1.2", TLSOptions{Store: store, MinVersion: "1.2"}, tls.VersionTLS12, nil, ""},
		{"1.3", TLSOptions{Store: store, MinVersion: "1.3"}, tls.VersionTLS13, nil, ""},
		{"curves", TLSOptions{Store: store, Curves: []string{"X25519MLKEM768", " x25519", "p-256", "P384"}}, tls.VersionTLS12, []tls.CurveID{tls.X25519MLKEM768, tls.X25519, tls.CurveP256, tls.CurveP384}, ""},
		{"post-quantum only", TLSOptions{Store: store, MinVersion: "1.3", Curves: []string{"X25519MLKEM768"}}, tls.VersionTLS13, []tls.CurveID{tls.X25519MLKEM768}, ""},
		{"no certificate", TLSOptions{}, 0, nil, "--tls-cert"},
		{"1.1", TLSOptions{Store: store, MinVersion: "1.1"}, 0, nil, `--tls-min "1.1": say 1.2 or 1.3`},
		{"TLS1.3", TLSOptions{Store: store, MinVersion: "TLS1.3"}, 0, nil, "--tls-min"},
		{"unknown curve", TLSOptions{Store: store, Curves: []string{"X25519", "X448"}}, 0, nil, `--tls-curves "X448": say some of X25519MLKEM768`},
		{"empty curve", TLSOptions{Store: store, Curves: []string{""}}, 0, nil, "--tls-curves"},
		{"nothing for 1.2", TLSOptions{Store: store, Curves: []string{"X25519MLKEM768"}}, 0, nil, "add X25519, or say --tls-min 1.3"},
	} {
		config, err := ServerConfig(c.options)
		if c.err != "" {
			if err == nil || config != nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		if err != nil || config.MinVersion != c.min || !slices.Equal(config.CurvePreferences, c.curves) || !slices.Equal(config.NextProtos, []string{"http/1.1"}) {
			t.Errorf("%s: %v, %+v", c.name, err, config)
		}
		if config.InsecureSkipVerify || config.Renegotiation != tls.RenegotiateNever || config.SessionTicketsDisabled {
			t.Errorf("%s: unsafe, or no tickets: %+v", c.name, config)
		}
	}
}

// TLS 1.2 offers every ECDHE suite with an AEAD and no other; 1.1 gets no answer.
func TestSuitesOfTLS12(t *testing.T) {
	w := newWorld(t)
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
	try := func(version, suite uint16) error {
		near, far := net.Pipe()
		defer near.Close()
		defer far.Close()
		done := make(chan error, 1)
		go func() { done <- tls.Server(far, config).Handshake() }()
		client := &tls.Config{RootCAs: w.options.Roots, ServerName: "push.example.com", Time: w.options.Now, MinVersion: version, MaxVersion: version, CipherSuites: []uint16{suite}}
		err := tls.Client(near, client).Handshake()
		near.Close()
		<-done
		return err
	}
	for _, suite := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		if !slices.Contains(suite.SupportedVersions, tls.VersionTLS12) || strings.Contains(suite.Name, "_RSA_") {
			continue // the key is ECDSA
		}
		want := strings.Contains(suite.Name, "ECDHE") && (strings.Contains(suite.Name, "GCM") || strings.Contains(suite.Name, "POLY1305"))
		if err := try(tls.VersionTLS12, suite.ID); (err == nil) != want {
			t.Errorf("%s: %v", suite.Name, err)
		}
	}
	if err := try(tls.VersionTLS11, tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA); err == nil {
		t.Error("TLS 1.1 is accepted")
	}
	for _, id := range suites12 {
		if name := tls.CipherSuiteName(id); !strings.HasPrefix(name, "TLS_ECDHE_") || strings.Contains(name, "CBC") || strings.Contains(name, "RC4") {
			t.Errorf("suite %s", name)
		}
	}
}

func TestSelfSigned(t *testing.T) {
	cert, key, err := SelfSigned([]string{"localhost", "127.0.0.1", "::1"}, now.Add(-time.Hour), 30*day)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile := files(t, cert, key)
	o := Options{Now: func() time.Time { return now }}
	if _, err := Load(certFile, keyFile, o); err == nil || !strings.Contains(err.Error(), "--allow-self-signed") {
		t.Errorf("accepted without leave: %v", err)
	}
	o.AllowSelfSigned = true
	s, err := Load(certFile, keyFile, o)
	if err != nil {
		t.Fatal(err)
	}
	if s.NotAfter() != now.Add(30*day-time.Hour) {
		t.Errorf("expires %v", s.NotAfter())
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(cert)
	got, _ := s.Certificate(nil)
	for name, want := range map[string]bool{"localhost": true, "127.0.0.1": true, "::1": true, "127.0.0.2": false, "example.com": false} {
		_, err := got.Leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: pool, CurrentTime: now})
		if (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got.Leaf.IsCA {
		t.Error("the certificate can sign others")
	}
	again, _, _ := SelfSigned([]string{"localhost"}, now, day)
	if string(again) == string(cert) {
		t.Error("the same certificate twice")
	}
	if _, _, err := SelfSigned(nil, now, day); err == nil {
		t.Error("no host is accepted")
	}
}

// The machine's own authorities are used where none are given: a private chain is not known to them.
func TestMachinesRoots(t *testing.T) {
	w := newWorld(t)
	certFile, keyFile := files(t, certPEM(w.leaf, w.between), keyPEM(t, w.leaf))
	w.options.Roots = nil
	if _, err := Load(certFile, keyFile, w.options); err == nil || !strings.Contains(err.Error(), "incomplete") {
		t.Errorf("an unknown root is accepted: %v", err)
	}
}
