package tlsconn

import (
	"container/list"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// DefaultStaleAfter is how long a whole hello may wait to be begun: a little less than browsers' and operators'
// patience (a handshake deadline of 3 s) would leave for the rest of the handshake.
const DefaultStaleAfter = 2 * time.Second

// PoolConfig is immutable after NewPool.
type PoolConfig struct {
	// TLS says which certificates, versions, curves. Its session ticket keys are used as they are at each moment, so
	// SetSessionTicketKeys on it works while the pool runs. Of NextProtos only ChallengeProto counts, beside http/1.1. MinVersion 0 is 1.2.
	TLS *tls.Config
	// ClientCAs, if TLS asks for certificates, are the authorities of the moment; nil: those of TLS. Called by each handshake.
	ClientCAs func() *x509.CertPool
	// Computing bounds handshakes that use a core at once; 0: GOMAXPROCS.
	Computing int
	// Waiting bounds all handshakes in the pool: not begun, computing, waiting for the peer. About 20 KB each; one
	// whose peer sends as much as maxFed allows, about 100 KB.
	Waiting int
	// WaitingPerPrefix bounds those of one IPv4 address or IPv6 /64; 0: Waiting.
	WaitingPerPrefix int
	// StaleAfter is how long a whole hello may wait to be begun; 0: DefaultStaleAfter.
	StaleAfter time.Duration
	// Now is the clock of StaleAfter; nil: time.Now.
	Now func() time.Time
	// Exempt names peers without a bound of their own, the last to give way; nil: none. Called by Start.
	Exempt func(netip.Addr) bool
	// Panic hears of a panic inside a handshake, which fails with ErrServer; nil: nobody.
	Panic func(v any, stack []byte)
}

// Sink receives what handshakes produce. Its methods must not block and must not call the Pool. They run on the pool's
// goroutines, HandshakeDone also inside Start and Abort of this or another handshake (then before Start has returned).
type Sink interface {
	// HandshakeWrite hands over bytes for h's socket; they belong to the receiver. Order matters.
	HandshakeWrite(h *Handshake, flight []byte)
	// HandshakeDone comes once for each Start, after the last HandshakeWrite (a fatal alert's too), unless Feed has told that
	// it is over.
	HandshakeDone(h *Handshake)
}

// PoolCounters is a snapshot. The first six are gauges.
type PoolCounters struct {
	Computing, Queued, Waiting int // Waiting: begun and without a computing slot; Queued: whole hellos not begun
	Slots                      int // that may compute at once
	InFlight                   int // all that count against PoolConfig.Waiting
	Stacks                     int // kept for handshakes to come; each is a goroutine that waits
	Started, Completed         uint64
	Resumed                    uint64            // of Completed
	Failed                     map[string]uint64 // by Failure.Label, all labels present
}

// Pool runs handshakes. Safe for concurrent use.
type Pool struct {
	cfg      PoolConfig
	template *tls.Config // cloned for each handshake

	started, completed, resumed atomic.Uint64
	failed                      [failureCount]atomic.Uint64
	wg                          sync.WaitGroup // handshakes begun, and goroutines that advance them

	mu     sync.Mutex // guards what follows, and the fields of Handshake that say so
	closed bool
	limit  int       // computing slots there are, see SetComputing
	slots  int       // taken of them; more than limit after it was lowered
	begun  int       // computing, ready or waiting for the peer
	fresh  list.List // whole hellos not begun, newest first
	ready  list.List // begun, their next record is there, no slot yet; oldest first, before any fresh one
	ledger ledger
	fibers []*fiber // without a handshake, at most keptFibers
}

// NewPool checks cfg; its errors are the operator's or the caller's mistakes.
func NewPool(cfg PoolConfig) (*Pool, error) {
	template, err := handshakeTemplate(cfg.TLS)
	if err != nil {
		return nil, err
	}
	if cfg.Waiting < 1 {
		return nil, fmt.Errorf("tlsconn: --handshakes-max is %d; at least 1 is needed for any client to connect", cfg.Waiting)
	}
	if cfg.WaitingPerPrefix < 0 || cfg.Computing < 0 || cfg.StaleAfter < 0 {
		return nil, errors.New("tlsconn: --ip-handshakes, computing handshakes and their waiting time cannot be negative")
	}
	if cfg.WaitingPerPrefix == 0 || cfg.WaitingPerPrefix > cfg.Waiting {
		cfg.WaitingPerPrefix = cfg.Waiting
	}
	if cfg.Computing == 0 {
		cfg.Computing = runtime.GOMAXPROCS(0)
	}
	if cfg.StaleAfter == 0 {
		cfg.StaleAfter = DefaultStaleAfter
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Exempt == nil {
		cfg.Exempt = func(netip.Addr) bool { return false }
	}
	return &Pool{cfg: cfg, template: template, limit: cfg.Computing, ledger: newLedger(cfg.WaitingPerPrefix)}, nil
}

// Start begins a handshake, or queues it. hello is all bytes of the connection so far, with a whole ClientHello at
// the front (see Hello); it is copied. tag is the caller's own handle. It never blocks and never fails: one that
// has no place is told through HandshakeDone, as is everything else.
func (p *Pool) Start(hello []byte, peer netip.Addr, tag uint64, sink Sink) *Handshake {
	h := &Handshake{pool: p, sink: sink, tag: tag, since: p.cfg.Now()}
	p.started.Add(1)
	if taken, _ := h.take(hello); !taken {
		h.complete(nil, ErrProtocol)
		return h
	}
	exempt := p.cfg.Exempt(peer)
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		h.complete(nil, ErrClosed)
		return h
	}
	stale := p.takeStale(h.since)
	p.ledger.add(h, peer, exempt)
	victim := p.makeRoom(h)
	if victim != h {
		p.enqueue(h)
	}
	p.mu.Unlock()
	for _, old := range stale {
		old.complete(nil, ErrStale)
	}
	switch victim {
	case nil:
	case h:
		h.complete(nil, ErrFull)
	default:
		p.stop(victim, ErrEvicted)
	}
	return h
}

// makeRoom answers who gives way to h, taken out of the ledger already; nil if there is room. Caller holds mu.
func (p *Pool) makeRoom(h *Handshake) (victim *Handshake) {
	switch {
	case p.ledger.held(h) > p.cfg.WaitingPerPrefix:
		victim = p.ledger.eldest(h)
	case p.ledger.total > p.cfg.Waiting:
		victim = p.ledger.victim()
	default:
		return nil
	}
	p.ledger.remove(victim)
	return victim
}

// enqueue begins h if a slot is free, else it becomes the newest of those that wait. Caller holds mu.
func (p *Pool) enqueue(h *Handshake) {
	if p.slots >= p.limit {
		h.queued = p.fresh.PushFront(h)
		return
	}
	p.slots++
	p.begin(h)
	p.spawn(h)
}

// begin counts h among those begun. Caller holds mu and has it advanced.
func (p *Pool) begin(h *Handshake) {
	p.begun++
	p.wg.Add(1) // p is not closed, or the caller is counted itself
	if n := len(p.fibers); n > 0 {
		h.fiber, p.fibers[n-1] = p.fibers[n-1], nil
		p.fibers = p.fibers[:n-1]
	}
}

// spawn has h, which is begun, advanced by a goroutine; the caller holds mu and has taken a slot for it.
func (p *Pool) spawn(h *Handshake) {
	p.wg.Add(1) // never from zero: h is counted
	go p.work(h)
}

// takeStale takes hellos out that have waited too long, oldest first. Caller holds mu and completes them after it.
func (p *Pool) takeStale(now time.Time) (stale []*Handshake) {
	for e := p.fresh.Back(); e != nil; e = p.fresh.Back() {
		h := e.Value.(*Handshake)
		if now.Sub(h.since) <= p.cfg.StaleAfter {
			break
		}
		p.fresh.Remove(e)
		h.queued = nil
		p.ledger.remove(h)
		stale = append(stale, h)
	}
	return stale
}

// work is a goroutine with a slot: it advances one handshake after another, as long as there are any.
func (p *Pool) work(h *Handshake) {
	defer p.wg.Done()
	for ; h != nil; h = p.passSlot() {
		p.advance(h, false)
	}
}

// advance lets h compute until it is over or waits for its peer. The caller may, see Handshake; direct: it is the
// loop, which wants the outcome and what is written for itself. Once h waits it may be somebody else's already.
func (p *Pool) advance(h *Handshake, direct bool) (over bool) {
	if h.fiber == nil {
		h.fiber = newFiber(p)
	}
	f := h.fiber
	f.h = h
	for {
		h.direct = direct
		if over, _ := f.next(); over {
			p.end(h, f)
			return true
		}
		if h.park() {
			return false
		}
	}
}

// end takes h, whose fiber f has run it to its end, out of the pool.
func (p *Pool) end(h *Handshake, f *fiber) {
	defer p.wg.Done()
	h.fiber = nil
	est, failure := f.outcome()
	p.mu.Lock()
	p.ledger.remove(h)
	p.begun--
	keep := !p.closed && len(p.fibers) < keptFibers
	if keep {
		p.fibers = append(p.fibers, f)
	}
	p.mu.Unlock()
	if !keep {
		f.stop()
	}
	if h.direct {
		h.settle(est, failure)
	} else {
		h.complete(est, failure)
	}
}

// passSlot gives the caller's slot to whoever is next: one that is ready, else the newest hello. nil: nobody wants
// it, and it is free.
func (p *Pool) passSlot() (next *Handshake) {
	now := p.cfg.Now()
	p.mu.Lock()
	stale := p.takeStale(now)
	if p.slots <= p.limit { // the others, of which there is one at least, come here too
		next = p.nextInLine()
	}
	if next == nil {
		p.slots--
	}
	p.mu.Unlock()
	for _, h := range stale {
		h.complete(nil, ErrStale)
	}
	return next
}

// nextInLine takes out who gets the next slot: one that is ready, else the newest hello, which begins. nil: nobody
// wants it. Caller holds mu.
func (p *Pool) nextInLine() *Handshake {
	if e := p.ready.Front(); e != nil {
		h := p.ready.Remove(e).(*Handshake)
		h.queued, h.ready = nil, false
		return h
	}
	if e := p.fresh.Front(); e != nil {
		h := p.fresh.Remove(e).(*Handshake)
		h.queued = nil
		p.begin(h)
		return h
	}
	return nil
}

// SetComputing changes PoolConfig.Computing, at least 1, from now on. Handshakes that compute are not
// interrupted: with fewer slots the next ones wait longer.
func (p *Pool) SetComputing(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.limit = max(n, 1)
	for p.slots < p.limit && !p.closed {
		next := p.nextInLine()
		if next == nil {
			return
		}
		p.slots++
		p.spawn(next)
	}
}

// resume gives a handshake that may be advanced a slot, or a place among the ready.
func (p *Pool) resume(h *Handshake) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.slots < p.limit {
		p.slots++
		p.spawn(h)
		return
	}
	h.ready = true
	h.queued = p.ready.PushBack(h)
}

// stop ends h for cause: one that has not begun or that waits comes to its end here, one that computes notices when it
// next reads.
func (p *Pool) stop(h *Handshake, cause *Failure) {
	wake := h.interrupt(cause)
	drop := false
	p.mu.Lock()
	p.ledger.remove(h)
	if e := h.queued; e != nil {
		h.queued = nil
		if h.ready {
			h.ready = false
			p.ready.Remove(e)
			wake = true
		} else {
			p.fresh.Remove(e)
			drop = true
		}
	}
	p.mu.Unlock()
	if wake {
		p.advance(h, false)
	}
	if drop {
		h.complete(nil, cause)
	}
}

// run makes the handshake; a panic inside it is contained to it.
func (p *Pool) run(h *Handshake) (est *established, failure *Failure) {
	defer func() {
		if v := recover(); v != nil {
			est, failure = nil, ErrServer
			if p.cfg.Panic != nil {
				p.cfg.Panic(v, debug.Stack())
			}
		}
	}()
	if cause := h.stopped(); cause != nil {
		return nil, cause
	}
	return negotiate(h, p.template, &p.cfg)
}

// Close ends all handshakes with ErrClosed and waits until every goroutine is gone and every HandshakeDone was called.
// Later Starts get ErrClosed at once. Again is harmless.
func (p *Pool) Close() {
	p.mu.Lock()
	p.closed = true
	var all []*Handshake
	for h := p.ledger.victim(); h != nil; h = p.ledger.victim() {
		p.ledger.remove(h)
		all = append(all, h)
	}
	p.mu.Unlock()
	for _, h := range all {
		p.stop(h, ErrClosed)
	}
	p.wg.Wait()
	p.mu.Lock()
	fibers := p.fibers
	p.fibers = nil
	p.mu.Unlock()
	for _, f := range fibers {
		f.stop()
	}
}

// Counters is for scrapes: it allocates.
func (p *Pool) Counters() PoolCounters {
	c := PoolCounters{
		Started: p.started.Load(), Completed: p.completed.Load(), Resumed: p.resumed.Load(),
		Failed: make(map[string]uint64, len(p.failed)),
	}
	for i, f := range failures() {
		c.Failed[f.Label] = p.failed[i].Load()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	c.Slots, c.Stacks = p.limit, len(p.fibers)
	c.Computing, c.Queued, c.InFlight = p.slots, p.fresh.Len(), p.ledger.total
	c.Waiting = max(0, p.begun-p.slots) // one that has just ended passes its slot on a little later
	return c
}
