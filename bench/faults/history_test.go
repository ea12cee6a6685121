//go:build linux

package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// channels that everybody follows; the history of thin ones is soon too short.
func channels() []string { return []string{"deep:0", "deep:1", "deep:2", "thin:0"} }

const (
	thinHistory = 20 // publications that the history of thin channels keeps

	publishers = 4
	dataBytes  = 1 << 10
)

// history is what was acknowledged, and by whom it was to be seen.
type history struct {
	t      *testing.T
	token  string
	pace   time.Duration // between publications of one publisher
	narrow bool          // the kernel holds little for slow followers
	whole  bool          // deep channels are always recovered: the outbox holds all that can be missed
	ctx    context.Context
	cancel context.CancelFunc
	taken  atomic.Int64 // publications begun
	acks   atomic.Int64
	ended  atomic.Bool  // no more are begun
	known  atomic.Bool  // and all that were acknowledged are in acked
	faults atomic.Int64 // kills and partitions so far: each is counted before it happens

	mu      sync.Mutex
	changed *sync.Cond
	server  *server             // guarded by mu; nil: there is none now
	addr    string              // guarded by mu: where subscribers find it
	acked   []map[string]offset // guarded by mu: by channel and epoch

	recoveries, gaps, epochs, slow, left atomic.Int64
}

// offset maps offsets to the number of the publication that was acknowledged there.
type offset map[uint64]int64

func newHistory(t *testing.T) *history {
	h := &history{t: t}
	h.ctx, h.cancel = context.WithTimeout(context.Background(), patience)
	t.Cleanup(h.cancel)
	h.changed = sync.NewCond(&h.mu)
	context.AfterFunc(h.ctx, func() { h.mu.Lock(); h.changed.Broadcast(); h.mu.Unlock() })
	for range channels() {
		h.acked = append(h.acked, make(map[string]offset))
	}
	return h
}

// serve tells everybody of a server; nil: that there is none.
func (h *history) serve(s *server, addr string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.server, h.addr = s, addr
	h.changed.Broadcast()
}

// current waits for a server; nil after the end.
func (h *history) current() (s *server, addr string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.server == nil && h.ctx.Err() == nil {
		h.changed.Wait()
	}
	return h.server, h.addr
}

// publish publishes until the end. What fails may have been taken or not: nobody knows,
// and nobody was told that it was.
func (h *history) publish(id int) {
	rng := rand.New(rand.NewPCG(3, uint64(id)))
	names, padding := channels(), strings.Repeat("x", dataBytes)
	for !h.ended.Load() && h.ctx.Err() == nil {
		faults := h.faults.Load()
		s, _ := h.current()
		if s == nil {
			return
		}
		i, n := rng.IntN(len(names)), h.taken.Add(1)
		at, epoch, err := s.publish(h.ctx, names[i], fmt.Appendf(nil, `{"n":%d,"x":"%s"}`, n, padding))
		if err != nil {
			if h.faults.Load() == faults && h.ctx.Err() == nil {
				h.t.Errorf("publication %d: %v", n, err)
				return
			}
			continue
		}
		h.mu.Lock()
		if h.acked[i][epoch] == nil {
			h.acked[i][epoch] = make(offset)
		}
		if before, twice := h.acked[i][epoch][at]; twice {
			h.t.Errorf("%s: %d and %d were both acknowledged at %d", names[i], before, n, at)
		}
		h.acked[i][epoch][at] = n
		h.mu.Unlock()
		h.acks.Add(1)
		if h.pace > 0 {
			<-time.After(h.pace)
		}
	}
}

// top is the last acknowledged offset of a channel in an epoch.
func (h *history) top(channel int, epoch string) (most uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for at := range h.acked[channel][epoch] {
		most = max(most, at)
	}
	return most
}

// await waits for a condition, and for the end if it never comes.
func (h *history) await(what string, ok func() bool) {
	h.t.Helper()
	for !ok() {
		select {
		case <-h.ctx.Done():
			h.t.Fatal("never came: ", what)
		case <-time.After(5 * time.Millisecond):
		}
		if h.t.Failed() {
			h.t.FailNow()
		}
	}
}

// follow has followers of each kind subscribe, and publishers publish, until finish.
func (h *history) follow() (all []*follower, finish func()) {
	var working sync.WaitGroup
	for _, kind := range []kind{steady, steady, restless, restless, slow, slow} {
		f := newFollower(h, len(all), kind)
		all = append(all, f)
		working.Go(f.follow)
	}
	var publishing sync.WaitGroup
	for id := range publishers {
		publishing.Go(func() { h.publish(id) })
	}
	h.t.Cleanup(func() { h.cancel(); working.Wait(); publishing.Wait() })
	return all, func() {
		h.ended.Store(true)
		publishing.Wait()
		h.known.Store(true)
		for _, f := range all {
			h.await(fmt.Sprintf("all of it at follower %d", f.id), func() bool { return f.done.Load() })
		}
		h.cancel()
		working.Wait()
		for _, f := range all {
			f.judge()
		}
		h.t.Logf("%d publications, %d acknowledged; %d recoveries, %d gaps told, %d new epochs told, %d closed as slow, %d left by themselves",
			h.taken.Load(), h.acks.Load(), h.recoveries.Load(), h.gaps.Load(), h.epochs.Load(), h.slow.Load(), h.left.Load())
	}
}
