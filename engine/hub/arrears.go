package hub

import (
	"slices"

	"weir/engine/broker"
	"weir/engine/outbox"
)

// Arrears is what the subscribers of one channel on one shard are owed of whom
// nothing more is queued (Member.Held) until their connection has sent what
// waits. It exists while there are any, and belongs to the shard's loop.
//
// In a conflating channel that is the newest publication of each key, in the
// order in which they came, once for all of them: however many readers stand
// still, a publication costs one entry. Elsewhere it is only how far the gap goes.
type Arrears struct {
	readers map[uint32]uint64 // slot → number of the publication up to which it is served
	policy  Policy            // the channel's when they were opened, or began to keep entries
	number  uint64            // of the last publication
	top     broker.Position   // of the last one in the stream

	log    []Owed         // by number; some are superseded
	first  int            // none of log before it is live
	newest map[string]int // key → index in log
	live   int            // entries of log that are not superseded
	bytes  int            // of these

	goneNumber uint64          // of the last entry given up for the bounds
	gone       broker.Position // of the last such that is in the stream
	since      uint64          // number of the last publication before entries were kept
}

// Owed is an entry of Arrears.
type Owed struct {
	Number uint64
	Frames [Forms]*outbox.Frame // those of Delta in full
	Live   bool                 // else a newer one of its key took its place, or it was given up

	key  string // "" is none
	at   broker.Position
	size int
}

// owedOverhead is what an entry costs beside its frames and its key: two places
// in the log, one in the index.
const owedOverhead = 320

func newArrears(p Policy) *Arrears {
	a := &Arrears{readers: make(map[uint32]uint64), policy: p}
	if p.Overflow == Conflate {
		a.keep(p)
	}
	return a
}

// keep has entries kept from the next publication on: the channel conflates now.
// What went before is given up, if there was anything.
func (a *Arrears) keep(p Policy) {
	a.policy, a.newest = p, make(map[string]int)
	a.since, a.goneNumber, a.gone = a.number, a.number, a.top
}

// Arrears returns what the channel's held subscribers on a shard are owed; nil if
// there are none.
func (c *Channel) Arrears(shard int) *Arrears { return c.shards[shard].arrears }

// Fall notes that the connection in slot gets d, the publication put last, and
// what follows only when it catches up. The first to fall opens the arrears with
// d; grown and lost are Put's then.
func (c *Channel) Fall(shard int, slot uint32, d *Delivery) (grown, lost int) {
	side := &c.shards[shard]
	if side.arrears == nil {
		side.arrears = newArrears(c.Policy())
		grown, lost = side.arrears.Put(d)
	} else if a := side.arrears; a.newest == nil && c.Policy().Overflow == Conflate { // since d was put
		a.number--
		if d.Offset > 0 {
			a.top.Offset--
		}
		grown, lost = a.Put(d)
	}
	side.arrears.readers[slot] = side.arrears.number - 1
	return grown, lost
}

// Rise takes Fall back, if there was one. When nobody is owed anything the arrears
// are gone; it returns how many bytes that freed.
func (c *Channel) Rise(shard int, slot uint32) (freed int) {
	a := c.shards[shard].arrears
	if a == nil {
		return 0
	}
	delete(a.readers, slot)
	if len(a.readers) > 0 {
		return 0
	}
	c.shards[shard].arrears = nil
	return a.bytes
}

// Put takes in a publication that the readers do not get now. It returns by how
// many bytes what is owed has grown, and how many entries were given up for the
// bounds, the oldest first.
func (a *Arrears) Put(d *Delivery) (grown, lost int) {
	if a.newest == nil {
		if p := d.Channel.Policy(); p.Overflow == Conflate {
			a.keep(p)
		}
	}
	a.number++
	if d.Offset > 0 {
		a.top = d.Position
	}
	if a.newest == nil {
		return 0, 0
	}
	before := a.bytes
	e := Owed{Number: a.number, Frames: d.Frames, Live: true, at: d.Position, size: len(d.Key) + owedOverhead}
	for _, f := range d.Frames {
		if f != nil {
			e.size += len(f.Plain) + len(f.Deflated)
		}
	}
	if len(d.Key) > 0 {
		if i, known := a.newest[string(d.Key)]; known {
			e.key = a.log[i].key
			a.strike(i)
		} else {
			e.key = string(d.Key)
		}
		a.newest[e.key] = len(a.log)
	}
	a.log = append(a.log, e)
	a.live++
	a.bytes += e.size
	for ; a.bytes > a.policy.Bytes || a.live > a.policy.Entries; a.first++ {
		if a.log[a.first].Live {
			a.giveUp(a.first)
			lost++
		}
	}
	if len(a.log) > 2*a.live+64 {
		a.compact()
	}
	return a.bytes - before, lost
}

// strike takes the entry at i out; its place in the log stays.
func (a *Arrears) strike(i int) {
	a.live--
	a.bytes -= a.log[i].size
	a.log[i] = Owed{Number: a.log[i].Number}
}

func (a *Arrears) giveUp(i int) {
	e := &a.log[i]
	a.goneNumber = e.Number
	if e.at.Offset > 0 {
		a.gone = e.at
	}
	if e.key != "" {
		delete(a.newest, e.key)
	}
	a.strike(i)
}

// compact forgets the places of what was struck.
func (a *Arrears) compact() {
	a.log = slices.DeleteFunc(a.log, func(e Owed) bool { return !e.Live })
	a.first = 0
	for i := range a.log {
		if key := a.log[i].key; key != "" {
			a.newest[key] = i
		}
	}
}

// Conflate reports whether what is owed is the newest of each key, not only how
// far a gap goes.
func (a *Arrears) Conflate() bool { return a.newest != nil }

// Share returns how many bytes of the shard's memory each reader costs.
func (a *Arrears) Share() int { return a.bytes / len(a.readers) }

// Readers returns how many are owed something.
func (a *Arrears) Readers() int { return len(a.readers) }

// Top returns the position of the last publication that was put and is in the stream.
func (a *Arrears) Top() broker.Position { return a.top }

// Served returns the number up to which the connection in slot is served; false if
// it is owed nothing.
func (a *Arrears) Served(slot uint32) (number uint64, owed bool) {
	number, owed = a.readers[slot]
	return number, owed
}

// Gone returns the number of the last entry that was given up for the bounds, and
// the position of the last such in the stream. Who is served up to less has lost
// something.
func (a *Arrears) Gone() (uint64, broker.Position) { return a.goneNumber, a.gone }

// Since returns the number of the last publication before entries were kept: those
// up to it were counted as dropped when they went by.
func (a *Arrears) Since() uint64 { return a.since }

// Serve notes that the connection in slot is served up to a number.
func (a *Arrears) Serve(slot uint32, number uint64) { a.readers[slot] = number }

// After returns the entries behind a number in the order in which they came,
// superseded ones among them, borrowed until the next Put.
func (a *Arrears) After(number uint64) []Owed {
	i, _ := slices.BinarySearchFunc(a.log, number+1, func(e Owed, n uint64) int {
		switch {
		case e.Number < n:
			return -1
		case e.Number > n:
			return 1
		}
		return 0
	})
	return a.log[i:]
}
