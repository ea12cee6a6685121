package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"weir/engine/ws"
	"weir/loadtest/client"
)

const (
	// reachTimeout is how long the last delivery of a turn may take.
	reachTimeout = time.Minute
	// inFlight is how many publications may be under way at once.
	inFlight = 1 << 10
)

// audienceOrder is one of two: connect, or wait for publications.
type audienceOrder struct {
	URL, Authority string
	Hello          []byte // the first message of each; nil: none
	Replies        int    // messages that answer it
	Count, Dials   int

	Publications int // since the last order
}

// audienceReport tells how long each publication took from when it was made to its last subscriber.
type audienceReport struct{ Took []time.Duration }

// audience is many subscribers. It implements client.Handler.
type audience struct {
	loop  *client.Loop
	count int
	ended atomic.Int64

	mu      sync.Mutex
	replies int             // guarded by mu; still to come
	reached [inFlight]int   // guarded by mu, as what follows: subscribers by publication
	took    []time.Duration // of those that reached all
	changed chan struct{}
}

func (a *audience) obey(ctx context.Context, o audienceOrder) (audienceReport, error) {
	if o.URL != "" {
		return audienceReport{}, a.gather(ctx, o)
	}
	err := a.await(func() bool { return len(a.took) >= o.Publications })
	a.mu.Lock()
	defer a.mu.Unlock()
	r := audienceReport{Took: slices.Clone(a.took)}
	a.took = a.took[:0]
	return r, err
}

// await waits until done, which is asked with mu held.
func (a *audience) await(done func() bool) error {
	timeout := time.NewTimer(reachTimeout)
	defer timeout.Stop()
	for {
		a.mu.Lock()
		over, left := done(), a.replies
		a.mu.Unlock()
		switch {
		case over:
			return nil
		case a.ended.Load() > 0:
			return fmt.Errorf("%d connections ended", a.ended.Load())
		}
		select {
		case <-a.changed:
		case <-timeout.C:
			return fmt.Errorf("not everything came: %d replies and some publications are missing", left)
		}
	}
}

func (a *audience) gather(ctx context.Context, o audienceOrder) (err error) {
	pem, err := os.ReadFile(o.Authority)
	if err != nil {
		return err
	}
	a.changed = make(chan struct{}, 1)
	a.count, a.replies = o.Count, o.Replies*o.Count
	if a.loop, err = client.NewLoop(a, slog.New(slog.DiscardHandler)); err != nil {
		return err
	}
	dialer, err := client.NewDialer(ctx, client.Target{
		URL: o.URL, Origin: origin, CAs: pem, Timeout: time.Minute, Congestion: "cubic", Sources: 1000,
	})
	if err != nil {
		return err
	}
	var next atomic.Int64
	errs := make([]error, o.Dials)
	var dialing sync.WaitGroup
	for d := range o.Dials {
		dialing.Go(func() {
			for i := next.Add(1) - 1; i < int64(o.Count) && errs[d] == nil; i = next.Add(1) - 1 {
				errs[d] = a.dial(ctx, dialer, int(i), o.Hello)
			}
		})
	}
	dialing.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return a.await(func() bool { return a.replies == 0 })
}

func (a *audience) dial(ctx context.Context, dialer *client.Dialer, i int, hello []byte) error {
	line, _, err := dialer.Dial(ctx, i, "")
	if err != nil {
		return err
	}
	if hello != nil {
		if err := line.Send(ws.OpText, hello); err != nil {
			return errors.Join(err, line.Close())
		}
	}
	return a.loop.Adopt(line, uint32(i))
}

// Opened implements client.Handler.
func (*audience) Opened(*client.Conn) {}

// Closed implements client.Handler.
func (a *audience) Closed(*client.Conn, *client.End) {
	a.ended.Add(1)
	a.tell()
}

// Text implements client.Handler. A reply has no publication in it; the lines of one message may be several.
func (a *audience) Text(_ *client.Conn, message []byte, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for line := range bytes.SplitSeq(message, []byte("\n")) {
		number, at, ok := stamp(line)
		if !ok {
			if a.replies--; a.replies == 0 {
				a.tell()
			}
			continue
		}
		n := &a.reached[number%inFlight]
		if *n++; *n == a.count {
			*n = 0
			a.took = append(a.took, now.Sub(time.Unix(0, at)))
			a.tell()
		}
	}
}

func (a *audience) tell() {
	select {
	case a.changed <- struct{}{}:
	default:
	}
}

func (a *audience) dismiss() {
	if a.loop != nil {
		a.loop.Stop()
	}
}

// The data of a publication: its number, when it was made, and padding up to dataBytes.
const (
	numberKey = `{"n":`
	atKey     = `,"at":`
	dataBytes = 256
)

// publication is the data of one, made now.
func publication(number int, now time.Time) []byte {
	data := fmt.Appendf(nil, numberKey+"%d"+atKey+"%d"+`,"pad":"`, number, now.UnixNano())
	data = append(data, bytes.Repeat([]byte("x"), dataBytes-2-len(data))...)
	return append(data, `"}`...)
}

// stamp reads number and time out of a line with a publication.
func stamp(line []byte) (number int, at int64, ok bool) {
	_, rest, found := bytes.Cut(line[:min(len(line), 160)], []byte(numberKey))
	digits, rest, cut := bytes.Cut(rest, []byte(atKey))
	nanoseconds, _, end := bytes.Cut(rest, []byte(","))
	if !found || !cut || !end {
		return 0, 0, false
	}
	number, err := strconv.Atoi(string(digits))
	at, err2 := strconv.ParseInt(string(nanoseconds), 10, 64)
	return number, at, err == nil && err2 == nil
}
