package audit

import (
	"log/slog"
	"sync/atomic"
	"time"
)

const (
	// pendingBytes may wait for a destination that takes nothing. Attack: a full
	// disk, and events that go on. Over it they are counted by event.
	pendingBytes = 1 << 20
	// pendingReserve of them only take what is not a peer's, as queueReserve does.
	pendingReserve = 64 << 10
	// A checkpoint follows so many records, or comes so long after the last if
	// anything was written since.
	checkpointRecords = 1000
	checkpointAfter   = time.Minute
	// rotateAgain is how long a file goes on that could not be ended.
	rotateAgain = time.Minute
)

// Destination is where a Log writes. OpenFile, Writer and DialSyslog make them.
type Destination struct {
	format Format
	sink   sink
	key    []byte // of checkpoints; nil: not chained
	at     place  // where the chain goes on
	notice string // what was found amiss when it was opened
	frame  func(dst, line []byte, r *Record) []byte
}

// sink takes bytes. write may take a part of them, and says how many; it is asked
// again with the rest. It may block only as a disk does.
type sink interface {
	write(b []byte) (n int, err error)
	// due reports whether this is the time to end the file, rotate does, after
	// all that was written for it was taken.
	due(now time.Time, pending int) bool
	rotate(now time.Time, p place) error
	sealed(p place) error // after a checkpoint was written
	close() error
}

// stream is a destination's state. Owned by the writer, but for the counters.
type stream struct {
	Destination
	log     *slog.Logger
	pending []byte
	lost    [len(events)]uint64 // by event: not in pending for want of room
	since   int                 // records since the last checkpoint
	sealAt  time.Time           // when the next checkpoint is due, if anything was written
	sealing bool                // a checkpoint is in pending
	saidAt  time.Time           // when a failure was last logged

	rotateAt time.Time // no file is ended before; zero: none failed to

	lostEver, failures atomic.Uint64
}

func newStream(d Destination, log *slog.Logger, now time.Time) *stream {
	s := &stream{Destination: d, log: log}
	if d.notice != "" {
		log.Error("the audit log is not as it was left", "notice", d.notice)
	}
	s.mark(LogOpened, now, d.notice)
	s.flush(now)
	return s
}

// append takes a record; the line waits for flush. One for which there is no room
// is counted.
func (s *stream) append(r *Record) {
	if !s.room(r.Event) {
		if i, ok := r.Event.index(); ok {
			s.lost[i] += r.N()
		}
		s.lostEver.Add(r.N())
		return
	}
	s.put(r, "", "")
	if s.since++; s.key != nil && s.since >= checkpointRecords {
		s.mark(Checkpoint, r.Time, "")
	}
}

// room reports whether pending takes a line more of an event.
func (s *stream) room(e Event) bool {
	if e.ours() {
		return len(s.pending) < pendingBytes
	}
	return len(s.pending) < pendingBytes-pendingReserve
}

// mark writes a record about the log itself, which seals what is before it.
func (s *stream) mark(e Event, now time.Time, message string) {
	if s.key == nil {
		return
	}
	r := Record{Time: now, Event: e, Message: message}
	prev := ""
	if e == LogOpened {
		prev = s.at.hash.String()
	}
	s.put(&r, prev, sealOf(s.key, s.at.seq+1, s.at.hash))
	s.since, s.sealAt, s.sealing = 0, now.Add(checkpointAfter), true
}

// put writes a line to pending, as the next of the chain if there is one.
func (s *stream) put(r *Record, prev, code string) {
	r.normalise()
	start := len(s.pending)
	l := line{format: s.format}
	if s.frame == nil { // the usual case needs no copy
		l.b = s.pending
	}
	l.begin(r)
	l.fields(r)
	if s.key != nil {
		s.at.seq++
		l.number(keySeq, s.at.seq)
		l.text(keyPrev, prev)
		l.text(keyMAC, code)
		body := l.b
		if s.frame == nil {
			body = l.b[start:]
		}
		s.at.hash = s.at.hash.next(body)
		l.text(keyHash, s.at.hash.String())
	}
	if s.frame != nil {
		s.pending = s.frame(s.pending, l.end(), r)
		return
	}
	s.pending = append(l.end(), '\n')
}

// flush hands on what is pending. What is not taken stays for the next time.
func (s *stream) flush(now time.Time) {
	if len(s.pending) == 0 {
		return
	}
	n, err := s.sink.write(s.pending)
	s.pending = s.pending[:copy(s.pending, s.pending[n:])]
	if err != nil {
		s.fail(now, err)
		return
	}
	if s.sealing && len(s.pending) == 0 {
		s.sealing = false
		if err := s.sink.sealed(s.at); err != nil {
			s.fail(now, err)
		}
	}
}

// fail counts a failure and says so once a second at most.
func (s *stream) fail(now time.Time, err error) {
	s.failures.Add(1)
	if d := now.Sub(s.saidAt); d >= 0 && d < time.Second {
		return
	}
	s.saidAt = now
	s.log.Error("the audit log cannot be written; events are counted until it can", "error", err.Error(), "lost", s.lostEver.Load())
}

// tick is called once a turn: it tells of what was lost, seals, and ends a file
// that is long or old enough.
func (s *stream) tick(now time.Time) {
	s.flush(now)
	s.confess(now)
	if s.key != nil && s.since > 0 && !now.Before(s.sealAt) {
		s.mark(Checkpoint, now, "")
	}
	s.flush(now)
	if len(s.pending) > 0 || now.Before(s.rotateAt) || !s.sink.due(now, 0) {
		return
	}
	s.mark(LogClosed, now, "")
	s.flush(now)
	if len(s.pending) == 0 { // else a later turn ends it
		if err := s.sink.rotate(now, s.at); err != nil {
			s.fail(now, err)
			s.rotateAt = now.Add(rotateAgain)
		}
	}
	// Also where that failed: which file goes on is not known, and no record may stand behind an end,
	// or be the first of a file.
	s.mark(LogOpened, now, "")
	s.flush(now)
}

// confess writes how many events of each kind had no line, if there is room now.
func (s *stream) confess(now time.Time) {
	for i, n := range s.lost {
		if n > 0 && s.room(events[i].event) {
			s.lost[i] = 0
			s.append(&Record{Time: now, Event: events[i].event, Reason: "not_written", Count: n})
		}
	}
}

func (s *stream) close(now time.Time) {
	s.flush(now) // that there is room for the counts
	s.confess(now)
	s.mark(LogClosed, now, "")
	s.flush(now)
	if err := s.sink.close(); err != nil {
		s.fail(now, err)
	}
}
