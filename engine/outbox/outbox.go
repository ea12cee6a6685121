// Package outbox is a connection's queue of publications: references to shared,
// immutable frames, bounded in bytes. It knows no socket and no clock.
//
// A frame is encoded once and referenced by the outbox of every subscriber, so
// queueing costs one pointer. The pointers stand in blocks of one cache line
// that a loop lends out of its Pool; an idle outbox holds no block.
//
// Frames of a class share a bound of their own in each queue, below the queue's.
// Who goes over it gives up the oldest of the class (DropOldest), or the frame
// that was to be queued; that is for the caller to say.
//
// Nothing here is safe for concurrent use: a Pool and all queues fed from it
// belong to one loop.
package outbox

// Frame is one publication as it goes out: immutable once queued, shared by
// every outbox that refers to it.
type Frame struct {
	Plain    []byte // a whole WebSocket frame
	Deflated []byte // the same message, compressed (RFC 7692); nil: nobody asked
	Topic    uint64 // the subscription that it belongs to, for Remove
	Offset   uint64 // where it stands in the topic's stream; 0: it is no part of it
	Epoch    string // of the stream
	Class    Class
	Notice   bool   // no publication: it says that some were dropped
	Full     *Frame // the same publication by itself, if this one is only what changed since the one before; else nil
}

// Class says which frames share a bound of their own. 0 has none but the queue's.
type Class uint16

// blockFrames makes a block 64 bytes: one cache line.
const blockFrames = 7

type block struct {
	frames [blockFrames]*Frame
	next   *block
}

// tally is what a queue holds of one class.
type tally struct {
	next   *tally
	bytes  int64
	frames uint32
	class  Class
}

// Pool lends what queues hold. The zero value is ready; with frames of a class
// it needs Caps.
type Pool struct {
	Caps []int // most bytes of each class in one queue, by Class; [0] is not read

	free *block
	kept int

	tallies     *tally
	talliesKept int

	rings []*ring // empty, at most poolRings
}

// poolBlocks is how many free blocks a Pool keeps: 4 MiB. More come from and
// go back to the heap.
const poolBlocks = 1 << 16

// poolTallies is how many free tallies a Pool keeps: 128 KiB.
const poolTallies = 1 << 12

// poolRings is how many free rings a Pool keeps: 2 MiB.
const poolRings = 1 << 16

func (p *Pool) takeRing() *ring {
	n := len(p.rings)
	if n == 0 {
		return new(ring)
	}
	r := p.rings[n-1]
	p.rings = p.rings[:n-1]
	return r
}

func (p *Pool) giveRing(r *ring) {
	if *r = (ring{}); len(p.rings) < poolRings {
		p.rings = append(p.rings, r)
	}
}

func (p *Pool) take() *block {
	b := p.free
	if b == nil {
		return new(block)
	}
	p.free, b.next = b.next, nil
	p.kept--
	return b
}

func (p *Pool) give(b *block) {
	*b = block{}
	if p.kept >= poolBlocks {
		return
	}
	b.next, p.free = p.free, b
	p.kept++
}

func (p *Pool) takeTally(c Class) *tally {
	t := p.tallies
	if t == nil {
		return &tally{class: c}
	}
	p.tallies = t.next
	p.talliesKept--
	*t = tally{class: c}
	return t
}

func (p *Pool) giveTally(t *tally) {
	if p.talliesKept >= poolTallies {
		return
	}
	t.next, p.tallies = p.tallies, t
	p.talliesKept++
}

// Queue is one connection's outbox. The zero value is empty and ready.
type Queue struct{ ring *ring } // nil: empty

// ring is what a queue that is not empty has.
type ring struct {
	tail     *block // the blocks are a ring: next of the last is the first
	tallies  *tally // of the classes that are queued
	bytes    int64
	frames   uint32
	from, to uint8 // first frame in the first block, one past the last in tail
}

// Bytes returns the sum of the plain lengths of what is queued: an upper bound
// of what will be sent.
func (q *Queue) Bytes() int {
	if q.ring == nil {
		return 0
	}
	return int(q.ring.bytes)
}

// Len returns the number of frames queued.
func (q *Queue) Len() int {
	if q.ring == nil {
		return 0
	}
	return int(q.ring.frames)
}

// Held returns the sum of the plain lengths of what is queued of a class.
func (q *Queue) Held(c Class) int {
	if q.ring == nil {
		return 0
	}
	if t := q.ring.tally(c); t != nil {
		return int(t.bytes)
	}
	return 0
}

func (r *ring) tally(c Class) *tally {
	t := r.tallies
	for t != nil && t.class != c {
		t = t.next
	}
	return t
}

// Push queues f unless more than limit bytes would then wait, or more of its
// class than the class may have; a class that has nothing queued may have one
// frame of any length. A single frame over the limit is refused too: nothing is
// ever queued past the bound.
func (q *Queue) Push(p *Pool, f *Frame, limit int) bool {
	size := int64(len(f.Plain))
	if int64(q.Bytes())+size > int64(limit) {
		return false
	}
	if f.Class != 0 && q.ring != nil {
		if t := q.ring.tally(f.Class); t != nil && t.bytes+size > int64(p.Caps[f.Class]) {
			return false
		}
	}
	q.append(p, f)
	return true
}

func (q *Queue) append(p *Pool, f *Frame) {
	r := q.ring
	switch {
	case r == nil:
		r = p.takeRing()
		b := p.take()
		b.next, r.tail, q.ring = b, b, r
	case r.to == blockFrames:
		b := p.take()
		b.next, r.tail.next = r.tail.next, b
		r.tail = b
		r.to = 0
	}
	r.tail.frames[r.to] = f
	r.to++
	r.count(p, f)
}

// count adds f to the sums.
func (r *ring) count(p *Pool, f *Frame) {
	r.frames++
	r.bytes += int64(len(f.Plain))
	if f.Class == 0 {
		return
	}
	t := r.tally(f.Class)
	if t == nil {
		t = p.takeTally(f.Class)
		t.next, r.tallies = r.tallies, t
	}
	t.frames++
	t.bytes += int64(len(f.Plain))
}

// discount takes f out of the sums.
func (r *ring) discount(p *Pool, f *Frame) {
	r.frames--
	r.bytes -= int64(len(f.Plain))
	if f.Class == 0 {
		return
	}
	at := &r.tallies
	for (*at).class != f.Class {
		at = &(*at).next
	}
	t := *at
	t.frames--
	t.bytes -= int64(len(f.Plain))
	if t.frames == 0 {
		*at = t.next
		p.giveTally(t)
	}
}

// Front returns the frame that Pop would take, or nil.
func (q *Queue) Front() *Frame {
	if q.ring == nil {
		return nil
	}
	return q.ring.tail.next.frames[q.ring.from]
}

// Pop takes the oldest frame out; nil if there is none.
func (q *Queue) Pop(p *Pool) *Frame {
	r := q.ring
	if r == nil {
		return nil
	}
	first := r.tail.next
	f := first.frames[r.from]
	first.frames[r.from] = nil
	r.from++
	r.discount(p, f)
	if r.frames == 0 {
		p.give(first)
		p.giveRing(r)
		q.ring = nil
	} else if r.from == blockFrames {
		r.tail.next = first.next
		r.from = 0
		p.give(first)
	}
	return f
}

// Remove takes out every frame of a topic, keeping the order of the others,
// and returns how many there were.
func (q *Queue) Remove(p *Pool, topic uint64) int {
	removed := 0
	for range q.Len() {
		f := q.Pop(p)
		if f.Topic == topic {
			removed++
			continue
		}
		q.append(p, f)
	}
	return removed
}

// DropOldest makes room for f, which Push refused: it takes out the oldest
// frames of f's class and appends them to dst, oldest first. The very first frame
// stays if it has begun to go out. It goes on until a quarter of what the class
// may have is free, so that its one pass over the queue serves many that follow.
// Where only the queue is full, and less than that quarter is of the class,
// others fill it: then nothing is taken out, and f has no room.
func (q *Queue) DropOldest(p *Pool, f *Frame, limit int, begun bool, dst []*Frame) []*Frame {
	size, most := int64(len(f.Plain)), int64(p.Caps[f.Class])
	held := int64(q.Held(f.Class))
	want := max(held+size-most/4*3, most/4, int64(q.Bytes())+size-int64(limit)) // bytes to take out
	if held+size <= most && held < most/4 {
		return dst
	}
	for i := range q.Len() {
		g := q.Pop(p)
		if g.Class != f.Class || want <= 0 || i == 0 && begun {
			q.append(p, g)
			continue
		}
		want -= int64(len(g.Plain))
		dst = append(dst, g)
	}
	return dst
}

// Reset drops everything.
func (q *Queue) Reset(p *Pool) {
	for q.Pop(p) != nil {
	}
}
