package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"weir/loadtest/client"
	"weir/loadtest/tally"
)

// crew is a worker from inside. Its orders come from one goroutine.
type crew struct {
	// Immutable.
	plan     Plan
	place    Begin
	dialers  []*client.Dialer
	resuming []*client.Dialer
	narrow   []*client.Dialer // of slow readers
	loop     *client.Loop
	cancel   context.CancelFunc
	ctx      context.Context // of everything that goes on behind an order
	running  sync.WaitGroup

	used int // members that were ever opened; by the orders' goroutine

	// Owned by the loop.
	members  []member
	open     int
	cursor   int // where the next drop looks
	counters tally.Counters
	latency  tally.Histogram
	ack      tally.Histogram
	heads    map[int]uint64
	awaiting int // publishers with an answer outstanding
	hushed   bool
	scratch  []byte
	// envelopes are those of the channels.
	envelopes []envelope

	mu        sync.Mutex
	arriving  map[uint32]*arrival // guarded by mu: ready, until Opened
	dials     tally.Counters      // guarded by mu
	opening   tally.Histogram     // guarded by mu
	handshake tally.Histogram     // guarded by mu
	pending   int                 // guarded by mu
	slow      int                 // guarded by mu
	slowEnds  map[string]uint64   // guarded by mu
	sending   bool                // guarded by mu: the publishing goroutine goes on
	dialled   int                 // guarded by mu: spreads source addresses
	lastError string              // guarded by mu
}

// slowReceiveBytes is the kernel's receive buffer of a slow reader, so that its
// slowness is the server's matter and not swallowed up here.
const slowReceiveBytes = 4096

// newCrew starts a worker's event loop.
func newCrew(ctx context.Context, b Begin, log *slog.Logger) (*crew, error) {
	if err := b.Plan.check(); err != nil {
		return nil, err
	}
	if b.Of < 1 || b.Number < 0 || b.Number >= b.Of || b.Capacity < 0 || b.Capacity > maxConnections {
		return nil, fmt.Errorf("worker %d of %d with %d connections", b.Number, b.Of, b.Capacity)
	}
	c := &crew{
		plan: b.Plan, place: b, members: make([]member, b.Capacity), heads: map[int]uint64{}, arriving: map[uint32]*arrival{}, slowEnds: map[string]uint64{},
		envelopes: make([]envelope, b.Plan.Channels),
	}
	for _, t := range b.Plan.Targets {
		d, err := client.NewDialer(ctx, t)
		if err != nil {
			return nil, err
		}
		c.dialers, c.resuming = append(c.dialers, d), append(c.resuming, d.Resuming())
		t.ReceiveBytes = slowReceiveBytes
		if d, err = client.NewDialer(ctx, t); err != nil {
			return nil, err
		}
		c.narrow = append(c.narrow, d)
	}
	var err error
	if c.loop, err = client.NewLoop((*handler)(c), log); err != nil {
		return nil, err
	}
	c.ctx, c.cancel = context.WithCancel(ctx)
	return c, nil
}

// stop cuts every connection and waits for every goroutine.
func (c *crew) stop() {
	c.cancel()
	c.running.Wait()
	c.loop.Stop()
}

// on runs f on the loop's goroutine and waits for it.
func (c *crew) on(f func()) {
	done := make(chan struct{})
	c.loop.Do(func() { f(); close(done) })
	<-done
}

// obey carries out an order.
func (c *crew) obey(o Order) (r Report, err error) {
	switch {
	case o.Open != nil:
		err = c.openWave(*o.Open)
	case o.Drop != nil:
		c.on(func() { c.drop(o.Drop.N) })
	case o.Publish != nil:
		err = c.publish(*o.Publish)
	case o.Hush:
		c.on(func() { c.hushed = true })
	case o.Settle != nil:
		c.on(func() { r.Undelivered = c.undelivered(o.Settle) })
	case o.Count:
		r = c.count()
	default:
		err = errors.New("an order that says nothing")
	}
	return r, err
}

func (c *crew) count() (r Report) {
	c.mu.Lock()
	r.Counters.Add(c.dials)
	r.Open.Merge(&c.opening)
	c.opening.Reset()
	r.Handshake.Merge(&c.handshake)
	c.handshake.Reset()
	r.Pending, r.Slow, r.SlowClosed, r.Publishing, r.Trouble = c.pending, c.slow, clone(c.slowEnds), c.sending, c.lastError
	c.mu.Unlock()
	c.on(func() {
		r.Counters.Add(c.counters)
		r.Latency.Merge(&c.latency)
		c.latency.Reset()
		r.Ack.Merge(&c.ack)
		c.ack.Reset()
		r.Connections = c.open
		r.Publishing = r.Publishing || c.awaiting > 0
		r.Heads = clone(c.heads)
	})
	return r
}

// clone copies a map, an empty one as nil.
func clone[K comparable, V any](m map[K]V) map[K]V {
	if len(m) == 0 {
		return nil
	}
	out := make(map[K]V, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}

// undelivered counts what subscriptions have not received of what was acknowledged.
func (c *crew) undelivered(heads []uint64) (n uint64) {
	for tag := range c.members {
		m := &c.members[tag]
		number := c.number(tag)
		for i := range m.orders {
			channel := c.plan.channelOf(number, i/c.plan.Publishers)
			stream := channel*c.plan.Publishers + i%c.plan.Publishers
			o := &m.orders[i]
			if stream < len(heads) && heads[stream] > o.Newest() && o.Started() {
				n += heads[stream] - o.Newest()
			}
		}
	}
	return n + c.counters.Missing
}

// number is the number in the fleet of member tag.
func (c *crew) number(tag int) int { return c.place.Number + tag*c.place.Of }

// drop closes n open connections, after those that it closed before.
func (c *crew) drop(n int) {
	for range len(c.members) {
		if n == 0 || c.open == 0 {
			return
		}
		c.cursor = (c.cursor + 1) % len(c.members)
		if m := &c.members[c.cursor]; m.phase == open {
			m.phase = leaving
			m.conn.Cut()
			n--
		}
	}
}

// failed notes why a connection did not come to be, or ended.
func (c *crew) failed(err error) {
	text := []rune(err.Error())
	c.mu.Lock()
	c.lastError = string(text[:min(len(text), 200)])
	c.mu.Unlock()
}

// elapsed is how long ago a moment in nanoseconds since 1970 was.
func elapsed(now time.Time, due int64) time.Duration { return time.Duration(now.UnixNano() - due) }
