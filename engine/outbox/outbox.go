// Package outbox is a connection's queue of publications: references to shared,
// immutable frames, bounded in bytes. It knows no socket and no clock.
//
// A frame is encoded once and referenced by the outbox of every subscriber, so
// queueing costs one pointer. The pointers stand in blocks of one cache line
// that a loop lends out of its Pool; an idle outbox holds no block.
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
}

// blockFrames makes a block 64 bytes: one cache line.
const blockFrames = 7

type block struct {
	frames [blockFrames]*Frame
	next   *block
}

// Pool lends blocks. The zero value is ready.
type Pool struct {
	free *block
	kept int
}

// poolBlocks is how many free blocks a Pool keeps: 4 MiB. More come from and
// go back to the heap.
const poolBlocks = 1 << 16

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

// Queue is one connection's outbox. The zero value is empty and ready.
type Queue struct {
	head, tail *block
	bytes      int64
	frames     uint32
	from, to   uint8 // first frame in head, one past the last in tail
}

// Bytes returns the sum of the plain lengths of what is queued: an upper bound
// of what will be sent.
func (q *Queue) Bytes() int { return int(q.bytes) }

// Len returns the number of frames queued.
func (q *Queue) Len() int { return int(q.frames) }

// Push queues f unless more than limit bytes would then wait. A single frame
// over the limit is refused too: nothing is ever queued past the bound.
func (q *Queue) Push(p *Pool, f *Frame, limit int) bool {
	if q.bytes+int64(len(f.Plain)) > int64(limit) {
		return false
	}
	q.append(p, f)
	return true
}

func (q *Queue) append(p *Pool, f *Frame) {
	switch {
	case q.tail == nil:
		q.head = p.take()
		q.tail = q.head
		q.from, q.to = 0, 0
	case q.to == blockFrames:
		q.tail.next = p.take()
		q.tail = q.tail.next
		q.to = 0
	}
	q.tail.frames[q.to] = f
	q.to++
	q.frames++
	q.bytes += int64(len(f.Plain))
}

// Front returns the frame that Pop would take, or nil.
func (q *Queue) Front() *Frame {
	if q.frames == 0 {
		return nil
	}
	return q.head.frames[q.from]
}

// Pop takes the oldest frame out; nil if there is none.
func (q *Queue) Pop(p *Pool) *Frame {
	if q.frames == 0 {
		return nil
	}
	f := q.head.frames[q.from]
	q.head.frames[q.from] = nil
	q.from++
	q.frames--
	q.bytes -= int64(len(f.Plain))
	if q.frames == 0 {
		p.give(q.head)
		q.head, q.tail = nil, nil
	} else if q.from == blockFrames {
		spent := q.head
		q.head = spent.next
		q.from = 0
		p.give(spent)
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

// Reset drops everything.
func (q *Queue) Reset(p *Pool) {
	for q.Pop(p) != nil {
	}
}
