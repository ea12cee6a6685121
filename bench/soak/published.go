package main

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"weir/bench/internal/node"
)

// publishers is how many publications may be on their way at once. The pace
// does not wait for them: what is due waits in a queue that holds all.
const publishers = 16

// published is the publishing side, while it runs and after.
type published struct {
	acknowledged atomic.Int64
	tops         []atomic.Int64 // by channel: publications acknowledged
	cancel       context.CancelFunc
	done         chan struct{} // closed when all is published

	mu      sync.Mutex
	failed  int   // guarded by mu
	failure error // guarded by mu; the first
}

// due is one publication: when, as nanoseconds since the start, and where.
type due struct {
	at      time.Duration
	channel int
}

func newPublished(channels int, cancel context.CancelFunc) *published {
	return &published{tops: make([]atomic.Int64, channels), cancel: cancel, done: make(chan struct{})}
}

// publish begins to publish by the plan.
func publish(ctx context.Context, server *node.Node, p *plan, start time.Time) *published {
	ctx, cancel := context.WithCancel(ctx)
	w := newPublished(p.channels, cancel)
	queue := make(chan due, p.publications())
	var working sync.WaitGroup
	working.Go(func() {
		defer close(queue)
		pace(ctx, p, start, queue)
	})
	for range publishers {
		working.Go(func() {
			var data []byte
			for d := range queue {
				data = appendData(data[:0], int64(d.at), p.size)
				w.account(d.channel, server.Publish(ctx, channelName(d.channel), data))
			}
		})
	}
	go func() {
		defer close(w.done)
		working.Wait()
	}()
	return w
}

// pace puts each publication into the queue when it is due.
func pace(ctx context.Context, p *plan, start time.Time, queue chan<- due) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for i := range p.publications() {
		at := time.Duration(float64(i) / p.rate * float64(time.Second))
		timer.Reset(time.Until(start.Add(at)))
		select {
		case <-timer.C:
			queue <- due{at: at, channel: i % p.channels}
		case <-ctx.Done():
			return
		}
	}
}

func (w *published) account(channel int, err error) {
	if err == nil {
		w.tops[channel].Add(1)
		w.acknowledged.Add(1)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failed++
	if w.failure == nil {
		w.failure = err
	}
}

// finished tells whether everything was published, or refused.
func (w *published) finished() bool {
	select {
	case <-w.done:
		return true
	default:
		return false
	}
}

// stop ends publishing and waits for what is on its way.
func (w *published) stop() {
	w.cancel()
	<-w.done
}

// top is the last offset of a channel, if nothing was refused.
func (w *published) top(channel int) uint64 { return uint64(w.tops[channel].Load()) }

func (w *published) refused() (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failed, w.failure
}
