package tally

// Order is one subscription's view of one stream: publications are numbered from 1
// on, and each should come once and in its place. It takes 24 bytes; the number
// of what came late is judged in a window of 64 before the newest.
type Order struct {
	newest uint64
	window uint64 // bit i: newest-i was received
	first  uint64 // what is before it was not for this subscription
}

// Start says that the subscription begins behind seq: what comes first is
// seq+1, and nothing before it is missed. Without it the first publication that
// comes is the beginning.
func (o *Order) Start(seq uint64) { *o = Order{newest: seq, first: seq + 1} }

// Newest is the highest number so far; 0: none.
func (o *Order) Newest() uint64 { return o.newest }

// Started tells whether it is known where the subscription begins.
func (o *Order) Started() bool { return o.first > 0 }

// Receive counts publication seq in c and tells whether it is new. A jump ahead
// counts what it passes as Missing; a late one takes one of these back and
// counts as Reordered.
func (o *Order) Receive(seq uint64, c *Counters) (fresh bool) {
	switch {
	case seq == 0:
		c.Foreign++ // numbers begin at 1
		return false
	case o.first == 0:
		*o = Order{newest: seq, window: 1, first: seq}
	case seq > o.newest:
		ahead := seq - o.newest
		c.Missing += ahead - 1
		o.window = o.window<<ahead | 1 // a shift by 64 or more leaves 0
		o.newest = seq
	case seq < o.first:
		c.Foreign++
		return false
	case o.newest-seq >= 64 || o.window&(1<<(o.newest-seq)) != 0:
		c.Duplicated++ // what is older than the window is as good as seen
		return false
	default:
		o.window |= 1 << (o.newest - seq)
		c.Missing--
		c.Reordered++
	}
	c.Received++
	return true
}
