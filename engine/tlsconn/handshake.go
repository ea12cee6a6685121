package tlsconn

import (
	"container/list"
	"crypto/x509"
	"encoding/binary"
	"sync"
	"time"

	"weir/engine/tlsconn/record"
)

const (
	// maxBuffered bounds what a peer may send ahead of the handshake: a whole record (RFC 5246 §6.2.3) and what a
	// client pipelines behind its Finished.
	maxBuffered = 32 << 10
	// maxFed bounds all that a peer may send from the hello to HandshakeDone: two hellos (HelloRetryRequest), a
	// certificate chain, what is pipelined. crypto/tls alone would collect messages of 64 KB, and a Certificate that
	// nobody asked for of 256 KB.
	maxFed = 3 * MaxHello
	// maxFragment12 is the longest body of a TLS 1.2 record: crypto/tls refuses a longer one by its header.
	maxFragment12 = 1<<14 + 2048
)

// Info is what the handshake agreed on. ServerName is the peer's word: bound and escape it before it is logged.
type Info struct {
	Version, Suite   uint16
	Resumed          bool
	ServerName       string
	ALPN             string              // "http/1.1", ChallengeProto, or "" if the peer offered nothing
	PeerCertificates []*x509.Certificate // leaf first; nil without mutual TLS
}

// Handshake is one handshake in a Pool. Feed, Abort, Result, Take and Leftover are the calls of the loop that owns the
// connection.
type Handshake struct {
	pool  *Pool // immutable, as are tag and sink
	sink  Sink
	tag   uint64
	since time.Time

	// Owned by whoever may advance it: who began it, took it out of pool.ready, or set parked to false.
	fiber  *fiber // nil before it is begun and after its end
	last   bool   // only the peer's Finished is missing: see Feed
	direct bool   // the loop advances it
	flight []byte // what it wrote meanwhile; the loop's

	group  *group // guarded by pool.mu: place in the ledger, nil once out of it
	member *list.Element
	queued *list.Element // guarded by pool.mu: place in pool.ready or pool.fresh
	ready  bool          // guarded by pool.mu: queued is in pool.ready

	mu     sync.Mutex // guards what follows
	in     []byte     // bytes from the peer; from off on not consumed
	off    int
	fed    int      // bytes ever taken by Feed
	rest   int      // bytes of the record begun that crypto/tls has not yet read
	parked bool     // it waits for a whole record, and nobody may advance it yet
	cause  *Failure // why it is to end early
	done   bool
	est    *established // the result until Take
	result *Failure
}

// established is a completed handshake on its way to a Conn.
type established struct {
	in, out record.Key
	v12     *stream12
	info    Info
}

// Tag is the caller's handle of Start.
func (h *Handshake) Tag() uint64 { return h.tag }

// Fed is what became of bytes that were handed over.
type Fed struct {
	TooMuch bool   // the peer sent more than a handshake can need: nothing was taken, and the connection is to be closed
	Over    bool   // the handshake is over, as HandshakeDone would tell, which is not called
	Flight  []byte // to be written to the socket
}

// Feed hands over bytes from the socket, also after the handshake's end until Leftover was taken. b is copied. If only
// the peer's Finished is missing, and there is no certificate of its to be verified, the handshake is ended here and now: two
// hashes of a secret are compared, which takes less than to tell a worker. All else is the workers'.
func (h *Handshake) Feed(b []byte) Fed {
	taken, wake := h.take(b)
	switch {
	case !taken:
		return Fed{TooMuch: true}
	case !wake:
		return Fed{}
	case !h.last:
		h.pool.resume(h)
		return Fed{}
	}
	over := h.pool.advance(h, true)
	flight := h.flight
	h.flight = nil
	return Fed{Over: over, Flight: flight}
}

// take copies b; wake: the caller must now have h advanced.
func (h *Handshake) take(b []byte) (taken, wake bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.in)-h.off+len(b) > maxBuffered || h.fed+len(b) > maxFed {
		return false, false
	}
	h.fed += len(b)
	if h.off > 0 {
		h.in = h.in[:copy(h.in, h.in[h.off:])]
		h.off = 0
	}
	h.in = append(h.in, b...)
	wake = h.parked && h.readable()
	if wake {
		h.parked = false
	}
	return true, wake
}

// readable reports that crypto/tls can read without waiting: the rest of a record begun, or a whole one. A header that
// crypto/tls refuses counts as whole. Caller holds mu.
func (h *Handshake) readable() bool {
	return h.rest > 0 || nextRecord(h.in[h.off:]) > 0
}

// nextRecord is how many bytes of b crypto/tls may have: the first record if all of it is there, only its header
// if that is refused anyway, else 0.
func nextRecord(b []byte) int {
	if len(b) < record.HeaderLen {
		return 0
	}
	switch n := int(binary.BigEndian.Uint16(b[3:])); {
	case n > maxFragment12:
		return record.HeaderLen
	case len(b) < record.HeaderLen+n:
		return 0
	default:
		return record.HeaderLen + n
	}
}

// read is crypto/tls reading: never across the end of a record, so that nothing behind the handshake is taken. It
// waits, with its fiber, until the next record is whole.
func (h *Handshake) read(b []byte) (int, error) {
	for {
		n, err := h.copyRecord(b)
		if n > 0 || err != nil {
			return n, err
		}
		h.fiber.wait(false)
	}
}

// copyRecord copies what is there of the record that is being read; 0: it is not whole yet.
func (h *Handshake) copyRecord(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.cause != nil {
		return 0, h.cause
	}
	if h.rest == 0 {
		h.rest = nextRecord(h.in[h.off:])
	}
	n := copy(b, h.in[h.off:h.off+h.rest])
	h.off += n
	h.rest -= n
	if n == 0 && h.off == len(h.in) {
		h.in, h.off = nil, 0 // who waits keeps no copy of the hello
	}
	return n, nil
}

// park notes that h waits for its peer: who advanced it may not any more. false: it need not wait.
func (h *Handshake) park() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.parked = h.cause == nil && !h.readable()
	return h.parked
}

// write is crypto/tls writing: b is copied for the sink, or the loop.
func (h *Handshake) write(b []byte) (int, error) {
	if cause := h.stopped(); cause != nil {
		return 0, cause
	}
	if h.direct {
		h.flight = append(h.flight, b...)
		return len(b), nil
	}
	h.sink.HandshakeWrite(h, append([]byte(nil), b...))
	return len(b), nil
}

// stopped is the reason to end early, nil if there is none.
func (h *Handshake) stopped() *Failure {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.cause
}

// interrupt sets the reason to end early; wake: the caller must now advance h.
func (h *Handshake) interrupt(cause *Failure) (wake bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.done || h.cause != nil {
		return false
	}
	h.cause = cause
	wake = h.parked
	h.parked = false
	return wake
}

// complete sets the outcome and tells the sink. Called once, by whoever took h out of the queue or advanced it to its end.
func (h *Handshake) complete(est *established, failure *Failure) {
	h.settle(est, failure)
	h.sink.HandshakeDone(h)
}

// settle sets the outcome.
func (h *Handshake) settle(est *established, failure *Failure) {
	h.mu.Lock()
	if failure == nil && h.cause != nil { // stopped after the last read
		est.wipe()
		est, failure = nil, h.cause
	}
	h.done, h.est, h.result = true, est, failure
	h.mu.Unlock()
	p := h.pool
	switch {
	case failure != nil:
		p.failed[failure.index].Add(1)
	case est.info.Resumed:
		p.resumed.Add(1)
		fallthrough
	default:
		p.completed.Add(1)
	}
}

// Abort ends the handshake because the peer is gone or its deadline has passed. HandshakeDone still comes, once: here
// and now unless the handshake computes. After HandshakeDone it wipes what was not taken.
func (h *Handshake) Abort() {
	h.mu.Lock()
	done := h.done
	if done {
		h.est.wipe()
		h.est = nil
		if h.result == nil {
			h.result = ErrAborted
		}
	}
	h.mu.Unlock()
	if !done {
		h.pool.stop(h, ErrAborted)
	}
}

// Result is the outcome, after HandshakeDone; the error is a *Failure.
func (h *Handshake) Result() (Info, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.result != nil {
		return Info{}, h.result
	}
	if h.est == nil {
		panic("tlsconn: Result before HandshakeDone or after Take")
	}
	return h.est.info, nil
}

// Take moves the established state into dst, once, after HandshakeDone. The error is a *Failure, dst then unchanged.
func (h *Handshake) Take(dst *Conn) (Info, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.result != nil {
		return Info{}, h.result
	}
	if h.est == nil {
		panic("tlsconn: Take before HandshakeDone, or twice")
	}
	est := h.est
	h.est = nil
	dst.keys = [2]record.Key{reading: est.in.Move(), writing: est.out.Move()}
	if est.v12 != nil {
		dst.extra = &extra{v12: est.v12}
	}
	info := est.info
	est.wipe()
	return info, nil
}

// Leftover is what was fed and belongs to the established connection, whole and half records. It must be opened in the
// same step of the loop that lets new bytes reach the Conn, or records change their order. The slice is the caller's;
// Feed must not be called any more.
func (h *Handshake) Leftover() []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	b := h.in[h.off:]
	h.in, h.off = nil, 0
	return b
}

// wipe overwrites the keys.
func (e *established) wipe() {
	if e != nil {
		e.in.Wipe()
		e.out.Wipe()
		e.v12 = nil
	}
}
