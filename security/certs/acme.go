package certs

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/mail"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/acme"
)

const (
	// acmeTimeout bounds one order, from the account to the certificate.
	acmeTimeout = 10 * time.Minute
	// acmeLook is how often at least the certificate's age is looked at: a clock may be set.
	acmeLook = time.Hour
	// acmeRetry is the pause after an order that failed, doubled with each in a row up to acmeRetryMost:
	// authorities lock out whom they see failing more often than five times an hour.
	acmeRetry     = 15 * time.Minute
	acmeRetryMost = 8 * time.Hour
	// acmeDomains is the most names of one certificate.
	acmeDomains = 100

	acmeCertFile    = "certificate.pem" // key and chain
	acmeAccountFile = "account.pem"
)

// ACMEOptions of LoadACME.
type ACMEOptions struct {
	Domains   []string // --acme-domains
	Cache     string   // --acme-cache: folder of the account's key and the certificate, of this user only
	Email     string   // --acme-email: whom the authority may write to; "": nobody
	Directory string   // --acme-directory: URL of the authority; "" is Let's Encrypt's

	Client *acme.Client     // whose HTTPClient and pauses are used; nil: the default
	Now    func() time.Time // nil is time.Now
}

// ACME has an authority certify the server's names (RFC 8555), and proves that they are its own on the
// public listener itself (TLS-ALPN-01, RFC 8737). Handshakes never wait for it: they get the
// present certificate, or none until the first is there. Any goroutine.
type ACME struct {
	o       ACMEOptions
	domains []string // lower case

	current atomic.Pointer[pair] // nil until there is one

	mu         sync.Mutex
	challenges map[string]*tls.Certificate // by domain, while an order is under way; guarded by mu

	failures int // in a row; owned by Run, like alarm
	alarm    alarm
}

// The reasons why a handshake gets no certificate. Read only.
var (
	errNoneYet     = errors.New("certs: no certificate from --acme-directory yet")
	errNoChallenge = errors.New("certs: no proof of this name is asked for")
)

// LoadACME checks the options and takes the certificate of an earlier run, if it still serves. The authority
// is not asked, and nothing is written, before Run.
func LoadACME(o ACMEOptions) (*ACME, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	a := &ACME{o: o, challenges: make(map[string]*tls.Certificate)}
	for _, name := range o.Domains {
		if err := checkDomain(name); err != nil {
			return nil, err
		}
		a.domains = append(a.domains, strings.ToLower(name))
	}
	switch n := len(slices.Compact(slices.Sorted(slices.Values(a.domains)))); {
	case n != len(a.domains) || n == 0 || n > acmeDomains:
		return nil, fmt.Errorf("--acme-domains: name each domain once, at least one and at most %d", acmeDomains)
	case o.Cache == "":
		return nil, errors.New("--acme-cache is not set: name a folder for the account's key and the certificate, which must outlive a restart")
	}
	if o.Email != "" {
		if _, err := mail.ParseAddress(o.Email); err != nil || strings.ContainsAny(o.Email, "<> ,") {
			return nil, fmt.Errorf("--acme-email: %q is no e-mail address: write one, as in ops@example.com", o.Email)
		}
	}
	if o.Directory != "" && !strings.HasPrefix(o.Directory, "https://") {
		return nil, fmt.Errorf("--acme-directory: %q is no URL that starts with https://", o.Directory)
	}
	return a, a.load()
}

// checkDomain refuses what the authority cannot certify by this proof.
func checkDomain(name string) error {
	letters := func(r rune) bool {
		return r != '-' && r != '.' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}
	digits := strings.Trim(name, "0123456789.") == ""
	switch {
	case strings.HasPrefix(name, "*."):
		return fmt.Errorf("--acme-domains: %q is a wildcard, which needs proof by DNS: name the hosts, or give --tls-cert", name)
	case len(name) > 253 || digits || !strings.Contains(strings.Trim(name, "."), ".") || strings.HasSuffix(name, ".") || strings.ContainsFunc(name, letters):
		return fmt.Errorf("--acme-domains: %q is no full domain name: write one, as in push.example.com (others than ASCII as xn--…)", name)
	}
	return nil
}

// load takes what an earlier run left in the folder. A certificate that no longer serves is passed over.
func (a *ACME) load() error {
	info, err := os.Stat(a.o.Cache)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil // made with the first order
	case err != nil:
		return fmt.Errorf("--acme-cache: %w", err)
	case !info.IsDir() || info.Mode().Perm()&0o077 != 0:
		return fmt.Errorf("--acme-cache: %s is no folder of this user only (mode %04o): run `chmod 700 %s`", a.o.Cache, info.Mode().Perm(), a.o.Cache)
	}
	b, _, err := readFile(filepath.Join(a.o.Cache, acmeCertFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("--acme-cache: %w", err)
	}
	if p, err := a.pair(b); err == nil {
		a.current.Store(p)
	}
	return nil
}

// pair checks key and chain, in one text, as those of files are: for all of the domains and of this day.
func (a *ACME) pair(b []byte) (*pair, error) {
	s := &Store{certFile: acmeCertFile, keyFile: acmeCertFile,
		options: Options{AllowSelfSigned: true, Now: a.o.Now, CertFlag: "--acme-cache", KeyFlag: "--acme-cache"}} // the authority may be one that this machine does not know
	p, err := s.parse(b, b)
	if err != nil {
		return nil, err
	}
	for _, name := range a.domains {
		if err := p.cert.Leaf.VerifyHostname(name); err != nil {
			return nil, fmt.Errorf("the certificate is not for %s", name)
		}
	}
	return p, nil
}

// Certificate is the GetCertificate of a tls.Config. It does not wait.
func (a *ACME) Certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if len(hello.SupportedProtos) == 1 && hello.SupportedProtos[0] == acme.ALPNProto {
		a.mu.Lock()
		defer a.mu.Unlock()
		if c := a.challenges[strings.ToLower(hello.ServerName)]; c != nil {
			return c, nil
		}
		return nil, errNoChallenge
	}
	if p := a.current.Load(); p != nil {
		return p.cert, nil
	}
	return nil, errNoneYet
}

// Certified reports whether there is a certificate.
func (a *ACME) Certified() bool { return a.current.Load() != nil }

// NotAfter is when the present certificate expires; now, if there is none.
func (a *ACME) NotAfter() time.Time {
	if p := a.current.Load(); p != nil {
		return p.notAfter
	}
	return a.o.Now()
}

// Run orders certificates when they are due until ctx is done, and tells what becomes of it. It blocks: run
// it once, on a goroutine, and wait for that.
func (a *ACME) Run(ctx context.Context, tell func(*Notice)) {
	for {
		timer := time.NewTimer(a.turn(ctx, tell))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// turn does what is due, and returns how long nothing will be.
func (a *ACME) turn(ctx context.Context, tell func(*Notice)) (pause time.Duration) {
	now := a.o.Now()
	if due := a.due(); now.Before(due) {
		return min(due.Sub(now), acmeLook)
	}
	err := a.obtain(ctx)
	until := slog.Time("not_after", a.NotAfter())
	if ctx.Err() != nil {
		return acmeLook
	}
	if err == nil {
		a.failures = 0
		tell(&Notice{CertificateReplaced, slog.LevelInfo, "certificate replaced", []slog.Attr{slog.String("option", "--acme-domains"), until}})
		return min(max(a.due().Sub(a.o.Now()), acmeRetry), acmeLook)
	}
	pause = min(acmeRetry<<min(a.failures, 10), acmeRetryMost)
	a.failures++
	tell(&Notice{CertificateRefused, slog.LevelError, "no certificate from the authority, the old one stays if there is one",
		[]slog.Attr{slog.String("error", plain(err.Error())), slog.String("option", "--acme-domains"), until, slog.Duration("again_in", pause)}})
	if p := a.current.Load(); p != nil {
		if days, near := a.alarm.due(p.notAfter, now); near {
			tell(&Notice{CertificateExpires, slog.LevelWarn, "certificate expires soon: renew it",
				[]slog.Attr{slog.Int("days", days), slog.String("option", "--acme-domains"), until}})
		}
	}
	return pause
}

// due is when the next certificate is to be ordered: with a third of the life of this one left.
func (a *ACME) due() time.Time {
	p := a.current.Load()
	if p == nil {
		return time.Time{}
	}
	return p.notAfter.Add(-p.notAfter.Sub(p.cert.Leaf.NotBefore) / 3)
}

// plain is text of the authority's for a log: bounded, printable ASCII.
func plain(text string) string {
	const most = 400
	ascii := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
	return ascii[:min(len(ascii), most)]
}
