package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"
)

const (
	backoffFirst = 500 * time.Millisecond // before the second attempt, at most
	backoffLast  = 20 * time.Second       // before any attempt, at most
)

// subscribe follows channels until it is interrupted, has its count, or meets
// an error that another attempt would meet again.
func subscribe(p *process, c *subCommand) error {
	f, err := newFollower(p, c)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	defer cancelOnSignal(p, cancel)()
	defer f.http.CloseIdleConnections()
	return f.run(ctx)
}

func newFollower(p *process, c *subCommand) (*follower, error) {
	u, err := parseURL("url", c.URL, "wss")
	if err != nil {
		return nil, err
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/connection/websocket"
	}
	if u.Path == "/feed" {
		return nil, mistake("--url: weir sub does not speak what /feed does; leave the path out")
	}
	trust, err := c.tlsConfig()
	if err != nil {
		return nil, err
	}
	subscriptions := make([]*subscription, 0, len(c.Channels))
	seen := map[string]bool{}
	for _, channel := range c.Channels {
		if seen[channel] {
			return nil, mistake("the channel %s is named twice", channel)
		}
		seen[channel] = true
		subscriptions = append(subscriptions, &subscription{channel: channel})
	}
	f := &follower{
		url:           u.String(),
		shown:         u.Scheme + "://" + u.Host + u.EscapedPath(),
		origin:        c.origin(u),
		token:         func() ([]byte, error) { return secret("token", c.Token, c.TokenFile) },
		tokenIsFile:   c.TokenFile != "",
		subscriptions: subscriptions,
		count:         int(c.Count),
		http: &http.Client{
			Transport:     &http.Transport{TLSClientConfig: trust},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		out: p.stdout,
		note: func(format string, args ...any) {
			fmt.Fprintf(p.stderr, "weir sub: %s\n", oneLine(fmt.Sprintf(format, args...)))
		},
		wait:   waitFor,
		random: rand.Float64,
	}
	_, err = f.token() // a wrong --token-file is a mistake before it is a failed attempt
	return f, err
}

func waitFor(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// errCounted ends a run that has printed what was asked for.
var errCounted = errors.New("count reached")

// finalError is one that another attempt would meet again.
type finalError struct{ err error }

func (e *finalError) Error() string { return e.err.Error() }
func (e *finalError) Unwrap() error { return e.err }

func final(format string, args ...any) error {
	return &finalError{fmt.Errorf(format, args...)}
}

// retryAfterError is a refusal that names the earliest time for another attempt.
type retryAfterError struct {
	err   error
	after time.Duration
}

func (e *retryAfterError) Error() string { return e.err.Error() }

// run connects again and again, with growing and random pauses, until ctx is
// done or an error is final.
func (f *follower) run(ctx context.Context) error {
	failures := 0
	for {
		connected, err := f.session(ctx)
		var fatal *finalError
		switch {
		case ctx.Err() != nil, errors.Is(err, errCounted):
			return nil
		case errors.As(err, &fatal):
			return fatal.err
		}
		if connected {
			failures = 0
		}
		pause := f.pause(failures, err)
		failures++
		f.note("%v; again in %s", err, pause.Round(10*time.Millisecond))
		f.wait(ctx, pause)
		if ctx.Err() != nil {
			return nil
		}
	}
}

// pause is how long to wait after the given number of failures in a row. It is
// random between half and the whole of a bound that doubles, so that clients
// which lost the same server do not come back together.
func (f *follower) pause(failures int, err error) time.Duration {
	bound := backoffLast
	if failures < 6 {
		bound = min(backoffLast, backoffFirst<<failures)
	}
	pause := bound/2 + time.Duration(f.random()*float64(bound/2))
	var asked *retryAfterError
	if errors.As(err, &asked) {
		pause += asked.after
	}
	return pause
}
