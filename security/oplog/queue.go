// Package oplog stands between those who log what the node does and where that goes:
// a Queue, so that nobody waits for who reads it (SECURITY.md F2), and a Limit, so
// that a fault that lasts is one line a second (D2).
package oplog

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// QueueBytes wait for a reader at most, and as many are being written. Attack: a
// pipe that nobody reads, and events that go on.
const QueueBytes = 1 << 20

// keptBytes of an empty buffer are kept for the next lines.
const keptBytes = 64 << 10

// lastBytes are for why the process ends.
const lastBytes = 64 << 10

// settleEvery is how often a Limit tells what it held back.
const settleEvery = time.Second

// ErrFull is a line that found no room: it is counted and gone.
var ErrFull = errors.New("oplog: whoever reads the log stands still, and what waits for it is full")

// Queue takes whole lines and has one goroutine write them. Its methods may be called
// by any goroutine; none waits for the writer, but Close.
type Queue struct {
	out     io.Writer
	room    int
	bell    chan struct{} // room for one: there is something to write
	stop    chan struct{}
	done    chan struct{} // closed when the goroutine has ended
	dropped atomic.Uint64 // lines

	mu      sync.Mutex
	waiting []byte // guarded by mu
	limit   *Limit // guarded by mu; nil: nothing tells what was dropped
	closed  bool   // guarded by mu

	// Owned by the goroutine.
	spare   []byte
	told    uint64 // of dropped: a line says so
	telling uint64 // what told becomes when the next write is whole; 0: none is under way
}

// NewQueue starts the goroutine. Close ends it. room 0 is QueueBytes.
func NewQueue(out io.Writer, room int) *Queue {
	if room == 0 {
		room = QueueBytes
	}
	q := &Queue{out: out, room: room, bell: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
	go q.run()
	return q
}

// Attach names the Limit whose lines come here: through its handler the queue says
// what it dropped, and the limit once a second what it held back.
func (q *Queue) Attach(l *Limit) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.limit = l
}

// Write takes b, one line or more, whole or not at all.
func (q *Queue) Write(b []byte) (int, error) {
	if q.put(b, q.room) {
		return len(b), nil
	}
	q.dropped.Add(lines(b))
	return 0, ErrFull
}

// Half is a writer of the same queue that takes half of it at most, and of what it is
// given as many whole lines as find room. It counts nothing: whoever writes knows what
// was not taken, and may come again.
func (q *Queue) Half() io.Writer { return part{q, q.room / 2} }

// Last is a writer for why the process ends, as Half is one: it has room of its own
// behind a full queue.
func (q *Queue) Last() io.Writer { return part{q, q.room + lastBytes} }

// part is so much of a queue.
type part struct {
	q    *Queue
	room int
}

func (p part) Write(b []byte) (n int, err error) {
	for n < len(b) {
		size := len(b) - n
		if end := bytes.IndexByte(b[n:], '\n'); end >= 0 {
			size = end + 1
		}
		if !p.q.put(b[n:n+size], p.room) {
			return n, ErrFull
		}
		n += size
	}
	return n, nil
}

func (q *Queue) put(b []byte, room int) bool {
	q.mu.Lock()
	full := q.closed || len(q.waiting)+len(b) > room
	if !full {
		q.waiting = append(q.waiting, b...)
	}
	q.mu.Unlock()
	select {
	case q.bell <- struct{}{}:
	default: // it rings already
	}
	return !full
}

// Dropped is how many lines were given up since the start.
func (q *Queue) Dropped() uint64 { return q.dropped.Load() }

// Close takes no more and writes what is left, for so long at most. It reports
// whether all was written.
func (q *Queue) Close(patience time.Duration) bool {
	q.mu.Lock()
	again := q.closed
	q.closed = true
	q.mu.Unlock()
	if !again {
		close(q.stop)
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-q.done:
		return true
	case <-timer.C:
		return false
	}
}

func (q *Queue) run() {
	defer close(q.done)
	ticker := time.NewTicker(settleEvery)
	defer ticker.Stop()
	for {
		select {
		case <-q.bell:
			q.drain()
		case <-ticker.C:
			if l, _ := q.attached(); l != nil {
				l.Settle()
			}
		case <-q.stop:
			q.drain()
			return
		}
	}
}

// attached returns the limit, and whether half of the room is free.
func (q *Queue) attached() (l *Limit, free bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.limit, len(q.waiting) <= q.room/2
}

// drain writes until nothing waits.
func (q *Queue) drain() {
	for {
		b := q.take()
		if len(b) == 0 {
			return
		}
		n, err := q.out.Write(b)
		if err != nil {
			q.dropped.Add(lines(b[n:]))
			q.telling = 0
		} else {
			if q.telling > 0 {
				q.told, q.telling = q.telling, 0
			}
			q.confess()
		}
		if q.spare = nil; cap(b) <= keptBytes {
			q.spare = b[:0]
		}
	}
}

func (q *Queue) take() []byte {
	q.mu.Lock()
	defer q.mu.Unlock()
	b := q.waiting
	q.waiting, q.spare = q.spare, nil
	return b
}

// confess leaves a line that says how many were dropped, once lines are taken again.
func (q *Queue) confess() {
	l, free := q.attached()
	dropped := q.dropped.Load()
	if dropped == q.told || l == nil || !free {
		return
	}
	if l.say(slog.LevelWarn, "whoever reads the log stood still: lines were dropped", slog.Uint64("dropped", dropped-q.told)) == nil {
		q.telling = dropped
	}
}

// lines is how many there are in b; the last may lack its end.
func lines(b []byte) uint64 {
	n := bytes.Count(b, []byte("\n"))
	if len(b) > 0 && b[len(b)-1] != '\n' {
		n++
	}
	return uint64(n)
}
