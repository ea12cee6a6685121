//go:build linux

package faults

import (
	"net"
	"sync"
	"testing"
	"time"

	"weir/bench/internal/node"
)

// relay stands between subscribers and the server, and can stop passing anything on
// without closing anything: a partition of the network, as both ends see it.
type relay struct {
	ln   net.Listener
	to   string
	all  sync.WaitGroup
	mu   sync.Mutex
	flow *sync.Cond
	cut  bool       // guarded by mu
	over bool       // guarded by mu
	open []net.Conn // guarded by mu
}

func newRelay(t *testing.T, to string) *relay {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{ln: ln, to: to}
	r.flow = sync.NewCond(&r.mu)
	r.all.Go(r.accept)
	t.Cleanup(func() {
		_ = ln.Close()
		r.mu.Lock()
		r.over = true
		for _, c := range r.open {
			_ = c.Close()
		}
		r.flow.Broadcast()
		r.mu.Unlock()
		r.all.Wait()
	})
	return r
}

func (r *relay) accept() {
	for {
		a, err := r.ln.Accept()
		if err != nil {
			return
		}
		r.all.Go(func() {
			b, err := net.Dial("tcp", r.to)
			if err != nil || !r.keep(a, b) {
				_ = a.Close()
				return
			}
			r.all.Go(func() { r.pump(a, b) })
			r.pump(b, a)
		})
	}
}

// keep notes connections that must end with the relay; false if it has ended.
func (r *relay) keep(a, b net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		_ = b.Close()
		return false
	}
	r.open = append(r.open, a, b)
	return true
}

// pump passes on what comes, also the end, while nothing is cut.
func (r *relay) pump(from, to net.Conn) {
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		r.mu.Lock()
		for r.cut && !r.over {
			r.flow.Wait()
		}
		r.mu.Unlock()
		if n > 0 {
			if _, err := to.Write(b[:n]); err != nil {
				_ = from.Close()
				return
			}
		}
		if err != nil {
			_ = to.Close()
			return
		}
	}
}

func (r *relay) set(cut bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cut = cut
	r.flow.Broadcast()
}

// TestPartition is row D1 for clients that are cut off: nothing ends, and nothing comes
// through, for longer than either side waits. They come back and have all that the history
// keeps; of what it does not they are told.
func TestPartition(t *testing.T) {
	s := startServer(t, node.Options{Flags: []string{configured(t), "--message-size-limit=4096", "--max-outbox-bytes=67108864", "--recovery-max-publication-limit=100000",
		"--ping-interval=2s", "--pong-timeout=1s", "--handshake-timeout=1m", "--head-timeout=1m", "--stale-close-delay=1m"}})
	r := newRelay(t, s.Addr)
	h := newHistory(t)
	h.token, h.pace, h.whole = tokenOf(t, s), 5*time.Millisecond, true
	h.serve(s, r.ln.Addr().String())
	all, finish := h.follow()
	every := func(what string, ok func(*follower) bool) {
		h.await(what, func() bool {
			for _, f := range all {
				if !ok(f) {
					return false
				}
			}
			return true
		})
	}
	for range 2 {
		faults := h.faults()
		every("everybody is subscribed", func(f *follower) bool { return f.met.Load() == faults })
		enough := h.acks.Load() + 8*thinHistory*int64(len(channels()))
		h.fault(false)
		r.set(true)
		every("everybody has noticed", func(f *follower) bool { return f.ends.Load() == faults+1 })
		h.await("more than a thin history keeps", func() bool { return h.acks.Load() >= enough })
		r.set(false)
	}
	last := h.faults()
	every("everybody is back", func(f *follower) bool { return f.met.Load() == last })
	finish()
	if h.recoveries.Load() == 0 || h.gaps.Load() == 0 || h.left.Load() == 0 || h.epochs.Load() != 0 {
		t.Error("the run had no recovery, no gap or nobody who left, or a new epoch: it shows nothing")
	}
}
