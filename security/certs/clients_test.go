package certs

import (
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func mustURL(t testing.TB, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestIdentity(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		name   string
		change func(*x509.Certificate)
		user   string
		err    error
	}{
		{"DNS name", func(c *x509.Certificate) {}, "push.example.com", nil},
		{"URI before all others", func(c *x509.Certificate) {
			c.URIs, c.EmailAddresses = []*url.URL{mustURL(t, "spiffe://example.com/feeder")}, []string{"a@example.com"}
		}, "spiffe://example.com/feeder", nil},
		{"e-mail before DNS", func(c *x509.Certificate) { c.EmailAddresses = []string{"Alice@example.com"} }, "Alice@example.com", nil},
		{"IP addresses do not count", func(c *x509.Certificate) { c.IPAddresses = []net.IP{{127, 0, 0, 1}} }, "push.example.com", nil},
		{"only an IP address", func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = nil, []net.IP{{127, 0, 0, 1}} }, "", errNoIdentity},
		{"only a subject", func(c *x509.Certificate) { c.DNSNames = nil }, "", errNoIdentity},
		{"two DNS names", func(c *x509.Certificate) { c.DNSNames = []string{"a.example.com", "b.example.com"} }, "", errTwoNames},
		{"two e-mail addresses and a DNS name", func(c *x509.Certificate) { c.EmailAddresses = []string{"a@example.com", "b@example.com"} }, "", errTwoNames},
		{"two URIs", func(c *x509.Certificate) { c.URIs = []*url.URL{mustURL(t, "a:1"), mustURL(t, "a:2")} }, "", errTwoNames},
		{"wildcard", func(c *x509.Certificate) { c.DNSNames = []string{"*.example.com"} }, "", errIdentityText},
		{"as long as may be", func(c *x509.Certificate) { c.URIs = []*url.URL{mustURL(t, "a:"+strings.Repeat("x", 253))} }, "a:" + strings.Repeat("x", 253), nil},
		{"too long", func(c *x509.Certificate) { c.URIs = []*url.URL{mustURL(t, "a:"+strings.Repeat("x", 254))} }, "", errIdentityText},
		{"blank", func(c *x509.Certificate) { c.EmailAddresses = []string{"a b@example.com"} }, "", errIdentityText},
	} {
		user, err := Identity(issue(t, w.between, w.leaf.key, c.change).cert)
		if user != c.user || err != c.err {
			t.Errorf("%s: %q, %v", c.name, user, err)
		}
	}
}

// Two texts of one URL are two users.
func TestIdentityIsTheRawURI(t *testing.T) {
	w := newWorld(t)
	for _, uri := range []string{"spiffe://example.com/feeder", "SPIFFE://example.com/feeder", "spiffe://example.com/feeder#", "spiffe://example.com/feeder?", "spiffe://example.com/%66eeder"} {
		san, err := asn1.Marshal([]asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: 2, Bytes: []byte("a.example.com")}, {Class: asn1.ClassContextSpecific, Tag: 6, Bytes: []byte(uri)}})
		if err != nil {
			t.Fatal(err)
		}
		cert := issue(t, w.between, w.leaf.key, func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: san}}
		}).cert
		if user, err := Identity(cert); user != uri || err != nil {
			t.Errorf("%s: %q, %v", uri, user, err)
		}
	}
}

func TestClientCAs(t *testing.T) {
	w := newWorld(t)
	key := ecKey(t, elliptic.P256())
	clock := func() time.Time { return now }
	for _, c := range []struct {
		name string
		pem  []byte
		want string // in the error
	}{
		{"one", certPEM(w.root), ""},
		{"several", certPEM(w.root, w.between), ""},
		{"empty", []byte("\n"), "no PEM certificate"},
		{"a key", keyPEM(t, w.root), "private key"},
		{"a client's", certPEM(w.root, w.leaf), "certificate 2 is no authority's"},
		{"may not sign", certPEM(issue(t, nil, key, func(c *x509.Certificate) {
			authority("Mute")(c)
			c.KeyUsage = x509.KeyUsageDigitalSignature
		})), "keyCertSign"},
		{"expired", certPEM(issue(t, nil, key, func(c *x509.Certificate) {
			authority("Old")(c)
			c.NotBefore, c.NotAfter = now.Add(-9*day), now.Add(-day)
		})), "expired at"},
		{"weak", certPEM(issue(t, nil, rsaKey(t, 1024), authority("Weak"))), "1024 bits"},
	} {
		file := filepath.Join(t.TempDir(), "ca.pem")
		write(t, file, c.pem, 0o644)
		cas, err := LoadClientCAs("--client-ca-file", file, clock)
		switch {
		case c.want == "" && (err != nil || cas.Pool() == nil):
			t.Errorf("%s: %v", c.name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "--client-ca-file: "+file)):
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if _, err := LoadClientCAs("--client-ca-file", "/nowhere", clock); err == nil || !strings.HasPrefix(err.Error(), "--client-ca-file: ") {
		t.Errorf("no file: %v", err)
	}
}

// A bad file keeps the old authorities and is told once; a good one is taken.
func TestClientCAsReload(t *testing.T) {
	w := newWorld(t)
	file := filepath.Join(t.TempDir(), "ca.pem")
	write(t, file, certPEM(w.root), 0o644)
	cas, err := LoadClientCAs("--client-ca-file", file, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	first := cas.Pool()
	told := func() (ids string) {
		for range 3 {
			for _, n := range cas.look() {
				ids += n.ID + " "
			}
		}
		return ids
	}
	if got := told(); got != "" || cas.Pool() != first {
		t.Errorf("nothing happened: %q", got)
	}
	write(t, file, []byte("half a fi"), 0o644)
	if got := told(); got != ClientCAsRefused+" " || cas.Pool() != first {
		t.Errorf("a bad file: %q", got)
	}
	write(t, file, certPEM(w.root, w.between), 0o644)
	if got := told(); got != ClientCAsReplaced+" " || cas.Pool().Equal(first) {
		t.Errorf("a good one: %q", got)
	}
}

// TestInternalConfig: the API's listener gives no tickets, and asks by the authorities of the moment.
func TestInternalConfig(t *testing.T) {
	w := newWorld(t)
	certFile, keyFile := files(t, certPEM(w.leaf, w.between), keyPEM(t, w.leaf))
	w.options.CertFlag, w.options.KeyFlag = "--api-tls-cert", "--api-tls-key"
	store, err := Load(certFile, keyFile, w.options)
	if err != nil {
		t.Fatal(err)
	}
	ca := filepath.Join(t.TempDir(), "ca.pem")
	write(t, ca, certPEM(w.root), 0o644)
	cas, err := LoadClientCAs("--api-client-ca-file", ca, w.options.Now)
	if err != nil {
		t.Fatal(err)
	}
	c, err := InternalConfig(store, "1.3", cas)
	if err != nil {
		t.Fatal(err)
	}
	write(t, ca, certPEM(w.between), 0o644)
	if _, err := cas.Reload(); err != nil {
		t.Fatal(err)
	}
	own, err := c.GetConfigForClient(nil)
	if err != nil || !own.ClientCAs.Equal(cas.Pool()) || own.ClientAuth != tls.RequireAndVerifyClientCert || !own.SessionTicketsDisabled || own.MinVersion != tls.VersionTLS13 {
		t.Errorf("%+v, %v", own, err)
	}
	if open, err := InternalConfig(store, "1.2", nil); err != nil || open.ClientAuth != tls.NoClientCert || open.GetConfigForClient != nil {
		t.Errorf("without authorities: %v", err)
	}
	if err := os.Chmod(keyFile, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := store.Reload(); err == nil || !strings.HasPrefix(err.Error(), "--api-tls-key") {
		t.Errorf("the option is not named: %v", err)
	}
}

func TestLoadClientPair(t *testing.T) {
	w := newWorld(t)
	certFile, keyFile := files(t, certPEM(w.leaf, w.between), keyPEM(t, w.leaf))
	if pair, err := LoadClientPair(certFile, keyFile); err != nil || len(pair.Certificate) != 2 {
		t.Errorf("%v", err)
	}
	for _, c := range [][3]string{
		{certFile, "", "--client-key"}, {"", keyFile, "--client-cert"}, {keyFile, keyFile, "--client-cert"}, {certFile, certFile, "--client-key"},
	} {
		if _, err := LoadClientPair(c[0], c[1]); err == nil || !strings.Contains(err.Error(), c[2]) {
			t.Errorf("%v: %v", c, err)
		}
	}
}
