package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"
)

// TestCanaries: each channel's publications carry its name, and so do those who may read it. Connections come and go all the
// time, so that sockets, slots and buffers are used again at once; nobody ever reads what is another's (SECURITY.md D3).
func TestCanaries(t *testing.T) {
	const channels, readers = 24, 48
	total := int64(200_000)
	if raceEnabled {
		total = 20_000
	}
	s := start(t, func(c *Config) {
		c.Compression = true
		c.Limits.IPConnections, c.Limits.SubscribeRate, c.Limits.MessageRate = 0, 0, 0
	})
	k := &canaries{s: s, left: total, wanted: make(chan int, readers*4)}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	k.done = cancel

	var publisher, reading sync.WaitGroup
	publisher.Go(func() {
		for i := range k.wanted {
			for range canaryPortion {
				k.published++
				text := fmt.Sprintf(`"canary feeds:c%d, %d %s"`, i, k.published, strings.Repeat("x", k.published%700))
				if _, _, err := s.Publish(t.Context(), fmt.Sprintf("feeds:c%d", i), []byte(text)); err != nil {
					t.Error(err)
				}
			}
		}
	})
	for r := range readers {
		reading.Go(func() {
			rng := rand.New(rand.NewPCG(3, uint64(r)))
			for visit := 0; ctx.Err() == nil; visit++ {
				if err := k.visit(ctx, t, (r+visit*7)%channels, visit%3, 1+rng.IntN(300)); err != nil && ctx.Err() == nil {
					t.Error(err)
					cancel()
				}
			}
		})
	}
	reading.Wait()
	close(k.wanted)
	publisher.Wait()
	if left := atomic.LoadInt64(&k.left); left > 0 && !t.Failed() {
		t.Errorf("%d publications were not read", left)
	}
	t.Logf("%d publications, %d reads, %d visits", k.published, total-k.left, k.visits.Load())
}

// canaryPortion is what a reader asks for at a time, so that it never waits for what nobody publishes.
const canaryPortion = 20

// canaries is one run.
type canaries struct {
	s         *testServer
	left      int64    // atomic; reads until the end
	wanted    chan int // channels whose readers are ready for more
	published int      // owned by the publisher
	visits    atomic.Int64
	done      func()
}

var canary = regexp.MustCompile(`canary (feeds:c\d+), `)

// visit connects as one who may read the i-th channel only, reads n publications in one of three forms, and goes, mostly
// without a word.
func (k *canaries) visit(ctx context.Context, t *testing.T, i, form, n int) error {
	name := fmt.Sprintf("feeds:c%d", i)
	options := &websocket.DialOptions{HTTPClient: k.s.httpClient(), HTTPHeader: bearer(sign(t, "u", name))}
	path := pathProtocol
	switch form {
	case 0:
		path = pathFeed + "?channel=" + name
	case 1:
		options.CompressionMode = websocket.CompressionNoContextTakeover
	}
	ws, _, err := websocket.Dial(ctx, k.s.url(path), options)
	if err != nil {
		return err
	}
	defer ws.CloseNow()
	if form != 0 {
		if err := ws.Write(ctx, websocket.MessageText, []byte(`{"id":1,"connect":{}}`+"\n"+`{"id":2,"subscribe":{"channel":"`+name+`"}}`)); err != nil {
			return err
		}
		for replies := 0; replies < 2; {
			_, b, err := ws.Read(ctx)
			if err != nil {
				return err
			}
			replies += strings.Count(string(b), `{"id":`)
			if err := k.check(name, b, &n); err != nil {
				return err
			}
		}
	}
	k.visits.Add(1)
	for read := 0; n > 0; read++ {
		if read%canaryPortion == 0 && !k.want(ctx, i) {
			return nil
		}
		_, b, err := ws.Read(ctx)
		if websocket.CloseStatus(err) == 3008 {
			return nil // it was too slow, on a machine that was
		}
		if err != nil {
			return err
		}
		if err := k.check(name, b, &n); err != nil {
			return err
		}
	}
	if k.visits.Load()%2 == 0 {
		_ = ws.Close(websocket.StatusNormalClosure, "") // behind what is still on its way
	}
	return nil
}

// want asks the publisher for more of a channel.
func (k *canaries) want(ctx context.Context, i int) bool {
	select {
	case k.wanted <- i:
		return true
	case <-ctx.Done():
		return false
	}
}

// check counts the publications of a message and says which is not of the channel.
func (k *canaries) check(name string, message []byte, n *int) error {
	for _, m := range canary.FindAllSubmatch(message, -1) {
		if string(m[1]) != name {
			return fmt.Errorf("a reader of %s got %s", name, m[1])
		}
		*n--
		if atomic.AddInt64(&k.left, -1) == 0 {
			k.done()
		}
	}
	for other := range strings.SplitSeq(string(message), `"channel":"`) {
		if strings.HasPrefix(other, "feeds:") && !strings.HasPrefix(other, name+`"`) {
			return errors.New("a push of a foreign channel: " + other)
		}
	}
	return nil
}
