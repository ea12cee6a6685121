// Package certs loads the server's certificate and key and the keys of its session tickets, refuses
// what clients would refuse, and replaces all of them while connections stay up.
//
// A [Store] always holds one good pair: Load fails unless the first is good, and a later one takes its
// place only after the same checks. So a handshake never fails for a file that is half written, wrong
// or expired early; the old pair serves on and the operator is told. [TicketKeys] are kept the same way.
//
// All errors are for operators: each kind of mistake has its own text, which names the flag
// (as --tls-cert or --tls-key) and the mend. None holds a byte of a key.
package certs

import (
	"cmp"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// maxFileBytes bounds a certificate or key file.
const maxFileBytes = 1 << 20

// Options of Load.
type Options struct {
	// AllowSelfSigned also accepts a certificate that no known authority vouches for: one that signs
	// itself, or one whose issuer neither stands in the file nor is a root of this machine.
	// Clients can then only trust it by name (--ca-file).
	AllowSelfSigned bool

	CertFlag, KeyFlag string // the options that name the files; "": --tls-cert and --tls-key

	Now   func() time.Time // nil is time.Now
	Roots *x509.CertPool   // authorities whose certificates need not stand in the file; nil are the machine's
}

// Store holds the present pair. Any goroutine.
type Store struct {
	certFile, keyFile string
	options           Options

	mu      sync.Mutex           // one reload at a time
	current atomic.Pointer[pair] // never nil after Load

	told  complaint // owned by Watch, like alarm
	alarm alarm
}

// pair is one good certificate with its key. Immutable.
type pair struct {
	cert     *tls.Certificate
	notAfter time.Time
	digest   [sha256.Size]byte // of both files
}

// Load reads and checks the first pair.
func Load(certFile, keyFile string, o Options) (*Store, error) {
	o.CertFlag, o.KeyFlag = cmp.Or(o.CertFlag, "--tls-cert"), cmp.Or(o.KeyFlag, "--tls-key")
	if certFile == "" {
		return nil, fmt.Errorf("%s is not set: name a PEM file with the server's certificate and its chain", o.CertFlag)
	}
	if keyFile == "" {
		return nil, fmt.Errorf("%s is not set: name the PEM file with the certificate's private key", o.KeyFlag)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Store{certFile: certFile, keyFile: keyFile, options: o}
	if err := s.Reload(); err != nil {
		return nil, err
	}
	return s, nil
}

// Certificate is the GetCertificate of a tls.Config.
func (s *Store) Certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return s.current.Load().cert, nil
}

// NotAfter is when the present chain expires: with the first of its certificates that does.
func (s *Store) NotAfter() time.Time { return s.current.Load().notAfter }

// Reload reads both files and, if they are a good pair, serves it from now on. On an error the
// present pair stays.
func (s *Store) Reload() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	certPEM, keyPEM, err := s.read()
	if err != nil {
		return err
	}
	return s.replace(certPEM, keyPEM)
}

// Check reloads if the files' contents are not those of the present pair. Changed is true if another
// pair is served now.
func (s *Store) Check() (changed bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	certPEM, keyPEM, err := s.read()
	if err != nil {
		return false, err
	}
	if digest(certPEM, keyPEM) == s.current.Load().digest {
		return false, nil
	}
	err = s.replace(certPEM, keyPEM)
	return err == nil, err
}

// replace checks a pair and stores it. The caller holds mu.
func (s *Store) replace(certPEM, keyPEM []byte) error {
	p, err := s.parse(certPEM, keyPEM)
	if err == nil {
		s.current.Store(p)
	}
	return err
}

func digest(certPEM, keyPEM []byte) [sha256.Size]byte {
	h := sha256.New()
	fmt.Fprintf(h, "%d\n", len(certPEM))
	h.Write(certPEM)
	h.Write(keyPEM)
	return [sha256.Size]byte(h.Sum(nil))
}

// read reads both files. The key's must not be readable by everybody.
func (s *Store) read() (certPEM, keyPEM []byte, err error) {
	certPEM, _, err = readFile(s.certFile)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w: name a file that this user can read", s.options.CertFlag, err)
	}
	keyPEM, info, err := readFile(s.keyFile)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w: name a file that this user can read", s.options.KeyFlag, err)
	}
	return certPEM, keyPEM, private(s.options.KeyFlag, s.keyFile, info)
}

// private refuses a file with keys that every user of the machine may read.
func private(flag, name string, info fs.FileInfo) error {
	if mode := info.Mode().Perm(); mode&0o007 != 0 {
		return fmt.Errorf("%s: %s is open to every user of this machine (mode %04o): run `chmod 600 %s`", flag, name, mode, name)
	}
	return nil
}

// readFile returns the content of a file and what is known of what was read.
func readFile(name string) ([]byte, fs.FileInfo, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, nil, err
	}
	if len(b) > maxFileBytes {
		return nil, nil, fmt.Errorf("%s is larger than %d bytes", name, maxFileBytes)
	}
	return b, info, nil
}
