package audit

import (
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Sizes of a Log.
const (
	// queueRecords wait for the writer, about half a kilobyte each. Attack: events
	// faster than they can be written. Over it they are counted by event.
	queueRecords = 4096
	// queueReserve of them only take what is not a peer's: orders, alerts, the node's own.
	// Attack: a flood that hides what the operator did meanwhile.
	queueReserve = 256
	// batchRecords are taken out of the queue at once.
	batchRecords = 256
	// MemoryBytes is what a Log takes at most: its queue with the texts of the records,
	// and what waits for its destinations.
	MemoryBytes = queueRecords*2<<10 + 4*pendingBytes
	// closeWait is how long Close waits for a destination that takes nothing.
	closeWait = 5 * time.Second
)

// Config is what a Log is made of.
type Config struct {
	Destinations []Destination
	Key          []byte        // of the hashes of session ids; nil draws one
	Flood        Flood         // when records are counted together
	Every        time.Duration // how often what was counted is written; 0: a second
	Tap          func(*Record) // sees each record before it is counted together, on the writer's goroutine; the record is only lent
	Written      func(*Record) // sees each record as it is written, those counted together as one; else like Tap
	Log          *slog.Logger  // hears of destinations that fail, once a second at most; nil: silent
	Now          func() time.Time
}

// Log takes records and has one goroutine write them. A nil Log takes none. Add
// and Counters may be called by any goroutine.
type Log struct {
	cfg  Config
	run  uint32
	bell chan struct{}      // room for one: there is something to write
	asks chan chan struct{} // of Flush
	stop chan struct{}
	done chan struct{} // closed when the writer has ended

	mu     sync.Mutex
	queue  []Record // guarded by mu: a ring
	first  int      // guarded by mu
	n      int      // guarded by mu
	closed bool     // guarded by mu

	missed  [len(events)]atomic.Uint64 // by event: found no room in the queue and are not yet written as counts
	dropped atomic.Uint64              // all that found no room
	counted atomic.Uint64              // written as part of a count
	written atomic.Uint64              // lines, of the first destination

	// Owned by the writer.
	flood   flood
	streams []*stream
	batch   []Record
	salt    []byte // of session hashes
}

// Counters are totals since the start.
type Counters struct {
	Written  uint64 // lines
	Counted  uint64 // events that share a line with others
	Dropped  uint64 // of these, events of which only the number is known: the queue was full
	Lost     uint64 // events of which a destination could not take the line; their number is written later
	Failures uint64 // writes of destinations that failed
}

// New starts the writer. Close ends it.
func New(cfg Config) *Log {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	cfg.Every = cmp.Or(cfg.Every, time.Second)
	key := cfg.Key
	if key == nil {
		key = make([]byte, 32)
		rand.Read(key) // never fails
	}
	var run [4]byte
	rand.Read(run[:])
	l := &Log{
		cfg: cfg, run: binary.BigEndian.Uint32(run[:]), bell: make(chan struct{}, 1), asks: make(chan chan struct{}),
		stop: make(chan struct{}), done: make(chan struct{}), queue: make([]Record, queueRecords),
		flood: newFlood(cfg.Flood), batch: make([]Record, 0, batchRecords), salt: derive(key, "session"),
	}
	now := cfg.Now()
	for _, d := range cfg.Destinations {
		l.streams = append(l.streams, newStream(d, cfg.Log, now))
	}
	go l.write()
	return l
}

// Conn names a connection of this run.
func (l *Log) Conn(number uint64) ConnID {
	if l == nil {
		return ConnID{}
	}
	return ConnID{Run: l.run, Number: number}
}

// Add takes a record. It never blocks and allocates nothing; one that finds no
// room is only counted.
func (l *Log) Add(r *Record) {
	if l == nil {
		return
	}
	room := queueRecords
	if !r.Event.ours() {
		room -= queueReserve
	}
	l.mu.Lock()
	if l.n >= room || l.closed {
		l.mu.Unlock()
		l.miss(r)
		return
	}
	at := l.first + l.n
	if at >= len(l.queue) {
		at -= len(l.queue)
	}
	l.queue[at] = *r
	l.n++
	l.mu.Unlock()
	select {
	case l.bell <- struct{}{}:
	default: // it rings already
	}
}

func (l *Log) miss(r *Record) {
	if i, ok := r.Event.index(); ok {
		l.missed[i].Add(r.N())
	}
	l.dropped.Add(r.N())
}

// Flush writes all that was added before it, also what would wait for others of
// its kind.
func (l *Log) Flush() {
	if l == nil {
		return
	}
	written := make(chan struct{})
	select {
	case l.asks <- written:
		<-written
	case <-l.done:
	}
}

// Close writes what is left and ends the files. It does not wait for ever for a
// destination that takes nothing. What comes later is dropped.
func (l *Log) Close() {
	if l == nil {
		return
	}
	l.mu.Lock()
	again := l.closed
	l.closed = true
	l.mu.Unlock()
	if again {
		return
	}
	close(l.stop)
	patience := time.NewTimer(closeWait)
	defer patience.Stop()
	select {
	case <-l.done:
	case <-patience.C:
		l.cfg.Log.Error("the audit log was not written to its end", "waited", closeWait.String())
	}
}

// Counters reads the counters, each by itself.
func (l *Log) Counters() (c Counters) {
	if l == nil {
		return c
	}
	c = Counters{Written: l.written.Load(), Counted: l.counted.Load(), Dropped: l.dropped.Load()}
	for _, s := range l.streams {
		c.Lost += s.lostEver.Load()
		c.Failures += s.failures.Load()
	}
	return c
}

// write is the writer's goroutine.
func (l *Log) write() {
	defer close(l.done)
	ticker := time.NewTicker(l.cfg.Every)
	defer ticker.Stop()
	for {
		select {
		case <-l.bell:
			l.drain()
		case <-ticker.C:
			l.drain()
			l.settle()
		case written := <-l.asks:
			l.drain()
			l.settle()
			close(written)
		case <-l.stop:
			l.drain()
			l.settle()
			for _, s := range l.streams {
				s.close(l.cfg.Now())
			}
			return
		}
	}
}

// drain empties the queue.
func (l *Log) drain() {
	for l.take() {
		for i := range l.batch {
			r := &l.batch[i]
			l.conceal(r)
			if l.cfg.Tap != nil {
				l.cfg.Tap(r)
			}
			if l.flood.admit(r) {
				l.emit(r)
			} else {
				l.counted.Add(r.N())
			}
		}
		clear(l.batch) // the texts are not kept alive
		for _, s := range l.streams {
			s.flush(l.cfg.Now())
		}
	}
}

// take moves records from the queue to the batch; false if there were none.
func (l *Log) take() bool {
	l.batch = l.batch[:0]
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.n > 0 && len(l.batch) < cap(l.batch) {
		l.batch = append(l.batch, l.queue[l.first])
		l.queue[l.first] = Record{}
		if l.first++; l.first == len(l.queue) {
			l.first = 0
		}
		l.n--
	}
	if l.n == 0 {
		l.first = 0 // so memory is touched for as many as ever waited, not for the whole ring
	}
	return len(l.batch) > 0
}

// conceal puts a keyed hash in the place of a session's id: whoever reads the log
// can tell sessions apart, and cannot name one to the server.
func (l *Log) conceal(r *Record) {
	if r.Session != "" {
		r.Session = mac(l.salt, r.Session)
	}
}

// settle writes what was counted, and lets streams see to their files.
func (l *Log) settle() {
	now := l.cfg.Now()
	l.flood.settle(l.emit)
	for i := range l.missed {
		if n := l.missed[i].Swap(0); n > 0 {
			r := Record{Time: now, Event: events[i].event, Reason: "queue_full", Count: n}
			l.counted.Add(n)
			if l.cfg.Tap != nil {
				l.cfg.Tap(&r)
			}
			l.emit(&r)
		}
	}
	for _, s := range l.streams {
		s.tick(now)
	}
}

func (l *Log) emit(r *Record) {
	if l.cfg.Written != nil {
		l.cfg.Written(r)
	}
	for _, s := range l.streams {
		s.append(r)
	}
	l.written.Add(1)
}
