package certs

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
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
	fresh := name + ".new" // a watcher that reads now must not see half of it
	if err := os.WriteFile(fresh, b, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(fresh, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(fresh, name); err != nil {
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
