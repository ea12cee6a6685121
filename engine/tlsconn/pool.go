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

// Sink receives what handshakes produce. Its methods must not block and must not call the Pool. They run on handshake
// goroutines, HandshakeDone also inside Start and Abort of this or another handshake (then before Start has returned).
type Sink interface {
	// HandshakeWrite hands over bytes for h's socket; they belong to the receiver. Order matters.
	HandshakeWrite(h *Handshake, flight []byte)
	// HandshakeDone comes exactly once for each Start, after the last HandshakeWrite (a fatal alert's too).
	HandshakeDone(h *Handshake)
}

// PoolCounters is a snapshot. The first five are gauges.
type PoolCounters struct {
	Computing, Queued, Waiting int // Waiting: begun and without a computing slot; Queued: whole hellos not begun
	Slots                      int // that may compute at once
	InFlight                   int // all that count against PoolConfig.Waiting
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
	wg                          sync.WaitGroup // handshake goroutines

	mu     sync.Mutex // guards what follows, and the fields of Handshake that say so
	closed bool
	limit  int       // computing slots there are, see SetComputing
	slots  int       // taken of them; more than limit after it was lowered
	begun  int       // goroutines: computing, ready or waiting for the peer
	fresh  list.List // whole hellos not begun, newest first
	ready  list.List // begun, their next record is there, no slot yet; oldest first, before any fresh one
	ledger ledger
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
	h := &Handshake{pool: p, sink: sink, tag: tag, turn: make(chan bool, 1), since: p.cfg.Now()}
	p.started.Add(1)
	if !h.Feed(hello) {
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
	p.spawn(h)
}

// spawn runs h on a goroutine of its own; the caller holds mu and has taken a slot for it.
func (p *Pool) spawn(h *Handshake) {
	p.begun++
	p.wg.Add(1)
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

// work is a handshake goroutine: it begins with a slot and, as long as it has one at the end, takes the next hello.
func (p *Pool) work(h *Handshake) {
	defer p.wg.Done()
	for h != nil {
		h.slot = true
		est, failure := p.run(h)
		p.mu.Lock()
		p.ledger.remove(h)
		p.begun--
		p.mu.Unlock()
		slot := h.slot
		h.complete(est, failure)
		h = nil
		if slot {
			h = p.passSlot()
		}
	}
}

// passSlot gives the caller's slot to whoever is next: one that is ready, else the newest hello, which is returned
// and counted as begun. nil: somebody has the slot, or nobody wants it and it is free.
func (p *Pool) passSlot() *Handshake {
	now := p.cfg.Now()
	p.mu.Lock()
	stale := p.takeStale(now)
	next, taken := (*Handshake)(nil), false
	if p.slots <= p.limit { // the others, of which there is one at least, come here too
		next, taken = p.nextInLine()
	}
	if !taken {
		p.slots--
	}
	p.mu.Unlock()
	for _, h := range stale {
		h.complete(nil, ErrStale)
	}
	return next
}

// nextInLine gives a slot to one that is ready, else answers the newest hello, counted as begun, to be run with
// it. Not taken: nobody wants it. Caller holds mu.
func (p *Pool) nextInLine() (next *Handshake, taken bool) {
	if e := p.ready.Front(); e != nil {
		h := p.ready.Remove(e).(*Handshake)
		h.queued, h.ready = nil, false
		h.turn <- true
		return nil, true
	}
	if e := p.fresh.Front(); e != nil {
		next = p.fresh.Remove(e).(*Handshake)
		next.queued = nil
		p.begun++
		return next, true
	}
	return nil, false
}

// SetComputing changes PoolConfig.Computing, at least 1, from now on. Handshakes that compute are not
// interrupted: with fewer slots the next ones wait longer.
func (p *Pool) SetComputing(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.limit = max(n, 1)
	for p.slots < p.limit && !p.closed {
		next, taken := p.nextInLine()
		if !taken {
			return
		}
		p.slots++
		if next != nil {
			p.wg.Add(1)
			go p.work(next)
		}
	}
}

// park gives up the slot of a handshake that waits for its peer.
func (p *Pool) park() {
	if next := p.passSlot(); next != nil {
		p.wg.Add(1) // never from zero: the caller is a handshake goroutine itself
		go p.work(next)
	}
}

// resume gives a parked handshake a slot, or a place among the ready.
func (p *Pool) resume(h *Handshake) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.slots < p.limit {
		p.slots++
		h.turn <- true
		return
	}
	h.ready = true
	h.queued = p.ready.PushBack(h)
}

// stop ends h for cause: one that has not begun is completed here, one that waits is woken to unwind, one that
// computes notices when it next reads.
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
		h.turn <- false
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
	c.Slots = p.limit
	c.Computing, c.Queued, c.InFlight = p.slots, p.fresh.Len(), p.ledger.total
	c.Waiting = max(0, p.begun-p.slots) // one that has just ended passes its slot on a little later
	return c
}
