package certs

import (
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// The whole way to a certificate is engine's TestACME, against an authority.

func TestACMEMistakes(t *testing.T) {
	open := filepath.Join(t.TempDir(), "open")
	if err := os.Mkdir(open, 0o755); err != nil {
		t.Fatal(err)
	}
	good := ACMEOptions{Domains: []string{"push.example.com"}, Cache: filepath.Join(t.TempDir(), "acme")}
	if _, err := LoadACME(good); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(good.Cache); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a folder is made before it is needed: %v", err)
	}
	for _, c := range []struct {
		change func(*ACMEOptions)
		want   []string
	}{
		{func(o *ACMEOptions) { o.Domains = nil }, []string{"--acme-domains", "at least one"}},
		{func(o *ACMEOptions) { o.Domains = []string{"a.example", "A.example"} }, []string{"--acme-domains", "once"}},
		{func(o *ACMEOptions) { o.Domains = []string{"*.example.com"} }, []string{"--acme-domains", "wildcard"}},
		{func(o *ACMEOptions) { o.Domains = []string{"localhost"} }, []string{"--acme-domains", "full domain name"}},
		{func(o *ACMEOptions) { o.Domains = []string{"192.0.2.1"} }, []string{"--acme-domains", "full domain name"}},
		{func(o *ACMEOptions) { o.Domains = []string{"a.example/../x"} }, []string{"--acme-domains", "full domain name"}},
		{func(o *ACMEOptions) { o.Domains = []string{"münchen.example"} }, []string{"--acme-domains", "xn--"}},
		{func(o *ACMEOptions) { o.Domains = []string{"a.example."} }, []string{"--acme-domains", "full domain name"}},
		{func(o *ACMEOptions) { o.Cache = "" }, []string{"--acme-cache", "folder"}},
		{func(o *ACMEOptions) { o.Cache = open }, []string{"--acme-cache", "chmod 700"}},
		{func(o *ACMEOptions) { o.Email = "ops" }, []string{"--acme-email", "ops@example.com"}},
		{func(o *ACMEOptions) { o.Email = "Ops <ops@example.com>" }, []string{"--acme-email"}},
		{func(o *ACMEOptions) { o.Directory = "http://authority.example" }, []string{"--acme-directory", "https://"}},
	} {
		o := good
		c.change(&o)
		_, err := LoadACME(o)
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v: %v", c.want, err)
			}
		}
	}
}

// kept writes what an earlier run would have left.
func kept(t *testing.T, s ...*subject) (cache string) {
	t.Helper()
	cache = t.TempDir()
	if err := os.Chmod(cache, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(cache, acmeCertFile), append(keyPEM(t, s[0]), certPEM(s...)...), 0o600)
	return cache
}

// A certificate of an earlier run is served if it still serves, and is due with a third of its life left.
func TestACMEKeeps(t *testing.T) {
	w := newWorld(t)
	both := issue(t, w.between, ecKey(t, elliptic.P256()), func(c *x509.Certificate) { c.DNSNames = []string{"push.example.com", "feed.example.com"} })
	old := issue(t, w.between, ecKey(t, elliptic.P256()), func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Hour) })
	hello := &tls.ClientHelloInfo{ServerName: "push.example.com", SupportedProtos: []string{"http/1.1"}}
	for _, c := range []struct {
		name    string
		cache   string
		domains []string
		serves  bool
	}{
		{"good", kept(t, both, w.between), []string{"push.example.com", "feed.example.com"}, true},
		{"for more than is asked", kept(t, both, w.between), []string{"feed.example.com"}, true},
		{"for less", kept(t, w.leaf, w.between), []string{"push.example.com", "feed.example.com"}, false},
		{"over", kept(t, old, w.between), []string{"push.example.com"}, false},
		{"nothing", filepath.Join(t.TempDir(), "none"), []string{"push.example.com"}, false},
	} {
		a, err := LoadACME(ACMEOptions{Domains: c.domains, Cache: c.cache, Now: func() time.Time { return now }})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		cert, err := a.Certificate(hello)
		if (err == nil) != c.serves || (cert != nil) != c.serves {
			t.Errorf("%s: %v", c.name, err)
		}
		if want := now.Add(60*day - 61*day/3); c.serves && !a.due().Equal(want) || !c.serves && !a.due().IsZero() {
			t.Errorf("%s: due %v", c.name, a.due())
		}
	}
}

// TestACMEChallenge: the proof is for who asks for it alone and by name, and only while there is one.
func TestACMEChallenge(t *testing.T) {
	w := newWorld(t)
	a, err := LoadACME(ACMEOptions{Domains: []string{"push.example.com"}, Cache: kept(t, w.leaf, w.between), Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	proof := &tls.Certificate{}
	a.challenges["push.example.com"] = proof
	ask := func(name string, protocols ...string) *tls.Certificate {
		c, _ := a.Certificate(&tls.ClientHelloInfo{ServerName: name, SupportedProtos: protocols})
		return c
	}
	if ask("PUSH.example.com", "acme-tls/1") != proof {
		t.Error("no proof")
	}
	for _, c := range []*tls.Certificate{ask("other.example.com", "acme-tls/1"), ask("", "acme-tls/1")} {
		if c != nil {
			t.Error("a proof of another name")
		}
	}
	for _, c := range []*tls.Certificate{ask("push.example.com"), ask("push.example.com", "http/1.1"), ask("push.example.com", "acme-tls/1", "http/1.1")} {
		if c == nil || c == proof {
			t.Error("not the certificate")
		}
	}
	a.forget()
	if ask("push.example.com", "acme-tls/1") != nil {
		t.Error("a proof when the order is over")
	}
	config, err := ServerConfig(TLSOptions{ACME: a})
	if err != nil || !slices.Equal(config.NextProtos, []string{"http/1.1", "acme-tls/1"}) {
		t.Errorf("%v, %v", config.NextProtos, err)
	}
}

// TestACMERetries: the pauses after failures grow, so that no authority locks the account out, and the expiry has its alarms.
func TestACMERetries(t *testing.T) {
	w := newWorld(t)
	clock := now.Add(55 * day)
	file := filepath.Join(t.TempDir(), "none") // a file where the folder is to be: each order fails at once
	a, err := LoadACME(ACMEOptions{Domains: []string{"push.example.com"}, Cache: kept(t, w.leaf, w.between), Now: func() time.Time { return clock }})
	if err != nil {
		t.Fatal(err)
	}
	write(t, file, nil, 0o600)
	a.o.Cache = file
	var told []string
	pauses := []time.Duration(nil)
	for range 8 {
		pauses = append(pauses, a.turn(t.Context(), func(n *Notice) { told = append(told, n.ID) }))
	}
	want := []time.Duration{15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour, 8 * time.Hour, 8 * time.Hour, 8 * time.Hour}
	if !slices.Equal(pauses, want) {
		t.Errorf("pauses %v", pauses)
	}
	if n := len(told); n != 9 || told[0] != CertificateRefused || told[1] != CertificateExpires || slices.Contains(told[2:], CertificateExpires) {
		t.Errorf("told %v", told)
	}
	clock = now
	a.o.Now = func() time.Time { return clock }
	if pause := a.turn(t.Context(), func(*Notice) { t.Error("told of nothing") }); pause != acmeLook {
		t.Errorf("nothing is due: %v", pause)
	}
}
