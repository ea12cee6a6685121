package certs

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// ClientCAs are the authorities whose certificates clients may show. Any goroutine.
type ClientCAs struct {
	flag, file string
	now        func() time.Time

	mu      sync.Mutex                  // one reload at a time
	current atomic.Pointer[authorities] // never nil after LoadClientCAs

	told complaint // owned by Watch
}

// authorities are one file's. Immutable.
type authorities struct {
	pool   *x509.CertPool
	digest [sha256.Size]byte
}

// LoadClientCAs reads the file that an option, as in --client-ca-file, names. now nil is time.Now.
func LoadClientCAs(flag, file string, now func() time.Time) (*ClientCAs, error) {
	if now == nil {
		now = time.Now
	}
	c := &ClientCAs{flag: flag, file: file, now: now}
	if _, err := c.Reload(); err != nil {
		return nil, err
	}
	return c, nil
}

// Pool is the present authorities, for one handshake.
func (c *ClientCAs) Pool() *x509.CertPool { return c.current.Load().pool }

// Reload reads the file again. On an error the present authorities stay.
func (c *ClientCAs) Reload() (changed bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b, _, err := readFile(c.file)
	if err != nil {
		return false, fmt.Errorf("%s: %w: name a file that this user can read", c.flag, err)
	}
	sum := sha256.Sum256(b)
	if now := c.current.Load(); now != nil && now.digest == sum {
		return false, nil
	}
	pool, err := parseAuthorities(b, c.now())
	if err != nil {
		return false, fmt.Errorf("%s: %s: %w", c.flag, c.file, err)
	}
	c.current.Store(&authorities{pool, sum})
	return true, nil
}

// parseAuthorities reads certificates that may sign others.
func parseAuthorities(b []byte, now time.Time) (*x509.CertPool, error) {
	list, err := parseChain(b)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	for i, c := range list {
		switch {
		case !c.BasicConstraintsValid || !c.IsCA:
			return nil, fmt.Errorf("certificate %d is no authority's: name the authority that signs what clients show, not a certificate of theirs", i+1)
		case c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageCertSign == 0:
			return nil, fmt.Errorf("certificate %d is of an authority that may sign no certificates (key usage lacks keyCertSign): have it issued with it", i+1)
		case now.After(c.NotAfter):
			return nil, fmt.Errorf("certificate %d expired at %s, so nothing that it signs is good: take it out", i+1, c.NotAfter.UTC().Format(time.RFC3339))
		}
		if why := weakKey(c); why != "" {
			return nil, fmt.Errorf("certificate %d has %s", i+1, why)
		}
		pool.AddCert(c)
	}
	return pool, nil
}

// LoadClientPair reads what a client shows, --client-cert and --client-key.
func LoadClientPair(certFile, keyFile string) (*tls.Certificate, error) {
	s := &Store{certFile: certFile, keyFile: keyFile, options: Options{CertFlag: "--client-cert", KeyFlag: "--client-key"}}
	if certFile == "" || keyFile == "" {
		return nil, errors.New("--client-cert and --client-key: one does not go without the other; give both")
	}
	certPEM, keyPEM, err := s.read()
	if err != nil {
		return nil, err
	}
	chain, key, err := s.parsePair(certPEM, keyPEM)
	if err != nil {
		return nil, err
	}
	return certificate(chain, key), nil
}

// look implements Source.
func (c *ClientCAs) look() (list []Notice) {
	changed, err := c.Reload()
	option := slog.String("option", c.flag)
	if c.told.news(err) {
		list = append(list, Notice{ClientCAsRefused, slog.LevelError, "authorities of clients not replaced, the old ones stay",
			[]slog.Attr{slog.String("error", err.Error()), option}})
	}
	if changed {
		list = append(list, Notice{ClientCAsReplaced, slog.LevelInfo, "authorities of clients replaced", []slog.Attr{option}})
	}
	return list
}

// maxIdentity bounds the name of a client, in bytes.
const maxIdentity = 255

// The reasons for which a certificate names nobody. Read only.
var (
	errNoIdentity   = errors.New("the client's certificate has no URI, e-mail address or DNS name")
	errTwoNames     = errors.New("the client's certificate has several names of the kind that counts")
	errIdentityText = errors.New("the name in the client's certificate is too long, a wildcard, or not printable ASCII without blanks")
	errWeakClient   = errors.New("the key of the client's certificate is too weak")
)

// Identity is the user that a client's certificate names: its URI, else its e-mail address, else
// its DNS name, each as it stands there. There must be one of the first kind that it has. The
// subject and IP addresses name nobody.
func Identity(c *x509.Certificate) (user string, err error) {
	var names []string
	switch {
	case len(c.URIs) > 0:
		names = rawURIs(c) // url.URL writes several texts as one
	case len(c.EmailAddresses) > 0:
		names = c.EmailAddresses
	default:
		names = c.DNSNames
	}
	switch {
	case len(names) == 0:
		return "", errNoIdentity
	case len(names) > 1:
		return "", errTwoNames
	}
	outside := func(r rune) bool { return r <= ' ' || r > '~' }
	wildcard := len(c.URIs)+len(c.EmailAddresses) == 0 && strings.Contains(names[0], "*")
	if n := len(names[0]); n == 0 || n > maxIdentity || wildcard || strings.ContainsFunc(names[0], outside) {
		return "", errIdentityText
	}
	return names[0], nil
}

// rawURIs are the URIs of a certificate, byte for byte. RFC 5280 §4.2.1.6.
func rawURIs(c *x509.Certificate) (uris []string) {
	const uniformResourceIdentifier = 6
	for _, e := range c.Extensions {
		if !e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 17}) {
			continue
		}
		var list []asn1.RawValue
		if _, err := asn1.Unmarshal(e.Value, &list); err != nil {
			return nil
		}
		for _, name := range list {
			if name.Class == asn1.ClassContextSpecific && name.Tag == uniformResourceIdentifier {
				uris = append(uris, string(name.Bytes))
			}
		}
	}
	return uris
}

// verifyClient is the VerifyConnection of a tls.Config with ClientCAs, also for resumed sessions. That the
// certificate is of one of them, for clients and of this day crypto/tls has checked before.
func verifyClient(s tls.ConnectionState) error {
	if len(s.PeerCertificates) == 0 {
		return nil // crypto/tls has refused it where one is required
	}
	if _, err := Identity(s.PeerCertificates[0]); err != nil {
		return &tls.CertificateVerificationError{UnverifiedCertificates: s.PeerCertificates, Err: err}
	}
	return verifyStrength(s)
}

// verifyStrength is verifyClient where it does not matter who it is.
func verifyStrength(s tls.ConnectionState) error {
	if len(s.PeerCertificates) > 0 && weakKey(s.PeerCertificates[0]) != "" {
		return &tls.CertificateVerificationError{UnverifiedCertificates: s.PeerCertificates, Err: errWeakClient}
	}
	return nil
}
