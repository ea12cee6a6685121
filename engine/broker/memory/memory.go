// Package memory is the broker of a single node: streams live in this process
// and are gone with it (new epochs tell clients so).
package memory

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"hash/maphash"
	mathrand "math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"weir/engine/broker"
)

// Options bound the broker.
type Options struct {
	Streams   int              // most streams held at once; over it new ones are refused with broker.ErrFull
	IdleAfter time.Duration    // Sweep forgets a stream that nobody attached or published to for so long
	Bytes     int              // of all histories; over it the stream that is published to gives up its oldest, or one that has more does
	Now       func() time.Time // with a monotonic reading: times are not those of a clock on a wall, which is set
}

const stripes = 64

// epochBytes makes an epoch of eight letters and digits.
const epochBytes = 5

// Broker implements broker.Broker.
type Broker struct {
	sink    broker.Sink
	options Options
	start   time.Time // what the times of streams count from
	seed    maphash.Seed
	held    atomic.Int64 // streams in all stripes
	bytes   atomic.Int64 // of all histories
	keeping atomic.Int64 // streams that keep something
	closed  atomic.Bool
	watches atomic.Int64 // while there are any, everything is delivered: the Sink has the patterns
	stripes [stripes]stripe
}

// stripe is a part of the streams. One that nothing was published to is held only while somebody is attached to it:
// without one it would be as it was, so its epoch follows from its name.
type stripe struct {
	mu      sync.Mutex
	streams map[string]*stream
	secret  [16]byte // renewed when a stream with publications is forgotten: a new one is not to pass for it
}

func (p *stripe) renew() { _, _ = rand.Read(p.secret[:]) } // never fails

// begin returns a stream that nothing was published to. Called with mu held.
func (p *stripe) begin(channel string) *stream {
	var room [128]byte
	sum := sha256.Sum256(append(append(room[:0], p.secret[:]...), channel...))
	return &stream{epoch: base32.StdEncoding.EncodeToString(sum[:epochBytes])}
}

type stream struct {
	mu       sync.Mutex // held over numbering and delivery: they are one step
	offset   uint64
	epoch    string
	attached int
	used     int64 // nanoseconds since Broker.start of the last Attach, Detach or Publish
	history  history
	counted  bool // among Broker.keeping
	gone     bool // swept: look it up again
}

// New returns a broker that delivers to sink.
func New(sink broker.Sink, o Options) *Broker {
	if o.Now == nil {
		o.Now = time.Now
	}
	b := &Broker{sink: sink, options: o, start: o.Now(), seed: maphash.MakeSeed()}
	for i := range b.stripes {
		b.stripes[i].streams = make(map[string]*stream)
		b.stripes[i].renew()
	}
	return b
}

// now is the nanoseconds since the start.
func (b *Broker) now() int64 { return int64(b.options.Now().Sub(b.start)) }

// Publish numbers, keeps and delivers under the stream's lock, so offsets reach
// the Sink in order.
func (b *Broker) Publish(_ context.Context, channel string, m broker.Message, r broker.Retention) (broker.Position, error) {
	take := b.lock
	if r.Skip {
		take = b.peek
	}
	s, err := take(channel)
	if err != nil {
		return broker.Position{}, err
	}
	defer s.mu.Unlock()
	if r.Skip {
		top := broker.Position{Offset: s.offset, Epoch: s.epoch}
		if b.wanted(s) {
			b.sink.Deliver(&broker.Publication{Channel: channel, Position: broker.Position{Epoch: s.epoch}, Message: m})
		}
		return top, nil
	}
	s.offset++
	p := broker.Publication{Channel: channel, Position: broker.Position{Offset: s.offset, Epoch: s.epoch}, Message: m}
	if r.None() {
		// What is kept must end at the top: without this one it no longer would.
		b.count(s, -s.history.clear())
	} else {
		b.keep(s, p, r)
	}
	if b.wanted(s) {
		b.sink.Deliver(&p)
	}
	return p.Position, nil
}

// wanted reports whether this node may have a subscriber to the stream, whose
// lock is held.
func (b *Broker) wanted(s *stream) bool { return s.attached > 0 || b.watches.Load() > 0 }

// keep adds p to the history, within the bytes that all histories may take. Over
// them a stream that has no more than its share takes from one that has: otherwise
// who came first and filled them would leave nothing to the others.
func (b *Broker) keep(s *stream, p broker.Publication, r broker.Retention) {
	total := b.count(s, s.history.add(p, r, b.now()))
	for total > int64(b.options.Bytes) && len(s.history.kept) > 0 {
		if share := b.share(); s.history.bytes <= share {
			if other := b.richer(share); other != nil {
				total = b.count(other, -other.history.dropOldest())
				other.mu.Unlock()
				continue
			}
		}
		total = b.count(s, -s.history.dropOldest())
	}
}

// count brings the sums up to a history, whose stream is locked, that has grown by
// so many bytes. It returns what all take.
func (b *Broker) count(s *stream, grown int) (total int64) {
	if keeps := len(s.history.kept) > 0; keeps != s.counted {
		s.counted = keeps
		if keeps {
			b.keeping.Add(1)
		} else {
			b.keeping.Add(-1)
		}
	}
	return b.bytes.Add(int64(grown))
}

// share is what each stream that keeps something may have of all bytes.
func (b *Broker) share() int { return b.options.Bytes / int(max(b.keeping.Load(), 1)) }

// looks is how many streams are asked when room is sought in another's history.
const looks = 64

// richer returns a stream, locked, whose history takes more than share: the one
// that takes most of some that chance picks; nil if there is none among them. It
// waits for no lock: the caller holds one.
func (b *Broker) richer(share int) (found *stream) {
	first, left := mathrand.IntN(stripes), looks
	for i := 0; i < stripes && left > 0; i++ {
		p := &b.stripes[(first+i)%stripes]
		if !p.mu.TryLock() {
			continue
		}
		for _, s := range p.streams { // the map's order is chance
			if left--; left < 0 {
				break
			}
			switch {
			case !s.mu.TryLock():
			case s.history.bytes <= share:
				s.mu.Unlock()
			default:
				if found != nil {
					found.mu.Unlock()
				}
				found, share = s, s.history.bytes
			}
		}
		p.mu.Unlock()
	}
	return found
}

// Attach implements broker.Broker.
func (b *Broker) Attach(_ context.Context, channel string, since *broker.Since) (broker.Attached, error) {
	s, err := b.lock(channel)
	if err != nil {
		return broker.Attached{}, err
	}
	defer s.mu.Unlock()
	s.attached++
	a := broker.Attached{Position: broker.Position{Offset: s.offset, Epoch: s.epoch}}
	if since != nil {
		s.recover(&a, since)
	}
	return a, nil
}

// History implements broker.Broker.
func (b *Broker) History(_ context.Context, channel string, f broker.Filter) (broker.Position, []broker.Publication, error) {
	s, err := b.peek(channel)
	if err != nil {
		return broker.Position{}, nil, err
	}
	defer s.mu.Unlock()
	list, err := s.slice(f)
	return broker.Position{Offset: s.offset, Epoch: s.epoch}, list, err
}

// RemoveHistory implements broker.Broker.
func (b *Broker) RemoveHistory(_ context.Context, channel string) error {
	s, err := b.peek(channel)
	if err != nil {
		return err
	}
	defer s.mu.Unlock()
	b.count(s, -s.history.clear())
	return nil
}

// Detach implements broker.Broker.
func (b *Broker) Detach(channel string) {
	p := b.stripe(channel)
	p.mu.Lock()
	s := p.streams[channel]
	p.mu.Unlock()
	if s == nil {
		panic("memory: Detach of a channel that nobody attached")
	}
	if s.detach(b.now()) {
		b.forget(p, channel, s)
	}
}

// detach reports whether the stream is unused now.
func (s *stream) detach(now int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.attached == 0 {
		panic("memory: more Detach than Attach")
	}
	s.attached--
	s.used = now
	return s.unused()
}

// forget forgets s if it is still unused, with the locks in the order of Sweep: who subscribes to ever new channels
// takes no memory for those that he has left.
func (b *Broker) forget(p *stripe, channel string, s *stream) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.gone && s.unused() {
		s.gone = true
		delete(p.streams, channel)
		b.held.Add(-1)
	}
}

// unused reports whether the stream is as a new one. Called with its lock held.
func (s *stream) unused() bool { return s.attached == 0 && s.offset == 0 }

// Watch implements broker.Broker.
func (b *Broker) Watch(context.Context, string) error {
	if b.closed.Load() {
		return broker.ErrClosed
	}
	b.watches.Add(1)
	return nil
}

// Unwatch implements broker.Broker.
func (b *Broker) Unwatch(string) {
	if b.watches.Add(-1) < 0 {
		panic("memory: more Unwatch than Watch")
	}
}

// Sweep drops histories whose time is over and forgets streams that were not
// used for Options.IdleAfter before now.
func (b *Broker) Sweep(now time.Time) (forgotten int) {
	at := int64(now.Sub(b.start))
	before := at - int64(b.options.IdleAfter)
	for i := range b.stripes {
		p := &b.stripes[i]
		p.mu.Lock()
		kept := len(p.streams)
		for name, s := range p.streams {
			s.mu.Lock()
			b.count(s, -s.history.expire(at))
			if s.idle(before) {
				s.gone = true
				delete(p.streams, name)
				forgotten++
			}
			s.mu.Unlock()
		}
		if len(p.streams) < kept {
			p.renew()
		}
		p.mu.Unlock()
	}
	b.held.Add(-int64(forgotten))
	return forgotten
}

// Bytes returns what all histories take.
func (b *Broker) Bytes() int { return int(b.bytes.Load()) }

// Streams returns how many streams are held.
func (b *Broker) Streams() int { return int(b.held.Load()) }

// Close refuses further calls and waits for those that run.
func (b *Broker) Close() error {
	b.closed.Store(true)
	for i := range b.stripes {
		p := &b.stripes[i]
		p.mu.Lock()
		for _, s := range p.streams {
			s.mu.Lock()
			//lint:ignore SA2001 passing through the lock is the wait
			s.mu.Unlock()
		}
		p.mu.Unlock()
	}
	return nil
}

func (b *Broker) stripe(channel string) *stripe {
	return &b.stripes[maphash.String(b.seed, channel)%stripes]
}

// giveWayAfter is how long a stream that keeps nothing, and that nobody is attached
// to, has its position when others need its place.
const giveWayAfter = time.Minute

// forgetIdle makes room for one more by forgetting a stream that nobody is
// attached to and that keeps nothing: names that were published to a while ago
// cannot fill the broker. It looks at a few, which the map's order picks at
// random. Called with mu held.
func (p *stripe) forgetIdle(now int64) bool {
	steps := 16
	for name, s := range p.streams {
		if steps--; steps < 0 {
			break
		}
		s.mu.Lock()
		idle := s.idle(now - int64(giveWayAfter))
		s.gone = s.gone || idle
		s.mu.Unlock()
		if idle {
			delete(p.streams, name)
			p.renew()
			return true
		}
	}
	return false
}

// lock returns the channel's stream, made if need be, with its lock held.
func (b *Broker) lock(channel string) (*stream, error) { return b.find(channel, true) }

// peek is lock for who leaves the stream as it is: one that is not held is made for the caller only.
func (b *Broker) peek(channel string) (*stream, error) { return b.find(channel, false) }

func (b *Broker) find(channel string, hold bool) (*stream, error) {
	for {
		s, err := b.stream(channel, hold)
		if err != nil {
			return nil, err
		}
		s.mu.Lock()
		if b.closed.Load() {
			s.mu.Unlock()
			return nil, broker.ErrClosed
		}
		if !s.gone {
			s.used = b.now()
			b.count(s, -s.history.expire(s.used))
			return s, nil
		}
		s.mu.Unlock()
	}
}

func (b *Broker) stream(channel string, hold bool) (*stream, error) {
	p := b.stripe(channel)
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.streams[channel]; s != nil {
		return s, nil
	}
	if !hold {
		return p.begin(channel), nil
	}
	if b.held.Add(1) > int64(b.options.Streams) {
		b.held.Add(-1)
		if !p.forgetIdle(b.now()) {
			return nil, broker.ErrFull
		} // one gone, one more
	}
	s := p.begin(channel)
	p.streams[channel] = s
	return s, nil
}
