// Package wheel keeps one timer per connection slot, driven by a clock value.
//
// It is a hashed timer wheel: time is cut into ticks, a tick has a bucket (tick modulo the number
// of buckets), and a bucket is a doubly linked list of slots. The links live in an array beside
// the connection slab, indexed by the same slot number: 12 bytes a slot, no pointer, nothing for
// the garbage collector to follow, nothing to allocate when a timer is set.
//
// The wheel calls nobody. The loop asks it once a turn which slots are due:
//
//	due := scratch[:0]
//	for {
//		due = w.Due(now, due[:0])
//		for _, slot := range due { … }
//		if len(due) < cap(due) { break }
//	}
//
// A timer is never early. It is late by at most one tick beyond the moment of the asking.
//
// The clock is the caller's. A leap forward makes due what lies between, in one revolution of
// work however far the leap. A leap back by more than a second is absorbed: running timers keep the
// time they had left. A smaller step back is waited out.
package wheel

import "time"

const (
	// pageSlots is the number of timers that are added at once (12 KiB): the array grows without
	// ever copying, so no turn of the loop pays for all connections.
	pageSlots = 1024

	// horizonTicks is the farthest a deadline may lie ahead; what lies beyond comes due there
	// (124 days with a tick of 10 ms). It keeps differences of 32-bit ticks unambiguous.
	horizonTicks = 1 << 30

	// backstep is the step back of the clock, in nanoseconds, up to which the wheel stands still
	// until the clock has caught up. A longer one is a leap and is absorbed.
	backstep = int64(time.Second)

	// first stands in prev of the slot at the head of its bucket; 0 in prev means not set.
	first = ^uint32(0)
)

// timer is one slot's place in its bucket. Links are slot numbers plus one, so that a new page of
// zeros is a page of timers not set.
type timer struct {
	next uint32 // 0: last of its bucket
	prev uint32 // 0: not set, first: head of its bucket
	due  uint32 // the tick, modulo 2³²
}

type page [pageSlots]timer

// Wheel holds at most one deadline per slot. It belongs to one goroutine.
type Wheel struct {
	tick    int64    // nanoseconds; immutable
	mask    int64    // number of buckets less one; immutable
	heads   []uint32 // slot plus one, 0: empty
	pages   []*page
	set     int    // timers set
	cursor  int64  // the tick whose bucket was taken up last
	resume  uint32 // where in that bucket Due stopped for want of room (slot plus one); 0: it is done
	reached int64  // the tick of last, at or ahead of cursor
	last    int64  // the wheel's own time, which never goes back; ns
	offset  int64  // own time less the caller's; ns
}

// New returns an empty wheel whose clock stands at now (unix nanoseconds, or any other origin, as
// long as Set and Due share it). tick is the resolution; buckets, rounded up to a power of two, is
// best chosen so that tick × buckets exceeds the usual deadline; slots is the room made at once.
// It panics if buckets is not positive or tick not within 1 ns and 1 s.
func New(now int64, tick time.Duration, buckets, slots int) *Wheel {
	if tick <= 0 || tick > time.Second || buckets <= 0 {
		panic("wheel: tick or buckets out of range")
	}
	size := 1
	for size < buckets {
		size *= 2
	}
	w := &Wheel{tick: int64(tick), mask: int64(size - 1), heads: make([]uint32, size), offset: -now}
	w.grow(slots)
	return w
}

// Len returns the number of timers set.
func (w *Wheel) Len() int { return w.set }

// Set makes slot due at deadline, on the clock of Due, in place of what was set before. A deadline
// already passed comes due with the next tick, so that a slot set again while the due ones are
// walked cannot come back in the same turn. It allocates only when slot is new to the wheel.
func (w *Wheel) Set(slot uint32, deadline int64) {
	if slot == first {
		panic("wheel: slot out of range")
	}
	w.grow(int(slot) + 1)
	w.Cancel(slot)

	due := min(max(w.tickAtOrAfter(deadline), w.reached+1), w.reached+horizonTicks-1)
	head := &w.heads[due&w.mask]
	t := w.at(slot + 1)
	*t = timer{next: *head, prev: first, due: uint32(due)}
	if *head != 0 {
		w.at(*head).prev = slot + 1
	}
	*head = slot + 1
	w.set++
}

// Cancel takes the slot's timer off, if there is one.
func (w *Wheel) Cancel(slot uint32) {
	if int64(slot) >= int64(len(w.pages))*pageSlots {
		return
	}
	if t := w.at(slot + 1); t.prev != 0 {
		w.unlink(slot+1, t)
	}
}

// Due appends to dst the slots whose deadline has come at now, in no particular order, and takes
// their timers off. It appends as many as dst has room for, never more: a full dst means that there
// may be others, which the next call delivers. Call it at the beginning of a turn, before Set, since it
// is what tells the wheel the time. It panics if dst has no room.
func (w *Wheel) Due(now int64, dst []uint32) []uint32 {
	if len(dst) == cap(dst) {
		panic("wheel: no room for the slots that are due")
	}
	w.advance(now)
	for {
		for w.resume != 0 {
			if len(dst) == cap(dst) {
				return dst
			}
			link := w.resume
			t := w.at(link)
			if int32(t.due-uint32(w.cursor)) > 0 {
				w.resume = t.next // of a later revolution
				continue
			}
			w.unlink(link, t)
			dst = append(dst, link-1)
		}
		if w.set == 0 {
			w.cursor = w.reached
		}
		if w.cursor == w.reached {
			return dst
		}
		w.cursor = max(w.cursor+1, w.reached-w.mask) // one revolution visits every bucket
		w.resume = w.heads[w.cursor&w.mask]
	}
}

// advance moves the wheel's own time on.
func (w *Wheel) advance(now int64) {
	own := now + w.offset
	switch farthest := (w.cursor + horizonTicks) * w.tick; {
	case own < w.last-backstep:
		w.offset += w.last - own
	case own > farthest:
		w.offset -= own - farthest
		w.last = farthest
	case own > w.last:
		w.last = own
	}
	w.reached = w.last / w.tick
}

// tickAtOrAfter returns the first tick that does not begin before the deadline.
func (w *Wheel) tickAtOrAfter(deadline int64) int64 {
	own := deadline + w.offset
	if w.offset > 0 && own < deadline { // beyond the end of time: the caller means never
		return w.reached + horizonTicks
	}
	if w.offset < 0 && own > deadline { // before its beginning
		return 0
	}
	ticks := own / w.tick
	if own > ticks*w.tick {
		ticks++
	}
	return ticks
}

// unlink takes a timer that is set out of its bucket.
func (w *Wheel) unlink(link uint32, t *timer) {
	if w.resume == link {
		w.resume = t.next
	}
	if t.next != 0 {
		w.at(t.next).prev = t.prev
	}
	if t.prev == first {
		w.heads[int64(t.due)&w.mask] = t.next
	} else {
		w.at(t.prev).next = t.next
	}
	*t = timer{}
	w.set--
}

// at returns the timer of the slot that link, a slot plus one, stands for.
func (w *Wheel) at(link uint32) *timer {
	slot := link - 1
	return &w.pages[slot/pageSlots][slot%pageSlots]
}

func (w *Wheel) grow(slots int) {
	for len(w.pages)*pageSlots < slots {
		w.pages = append(w.pages, new(page))
	}
}
