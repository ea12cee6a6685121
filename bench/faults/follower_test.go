//go:build linux

package faults

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
)

// kind is how a follower behaves.
type kind int

const (
	steady   kind = iota // always reads
	restless             // goes and comes back, sometimes much later
	slow                 // stops reading for a while
)

const (
	silence = 5 * time.Second // without a byte, upon which a follower leaves: pings come each 2 s
	stalled = 2000            // publications while which a slow one reads nothing
	away    = 400             // publications while which a restless one is not there
)

// follower is one subscriber through all of its connections, and all lives of the server.
type follower struct {
	*history
	id    int
	kind  kind
	rng   *rand.Rand
	roots *x509.CertPool
	wait  time.Duration // without a message, upon which it leaves
	at    []position
	met   atomic.Int64 // faults that had happened when it last was subscribed to everything
	ends  atomic.Int64 // faults that had happened when a connection of its last ended
	done  atomic.Bool  // it has all there is
}

// position is what a follower has of a channel.
type position struct {
	epoch  string
	offset uint64
	lives  map[string]*life // by epoch
}

// life is what it saw of one epoch.
type life struct {
	seen offset
	told []span
	last uint64 // its offset in the end
}

// span is a gap that it was told of: the offsets behind from, up to to.
type span struct{ from, to uint64 }

func newFollower(h *history, id int, kind kind) *follower {
	f := &follower{history: h, id: id, kind: kind, rng: rand.New(rand.NewPCG(1, uint64(id))), at: make([]position, len(channels()))}
	f.wait = silence
	f.met.Store(-1)
	for i := range f.at {
		f.at[i].lives = make(map[string]*life)
	}
	return f
}

func (f *follower) follow() {
	for f.ctx.Err() == nil && !f.t.Failed() {
		now := f.current()
		if now.server == nil {
			return
		}
		err := f.connection(now)
		f.ends.Store(f.faults())
		var closed websocket.CloseError
		switch {
		case err == nil || f.ctx.Err() != nil:
		case errors.As(err, &closed) && (closed.Code == 3008 || closed.Code == 3010 || closed.Code == 3012):
			f.slow.Add(1)
		case errors.Is(err, errSilence):
			f.left.Add(1)
			f.wait *= 2 // all that it missed may take long, on a slow machine
		case errors.Is(err, errWrong) || f.faults() == now.faults:
			f.t.Errorf("follower %d: %v", f.id, err)
		}
	}
}

// errWrong is what no fault excuses; errSilence, that the follower left for want of pings.
var (
	errWrong   = errors.New("wrong")
	errSilence = errors.New("silence")
)

func wrong(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{errWrong}, args...)...)
}

func (f *follower) dial(s *server, addr string) (*websocket.Conn, error) {
	if f.roots == nil {
		pem, err := os.ReadFile(s.Authority())
		if err != nil {
			return nil, wrong("%v", err)
		}
		f.roots = x509.NewCertPool()
		f.roots.AppendCertsFromPEM(pem)
	}
	ctx, cancel := context.WithTimeout(f.ctx, 2*f.wait)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: f.roots, ServerName: "localhost", NextProtos: []string{"http/1.1"}}, DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
			if err == nil && f.kind == slow && f.narrow {
				err = c.(*net.TCPConn).SetReadBuffer(8 << 10)
			}
			return c, err
		},
	}}
	ws, _, err := websocket.Dial(ctx, "wss://localhost/connection/websocket", &websocket.DialOptions{HTTPClient: client})
	if err != nil && ctx.Err() != nil {
		err = errSilence
	}
	return ws, err
}

// connection follows for a while.
func (f *follower) connection(now moment) error {
	ws, err := f.dial(now.server, now.addr)
	if err != nil {
		return err
	}
	defer ws.CloseNow()
	ws.SetReadLimit(256 << 20)
	hello := fmt.Sprintf(`{"id":100,"connect":{"token":"%s"}}`, f.token)
	for i, name := range channels() {
		at := &f.at[i]
		if at.epoch == "" {
			hello += fmt.Sprintf("\n"+`{"id":%d,"subscribe":{"channel":"%s"}}`, i+1, name)
			continue
		}
		hello += fmt.Sprintf("\n"+`{"id":%d,"subscribe":{"channel":"%s","recover":true,"offset":%d,"epoch":"%s"}}`, i+1, name, at.offset, at.epoch)
	}
	if err := f.write(ws, hello); err != nil {
		return err
	}
	subscribed := 0
	rest := 100 + f.rng.IntN(1000)
	for ; f.kind == steady || f.ended.Load() || rest > 0; rest-- {
		message, err := f.read(ws)
		if err != nil {
			return err
		}
		for line := range strings.SplitSeq(string(message), "\n") {
			replies, err := f.take(ws, line)
			if err != nil {
				return err
			}
			if subscribed += replies; replies > 0 && subscribed == len(f.at) {
				f.met.Store(now.faults)
				f.wait = silence
			}
		}
		f.look()
	}
	switch f.kind {
	case slow:
		f.pause(now.faults, stalled)
		return f.drain(ws)
	case restless:
		_ = ws.CloseNow()
		if f.rng.IntN(2) == 0 {
			f.pause(now.faults, away)
		}
	}
	return nil
}

// drain reads to the connection's end, or until it has caught up for a while.
func (f *follower) drain(ws *websocket.Conn) error {
	for range stalled {
		message, err := f.read(ws)
		if err != nil {
			return err
		}
		for line := range strings.SplitSeq(string(message), "\n") {
			if _, err := f.take(ws, line); err != nil {
				return err
			}
		}
		f.look()
	}
	return nil
}

// pause does nothing until so many more were published, or another fault came.
func (f *follower) pause(faults, publications int64) {
	for until := f.taken.Load() + publications; f.taken.Load() < until && f.faults() == faults && !f.ended.Load() && f.ctx.Err() == nil; {
		<-time.After(time.Millisecond)
	}
}

// look notes whether nothing is missing any more.
func (f *follower) look() {
	if !f.known.Load() || f.met.Load() != f.faults() {
		return
	}
	for i := range f.at {
		if f.at[i].offset < f.top(i, f.at[i].epoch) {
			return
		}
	}
	f.done.Store(true)
}

func (f *follower) read(ws *websocket.Conn) ([]byte, error) {
	ctx, cancel := context.WithTimeout(f.ctx, f.wait)
	defer cancel()
	_, message, err := ws.Read(ctx)
	if err != nil && ctx.Err() != nil {
		err = errSilence
	}
	return message, err
}

func (f *follower) write(ws *websocket.Conn, text string) error {
	ctx, cancel := context.WithTimeout(f.ctx, f.wait)
	defer cancel()
	err := ws.Write(ctx, websocket.MessageText, []byte(text))
	if err != nil && ctx.Err() != nil {
		err = errSilence
	}
	return err
}

// line is any that the server sends to a follower.
type line struct {
	ID        int
	Error     *struct{ Code int }
	Connect   *struct{}
	Subscribe *subscribed
	Push      *struct {
		Channel     string
		Pub         *publication
		Unsubscribe *struct{ Code int }
	}
}

type subscribed struct {
	Epoch        string
	Offset       uint64
	Recovered    bool
	Publications []publication
}

type publication struct {
	Offset uint64
	Data   struct{ N int64 }
}

// take takes one; replies is how many subscribe replies it was.
func (f *follower) take(ws *websocket.Conn, text string) (replies int, err error) {
	if text == "{}" {
		return 0, f.write(ws, "{}")
	}
	var l line
	if err := json.Unmarshal([]byte(text), &l); err != nil {
		return 0, wrong("%v: %.200s", err, text)
	}
	switch {
	case l.Error == nil && l.Connect != nil:
		return 0, nil
	case l.Error == nil && l.Subscribe != nil && l.ID >= 1 && l.ID <= len(f.at):
		return 1, f.begin(l.ID-1, l.Subscribe)
	case l.Push != nil && l.Push.Pub != nil:
		for i, name := range channels() {
			if name == l.Push.Channel {
				return 0, f.publication(i, l.Push.Pub)
			}
		}
	case l.Push != nil && l.Push.Unsubscribe != nil && l.Push.Unsubscribe.Code == 2500: // insufficient state: it was told
		return 0, websocket.CloseError{Code: 3010}
	}
	return 0, wrong("unexpected: %.200s", text)
}

// begin takes a subscribe reply: what follows on what it has, or says that it does not.
func (f *follower) begin(i int, s *subscribed) error {
	at, name := &f.at[i], channels()[i]
	fresh := at.lives[s.Epoch] == nil
	switch {
	case fresh && s.Recovered:
		return wrong("%s: recovered from epoch %q into %q, which it never saw", name, at.epoch, s.Epoch)
	case !fresh && s.Epoch != at.epoch:
		return wrong("%s: epoch %q came back after %q", name, s.Epoch, at.epoch)
	case !fresh && s.Offset < at.offset:
		return wrong("%s: offset %d after %d in one epoch", name, s.Offset, at.offset)
	case fresh:
		if at.epoch != "" {
			f.epochs.Add(1)
		}
		at.epoch, at.offset = s.Epoch, 0
		at.lives[s.Epoch] = &life{seen: make(offset)}
	}
	l := at.lives[s.Epoch]
	if !s.Recovered && s.Offset > at.offset {
		if !fresh {
			f.gaps.Add(1)
			if s.Offset-at.offset <= thinHistory || f.whole && strings.HasPrefix(name, "deep:") {
				return wrong("%s: from %d to %d not recovered, though the history has it", name, at.offset, s.Offset)
			}
		}
		l.told = append(l.told, span{at.offset, s.Offset})
		at.offset = s.Offset
	}
	if at.offset != s.Offset {
		return wrong("%s: the reply goes on from offset %d, and it has %d", name, s.Offset, at.offset)
	}
	l.last = at.offset
	if len(s.Publications) > 0 {
		f.recoveries.Add(1)
	}
	for k := range s.Publications {
		if err := f.publication(i, &s.Publications[k]); err != nil {
			return err
		}
	}
	return nil
}

func (f *follower) publication(i int, p *publication) error {
	at := &f.at[i]
	if p.Offset != at.offset+1 || at.epoch == "" {
		return wrong("%s: offset %d after %d", channels()[i], p.Offset, at.offset)
	}
	l := at.lives[at.epoch]
	at.offset, l.last, l.seen[p.Offset] = p.Offset, p.Offset, p.Data.N
	return nil
}

// judge compares what it saw, and was told, with what was acknowledged.
func (f *follower) judge() {
	for i, name := range channels() {
		for epoch, l := range f.at[i].lives {
			for at, n := range f.acked[i][epoch] {
				switch got, ok := l.seen[at]; {
				case ok && got != n:
					f.t.Errorf("follower %d, %s, offset %d: saw %d, acknowledged was %d", f.id, name, at, got, n)
				case !ok && !l.tells(at) && (epoch == f.at[i].epoch || at <= l.last):
					f.t.Errorf("follower %d, %s, offset %d of %q: %d was acknowledged and neither came nor was it told of", f.id, name, at, epoch, n)
				}
			}
		}
	}
}

func (l *life) tells(at uint64) bool {
	for _, s := range l.told {
		if s.from < at && at <= s.to {
			return true
		}
	}
	return false
}
