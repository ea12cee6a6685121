// Package certs loads the server's certificate and key, refuses what clients would refuse, and
// replaces the pair while connections stay up.
//
// A [Store] always holds one good pair: Load fails unless the first is good, and a later one takes its
// place only after the same checks. So a handshake never fails for a file that is half written, wrong
// or expired early; the old pair serves on and the operator is told.
//
// All errors are for operators: each kind of mistake has its own text, which names the flag
// (--tls-cert or --tls-key) and the mend. None holds a byte of a key.
package certs

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
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

	Now   func() time.Time // nil is time.Now
	Roots *x509.CertPool   // authorities whose certificates need not stand in the file; nil are the machine's
}

// Store holds the present pair. Any goroutine.
type Store struct {
	certFile, keyFile string
	options           Options

	mu      sync.Mutex           // one reload at a time
	current atomic.Pointer[pair] // never nil after Load
}

// pair is one good certificate with its key. Immutable.
type pair struct {
	cert     *tls.Certificate
	notAfter time.Time
	digest   [sha256.Size]byte // of both files
}

// Load reads and checks the first pair.
func Load(certFile, keyFile string, o Options) (*Store, error) {
	if certFile == "" {
		return nil, errors.New("--tls-cert is not set: name a PEM file with the server's certificate and its chain")
	}
	if keyFile == "" {
		return nil, errors.New("--tls-key is not set: name the PEM file with the certificate's private key")
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
		return nil, nil, fmt.Errorf("--tls-cert: %w: name a file that this user can read", err)
	}
	keyPEM, mode, err := readFile(s.keyFile)
	if err != nil {
		return nil, nil, fmt.Errorf("--tls-key: %w: name a file that this user can read", err)
	}
	if mode.Perm()&0o007 != 0 {
		return nil, nil, fmt.Errorf("--tls-key: %s is open to every user of this machine (mode %04o): run `chmod 600 %s`",
			s.keyFile, mode.Perm(), s.keyFile)
	}
	return certPEM, keyPEM, nil
}

// readFile returns the content of a file and the mode of what was read.
func readFile(name string) ([]byte, fs.FileMode, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, 0, err
	}
	if len(b) > maxFileBytes {
		return nil, 0, fmt.Errorf("%s is larger than %d bytes", name, maxFileBytes)
	}
	return b, info.Mode(), nil
}

// Watch looks at the files every interval until ctx is done. A new good pair is served and logged; a
// bad one is logged once and the old one stays; an expiry that comes near is logged 30, 14, 7 and 1
// days ahead. It blocks: run it on a goroutine and wait for that.
func (s *Store) Watch(ctx context.Context, interval time.Duration, log *slog.Logger) {
	t := time.NewTicker(interval)
	defer t.Stop()
	s.watch(ctx, t.C, log)
}

// watch is Watch with its clock as an argument.
func (s *Store) watch(ctx context.Context, ticks <-chan time.Time, log *slog.Logger) {
	var complaint string
	var alarm alarm
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks:
		}
		changed, err := s.Check()
		switch {
		case err != nil && err.Error() != complaint:
			complaint = err.Error()
			log.Error("certificate not replaced, the old one stays", "error", err, "not_after", s.NotAfter())
		case err == nil:
			complaint = ""
		}
		if changed {
			alarm.quiet()
			log.Info("certificate replaced", "not_after", s.NotAfter())
		}
		if days, due := alarm.due(s.NotAfter(), s.options.Now()); due {
			log.Warn("certificate expires soon: renew it", "days", days, "not_after", s.NotAfter())
		}
	}
}

// alarmDays are the distances to expiry at which the operator is told.
var alarmDays = [...]int{1, 7, 14, 30}

// alarm remembers how near an expiry the operator was last told of: days, 0 for not yet.
type alarm struct{ told int }

func (a *alarm) quiet() { a.told = 0 }

// due returns the smallest of alarmDays that the expiry is within, once.
func (a *alarm) due(notAfter, now time.Time) (days int, due bool) {
	left := notAfter.Sub(now)
	for _, d := range alarmDays {
		if left <= time.Duration(d)*24*time.Hour {
			due = a.told == 0 || d < a.told
			a.told = d
			return d, due
		}
	}
	a.told = 0
	return 0, false
}
