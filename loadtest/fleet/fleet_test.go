package fleet

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"weir/loadtest/client"
	"weir/loadtest/tally"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Every stream of a connection's channels has a place, each another one, and no other stream has one.
func TestPlacesOfStreams(t *testing.T) {
	for _, p := range []Plan{
		{Channels: 1, Each: 1, Publishers: 1}, {Channels: 10, Each: 3, Publishers: 1}, {Channels: 7, Each: 7, Publishers: 2},
		{Channels: 5, Each: 2, Publishers: 3, Stream0: math.MaxUint32 - 4}, {Channels: 3, Publishers: 1},
	} {
		for n := range 50 {
			taken := make([]bool, p.Each*p.Publishers)
			for s := range p.Streams() {
				at, ok := p.place(n, p.Stream0+uint32(s))
				var channels []int
				for j := range p.Each {
					channels = append(channels, p.channelOf(n, j))
				}
				if ok != slices.Contains(channels, s/p.Publishers) {
					t.Fatalf("%+v: connection %d has channels %v; stream %d: %t", p, n, channels, s, ok)
				}
				if !ok {
					continue
				}
				if taken[at] || p.channelOf(n, at/p.Publishers)*p.Publishers+at%p.Publishers != s {
					t.Fatalf("%+v: connection %d: stream %d is at %d", p, n, s, at)
				}
				taken[at] = true
			}
			if slices.Contains(taken, false) {
				t.Fatalf("%+v: connection %d: %v", p, n, taken)
			}
			if _, ok := p.place(n, p.Stream0+uint32(p.Streams())); ok {
				t.Fatalf("%+v: a stream of nobody", p)
			}
		}
	}
}

// Every publisher has a stream of its own.
func TestStreamsOfPublishers(t *testing.T) {
	p := Plan{Channels: 4, Publishers: 3}
	taken := map[int]bool{}
	for n := range 12 {
		stream, channel := p.streamOf(n)
		if taken[stream] || stream >= p.Streams() || stream/p.Publishers != channel {
			t.Errorf("publisher %d: stream %d, channel %d", n, stream, channel)
		}
		taken[stream] = true
	}
}

func TestParts(t *testing.T) {
	for _, workers := range []int{1, 2, 3, 7} {
		f := &Fleet{hands: make([]hand, workers)}
		for n := range 30 {
			sum := 0
			for i := range workers {
				part := f.part(n, i)
				if part < n/workers || part > n/workers+1 {
					t.Fatalf("%d of %d: worker %d has %d", n, workers, i, part)
				}
				sum += part
			}
			if sum != n {
				t.Fatalf("%d of %d workers: %d", n, workers, sum)
			}
		}
	}
}

func TestShares(t *testing.T) {
	for _, of := range []float64{0, 0.1, 0.5, 0.75, 1} {
		n := 0
		for i := range 1000 {
			if share(of, i) {
				n++
			}
		}
		if math.Abs(float64(n)-1000*of) > 1 {
			t.Errorf("%v: %d of 1000", of, n)
		}
	}
}

func TestReasons(t *testing.T) {
	for want, err := range map[string]error{
		"3008":        &client.End{Code: 3008, Reason: "slow"},
		"429":         &client.Refusal{Status: "HTTP/1.1 429 Too Many Requests"},
		"http":        &client.Refusal{Status: "SMTP \x1b[2J"},
		"103":         &refusal{103},
		"timeout":     fmt.Errorf("reading: %w", os.ErrDeadlineExceeded),
		"eof":         &client.End{},
		"reset":       &client.End{Err: errors.New("read tcp: connection reset by peer")},
		"certificate": fmt.Errorf("handshake: %w", x509.UnknownAuthorityError{}),
		"tls":         errors.New("remote error: tls: internal error"),
		"frame":       &client.End{Err: errors.New("WebSocket frame: masked")},
		"other":       errors.New("\x1b[2J anything"),
	} {
		if got := reason(err); got != want {
			t.Errorf("%v: %s, wanted %s", err, got, want)
		}
	}
	if got := reason(&client.End{Err: io.EOF}); got != "eof" {
		t.Error(got)
	}
	if got := reason(&client.End{Err: context.DeadlineExceeded}); got != "timeout" {
		t.Error(got)
	}
	for _, err := range []error{&client.End{Code: 3000}, &client.Refusal{}, &refusal{}} {
		if !refusedBy(err) {
			t.Errorf("%v is no refusal", err)
		}
	}
	if refusedBy(&client.End{}) || refusedBy(io.EOF) {
		t.Error("an end without a code is a refusal")
	}
}

func TestProcess(t *testing.T) {
	page := int64(os.Getpagesize())
	stat := "17 (a) b) S 1 1 1 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 9 0 100"
	p, err := parseProcess("1000 25 5 1 0 9 0\n", stat)
	if err != nil || p != (tally.Process{RSS: 25 * page, CPU: 3 * time.Second}) {
		t.Errorf("%+v, %v", p, err)
	}
	for i := range len("17 (a) b) S 1 1 1 0 -1 4194560 100 0 0 0 250 ") {
		if p, err := parseProcess("1000 25", stat[:i]); err == nil {
			t.Errorf("%q: %+v", stat[:i], p)
		}
	}
}

func TestAnswersOfTheAPI(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		err  error
		want []answer
	}{
		"published":             {`{"result":{}}`, nil, []answer{acknowledged}},
		"refused":               {`{"error":{"code":102}}`, nil, []answer{refused}},
		"a status":              {`{"result":{}}`, errStatus(503), []answer{refused}},
		"nobody there":          {``, io.EOF, []answer{unanswered}},
		"something else":        {`<html>`, nil, []answer{unanswered}},
		"nothing":               {`{}`, nil, []answer{unanswered}},
		"a batch":               {`{"replies":[{"publish":{}},{"publish":{}}]}`, nil, []answer{acknowledged, acknowledged}},
		"half a batch":          {`{"replies":[{"publish":{}},{"error":{"code":100}}]}`, nil, []answer{acknowledged, refused}},
		"a batch refused":       {`{"error":{"code":106}}`, nil, []answer{refused, refused}},
		"a batch cut short":     {`{"replies":[{"publish":{}}]}`, nil, []answer{unanswered, unanswered}},
		"a batch that is other": {`{"replies":[{"publish":{}},{}]}`, nil, []answer{acknowledged, unanswered}},
	} {
		got := make([]answer, len(test.want))
		settle(got, []byte(test.text), test.err)
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: %v", name, got)
		}
		// Another server's answer makes it worse, never better.
		settle(got, []byte(`{"result":{},"replies":[{"publish":{}},{"publish":{}}]}`), nil)
		if !slices.Equal(got, test.want) {
			t.Errorf("%s, then published: %v", name, got)
		}
	}
}

// obedient is a worker that does nothing.
type obedient struct{ orders *[]Order }

func (o obedient) do(order Order) (Report, error) {
	*o.orders = append(*o.orders, order)
	return Report{}, nil
}
func (o obedient) end() error { return nil }

// Which worker has those who are away, or who are still open, only it knows: of what concerns all of them each has its order for all.
func TestOrdersForAll(t *testing.T) {
	var orders [2][]Order
	f := &Fleet{hands: []hand{obedient{&orders[0]}, obedient{&orders[1]}}}
	if err := errors.Join(f.DropAll(), f.Open(Wave{N: 3, Again: true}), f.Open(Wave{N: 3})); err != nil {
		t.Fatal(err)
	}
	for i, has := range orders {
		if has[0].Drop.N < 3 || has[1].Open.N != 3 || has[2].Open.N != 2-i {
			t.Errorf("worker %d: %+v", i, has)
		}
	}
}
