// Package capture keeps what chosen connections sent and what they were answered, for
// `weir audit replay` to send it again (SECURITY.md R5). It is off unless asked for.
//
// A Recorder has a Trace for each connection that may have to be kept. The loop that owns
// the connection tells the Trace what happens; the Trace puts steps into a bounded
// queue, which never blocks; one goroutine replaces every token, ticket and the like by a
// name and writes lines of JSON into files that only their owner may read. What found no
// room is counted, and the file says so: the connection is cut there.
package capture

import (
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Sizes.
const (
	// queueBytes may wait for the writer. Attack: chosen connections that send faster than
	// a disk takes. Over it they are cut.
	queueBytes = 8 << 20
	// undecidedBytes are kept for all connections together of which it is not known yet
	// whether they are wanted, and undecidedEach for one of them. Attack: many
	// connections that send much before the rule, or their user, is there. Over them a
	// connection is not captured, which is counted.
	undecidedBytes = 16 << 20
	undecidedEach  = 16 << 10
	// connectionBytes are kept of one connection. Over them it is cut.
	connectionBytes = 1 << 20
	// stepBytes is what a step takes beside its texts.
	stepBytes = 192

	// MemoryBytes is what a Recorder takes at most.
	MemoryBytes = 2*queueBytes + undecidedBytes
)

// Config is what a Recorder is made of.
type Config struct {
	Dir    string
	Limit  int64 // bytes of all capture files in Dir
	Choice Choice
	Run    uint32 // of the audit log, so that connections have one id in both; 0 draws one
	Server string // version
	Log    *slog.Logger
	Now    func() time.Time // with a monotonic reading; nil: time.Now
}

// Recorder captures. A nil Recorder captures nothing. Begin, Suspect and Counters may be called by any
// goroutine.
type Recorder struct {
	cfg    Config
	choice chooser
	begun  time.Time
	bell   chan struct{} // room for one: there is something to write
	stop   chan struct{}
	done   chan struct{} // closed when the writer has ended

	mu     sync.Mutex
	queue  []step // guarded by mu
	queued int    // guarded by mu: bytes
	closed bool   // guarded by mu

	stopped   atomic.Bool  // nothing more can be written
	undecided atomic.Int64 // bytes

	connections, bytes, dropped, cut, missed atomic.Uint64

	// Owned by the writer.
	hider *hider
	files *files
	spare []step
	line  []byte
	told  uint64 // of dropped
}

// Counters are totals since the start.
type Counters struct {
	Connections uint64 // that were chosen
	Bytes       uint64 // written
	Dropped     uint64 // steps that found no room in the queue, or came after the end of the capture
	Cut         uint64 // connections that are not captured to their end
	Missed      uint64 // connections that may have been wanted, for which there was no room before that was known
	Stopped     bool   // the capture has ended: it is full, or the disk is
}

// New begins a capture: in a folder that only its owner may look into, which is made. Errors say
// the mend. Where earlier captures have left no room, it begins and ends at once.
func New(cfg Config) (*Recorder, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	var drawn [36]byte
	rand.Read(drawn[:]) // never fails
	cfg.Run = cmp.Or(cfg.Run, binary.BigEndian.Uint32(drawn[32:]))
	r := &Recorder{
		cfg: cfg, choice: newChooser(cfg.Choice), begun: cfg.Now(), bell: make(chan struct{}, 1),
		stop: make(chan struct{}), done: make(chan struct{}), hider: newHider(drawn[:32]),
	}
	files, err := openFiles(cfg.Dir, cfg.Limit, Begin{Version: Version, Run: fmt.Sprintf("%08x", cfg.Run), Time: r.begun.UTC(), Server: cfg.Server})
	if err != nil {
		return nil, err
	}
	r.files = files
	if files.full() {
		r.end("it is full: move earlier captures away, or raise --capture-limit", nil)
	}
	go r.write()
	return r, nil
}

// Run names the capture, and connections in it.
func (r *Recorder) Run() uint32 { return r.cfg.Run }

// Counters reads the counters, each by itself.
func (r *Recorder) Counters() (c Counters) {
	if r == nil {
		return c
	}
	return Counters{Connections: r.connections.Load(), Bytes: r.bytes.Load(), Dropped: r.dropped.Load(), Cut: r.cut.Load(),
		Missed: r.missed.Load(), Stopped: r.stopped.Load()}
}

// Suspect has the connections of a prefix captured that come until then: what the rule anomaly is for.
func (r *Recorder) Suspect(p netip.Prefix, until time.Time) {
	if r != nil {
		r.choice.suspect(p, until, r.cfg.Now())
	}
}

// Close writes what is left and ends the file. What comes later is dropped.
func (r *Recorder) Close() {
	if r == nil {
		return
	}
	r.mu.Lock()
	again := r.closed
	r.closed = true
	r.mu.Unlock()
	if !again {
		close(r.stop)
	}
	<-r.done
}

// put leaves a step for the writer; false if there is no room.
func (r *Recorder) put(s step) bool {
	n := s.size()
	r.mu.Lock()
	if r.closed || r.queued+n > queueBytes || r.stopped.Load() {
		r.mu.Unlock()
		r.dropped.Add(1)
		return false
	}
	r.queue = append(r.queue, s)
	r.queued += n
	r.mu.Unlock()
	select {
	case r.bell <- struct{}{}:
	default: // it rings already
	}
	return true
}

// write is the writer's goroutine.
func (r *Recorder) write() {
	defer close(r.done)
	for {
		select {
		case <-r.bell:
			r.drain()
		case <-r.stop:
			r.drain()
			if err := r.files.close(); err != nil && !r.stopped.Load() {
				r.end("its file could not be ended", err)
			}
			return
		}
	}
}

// drain writes what waits.
func (r *Recorder) drain() {
	for r.take() {
		for i := range r.spare {
			if r.stopped.Load() {
				r.dropped.Add(1)
				continue
			}
			r.emit(&r.spare[i])
		}
		r.flush()
	}
}

// take moves the queue to spare; false if it is empty.
func (r *Recorder) take() bool {
	clear(r.spare) // the texts are not kept alive; megabytes, so loops do not wait for it
	r.mu.Lock()
	defer r.mu.Unlock()
	r.spare, r.queue, r.queued = r.queue, r.spare[:0], 0
	return len(r.spare) > 0
}

// emit writes the line of a step, and before it how many were lost.
func (r *Recorder) emit(s *step) {
	if lost := r.dropped.Load(); lost != r.told {
		r.told = lost
		r.record(&Line{At: s.at.Microseconds(), Lost: lost})
	}
	l := s.line(r.hider)
	r.record(&l)
}

// record writes a line.
func (r *Recorder) record(l *Line) {
	if r.stopped.Load() {
		return
	}
	r.line = l.append(r.line[:0])
	fits, err := r.files.add(r.line)
	switch {
	case err != nil:
		r.end("the disk took nothing more", err)
	case !fits:
		full := Line{At: l.At, Full: true}
		if err := r.files.last(full.append(nil)); err != nil {
			r.end("the disk took nothing more", err)
			return
		}
		r.end("it is full: move it away, or raise --capture-limit", nil)
	}
	if cap(r.line) > connectionBytes {
		r.line = nil
	}
}

func (r *Recorder) flush() {
	err := r.files.flush()
	r.bytes.Store(r.files.written)
	if err != nil && !r.stopped.Load() {
		r.end("the disk took nothing more", err)
	}
}

// end stops the capture for good, and says so once. The service goes on.
func (r *Recorder) end(why string, err error) {
	if r.stopped.Swap(true) {
		return
	}
	_ = r.files.close() // why it ends is said below
	r.bytes.Store(r.files.written)
	attributes := []any{"why", why, "dir", r.cfg.Dir}
	if err != nil {
		attributes = append(attributes, "error", err.Error())
	}
	r.cfg.Log.Error("the capture has ended; nothing more is captured until a restart", attributes...)
}
