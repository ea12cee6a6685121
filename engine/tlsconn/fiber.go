package tlsconn

import "iter"

// keptFibers bounds the fibers that are kept for handshakes to come. The stack of each has grown to what a handshake takes,
// some 16 KB, which would be grown by copying for each handshake otherwise; the collector halves those that
// stay unused.
const keptFibers = 64

// fiber is a stack on which handshakes run, one after another: crypto/tls reads as if it could wait, and what waits is the
// fiber. It runs only while somebody advances its handshake, on that one's processor: the switch wakes nobody and asks no scheduler.
// Owned by whoever may advance its handshake, else by the pool.
type fiber struct {
	pool *Pool
	next func() (over, alive bool) // lets it run until its handshake waits for the peer, or is over
	stop func()                    // ends one without a handshake
	wait func(over bool) bool      // of next, inside

	h       *Handshake
	est     *established // the outcome
	failure *Failure
}

func newFiber(p *Pool) *fiber {
	f := &fiber{pool: p}
	f.next, f.stop = iter.Pull(f.live)
	return f
}

// live is what runs on it.
func (f *fiber) live(yield func(over bool) bool) {
	f.wait = yield
	for {
		f.est, f.failure = f.pool.run(f.h)
		if !yield(true) {
			return
		}
	}
}

// outcome takes out what the handshake came to.
func (f *fiber) outcome() (est *established, failure *Failure) {
	est, failure = f.est, f.failure
	f.h, f.est, f.failure = nil, nil, nil
	return est, failure
}
