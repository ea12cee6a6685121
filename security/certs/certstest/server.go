package certstest

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"
	"time"

	"weir/security/certs"
)

// serverLife is so long that no server warns.
const serverLife = 60 * 24 * time.Hour

// Server is the pair of a server on localhost and 127.0.0.1, which signed it itself. It does not change.
type Server struct {
	Cert, Key         []byte // PEM
	CertFile, KeyFile string // of the same, in one folder, which nobody else can read
	Pool              *x509.CertPool
	TLS               tls.Certificate
}

// NewServer makes one whose files live as long as the test.
func NewServer(t testing.TB) *Server {
	t.Helper()
	folder := t.TempDir()
	s := &Server{CertFile: filepath.Join(folder, "cert.pem"), KeyFile: filepath.Join(folder, "key.pem"), Pool: x509.NewCertPool()}
	var err error
	if s.Cert, s.Key, err = certs.SelfSigned([]string{"localhost", "127.0.0.1"}, time.Now().Add(-time.Hour), serverLife); err != nil {
		t.Fatal(err)
	}
	if s.TLS, err = tls.X509KeyPair(s.Cert, s.Key); err != nil {
		t.Fatal(err)
	}
	s.Pool.AppendCertsFromPEM(s.Cert)
	for file, content := range map[string][]byte{s.CertFile: s.Cert, s.KeyFile: s.Key} {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return s
}
