package jwks

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/go-jose/go-jose/v4"

	"weir/security/oplog/logtest"
	"weir/security/token"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// issuer is a key server whose answer the test chooses, and a Source that asks it by a clock that stands until the
// test moves it.
type issuer struct {
	t      *testing.T
	keys   *token.KeySet
	source *Source
	log    logtest.Log
	ticks  chan time.Time
	hits   chan struct{}

	mu     sync.Mutex
	at     time.Time        // guarded by mu
	answer http.HandlerFunc // guarded by mu
}

func start(t *testing.T, answer http.HandlerFunc) *issuer {
	t.Helper()
	i := &issuer{t: t, keys: token.NewKeySet(), ticks: make(chan time.Time), hits: make(chan struct{}, 100), at: time.Unix(1_800_000_000, 0), answer: answer}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.hits <- struct{}{}
		i.mu.Lock()
		answer := i.answer
		i.mu.Unlock()
		answer(w, r)
	}))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.StartTLS()
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	i.source = New(Config{
		URL: server.URL + "/keys?secret=hunter2", TLS: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, Keys: i.keys,
		Log: slog.New(slog.NewTextHandler(&i.log, nil)), Now: i.now,
	})
	return i
}

func (i *issuer) now() time.Time {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.at
}

func (i *issuer) answers(with http.HandlerFunc) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.answer = with
}

// run lets the Source run until the test ends.
func (i *issuer) run() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		i.source.run(ctx, i.ticks)
	}()
	i.t.Cleanup(func() { cancel(); <-done })
}

// after moves the clock, lets the Source look twice at it, and returns how often it asked.
func (i *issuer) after(d time.Duration) (asked int) {
	i.mu.Lock()
	i.at = i.at.Add(d)
	i.mu.Unlock()
	i.ticks <- time.Time{}
	i.ticks <- time.Time{} // what the first look led to is over
	for {
		select {
		case <-i.hits:
			asked++
		default:
			return asked
		}
	}
}

func (i *issuer) want(what string, asked, want, keys int) {
	i.t.Helper()
	if f := i.keys.Figures(); asked != want || f.Keys != keys {
		i.t.Errorf("%s: asked %d times, want %d; %d keys, want %d; log: %s", what, asked, want, f.Keys, keys, i.log.String())
	}
}

// unknown has a token come by a key that is not there.
func (i *issuer) unknown(v *token.Verifier, kid string) error {
	i.t.Helper()
	_, err := v.Connection([]byte(signed(i.t, newKey(i.t), kid, i.now())), i.now())
	return err
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func signed(t *testing.T, key *ecdsa.PrivateKey, kid string, at time.Time) string {
	t.Helper()
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", kid))
	if err != nil {
		t.Fatal(err)
	}
	j, err := s.Sign([]byte(fmt.Sprintf(`{"sub":"alice","iat":%d,"exp":%d}`, at.Unix(), at.Add(time.Hour).Unix())))
	if err != nil {
		t.Fatal(err)
	}
	text, err := j.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// setOf is the answer with the public half of each key, by kid.
func setOf(t *testing.T, keys map[string]*ecdsa.PrivateKey) http.HandlerFunc {
	t.Helper()
	var set jose.JSONWebKeySet
	for kid, key := range keys {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: key.Public(), KeyID: kid, Algorithm: "ES256", Use: "sig"})
	}
	b, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(b) }
}

func text(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) }
}

// TestRotation: keys come at the start, every ten minutes, and for an unknown key at most once a minute, however many
// tokens have one.
func TestRotation(t *testing.T) {
	a, b := newKey(t), newKey(t)
	i := start(t, setOf(t, map[string]*ecdsa.PrivateKey{"a": a}))
	v, err := token.New(token.Config{KeySet: i.keys})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Connection([]byte(signed(t, a, "a", i.now())), i.now()); err != token.ErrUnknownKey {
		t.Errorf("before the first answer: %v", err)
	}
	i.run()
	i.want("at the start", i.after(0), 1, 1)
	if _, err := v.Connection([]byte(signed(t, a, "a", i.now())), i.now()); err != nil {
		t.Errorf("by a key that came: %v", err)
	}
	i.want("nothing happens", i.after(9*time.Minute), 0, 1)
	i.want("ten minutes later", i.after(time.Minute), 1, 1)

	i.answers(setOf(t, map[string]*ecdsa.PrivateKey{"a": a, "b": b}))
	for n := range 1000 {
		if err := i.unknown(v, fmt.Sprint("k", n)); err != token.ErrUnknownKey {
			t.Fatalf("an unknown key: %v", err)
		}
	}
	i.want("1000 unknown keys at once", i.after(30*time.Second), 0, 1)
	i.want("a minute later", i.after(30*time.Second), 1, 2)
	if _, err := v.Connection([]byte(signed(t, b, "b", i.now())), i.now()); err != nil {
		t.Errorf("by a key that came: %v", err)
	}
	asked := 0
	for range 60 {
		for n := range 20 {
			_ = i.unknown(v, fmt.Sprint("k", n))
		}
		asked += i.after(5 * time.Second)
	}
	i.want("unknown keys for five minutes", asked, 5, 2)

	i.answers(setOf(t, map[string]*ecdsa.PrivateKey{"b": b}))
	i.want("a key is taken back", i.after(10*time.Minute), 1, 1)
	if _, err := v.Connection([]byte(signed(t, a, "a", i.now().Add(-30*time.Minute))), i.now()); err == nil || err == token.ErrUnknownKey {
		t.Errorf("a token of then by a key of then: %v", err)
	}
}

// TestBadAnswers: whatever comes that is no good set, the keys stay that were there, it is told once, and asked again
// later and later.
func TestBadAnswers(t *testing.T) {
	a := newKey(t)
	good := setOf(t, map[string]*ecdsa.PrivateKey{"a": a})
	private, err := json.Marshal(jose.JSONWebKey{Key: a, KeyID: "p", Algorithm: "ES256"})
	if err != nil {
		t.Fatal(err)
	}
	secret := `{"kty":"oct","kid":"s","alg":"HS256","k":"` + base64.RawURLEncoding.EncodeToString(make([]byte, 32)) + `"}`
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		says   string
	}{
		"garbage":       {text("<html>down</html>"), "no JSON Web Key Set"},
		"half":          {text(`{"keys":[{"kty":"EC"`), "not JSON"},
		"nothing":       {text(""), "no JSON Web Key Set"},
		"no keys":       {text(`{"keys":[]}`), "no key for signatures"},
		"private":       {text(`{"keys":[` + string(private) + `]}`), "private key"},
		"shared secret": {text(`{"keys":[` + secret + `]}`), "shared secret"},
		"huge":          {text(`{"keys":[` + strings.Repeat(" ", answerBytes) + `]}`), "over 1048576 bytes"},
		"endless head": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X", strings.Repeat("x", 64<<10))
		}, "header"},
		"error": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }, "500"},
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		}, "302"},
		"compressed": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write([]byte("\x1f\x8b\x08"))
		}, "no JSON Web Key Set"},
		"cut off": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte(`{"keys":`))
		}, "unexpected EOF"},
		"gone": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			i := start(t, good)
			i.run()
			i.want("at the start", i.after(0), 1, 1)
			i.answers(c.answer)
			i.want("a bad answer", i.after(10*time.Minute), 1, 1)
			for _, step := range []struct {
				d    time.Duration
				want int
			}{{4 * time.Second, 0}, {time.Second, 1}, {9 * time.Second, 0}, {time.Second, 1}, {20 * time.Second, 1}, {40 * time.Second, 1}, {59 * time.Second, 0}, {time.Second, 1}} {
				i.want(fmt.Sprint("again after ", step.d), i.after(step.d), step.want, 1)
			}
			said := i.log.String()
			if n := strings.Count(said, "token keys not fetched"); n != 1 || !strings.Contains(said, c.says) {
				t.Errorf("told %d times, want once with %q: %s", n, c.says, said)
			}
			if strings.Contains(said, "hunter2") {
				t.Errorf("the log holds the URL: %s", said)
			}
			if f := i.keys.Figures(); f.Failed != 6 {
				t.Errorf("%d failures are counted, want 6", f.Failed)
			}
			i.answers(good)
			i.want("it is back", i.after(time.Minute), 1, 1)
			if n := strings.Count(i.log.String(), "token keys fetched"); n != 2 {
				t.Errorf("told %d times that keys came, want 2: %s", n, i.log.String())
			}
			i.want("and as before", i.after(9*time.Minute), 0, 1)
		})
	}
}

// TestUntrusted: a server that the roots do not vouch for is not asked.
func TestUntrusted(t *testing.T) {
	i := start(t, text("{}"))
	i.source.cfg.TLS = nil
	i.source = New(Config{URL: i.source.cfg.URL, TLS: &tls.Config{RootCAs: x509.NewCertPool()}, Keys: i.keys, Log: i.source.cfg.Log, Now: i.now})
	i.run()
	i.want("at the start", i.after(0), 0, 0)
	if said := i.log.String(); !strings.Contains(said, "certificate") || strings.Contains(said, "hunter2") {
		t.Errorf("log: %s", said)
	}
}

// TestEndsAmidAQuestion: a server that never answers keeps nobody from stopping.
func TestEndsAmidAQuestion(t *testing.T) {
	i := start(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		i.source.Run(ctx)
	}()
	<-i.hits
	cancel()
	<-done
	if i.log.String() != "" || i.keys.Figures().Failed != 0 {
		t.Errorf("a stop is no failure: %s", i.log.String())
	}
}

func TestClockSetBack(t *testing.T) {
	i := start(t, setOf(t, map[string]*ecdsa.PrivateKey{"a": newKey(t)}))
	i.run()
	i.want("at the start", i.after(0), 1, 1)
	i.want("a day back", i.after(-24*time.Hour), 1, 1)
	i.want("and on", i.after(9*time.Minute), 0, 1)
}

func TestCheckURL(t *testing.T) {
	for raw, want := range map[string]bool{
		"https://issuer.example.com/.well-known/jwks.json": true, "https://[2001:db8::1]:8443/k?x=1": true, "HTTPS://a": true,
		"http://issuer.example.com/": false, "https://": false, "https:///k": false, "issuer.example.com": false, "": false, "file:///etc/passwd": false,
		"https://user@a/": false, "https://u:p@a/": false, "https://a/#x": false, "https://a/%zz": false, "ftp://a": false,
	} {
		if err := CheckURL(raw); (err == nil) != want {
			t.Errorf("%s: %v", raw, err)
		} else if err != nil && len(raw) > len("https://") && strings.Contains(err.Error(), raw) {
			t.Errorf("%s: the error repeats it", raw)
		}
	}
}

// TestKeysThatCannotBeUsed: they are passed over, counted and told of once, whatever they are called; a set that has
// lost all of its keys leaves the old ones.
func TestKeysThatCannotBeUsed(t *testing.T) {
	a, b := newKey(t), newKey(t)
	good, err := json.Marshal(jose.JSONWebKey{Key: a.Public(), KeyID: "a", Algorithm: "ES256"})
	if err != nil {
		t.Fatal(err)
	}
	broken := func(kid string) string { return `{"kty":"EC","crv":"P-256","x":"AA","y":"AA","kid":"` + kid + `"}` }
	set := func(keys ...string) http.HandlerFunc { return text(`{"keys":[` + strings.Join(keys, ",") + `]}`) }
	i := start(t, set(broken(`\u009b[2J\u001b\n`+strings.Repeat("k", 1000)), string(good)))
	v, err := token.New(token.Config{KeySet: i.keys})
	if err != nil {
		t.Fatal(err)
	}
	i.run()
	told := func(n int, words ...string) {
		t.Helper()
		said := i.log.String()
		if got := strings.Count(said, "token keys passed over"); got != n {
			t.Errorf("told %d times, want %d: %s", got, n, said)
		}
		for _, word := range words {
			if !strings.Contains(said, word) {
				t.Errorf("does not say %q: %s", word, said)
			}
		}
		if strings.ContainsFunc(said, func(r rune) bool { return r > 0x7e || r < ' ' && r != '\n' }) || len(said) > 4000 {
			t.Errorf("the log has what a key was called, as it stands: %q", said)
		}
	}
	i.want("at the start", i.after(0), 1, 1)
	told(1, "keys=1", `u009b[2J`)
	if n := i.keys.Figures().Skipped; n != 1 {
		t.Errorf("%d are counted, want 1", n)
	}
	i.want("the same again", i.after(10*time.Minute), 1, 1)
	told(1)
	many := []string{string(good)}
	for n := range 500 {
		many = append(many, broken(fmt.Sprint("broken", n)))
	}
	i.answers(set(many...))
	i.want("many", i.after(10*time.Minute), 1, 1)
	told(2, "keys=500", "broken3", "and 496 more")

	i.answers(set(broken("a")))
	i.want("none is left", i.after(10*time.Minute), 1, 1)
	told(3, "not fetched", "no key for signatures")
	if _, err := v.Connection([]byte(signed(t, a, "a", i.now())), i.now()); err != nil {
		t.Errorf("by a key that was there: %v", err)
	}
	if f := i.keys.Figures(); f.Failed != 1 {
		t.Errorf("%d failures, want 1", f.Failed)
	}
	i.answers(setOf(t, map[string]*ecdsa.PrivateKey{"a": a, "b": b}))
	i.want("all are good", i.after(5*time.Second), 1, 2)
	if n := i.keys.Figures().Skipped; n != 0 {
		t.Errorf("%d are counted, want none", n)
	}
}
