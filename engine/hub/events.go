package hub

import (
	"sync/atomic"
	"weir/engine/broker"

	"weir/engine/clientproto"
)

// A join or leave goes the way of a publication, so that it stands in order with
// those of its channel, but only to the watchers: the subscribers that asked for
// it. They stand in lists of their own, so that nobody else is looked at. It is
// the first to go when an inbox is full, and nobody is told of that.

// watchers are those of a channel on one shard.
type watchers struct {
	list  Members      // owned by the shard's loop
	count atomic.Int32 // of list
}

// Watch adds a subscriber to those of a shard that are told who joins and leaves
// the channel. Only the shard's loop calls it, with a member of the channel; the
// index is that of Unwatch.
func (c *Channel) Watch(shard int, m Member) (i uint32) {
	side := &c.shards[shard]
	w := side.watchers.Load()
	if w == nil {
		w = new(watchers)
		side.watchers.Store(w)
	}
	i = w.list.Add(m)
	w.count.Add(1)
	return i
}

// Unwatch takes Watch back. Members.Remove says what it returns.
func (c *Channel) Unwatch(shard int, i uint32) (moved Member, ok bool) {
	side := &c.shards[shard]
	w := side.watchers.Load()
	moved, ok = w.list.Remove(i)
	if w.count.Add(-1) == 0 {
		side.watchers.Store(nil)
	}
	return moved, ok
}

// Rewatch notes that the connection's subscription has another number now.
func (c *Channel) Rewatch(shard int, i uint32, sub uint16) {
	c.shards[shard].watchers.Load().list.SetSub(i, sub)
}

// Watchers returns one shard's watchers, borrowed by its loop until the next
// Watch or Unwatch.
func (c *Channel) Watchers(shard int) []Member {
	if w := c.shards[shard].watchers.Load(); w != nil {
		return w.list.All()
	}
	return nil
}

// watched reports whether the channel has watchers.
func (c *Channel) watched() bool {
	for i := range c.shards {
		if c.shards[i].watchers.Load() != nil {
			return true
		}
	}
	return false
}

// Joined tells the channel's watchers on this node that a client has entered.
func (h *Hub) Joined(c *Channel, client *clientproto.ClientInfo) {
	if c.watched() {
		h.event(c, clientproto.AppendJoin(eventBuffer(c, client), c.Name, client))
	}
}

// Left tells them that he has left.
func (h *Hub) Left(c *Channel, client *clientproto.ClientInfo) {
	if c.watched() {
		h.event(c, clientproto.AppendLeave(eventBuffer(c, client), c.Name, client))
	}
}

func eventBuffer(c *Channel, client *clientproto.ClientInfo) []byte {
	return make([]byte, maxHeader, maxHeader+len(c.Name)+len(client.User)+len(client.Client)+len(client.ConnInfo)+len(client.ChanInfo)+100)
}

func (h *Hub) event(c *Channel, buf []byte) {
	d := Delivery{Channel: c, Event: h.encoder.frame(buf, Protocol, c, broker.Position{})}
	d.Event.Class = 0 // what is dropped of the namespace's publications is not these
	for i := range c.shards {
		if w := c.shards[i].watchers.Load(); w != nil {
			h.inboxes[i].appendEvent(d, int(w.count.Load()))
		}
	}
}

// appendEvent is append for a join or leave that so many are to be told of.
func (b *Inbox) appendEvent(d Delivery, watchers int) {
	b.mu.Lock()
	size := d.Bytes()
	// Publications need the room more: who misses one has to subscribe again.
	if len(b.queue) >= b.entries/4 || b.queued+size > b.bytes/4 {
		b.untold += uint64(watchers)
	} else {
		b.queue = append(b.queue, d)
		b.queued += size
	}
	b.mu.Unlock()
	b.wake()
}
