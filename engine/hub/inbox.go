package hub

import (
	"sync"

	"weir/engine/broker"
	"weir/engine/outbox"
)

// Delivery is one publication on its way to the subscribers of one shard.
type Delivery struct {
	Channel *Channel
	broker.Position
	Frames [Forms]*outbox.Frame // nil in a form that nobody took when it was published
	Event  *outbox.Frame        // a join or leave for the watchers; the others are nil then
	Delta  *outbox.Frame        // for who takes Delta and got the publication before; nil: it comes in full
	Key    []byte               // what it is conflated by; nil: nothing
}

// Bytes is the length of all that is encoded.
func (d *Delivery) Bytes() (n int) {
	for _, f := range d.Frames {
		if f != nil {
			n += len(f.Plain) + len(f.Deflated)
		}
	}
	for _, f := range [...]*outbox.Frame{d.Delta, d.Event} {
		if f != nil {
			n += len(f.Plain) + len(f.Deflated)
		}
	}
	return n
}

// Gap is a run of publications of one channel that a shard did not get.
type Gap struct {
	From uint64          // offset of the first; 0: none of them is in the stream
	To   broker.Position // of the last: what comes next is whole again
}

// Inbox is where publications wait for a shard's loop. A publisher never
// waits: over the bound the publication is dropped for this shard and its
// channel marked as behind, which the loop must answer for (Take). What comes
// through patterns may fill half of it, and is dropped without a mark.
type Inbox struct {
	wake    func() // immutable; called outside mu
	entries int    // immutable bound
	bytes   int    // immutable bound

	mu     sync.Mutex
	queue  []Delivery       // guarded by mu
	queued int              // bytes in queue; guarded by mu
	behind map[*Channel]Gap // guarded by mu
	lost   uint64           // publications dropped; guarded by mu
	untold uint64           // joins and leaves dropped, one for each watcher; guarded by mu
}

// NewInbox returns an inbox of at most so many entries and bytes of frames;
// wake is called when there is something to take.
func NewInbox(entries, bytes int, wake func()) *Inbox {
	return &Inbox{wake: wake, entries: entries, bytes: bytes}
}

func (b *Inbox) append(d Delivery) {
	b.mu.Lock()
	size := d.Bytes()
	entries, bytes := b.entries, b.bytes
	if d.Channel.Pattern {
		// One publication may come through many patterns: what channels need of the
		// room stays theirs.
		entries, bytes = entries/2, bytes/2
	}
	if len(b.queue) >= entries || b.queued+size > bytes {
		b.drop(d)
	} else if _, behind := b.behind[d.Channel]; behind {
		b.drop(d) // nothing may follow a gap before the gap is answered for
	} else {
		b.queue = append(b.queue, d)
		b.queued += size
	}
	b.mu.Unlock()
	b.wake()
}

// drop is called with mu held. The map cannot outgrow the channels that have
// subscribers: only they are delivered to. A pattern has no position, so nothing
// in it can be behind.
func (b *Inbox) drop(d Delivery) {
	b.lost++
	if d.Channel.Pattern {
		return
	}
	if b.behind == nil {
		b.behind = make(map[*Channel]Gap)
	}
	gap := b.behind[d.Channel]
	if gap.From == 0 {
		gap.From = d.Offset
	}
	if gap.To.Epoch == "" || d.Offset > 0 { // one that is no part of the stream does not move it
		gap.To = d.Position
	}
	b.behind[d.Channel] = gap
}

// Taken is what Take found.
type Taken struct {
	Deliveries []Delivery
	Behind     map[*Channel]Gap // channels that missed something; nil if none
	Lost       uint64           // publications dropped since the last Take
	Untold     uint64           // joins and leaves dropped since then, one for each watcher
}

// Take empties the inbox. spare, the slice of an earlier Taken, is used for
// what comes next. A gap lies behind all deliveries of its channel.
func (b *Inbox) Take(spare []Delivery) Taken {
	clear(spare)
	b.mu.Lock()
	defer b.mu.Unlock()
	t := Taken{Deliveries: b.queue, Behind: b.behind, Lost: b.lost, Untold: b.untold}
	b.queue, b.queued, b.behind, b.lost, b.untold = spare[:0], 0, nil, 0, 0
	return t
}

// Len returns how many deliveries wait.
func (b *Inbox) Len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.queue)
}
