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
	ended  atomic.Bool // no more are begun
	known  atomic.Bool // and all that were acknowledged are in acked

	mu      sync.Mutex
	changed *sync.Cond
	now     moment              // guarded by mu
	acked   []map[string]offset // guarded by mu: by channel and epoch

	recoveries, gaps, epochs, slow, left atomic.Int64
}

// moment is a server and the faults before it, read as one: who met an error of this server has met a fault only if there are more now.
type moment struct {
	server *server // nil: there is none now
	addr   string  // where subscribers find it
	faults int64   // kills and partitions so far: each is counted before it happens
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

// serve tells everybody of a server.
func (h *history) serve(s *server, addr string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now.server, h.now.addr = s, addr
	h.changed.Broadcast()
}

// fault counts one that is about to happen; gone tells that there will be no server then.
func (h *history) fault(gone bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now.faults++
	if gone {
		h.now.server = nil
	}
}

// faults is how many there have been.
func (h *history) faults() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now.faults
}

// current waits for a server; there is none after the end.
func (h *history) current() moment {
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.now.server == nil && h.ctx.Err() == nil {
		h.changed.Wait()
	}
	return h.now
}

// publish publishes until the end. What fails may have been taken or not: nobody knows,
// and nobody was told that it was.
func (h *history) publish(id int) {
	rng := rand.New(rand.NewPCG(3, uint64(id)))
	names, padding := channels(), strings.Repeat("x", dataBytes)
	for !h.ended.Load() && h.ctx.Err() == nil {
		now := h.current()
		if now.server == nil {
			return
		}
		i, n := rng.IntN(len(names)), h.taken.Add(1)
		at, epoch, err := now.server.publish(h.ctx, names[i], fmt.Appendf(nil, `{"n":%d,"x":"%s"}`, n, padding))
		if err != nil {
			if h.faults() == now.faults && h.ctx.Err() == nil {
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
