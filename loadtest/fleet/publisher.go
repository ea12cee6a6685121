package fleet

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"weir/engine/clientproto"
	"weir/engine/poll"
	"weir/loadtest/client"
	"weir/loadtest/payload"
	"weir/loadtest/tally"
)

// API is where to publish over HTTP.
type API struct {
	URLs       []string // each gets every publication: processes that share no channels
	Key        string
	CAs        []byte        // PEM, added to the system's
	Pins       [][]byte      // as a client.Target has them; what is not https has no key to be pinned
	Timeout    time.Duration // of one call
	Congestion string
}

// Pace is how much is published, to all streams in turn: publication i is due at
// i/Rate, whatever became of the ones before.
type Pace struct {
	Rate  float64
	Size  int
	Lanes int // calls at once; 0: 16. The publications of a stream are in one lane
	For   time.Duration
	Stop  <-chan struct{} // closed: begin nothing more; nil: For alone counts
}

const (
	defaultLanes  = 16
	maxBatch      = 64
	maxReplyBytes = 1 << 20
	answerTimeout = 10 * time.Second
)

// Publisher posts to a server's API. Run is for one goroutine, everything else for any.
type Publisher struct {
	plan Plan
	api  API
	http *http.Client

	mu      sync.Mutex
	sum     tally.Counters  // guarded by mu
	ack     tally.Histogram // guarded by mu: from due to acknowledged
	heads   []uint64        // guarded by mu: the newest acknowledged number of each stream
	next    []uint64        // guarded by mu: the number behind the newest that was ever sent and not refused
	trouble string          // guarded by mu
}

// NewPublisher publishes to the streams of a plan. Close it.
func NewPublisher(api API, plan Plan) (*Publisher, error) {
	transport := &http.Transport{MaxIdleConnsPerHost: 1024, DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
		return dialAPI(ctx, addr, api.Congestion)
	}}
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, VerifyConnection: client.Pinned(api.Pins)}
	if api.CAs != nil {
		roots, err := x509.SystemCertPool()
		if err != nil {
			roots = x509.NewCertPool()
		}
		if !roots.AppendCertsFromPEM(api.CAs) {
			return nil, errors.New("the CA file holds no certificate")
		}
		transport.TLSClientConfig.RootCAs = roots
	}
	if api.Timeout == 0 {
		api.Timeout = answerTimeout
	}
	refuse := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	streams := plan.Streams()
	return &Publisher{
		plan: plan, api: api, heads: make([]uint64, streams), next: make([]uint64, streams),
		http: &http.Client{Transport: transport, CheckRedirect: refuse, Timeout: api.Timeout},
	}, nil
}

func dialAPI(ctx context.Context, addr, congestion string) (net.Conn, error) {
	to, err := client.Resolve(ctx, addr)
	if err != nil {
		return nil, err
	}
	return poll.Dial(ctx, netip.AddrPort{}, to, poll.SocketOptions{Congestion: congestion})
}

// Close lets go of the connections.
func (p *Publisher) Close() { p.http.CloseIdleConnections() }

// Count is what was published since the beginning, and the times of
// acknowledgements since the last call.
func (p *Publisher) Count() (sum tally.Counters, ack tally.Histogram, trouble string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	sum.Add(p.sum)
	ack.Merge(&p.ack)
	p.ack.Reset()
	return sum, ack, p.trouble
}

// Heads is the newest acknowledged number of each stream.
func (p *Publisher) Heads() []uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]uint64(nil), p.heads...)
}

// Run publishes until everything that became due in pace.For was tried, or until
// pace.Stop; what was due then and not tried counts as due. The end of ctx cuts calls off.
func (p *Publisher) Run(ctx context.Context, pace Pace) error {
	if err := payload.CheckSize(pace.Size, 1<<20); err != nil {
		return err
	}
	if pace.Rate <= 0 {
		return fmt.Errorf("a rate of %v publications a second", pace.Rate)
	}
	lanes := pace.Lanes
	if lanes <= 0 {
		lanes = defaultLanes
	}
	lanes = min(lanes, len(p.heads))
	began := time.Now()
	var all sync.WaitGroup
	for i := range lanes {
		all.Go(func() { (&lane{Publisher: p, pace: pace, began: began, first: i, step: lanes, stream: i}).run(ctx) })
	}
	all.Wait()
	return nil
}

// lane publishes to every step-th stream, from first on.
type lane struct {
	*Publisher
	pace        Pace
	began       time.Time
	first, step int

	stream int    // of the next publication
	round  uint64 // how often each stream had its turn
	batch  []publication
	body   []byte
}

// publication is one that is under way.
type publication struct {
	stream int
	due    time.Time
}

func (l *lane) due() time.Time {
	i := float64(l.round)*float64(len(l.heads)) + float64(l.stream)
	return l.began.Add(time.Duration(i / l.pace.Rate * float64(time.Second)))
}

func (l *lane) run(ctx context.Context) {
	pause := time.NewTimer(0)
	defer pause.Stop()
	end := l.began.Add(l.pace.For)
	for {
		due := l.due()
		if !due.Before(end) {
			return
		}
		pause.Reset(time.Until(due))
		select {
		case <-pause.C:
		case <-ctx.Done():
			return
		case <-l.pace.Stop:
			l.leave(min(time.Since(l.began), l.pace.For))
			return
		}
		l.gather(time.Now(), end)
		l.send(ctx)
		if ctx.Err() != nil {
			return
		}
	}
}

// leave counts what was due before so much time had gone by.
func (l *lane) leave(after time.Duration) {
	until, n := l.began.Add(after), uint64(0)
	for l.due().Before(until) {
		l.turn()
		n++
	}
	l.mu.Lock()
	l.sum.Due += n
	l.mu.Unlock()
}

// turn goes on to the next publication.
func (l *lane) turn() {
	if l.stream += l.step; l.stream >= len(l.heads) {
		l.stream = l.first
		l.round++
	}
}

// gather takes what is due now: one, or what has gathered while the last call
// took its time, of each stream one. So whatever is refused of a batch, nothing
// of its stream has overtaken it.
func (l *lane) gather(now, end time.Time) {
	l.batch = l.batch[:0]
	for len(l.batch) < maxBatch {
		due := l.due()
		if due.After(now) || !due.Before(end) || len(l.batch) > 0 && l.stream == l.batch[0].stream {
			break
		}
		l.batch = append(l.batch, publication{l.stream, due})
		l.turn()
	}
	l.mu.Lock()
	l.sum.Due += uint64(len(l.batch))
	l.mu.Unlock()
}

// send publishes the batch everywhere.
func (l *lane) send(ctx context.Context) {
	answers := make([]answer, len(l.batch))
	for _, url := range l.api.URLs {
		method := "/api/publish"
		l.body = l.body[:0]
		if len(l.batch) == 1 {
			l.body = l.append(l.body, l.batch[0])
		} else {
			method = "/api/batch"
			l.body = append(l.body, `{"commands":[`...)
			for i, pub := range l.batch {
				if i > 0 {
					l.body = append(l.body, ',')
				}
				l.body = append(l.append(append(l.body, `{"publish":`...), pub), '}')
			}
			l.body = append(l.body, "]}"...)
		}
		text, err := l.post(ctx, url+method, l.body)
		settle(answers, text, err)
	}
	l.book(answers)
}

// append appends the request that publishes pub.
func (l *lane) append(dst []byte, pub publication) []byte {
	l.mu.Lock()
	seq := l.next[pub.stream] + 1
	l.mu.Unlock()
	dst = append(dst, `{"channel":`...)
	dst = clientproto.AppendString(dst, l.plan.Name(pub.stream/max(l.plan.Publishers, 1)))
	dst = append(dst, `,"data":`...)
	dst = payload.Append(dst, payload.Publication{Stream: l.plan.Stream0 + uint32(pub.stream), Seq: seq, Due: pub.due.UnixNano()}, l.pace.Size)
	return append(dst, '}')
}

// answer is what became of a publication, of all servers the worst.
type answer uint8

const (
	acknowledged answer = iota
	refused             // it was not published
	unanswered          // it may have been
)

// errStatus is an answer that is none of the API's.
type errStatus int

func (e errStatus) Error() string { return fmt.Sprintf("the API answered with HTTP status %d", int(e)) }

func (l *lane) post(ctx context.Context, url string, body []byte) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-API-Key", l.api.Key)
	response, err := l.http.Do(r)
	if err != nil {
		l.note(err)
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxReplyBytes))
	if err == nil && response.StatusCode != http.StatusOK {
		err = errStatus(response.StatusCode)
	}
	if err != nil {
		l.note(err)
	}
	return text, err
}

func (p *Publisher) note(err error) {
	p.mu.Lock()
	p.trouble = "publishing: " + err.Error()
	p.mu.Unlock()
}

// reply is one of the API. That of a batch has replies and no result; each of
// them has the name of its command, or an error.
type reply struct {
	Error *struct {
		Code uint32 `json:"code"`
	} `json:"error"`
	Result  json.RawMessage `json:"result"`
	Publish json.RawMessage `json:"publish"`
	Replies []reply         `json:"replies"`
}

// settle reads the answer to a call about all of answers.
func settle(answers []answer, text []byte, err error) {
	worst := func(i int, a answer) { answers[i] = max(answers[i], a) }
	var r reply
	var status errStatus
	whole := acknowledged
	switch {
	case errors.As(err, &status):
		whole = refused
	case err != nil || json.Unmarshal(text, &r) != nil:
		whole = unanswered
	case r.Error != nil:
		whole = refused
	case len(answers) == 1 && r.Result == nil, len(answers) > 1 && len(r.Replies) != len(answers):
		whole = unanswered
	}
	for i := range answers {
		worst(i, whole)
		if whole != acknowledged || len(answers) == 1 {
			continue
		}
		switch one := &r.Replies[i]; {
		case one.Error != nil:
			worst(i, refused)
		case one.Publish == nil:
			worst(i, unanswered)
		}
	}
}

// book counts what became of the batch.
func (l *lane) book(answers []answer) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, pub := range l.batch {
		switch answers[i] {
		case acknowledged:
			l.next[pub.stream]++
			l.heads[pub.stream] = l.next[pub.stream]
			l.sum.Published++
			l.ack.Record(now.Sub(pub.due))
		case refused: // its number is given again
			l.sum.PublishErr++
		case unanswered:
			l.next[pub.stream]++
			l.sum.PublishErr++
		}
	}
}
