package certs

import (
	"bytes"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// pairFiles are the contents of the two files; nil is no file.
type pairFiles struct{ cert, key []byte }

// pairOf is a chain with the key of its first certificate.
func pairOf(t testing.TB, chain ...*subject) pairFiles {
	return pairFiles{certPEM(chain...), keyPEM(t, chain[0])}
}

// mistake is a pair that is refused, and what the message must hold.
type mistake struct {
	name  string
	files pairFiles
	want  []string
}

// brokenFiles are mistakes in the files.
func brokenFiles(t testing.TB, w *world) []mistake {
	good, goodKey := certPEM(w.leaf, w.between), keyPEM(t, w.leaf)
	return []mistake{
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
	}
}

// brokenCertificates are mistakes in the server's certificate.
func brokenCertificates(t testing.TB, w *world) []mistake {
	change := func(f func(*x509.Certificate)) *subject { return issue(t, w.between, ecKey(t, elliptic.P256()), f) }
	sha1CA := issue(t, w.root, rsaKey(t, 2048), authority("RSA"))
	return []mistake{
		{"RSA of 1024 bits", pairOf(t, issue(t, w.between, rsaKey(t, 1024), nil), w.between), []string{"the certificate has", "1024 bits", "2048"}},
		{"curve P-224", pairOf(t, issue(t, w.between, ecKey(t, elliptic.P224()), nil), w.between), []string{"P-224", "P-256"}},
		{"SHA-1", pairOf(t, issue(t, sha1CA, ecKey(t, elliptic.P256()), func(c *x509.Certificate) { c.SignatureAlgorithm = x509.SHA1WithRSA }), sha1CA), []string{"the certificate is signed with SHA1", "SHA-256"}},
		{"expired", pairOf(t, change(func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Second) }), w.between), []string{"the certificate expired at 2027-01-15T11:59:59Z", "renew"}},
		{"not yet valid", pairOf(t, change(func(c *x509.Certificate) { c.NotBefore = now.Add(time.Minute) }), w.between), []string{"not valid before 2027-01-15T12:01:00Z", "clock"}},
		{"no SAN", pairOf(t, change(func(c *x509.Certificate) { c.DNSNames = nil }), w.between), []string{"subject alternative name", "SAN"}},
		{"only an e-mail SAN", pairOf(t, change(func(c *x509.Certificate) { c.DNSNames, c.EmailAddresses = nil, []string{"a@example.com"} }), w.between), []string{"subject alternative name"}},
		{"for clients only", pairOf(t, change(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }), w.between), []string{"serverAuth"}},
		{"no digital signature", pairOf(t, change(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }), w.between), []string{"digitalSignature"}},
		{"self-signed", pairOf(t, issue(t, nil, ecKey(t, elliptic.P256()), nil)), []string{"self-signed", "--allow-self-signed"}},
	}
}

// brokenChains are mistakes in what comes after it.
func brokenChains(t testing.TB, w *world) []mistake {
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
	return []mistake{
		{"an authority's", pairOf(t, change(func(c *x509.Certificate) {
			c.IsCA, c.KeyUsage = true, x509.KeyUsageDigitalSignature|x509.KeyUsageCertSign
		}), w.between), []string{"is an authority's", "first"}},
		{"intermediate missing", pairOf(t, w.leaf), []string{"incomplete", `issuer "CN=Between"`, "append"}},
		{"root of one's own missing", pairOf(t, issue(t, private, ecKey(t, elliptic.P256()), nil)), []string{"incomplete", `issuer "CN=Private Root"`}},
		{"root for intermediate", pairOf(t, w.leaf, w.root), []string{"certificate 2 of the chain did not sign certificate 1"}},
		{"out of order", pairOf(t, w.leaf, w.root, w.between), []string{"out of order", "issuer of certificate 1"}},
		{"weak authority", pairOf(t, issue(t, weakCA, ecKey(t, elliptic.P256()), nil), weakCA), []string{"certificate 2 of the chain has", "1024 bits"}},
		{"expired authority", pairOf(t, issue(t, oldCA, ecKey(t, elliptic.P256()), nil), oldCA), []string{"certificate 2 of the chain expired"}},
		{"name not permitted", pairOf(t, issue(t, namesCA, ecKey(t, elliptic.P256()), nil), namesCA), []string{"does not verify", "issued again"}},
	}
}

// TestBrokenPairs is row T2: each mistake has its own message, which names the flag and the mend.
func TestBrokenPairs(t *testing.T) {
	w := newWorld(t)
	texts := make(map[string]string)
	for _, c := range slices.Concat(brokenFiles(t, w), brokenCertificates(t, w), brokenChains(t, w)) {
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
