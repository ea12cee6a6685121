package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"weir/engine/clientproto"
)

// The history checker (SECURITY.md D1): publishers that burst, subscribers that
// leave and come back with their positions at random, readers that stop reading.
// Every subscriber must see each offset of each channel once, in order and with
// what the publisher was acknowledged for it, or be told of the gap in which it
// lies: by recovered:false, unsubscribe 2500, or a close after which that follows.

const (
	checkerChannels   = 8
	checkerPublishers = 4
	checkerSteady     = 4    // reconnect, but always read
	checkerLazy       = 4    // also stop reading for a while
	checkerStall      = 8000 // publications: more than kernel and outbox hold
)

// checker is one run.
type checker struct {
	*testServer
	jwt   string
	total int64
	taken atomic.Int64                  // publications begun
	acked [checkerChannels][]uint32     // by offset: the id that was acknowledged; each is written once
	tops  [checkerChannels]atomic.Int64 // offsets acknowledged

	mu    sync.Mutex
	moved *sync.Cond
	seen  [checkerSteady][checkerChannels]uint64 // how far each steady reader has come; guarded by mu
	ended atomic.Bool                            // all is published

	recoveries, gaps, evictions, slow, gapped, delivered atomic.Int64
}

// TestHistoryChecker is 10⁶ publications, fewer under the race detector.
func TestHistoryChecker(t *testing.T) {
	total := int64(1_000_000)
	if raceEnabled {
		total = 40_000
	}
	k := &checker{total: total, jwt: sign(t, "u", "feeds:*")}
	k.testServer = start(t, func(c *Config) {
		c.Namespaces = []Namespace{{Name: "feeds", HistorySize: 400, HistoryTTL: time.Hour, ForceRecovery: true}}
		c.Limits.MessageRate, c.Limits.SubscribeRate, c.Limits.IPConnections = 0, 0, 0
		c.Limits.MessageSize, c.Limits.MaxOutboxBytes = 4<<10, 96<<10
	})
	k.moved = sync.NewCond(&k.mu)
	for i := range k.acked {
		k.acked[i] = make([]uint32, total+1)
	}
	var publishing, following sync.WaitGroup
	followers := make([]*follower, checkerSteady+checkerLazy)
	for i := range followers {
		f := newFollower(k, i)
		followers[i] = f
		following.Go(f.follow)
	}
	for i := range checkerPublishers {
		publishing.Go(func() { k.publishAll(uint32(i), rand.New(rand.NewPCG(7, uint64(i)))) })
	}
	publishing.Wait()
	k.ended.Store(true)
	k.moved.Broadcast()
	following.Wait()
	for _, f := range followers {
		f.judge()
	}
	t.Logf("%d publications, %d deliveries, %d recoveries, %d gaps told (%d publications), of them %d by unsubscribe; %d slow connections closed",
		total, k.delivered.Load(), k.recoveries.Load(), k.gaps.Load(), k.gapped.Load(), k.evictions.Load(), k.slow.Load())
	if k.recoveries.Load() == 0 || k.gaps.Load() == 0 || k.slow.Load() == 0 {
		t.Error("the run had no recovery, no gap or no slow reader: it shows nothing")
	}
}

// publishAll publishes until the total is reached. Mostly it stays close to the
// steady readers; now and then it bursts past what the history keeps.
func (k *checker) publishAll(id uint32, rng *rand.Rand) {
	for n := uint32(1); k.taken.Add(1) <= k.total; n++ {
		channel := rng.IntN(checkerChannels)
		window := uint64(300)
		if rng.IntN(2000) == 0 {
			window = 3000
		}
		k.awaitReaders(channel, window)
		unique := id<<28 | n
		offset, _, err := k.Publish(context.Background(), checkerChannel(channel), fmt.Appendf(nil, `{"n":%d}`, unique))
		if err != nil {
			k.t.Errorf("publish: %v", err)
			return
		}
		k.acked[channel][offset] = unique
		k.tops[channel].Add(1)
	}
}

func checkerChannel(i int) string { return fmt.Sprintf("feeds:%d", i) }

func (k *checker) awaitReaders(channel int, window uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	behind := func() bool {
		for i := range k.seen {
			if uint64(k.tops[channel].Load()) > k.seen[i][channel]+window {
				return true
			}
		}
		return false
	}
	for behind() {
		k.moved.Wait()
	}
}

// advance tells the publishers how far a steady reader has come.
func (f *follower) advance(channel int, offset uint64) {
	if f.id >= checkerSteady {
		return
	}
	f.mu.Lock()
	f.seen[f.id][channel] = offset
	f.moved.Broadcast()
	f.mu.Unlock()
}

// finished reports whether a reader at these offsets has everything.
func (k *checker) finished(at *[checkerChannels]followed) bool {
	if !k.ended.Load() {
		return false
	}
	for i := range at {
		if at[i].offset < uint64(k.tops[i].Load()) {
			return false
		}
	}
	return true
}

// follower is one subscriber through all of its connections.
type follower struct {
	*checker
	id   int // from checkerSteady on: lazy ones
	rng  *rand.Rand
	at   [checkerChannels]followed
	fail error
}

// followed is what a follower has of a channel.
type followed struct {
	offset uint64
	epoch  string
	got    []uint32 // by offset
	told   []bool   // by offset: lies in a gap that it was told of
}

func newFollower(k *checker, id int) *follower {
	f := &follower{checker: k, id: id, rng: rand.New(rand.NewPCG(1, uint64(id)))}
	for i := range f.at {
		f.at[i].got, f.at[i].told = make([]uint32, k.total+1), make([]bool, k.total+1)
	}
	return f
}

func (f *follower) follow() {
	for f.fail == nil && !f.finished(&f.at) {
		f.fail = f.connection()
	}
	if f.fail != nil { // nobody waits for it
		for i := range f.at {
			f.advance(i, 1<<62)
		}
	}
}

// connection follows for a while; that the server ended it as slow is no error.
func (f *follower) connection() error {
	ws, _, err := f.dial(pathProtocol, nil)
	if err != nil {
		return err
	}
	defer ws.CloseNow()
	ws.SetReadLimit(32 << 20)
	hello := fmt.Sprintf(`{"id":100,"connect":{"token":"%s"}}`, f.jwt)
	for i := range f.at {
		hello += "\n" + f.subscription(i)
	}
	if err := f.write(ws, hello); err != nil {
		return err
	}
	first := f.at[0].epoch == "" // every lazy one stalls at least once
	for left := 50 + f.rng.IntN(20_000); left > 0 && !f.finished(&f.at); left-- {
		if f.id >= checkerSteady && (first || f.rng.IntN(20_000) == 0) {
			first = false
			f.stall()
		}
		ctx, cancel := context.WithTimeout(context.Background(), testWait)
		_, message, err := ws.Read(ctx)
		cancel()
		var end websocket.CloseError
		switch {
		case errors.As(err, &end) && (end.Code == 3008 || end.Code == 3010):
			f.slow.Add(1)
			return nil
		case err != nil:
			return err
		}
		for line := range strings.SplitSeq(string(message), "\n") {
			if err := f.take(ws, line); err != nil {
				return err
			}
		}
	}
	return nil
}

// stall reads nothing until so much more has been published.
func (f *follower) stall() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for until := f.taken.Load() + checkerStall; f.taken.Load() < until && !f.ended.Load(); {
		f.moved.Wait()
	}
}

func (f *follower) subscription(i int) string {
	return fmt.Sprintf(`{"id":%d,"subscribe":{"channel":"%s","recover":true,"offset":%d,"epoch":"%s"}}`,
		i+1, checkerChannel(i), f.at[i].offset, f.at[i].epoch)
}

func (f *follower) write(ws *websocket.Conn, text string) error {
	ctx, cancel := context.WithTimeout(context.Background(), testWait)
	defer cancel()
	return ws.Write(ctx, websocket.MessageText, []byte(text))
}

// checkerLine is any line that the server sends to a follower.
type checkerLine struct {
	ID    int
	Error *struct{ Code int }
	subscribed
	Push *struct {
		Channel string
		Pub     *checkerPub
		Unsub   *struct{ Code int } `json:"unsubscribe"`
	}
}

type checkerPub struct {
	Offset uint64
	Data   struct{ N uint32 }
}

func (f *follower) take(ws *websocket.Conn, line string) error {
	if line == clientproto.Ping {
		return f.write(ws, clientproto.Ping)
	}
	if channel, p, ok := scanPublication(line); ok {
		return f.publication(channel, p)
	}
	var l checkerLine
	if err := json.Unmarshal([]byte(line), &l); err != nil {
		return fmt.Errorf("%.200s: %w", line, err)
	}
	switch {
	case l.Push != nil && l.Push.Unsub != nil && uint32(l.Push.Unsub.Code) == clientproto.UnsubscribeInsufficient:
		f.evictions.Add(1)
		var channel int
		if _, err := fmt.Sscanf(l.Push.Channel, "feeds:%d", &channel); err != nil {
			return err
		}
		return f.write(ws, f.subscription(channel))
	case l.Error == nil && l.ID >= 1 && l.ID <= checkerChannels:
		return f.begin(l.ID-1, &l.subscribed)
	case l.Error == nil && l.ID == 100:
		return nil
	}
	return fmt.Errorf("unexpected: %.200s", line)
}

// scanPublication reads the one form in which a publication of this test comes.
func scanPublication(line string) (channel int, p checkerPub, ok bool) {
	var n [3]uint64
	rest := line
	for i, before := range [...]string{`{"push":{"channel":"feeds:`, `","pub":{"data":{"n":`, `},"offset":`} {
		if rest, ok = strings.CutPrefix(rest, before); !ok {
			return 0, p, false
		}
		for len(rest) > 0 && '0' <= rest[0] && rest[0] <= '9' {
			n[i], rest = n[i]*10+uint64(rest[0]-'0'), rest[1:]
		}
	}
	p.Data.N, p.Offset = uint32(n[1]), n[2]
	return int(n[0]), p, rest == "}}}"
}

// begin takes a subscribe reply.
func (f *follower) begin(i int, s *subscribed) error {
	at := &f.at[i]
	at.epoch = s.Subscribe.Epoch
	if !s.Subscribe.Recovered {
		if s.Subscribe.Offset > at.offset {
			f.gaps.Add(1)
		}
		for at.offset < s.Subscribe.Offset {
			at.offset++
			at.told[at.offset] = true
			f.gapped.Add(1)
		}
	}
	if len(s.Subscribe.Publications) > 0 {
		f.recoveries.Add(1)
	}
	for _, p := range s.Subscribe.Publications {
		pub := checkerPub{Offset: p.Offset}
		if err := json.Unmarshal(p.Data, &pub.Data); err != nil {
			return err
		}
		if err := f.publication(i, pub); err != nil {
			return err
		}
	}
	f.advance(i, at.offset)
	return nil
}

func (f *follower) publication(i int, p checkerPub) error {
	at := &f.at[i]
	if p.Offset != at.offset+1 || at.got[p.Offset] != 0 {
		return fmt.Errorf("feeds:%d: offset %d after %d", i, p.Offset, at.offset)
	}
	at.offset, at.got[p.Offset] = p.Offset, p.Data.N
	f.delivered.Add(1)
	if p.Offset%32 == 0 {
		f.advance(i, p.Offset)
	}
	return nil
}

// judge compares what the follower saw with what was acknowledged.
func (f *follower) judge() {
	if f.fail != nil {
		f.t.Errorf("a follower ended: %v", f.fail)
		return
	}
	for i := range f.at {
		at := &f.at[i]
		for offset := int64(1); offset <= f.tops[i].Load(); offset++ {
			if got, acked := at.got[offset], f.acked[i][offset]; got != acked && !(got == 0 && at.told[offset]) {
				f.t.Errorf("feeds:%d offset %d: saw %d, acknowledged %d, told of a gap: %v", i, offset, got, acked, at.told[offset])
				return
			}
		}
	}
}
