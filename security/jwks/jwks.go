// Package jwks keeps the keys of a token.KeySet as an issuer publishes them at a URL (a JSON Web Key Set, RFC 7517).
//
// One goroutine, Run, asks; nobody ever waits for it. It asks at the start, then every ten minutes, soon after a
// failure, and when a token came by a key that is not known, for that at most once a minute: so what peers send
// cannot make it ask more often. Keys of an answer that cannot be used
// are passed over; one of which none is left, or that holds a private key or a shared secret, counts for nothing: then,
// and through every outage, the keys stay that were there.
package jwks

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"weir/security/token"
)

const (
	refreshEvery = 10 * time.Minute // between questions while they are answered
	unknownEvery = time.Minute      // between questions because of tokens by unknown keys
	retryFirst   = 5 * time.Second  // after a failure; doubled with each, up to retryMost
	retryMost    = time.Minute

	timeout     = 10 * time.Second // of one question, from connecting to the answer's last byte
	answerBytes = 1 << 20          // of an answer; attack: a key server in wrong hands
	headBytes   = 16 << 10         // of its head
	tick        = time.Second

	skippedTold = 4  // keys that one line of the log names
	textTold    = 96 // bytes of what a key is called, and of why it cannot be used
)

// errURL refuses a URL; it may hold a secret, so it is not repeated.
var errURL = errors.New("the URL must be https://, with a host and without a user name; keys that came over plain HTTP could be anybody's")

// CheckURL tells whether keys may be fetched from it.
func CheckURL(raw string) error {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
		return errURL
	}
	return nil
}

// Config says where keys come from and who gets them.
type Config struct {
	URL  string        // from CheckURL
	TLS  *tls.Config   // nil: the system's roots
	Keys *token.KeySet // gets them
	Log  *slog.Logger
	Now  func() time.Time
}

// Source fetches. It belongs to the goroutine of Run.
type Source struct {
	cfg  Config
	http *http.Client

	began     time.Time // of the last question; zero: none yet
	failures  int       // in a row
	asked     bool      // a token came by an unknown key since
	complaint string    // the last that was logged, "" after a success
	skipped   string    // what was last logged of keys that cannot be used
	keys      int       // the last number that was logged
}

// New makes a Source. It asks nothing before Run.
func New(cfg Config) *Source {
	return &Source{cfg: cfg, http: &http.Client{
		Transport: &http.Transport{
			TLSClientConfig: cfg.TLS, TLSHandshakeTimeout: timeout, ResponseHeaderTimeout: timeout, MaxResponseHeaderBytes: headBytes,
			DisableCompression: true, DisableKeepAlives: true, // Proxy is nil: nobody is between
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Run keeps the keys until ctx is done. It blocks: run it on a goroutine and wait for that.
func (s *Source) Run(ctx context.Context) {
	t := time.NewTicker(tick)
	defer t.Stop()
	s.run(ctx, t.C)
}

// run is Run with its clock as an argument.
func (s *Source) run(ctx context.Context, ticks <-chan time.Time) {
	for ctx.Err() == nil {
		if now := s.cfg.Now(); s.due(now) {
			select {
			case <-s.cfg.Keys.Asked(): // what is asked for now comes with this answer, if at all
			default:
			}
			s.began, s.asked = now, false
			if err := s.fetch(ctx); ctx.Err() == nil {
				s.note(err)
			}
		}
		select {
		case <-ctx.Done():
		case <-ticks:
		case <-s.cfg.Keys.Asked():
			s.asked = true
		}
	}
}

// due reports whether it is time to ask. A clock that was set back asks at once.
func (s *Source) due(now time.Time) bool {
	since := now.Sub(s.began)
	switch {
	case s.began.IsZero() || since < 0:
		return true
	case s.failures > 0:
		return since >= min(retryFirst<<min(s.failures-1, 10), retryMost)
	case s.asked:
		return since >= unknownEvery
	}
	return since >= refreshEvery
}

// fetch asks once and gives the keys away. Errors hold neither the URL nor the answer.
func (s *Source) fetch(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.cfg.URL, nil)
	if err != nil {
		return errURL
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	res, err := s.http.Do(req)
	if err != nil {
		return withoutURL(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("the answer is %d; it must be 200, redirects are not followed", res.StatusCode)
	}
	b, err := io.ReadAll(io.LimitReader(res.Body, answerBytes+1))
	if err != nil {
		return withoutURL(err)
	}
	if len(b) > answerBytes {
		return fmt.Errorf("the answer has over %d bytes", answerBytes)
	}
	keys, skipped, err := token.ParseKeySet(b)
	if err == nil {
		err = s.cfg.Keys.Replace(keys, s.began)
	}
	if err == nil {
		s.cfg.Keys.Skipped(len(skipped))
	}
	s.skip(skipped)
	return err
}

// skip tells of keys that cannot be used, each change once.
func (s *Source) skip(list []token.Skipped) {
	var text strings.Builder
	for i, k := range list {
		if i == skippedTold {
			fmt.Fprintf(&text, ", and %d more", len(list)-i)
			break
		}
		if i > 0 {
			text.WriteString(", ")
		}
		fmt.Fprintf(&text, "kid %s: %s", ascii(k.ID), strings.Trim(ascii(k.Reason.Error()), `"`))
	}
	if text.String() != s.skipped {
		s.skipped = text.String()
		if len(list) > 0 {
			s.cfg.Log.Warn("token keys passed over", "keys", len(list), "which", s.skipped)
		}
	}
}

// ascii quotes a text of the answer for the log, whatever it is.
func ascii(text string) string { return strconv.QuoteToASCII(text[:min(len(text), textTold)]) }

// note tells how a question ended, each change once.
func (s *Source) note(err error) {
	if err != nil {
		s.failures++
		s.cfg.Keys.Failed()
		if text := bounded(err.Error()); text != s.complaint {
			s.complaint = text
			s.cfg.Log.Error("token keys not fetched, the old ones stay", "error", "--jwks-url: "+text, "keys", s.cfg.Keys.Figures().Keys)
		}
		return
	}
	if keys := s.cfg.Keys.Figures().Keys; s.complaint != "" || keys != s.keys {
		s.keys = keys
		s.cfg.Log.Info("token keys fetched", "keys", keys)
	}
	s.failures, s.complaint = 0, ""
}

// bounded cuts a text for the log: an answer may stand in it.
func bounded(text string) string {
	const most = 300
	if len(text) > most {
		return text[:most] + "…"
	}
	return text
}

// withoutURL is what lies under an error of net/http, whose text repeats the URL.
func withoutURL(err error) error {
	var at *url.Error
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}
