package backend

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"weir/security/schema"
)

const (
	headBytes   = 16 << 10 // of an answer
	idleTimeout = 90 * time.Second
)

// Config says where a backend is and what is asked of it. The zero value asks nothing.
type Config struct {
	URLs        [Kinds]string // where each kind is asked; "" is nowhere; from CheckURL
	HeaderName  string        // sent with every question; "" is none; from ParseHeader
	HeaderValue string        // a secret
	Timeout     time.Duration // of one call, from connecting to the answer's last byte
	Concurrency int           // calls at once, of each kind

	AnswerBytes int           // longest answer
	Payload     schema.Limits // of the JSON in it
	TLS         *tls.Config   // nil: the system's roots
	Log         *slog.Logger
	Now         func() time.Time
}

// Any reports whether anything is asked.
func (c *Config) Any() bool { return c.URLs != [Kinds]string{} }

// Failure is why there is no answer. All are static values.
type Failure struct{ Label string }

func (f *Failure) Error() string { return "backend: " + f.Label }

// The failures. What the backend cannot help, because it is not there, counts for the circuit breaker: see [Failure.absent].
var (
	ErrUnreachable = &Failure{"unreachable"} // no connection, or it broke
	ErrTimeout     = &Failure{"timeout"}
	ErrUnavailable = &Failure{"unavailable"} // 429, 502, 503 or 504
	ErrStatus      = &Failure{"status"}      // any other than 200
	ErrTooLong     = &Failure{"too_long"}
	ErrMalformed   = &Failure{"malformed"}
	ErrOpen        = &Failure{"open"} // not asked: the circuit breaker is open
	ErrClosed      = &Failure{"closed"}
)

// The results of calls that were answered.
const (
	resultOK      = "ok"
	resultRefused = "refused"
)

// Results is the closed list of how a call ends, for metrics.
func Results() []string {
	list := []string{resultOK, resultRefused}
	for _, f := range []*Failure{ErrUnreachable, ErrTimeout, ErrUnavailable, ErrStatus, ErrTooLong, ErrMalformed, ErrOpen, ErrClosed} {
		list = append(list, f.Label)
	}
	return list
}

// absent reports whether the backend was not there. One that answers nonsense is, and so is one that answers 500: a
// peer may know a question that does that, and must not be able to keep all others from asking.
func (f *Failure) absent() bool { return f == ErrUnreachable || f == ErrTimeout || f == ErrUnavailable }

// Client asks one backend. Any goroutine.
type Client struct {
	cfg   Config // immutable
	http  *http.Client
	hooks [Kinds]hook
	ctx   context.Context // over when the client is closed
	stop  context.CancelFunc
}

// hook is what is known of one kind of question.
type hook struct {
	breaker breaker
	results []atomic.Uint64 // in the order of Results
}

// New makes a Client. It connects to nothing before the first question.
func New(cfg Config) *Client {
	c := &Client{cfg: cfg}
	c.ctx, c.stop = context.WithCancel(context.Background())
	for k := range c.hooks {
		c.hooks[k].results = make([]atomic.Uint64, len(Results()))
	}
	c.http = &http.Client{
		Transport: &http.Transport{
			TLSClientConfig: cfg.TLS, TLSHandshakeTimeout: cfg.Timeout, ResponseHeaderTimeout: cfg.Timeout,
			MaxConnsPerHost: int(Kinds) * cfg.Concurrency, MaxIdleConnsPerHost: cfg.Concurrency, IdleConnTimeout: idleTimeout,
			MaxResponseHeaderBytes: headBytes, DisableCompression: true, // Proxy is nil: nobody is between
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c
}

// Asks reports whether there is a backend for this kind.
func (c *Client) Asks(k Kind) bool { return c.cfg.URLs[k] != "" }

// Ask sends one question, made by AppendRequest, and waits for its answer. The error is a *Failure.
func (c *Client) Ask(k Kind, body []byte) (a Answer, err error) {
	p, ok := c.hooks[k].breaker.allow(c.cfg.Now())
	if !ok {
		c.hooks[k].count(ErrOpen.Label)
		return a, ErrOpen
	}
	failure := ErrClosed // in case of a panic the pass is given back too
	defer func() { c.note(k, p, &a, failure) }()
	if a, failure = c.call(k, body); failure != nil {
		err = failure
	}
	return a, err
}

// note counts a call and tells the breaker, and the log when that changes.
func (c *Client) note(k Kind, p pass, a *Answer, failure *Failure) {
	h := &c.hooks[k]
	switch {
	case failure != nil:
		h.count(failure.Label)
	case a.Error != nil || a.Close != nil:
		h.count(resultRefused)
	default:
		h.count(resultOK)
	}
	what, pause := h.breaker.done(p, failure == nil || !failure.absent(), c.cfg.Now())
	switch what {
	case opened:
		c.cfg.Log.Warn("the backend does not answer; what needs it is refused until it does", "hook", k.String(), "reason", failure.Label, "next_try", pause)
	case closed:
		c.cfg.Log.Info("the backend answers again", "hook", k.String())
	}
}

func (c *Client) call(k Kind, body []byte) (a Answer, _ *Failure) {
	ctx, cancel := context.WithTimeout(c.ctx, c.cfg.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.cfg.URLs[k], bytes.NewReader(body))
	if err != nil {
		panic(fmt.Sprintf("backend: the URL of %s was not checked", k)) // not the error: it holds the URL
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "weir")
	if c.cfg.HeaderName != "" {
		req.Header.Set(c.cfg.HeaderName, c.cfg.HeaderValue)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return a, c.broken(ctx, err)
	}
	defer func() { _ = res.Body.Close() }() // what was read is whole or is not used
	switch res.StatusCode {
	case http.StatusOK:
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return a, ErrUnavailable
	default:
		return a, ErrStatus
	}
	said, err := io.ReadAll(io.LimitReader(res.Body, int64(c.cfg.AnswerBytes)+1))
	switch {
	case err != nil:
		return a, c.broken(ctx, err)
	case len(said) > c.cfg.AnswerBytes:
		return a, ErrTooLong
	}
	a, ok := parse(k, said, c.cfg.Payload)
	if !ok {
		return Answer{}, ErrMalformed
	}
	return a, nil
}

// broken says which failure an error of the transport is. The error itself holds the URL and is not passed on.
func (c *Client) broken(ctx context.Context, err error) *Failure {
	var timeout interface{ Timeout() bool }
	switch {
	case c.ctx.Err() != nil:
		return ErrClosed
	case ctx.Err() != nil, errors.As(err, &timeout) && timeout.Timeout():
		return ErrTimeout
	}
	return ErrUnreachable
}

func (h *hook) count(result string) {
	for i, r := range Results() {
		if r == result {
			h.results[i].Add(1)
		}
	}
}

// Calls is how many calls of this kind ended so; result is one of Results.
func (c *Client) Calls(k Kind, result string) (n uint64) {
	for i, r := range Results() {
		if r == result {
			n = c.hooks[k].results[i].Load()
		}
	}
	return n
}

// Open reports whether the circuit breaker keeps questions of this kind from the backend.
func (c *Client) Open(k Kind) bool { return c.hooks[k].breaker.open() }

// Close ends the calls that are under way and refuses further ones.
func (c *Client) Close() {
	c.stop()
	c.http.CloseIdleConnections()
}
