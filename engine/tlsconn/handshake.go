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
	turn  chan bool // wakes a parked goroutine: true with a slot. At most one value for each park

	slot bool // owned by the handshake goroutine: it has a computing slot

	group  *group // guarded by pool.mu: place in the ledger, nil once out of it
	member *list.Element
	queued *list.Element // guarded by pool.mu: place in pool.ready or pool.fresh
	ready  bool          // guarded by pool.mu: queued is in pool.ready

	mu     sync.Mutex // guards what follows
	in     []byte     // bytes from the peer; from off on not consumed
	off    int
	fed    int      // bytes ever taken by Feed
	rest   int      // bytes of the record begun that crypto/tls has not yet read
	parked bool     // the goroutine waits for a whole record
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

// Feed hands over bytes from the socket, also after HandshakeDone until Leftover was taken. b is copied. false: the
// peer sent more than a handshake can need; nothing of b was taken and the connection is to be closed.
func (h *Handshake) Feed(b []byte) bool {
	h.mu.Lock()
	if len(h.in)-h.off+len(b) > maxBuffered || h.fed+len(b) > maxFed {
		h.mu.Unlock()
		return false
	}
	h.fed += len(b)
	if h.off > 0 {
		h.in = h.in[:copy(h.in, h.in[h.off:])]
		h.off = 0
	}
	h.in = append(h.in, b...)
	wake := h.parked && h.readable()
	if wake {
		h.parked = false
	}
	h.mu.Unlock()
	if wake {
		h.pool.resume(h)
	}
	return true
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
// waits, without a computing slot, until the next record is whole. Handshake goroutine only.
func (h *Handshake) read(b []byte) (int, error) {
	for {
		h.mu.Lock()
		if h.cause != nil {
			h.mu.Unlock()
			return 0, h.cause
		}
		if h.rest == 0 {
			h.rest = nextRecord(h.in[h.off:])
		}
		if h.rest > 0 {
			n := copy(b, h.in[h.off:h.off+h.rest])
			h.off += n
			h.rest -= n
			h.mu.Unlock()
			return n, nil
		}
		if h.off == len(h.in) {
			h.in, h.off = nil, 0 // who waits keeps no copy of the hello
		}
		h.parked = true
		h.mu.Unlock()
		h.slot = false
		h.pool.park()
		h.slot = <-h.turn
	}
}

// write is crypto/tls writing: b is copied for the sink.
func (h *Handshake) write(b []byte) (int, error) {
	if cause := h.stopped(); cause != nil {
		return 0, cause
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

// interrupt sets the reason to end early; wake: the caller must now send on turn.
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

// complete sets the outcome and tells the sink. Called once, by whoever took h out of the queue or by its goroutine.
func (h *Handshake) complete(est *established, failure *Failure) {
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
	h.sink.HandshakeDone(h)
}

// Abort ends the handshake because the peer is gone or its deadline has passed. HandshakeDone still comes, once: here
// and now if the handshake had not begun. After HandshakeDone it wipes what was not taken.
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
