package backend

import (
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"weir/security/oplog/logtest"
	"weir/security/schema"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a client, and the clock of its circuit breakers.
type world struct {
	*Client
	ahead atomic.Int64 // nanoseconds
	log   logtest.Log
}

func newWorld(t *testing.T, url string, change func(*Config)) *world {
	t.Helper()
	w := &world{}
	start := time.Unix(1_800_000_000, 0)
	cfg := Config{
		HeaderName: "X-Secret", HeaderValue: "hunter2", Timeout: time.Minute, Concurrency: 4,
		AnswerBytes: 1000, Payload: schema.Limits{Depth: 16, Members: 1024}, Log: slog.New(slog.NewTextHandler(&w.log, nil)),
		Now: func() time.Time { return start.Add(time.Duration(w.ahead.Load())) },
	}
	for k := range cfg.URLs {
		cfg.URLs[k] = url
	}
	if change != nil {
		change(&cfg)
	}
	w.Client = New(cfg)
	t.Cleanup(func() {
		w.Close()
		for _, secret := range []string{"hunter2", "query-secret", "127.0.0.1"} {
			if strings.Contains(w.log.String(), secret) {
				t.Errorf("the log tells %s: %s", secret, &w.log)
			}
		}
	})
	return w
}

// serve runs a backend.
func serve(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s.URL + "/rpc?key=query-secret"
}

// want asks once and checks how it ends.
func (w *world) want(t *testing.T, k Kind, failure *Failure) Answer {
	t.Helper()
	a, err := w.Ask(k, []byte(`{"x":1}`))
	if failure == nil && err != nil || failure != nil && !errors.Is(err, failure) {
		t.Errorf("%s: %+v, %v, want %v", k, a, err, failure)
	}
	return a
}

func TestAsk(t *testing.T) {
	var calls atomic.Int32
	url := serve(t, func(rw http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		body, _ := io.ReadAll(r.Body)
		if r.Method != http.MethodPost || r.URL.String() != "/rpc?key=query-secret" || string(body) != `{"x":1}` || r.ContentLength != 7 ||
			r.Header.Get("Content-Type") != "application/json" || r.Header.Get("X-Secret") != "hunter2" || r.Header.Get("User-Agent") != "weir" || len(r.Header) > 5 {
			t.Errorf("%s %s %v %s", r.Method, r.URL, r.Header, body)
		}
		_, _ = io.WriteString(rw, `{"result":{"data":2}}`)
	})
	w := newWorld(t, url, nil)
	if a := w.want(t, RPC, nil); string(a.Data) != "2" || calls.Load() != 1 {
		t.Errorf("%+v after %d calls", a, calls.Load())
	}
	if n := w.Calls(RPC, "ok"); n != 1 || w.Calls(Send, "ok") != 0 || w.Open(RPC) {
		t.Errorf("%d calls are counted", n)
	}
	if !w.Asks(RPC) || newWorld(t, "", nil).Asks(RPC) {
		t.Error("who asks what")
	}
}

// TestOnly200Counts: nothing else is an answer, whatever stands in it; redirects are not followed.
func TestOnly200Counts(t *testing.T) {
	var status atomic.Int32
	var elsewhere atomic.Int32
	other := serve(t, func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) })
	url := serve(t, func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Location", other)
		rw.WriteHeader(int(status.Load()))
		if code := status.Load(); code != 204 && code != 304 {
			_, _ = io.WriteString(rw, `{"result":{"user":"root"}}`)
		}
	})
	w := newWorld(t, url, nil)
	for _, code := range []int32{201, 202, 204, 206, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 418, 500, 501, 505} {
		status.Store(code)
		if a := w.want(t, Connect, ErrStatus); a.Claims != nil {
			t.Errorf("status %d: %+v", code, a)
		}
	}
	if elsewhere.Load() != 0 {
		t.Error("a redirect was followed")
	}
	if w.Open(Connect) {
		t.Error("a backend that is there, and refuses, is left alone")
	}
	for _, code := range []int32{429, 502, 503, 504} {
		status.Store(code)
		w.want(t, RPC, ErrUnavailable)
	}
	if w.want(t, RPC, ErrUnavailable); !w.Open(RPC) || w.Open(Connect) {
		t.Error("a backend that is not there is not left alone, or for the wrong questions")
	}
}

func TestAnswersThatAreNone(t *testing.T) {
	gzipped := func(text string) string {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = io.WriteString(z, text) // never fails
		_ = z.Close()
		return b.String()
	}
	long := `{"result":{"data":"` + strings.Repeat("x", 1000-22) + `"}}`
	for name, c := range map[string]struct {
		body, header string
		want         *Failure
	}{
		"longest":    {long, "", nil},
		"too long":   {long + " ", "", ErrTooLong},
		"empty":      {"", "", ErrMalformed},
		"garbage":    {"<html>", "", ErrMalformed},
		"no result":  {"{}", "", ErrMalformed},
		"compressed": {gzipped(`{"result":{}}`), "gzip", ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, serve(t, func(rw http.ResponseWriter, r *http.Request) {
				if c.header != "" {
					rw.Header().Set("Content-Encoding", c.header)
				}
				_, _ = io.WriteString(rw, c.body)
			}), nil)
			for range failuresToOpen {
				w.want(t, RPC, c.want)
			}
			if w.Open(RPC) {
				t.Error("a backend that is there is left alone")
			}
		})
	}
	t.Run("cut short", func(t *testing.T) {
		w := newWorld(t, serve(t, func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(rw, `{"result":{}}`)
		}), nil)
		w.want(t, RPC, ErrUnreachable)
	})
	t.Run("endless", func(t *testing.T) { // more than the limit is not waited for
		w := newWorld(t, serve(t, func(rw http.ResponseWriter, r *http.Request) {
			for {
				if _, err := io.WriteString(rw, strings.Repeat(" ", 4096)); err != nil {
					return
				}
			}
		}), nil)
		w.want(t, RPC, ErrTooLong)
	})
	t.Run("long head", func(t *testing.T) {
		w := newWorld(t, serve(t, func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("X-Long", strings.Repeat("x", 2*headBytes))
			_, _ = io.WriteString(rw, `{"result":{}}`)
		}), nil)
		w.want(t, RPC, ErrUnreachable)
	})
}

// stuck is a backend that sends what begin does and then nothing until the test ends.
func stuck(t *testing.T, begin func(http.ResponseWriter)) (url string, arrived <-chan struct{}) {
	t.Helper()
	over, came := make(chan struct{}), make(chan struct{}, 100)
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		begin(rw)
		came <- struct{}{}
		<-over
	}))
	t.Cleanup(func() {
		close(over)
		s.Close()
	})
	return s.URL, came
}

func TestTimeout(t *testing.T) {
	for name, begin := range map[string]func(http.ResponseWriter){
		"no head": func(http.ResponseWriter) {},
		"half a body": func(rw http.ResponseWriter) {
			_, _ = io.WriteString(rw, `{"result":{}`)
			rw.(http.Flusher).Flush()
		},
	} {
		t.Run(name, func(t *testing.T) {
			url, _ := stuck(t, begin)
			w := newWorld(t, url, func(c *Config) { c.Timeout = 20 * time.Millisecond })
			for range failuresToOpen {
				w.want(t, Subscribe, ErrTimeout)
			}
			w.want(t, Subscribe, ErrOpen)
		})
	}
}

// TestBackendDown: after some calls that nobody takes none is made for a while, then one tries; the log has each change once.
func TestBackendDown(t *testing.T) {
	var back atomic.Bool
	w := newWorld(t, serve(t, func(rw http.ResponseWriter, r *http.Request) {
		if back.Load() {
			_, _ = io.WriteString(rw, `{"result":{}}`)
			return
		}
		if conn, _, err := rw.(http.Hijacker).Hijack(); err == nil {
			_ = conn.Close()
		}
	}), nil)
	for range failuresToOpen {
		w.want(t, RPC, ErrUnreachable)
	}
	w.want(t, RPC, ErrOpen)
	w.want(t, Publish, ErrUnreachable) // another hook has its own
	w.ahead.Add(int64(firstPause))
	w.want(t, RPC, ErrUnreachable)
	w.want(t, RPC, ErrOpen)

	back.Store(true)
	w.want(t, RPC, ErrOpen)
	w.ahead.Add(int64(2 * firstPause))
	w.want(t, RPC, nil)
	w.want(t, RPC, nil)
	if n := w.Calls(RPC, "open"); n != 3 || w.Calls(RPC, "unreachable") != failuresToOpen+1 || w.Calls(RPC, "ok") != 2 {
		t.Errorf("%d calls were kept away, %d failed", n, w.Calls(RPC, "unreachable"))
	}
	if log := w.log.String(); strings.Count(log, "\n") != 2 || !strings.Contains(log, "hook=rpc reason=unreachable next_try=1s") || !strings.Contains(log, "answers again") {
		t.Errorf("the log is %s", log)
	}
}

func TestCertificateIsChecked(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(rw, `{"result":{}}`) }))
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.StartTLS()
	t.Cleanup(s.Close)
	newWorld(t, s.URL, nil).want(t, RPC, ErrUnreachable)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	newWorld(t, s.URL, func(c *Config) { c.TLS = &tls.Config{RootCAs: roots} }).want(t, RPC, nil)
}

// TestClose: calls under way end, later ones are not made.
func TestClose(t *testing.T) {
	url, arrived := stuck(t, func(http.ResponseWriter) {})
	w := newWorld(t, url, func(c *Config) { c.Timeout = time.Hour })
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() { w.want(t, RPC, ErrClosed) })
		<-arrived
	}
	w.Close()
	wg.Wait()
	w.want(t, RPC, ErrClosed)
}

func TestResultsAreDistinct(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range Results() {
		if r == "" || seen[r] {
			t.Errorf("%q is empty or stands twice", r)
		}
		seen[r] = true
	}
	for k := range Kinds {
		if name := k.String(); seen[name] || name == "none" {
			t.Errorf("kind %d is %q", k, name)
		} else {
			seen[name] = true
		}
	}
	if Kinds.String() != "none" {
		t.Error(Kinds.String())
	}
}
