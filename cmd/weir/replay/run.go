package replay

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"weir/security/audit/capture"
)

// Config says how a capture is replayed.
type Config struct {
	Dial     func(ctx context.Context) (net.Conn, error) // TLS, verified
	Host     string                                      // of the request heads
	Origin   string                                      // in the place of those that were not refused; "": as they were
	Secret   []byte                                      // that tokens are signed with; nil: none
	Token    string                                      // for every connection token that was accepted; "": none
	Speed    float64                                     // 2 is twice as fast
	Patience time.Duration                               // for a verdict, beyond the time that it took then
	Now      func() time.Time                            // nil: time.Now
}

// mostOpen is how many connections are open at the same time. Those over it come when others have ended, later than they
// did. Attack: a file of nothing but beginnings.
const mostOpen = 4096

// Difference is a verdict that was another one.
type Difference struct {
	Place
	Conn            string // anybody's word
	Expected, Found string
}

func (d Difference) String() string {
	return fmt.Sprintf("%s: connection %q: %s, not %s", d.Place, d.Conn, d.Found, d.Expected)
}

// Report is the outcome.
type Report struct {
	Connections int // that were replayed
	Verdicts    int // that were compared
	Differences []Difference
	Notes       []Note
}

// Run replays every connection at its time. The error is that of the first connection that could not be opened:
// then nothing of it was sent.
func Run(ctx context.Context, c *Capture, cfg Config) (*Report, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r := &runner{Config: cfg, begun: cfg.Now(), known: c.judged(), wallet: &wallet{secret: cfg.Secret, token: cfg.Token, now: cfg.Now, minted: map[string]string{}}}
	inOrder := slices.SortedStableFunc(slices.Values(c.scripts), func(a, b *script) int { return cmp.Compare(a.steps[0].At, b.steps[0].At) })
	if len(inOrder) > 0 {
		r.first = inOrder[0].steps[0].At
	}
	var all sync.WaitGroup
	places := make(chan struct{}, mostOpen)
	for _, s := range inOrder {
		if r.waitUntil(ctx, r.due(s.steps[0].At)) != nil || !taken(ctx, places) {
			break
		}
		all.Go(func() {
			defer func() { <-places }()
			if err := r.replay(ctx, s); err != nil {
				cancel(err)
			}
		})
	}
	all.Wait()
	slices.SortStableFunc(r.report.Differences, func(a, b Difference) int { return a.compare(b.Place) })
	slices.SortStableFunc(r.report.Notes, func(a, b Note) int { return a.compare(b.Place) })
	return &r.report, context.Cause(ctx)
}

// taken waits for a place; false if ctx ends before.
func taken(ctx context.Context, places chan<- struct{}) bool {
	select {
	case places <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (p Place) compare(o Place) int {
	return cmp.Or(cmp.Compare(p.File, o.File), cmp.Compare(p.Line, o.Line))
}

// runner is a run. Any goroutine.
type runner struct {
	Config
	wallet *wallet
	known  map[string]*capture.Credential // immutable: by name
	begun  time.Time
	first  int64 // microseconds: when the first request came

	mu     sync.Mutex
	report Report // guarded by mu
}

func (r *runner) differs(s *script, at Place, expected, found string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.Differences = append(r.report.Differences, Difference{at, s.conn, expected, found})
}

func (r *runner) compared(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.Verdicts += n
}

func (r *runner) note(at Place, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.Notes = append(r.report.Notes, Note{at, text})
}

// due is when a step is to be done.
func (r *runner) due(at int64) time.Time {
	return r.begun.Add(time.Duration(float64(max(at-r.first, 0)) / r.Speed * float64(time.Microsecond)))
}

// waitUntil waits, unless ctx ends before.
func (r *runner) waitUntil(ctx context.Context, at time.Time) error {
	d := at.Sub(r.Now())
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// replay does what one connection did. The error is of a connection that could not be opened.
func (r *runner) replay(ctx context.Context, s *script) error {
	request := &s.steps[0]
	answer := s.answer()
	label := ""
	if answer != nil {
		label = answer.Answer.Reason
	}
	live, err := r.wallet.of(s, r.known)
	if err != nil {
		r.note(request.Place, "not replayed: "+err.Error())
		return nil
	}
	b, ok := head(r.Host, r.Origin, request.Request, live, label)
	if !ok {
		r.note(request.Place, "not replayed: what is wrong with its request is not captured")
		return nil
	}
	if r.waitUntil(ctx, r.due(request.At)) != nil {
		return nil
	}
	conn, err := r.Dial(ctx)
	if err != nil {
		return r.unreached(ctx, s, err)
	}
	one := &session{runner: r, script: s, live: live, conn: conn, changed: make(chan struct{})}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	defer conn.Close()
	r.mu.Lock()
	r.report.Connections++
	r.mu.Unlock()
	one.run(ctx, b, answer)
	return nil
}

// unreached tells of a connection that was not opened: the error if none was so far, else a difference.
func (r *runner) unreached(ctx context.Context, s *script, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	r.mu.Lock()
	reached := r.report.Connections > 0
	r.mu.Unlock()
	if !reached {
		return err
	}
	r.compared(1)
	r.differs(s, s.steps[0].Place, "a connection", "none")
	return nil
}

// answer is the step with the answer to the request; nil: there was none.
func (s *script) answer() *step {
	for i := range s.steps {
		if s.steps[i].Answer != nil {
			return &s.steps[i]
		}
	}
	return nil
}

// end is the step with the end, nil if it is not captured.
func (s *script) end() *step {
	if last := &s.steps[len(s.steps)-1]; last.End != nil {
		return last
	}
	return nil
}

// answers is how many pings of the server the client answered before it was closed for not doing so;
// -1: it answered all.
func (s *script) answers() int {
	if end := s.end(); end == nil || end.End.Code != closeNoPong {
		return -1
	}
	n := 0
	for i := range s.steps {
		if f := s.steps[i].Frame; f != nil && f.Kind == capture.FrameAnswer {
			n++
		}
	}
	return n
}
