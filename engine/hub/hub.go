// Package hub knows the channels of this node and who on it subscribes to
// them, and carries each publication, encoded once in each form that somebody
// takes, to the shards concerned. A pattern is a channel too: what is published
// to channels that match it is encoded once more under its name, and delivered
// in the same way.
//
// A Channel exists while anybody on the node subscribes to it. Its subscribers
// stand in one list per shard and form; only that shard's loop reads or changes
// its lists, so fan-out takes no lock. Between a publisher and a shard stands the shard's
// Inbox: bounded, appended to without waiting, emptied by the loop.
//
// Order: the broker calls Deliver in the order of offsets for a channel, and
// Deliver appends to every inbox before it returns, so a shard meets the
// publications of a channel in that order. A subscriber joins its list before
// it asks the broker for its position and passes over what is not newer. That is
// also why a frame that a Delivery lacks is nobody's loss: whoever takes that
// form joined after the publication was given out, so its position is not lower.
package hub

import (
	"hash/maphash"
	"iter"
	"sync"
	"sync/atomic"

	"weir/engine/broker"
	"weir/security/grant"
)

const stripes = 64

// Form is how a subscriber is told of a publication.
type Form uint8

const (
	Protocol Form = iota // a push of the client protocol
	Feed                 // a message of /feed
	Delta                // a push of the client protocol, with the data as text or what changed of it
	Forms
)

// Hub is safe for concurrent use, but for the lists of members (see Members).
type Hub struct {
	inboxes  []*Inbox // immutable
	encoder  encoder
	seed     maphash.Seed
	lastID   atomic.Uint64
	count    atomic.Int64
	stripes  [stripes]stripe
	patterns patterns
	bases    bases
	policies atomic.Pointer[map[string]*Policy] // by namespace; what it points to is immutable
}

type stripe struct {
	mu       sync.RWMutex
	channels map[string]*Channel
}

// Channel is a named feed, or a pattern of names, with at least one subscriber on
// this node.
type Channel struct {
	Name    string
	Pattern bool                 // its publications are other channels', and have no position in it
	ID      uint64               // unique in this process: the outbox.Frame.Topic of its frames
	takers  [Forms]atomic.Int32  // subscribers by form; changed under the stripe's lock
	base    atomic.Pointer[base] // set by Deliver, while somebody takes Delta
	policy  atomic.Pointer[Policy]
	shards  []shardSide
}

// shardSide is one shard's view of a channel.
type shardSide struct {
	interest atomic.Int32             // members of all forms; changed under the stripe's lock
	members  [Forms]Members           // owned by the shard's loop
	watchers atomic.Pointer[watchers] // who is told of joins and leaves; set by the loop, nil if nobody is
	arrears  *Arrears                 // owned by the shard's loop; nil: nobody is owed anything
}

// New returns a hub that delivers to inboxes, one per shard.
func New(inboxes []*Inbox, limits Limits) *Hub {
	h := &Hub{inboxes: inboxes, seed: maphash.MakeSeed()}
	h.patterns.limits, h.bases.limit = limits, int64(limits.BaseBytes)
	h.patterns.channels = make(map[string]*Channel)
	for i := range h.stripes {
		h.stripes[i].channels = make(map[string]*Channel)
	}
	return h
}

// Channels returns the number of channels with a subscriber, patterns among them.
func (h *Hub) Channels() int { return int(h.count.Load()) }

// Patterns returns the number of patterns with a subscriber.
func (h *Hub) Patterns() int { return int(h.patterns.count.Load()) }

// CompressFor tells the hub that n more (or, negative, fewer) connections take
// compressed messages of a form. While there are any, frames of that form are
// deflated, once each.
func (h *Hub) CompressFor(form Form, n int) { h.encoder.compressing[form].Add(int64(n)) }

// Compress says whether frames are deflated for those who take them so. A node
// that is short of something sends them as they are.
func (h *Hub) Compress(on bool) { h.encoder.plain.Store(!on) }

// SetPolicies says how the channels of each namespace treat slow consumers from
// now on. The map is the hub's.
func (h *Hub) SetPolicies(byNamespace map[string]*Policy) {
	h.policies.Store(&byNamespace)
	for i := range stripes + 1 {
		s := &h.patterns.stripe
		if i < stripes {
			s = &h.stripes[i]
		}
		s.mu.Lock() // who is making a channel has read the map before or reads it after
		for _, c := range s.channels {
			c.policy.Store(h.policy(c.Name))
		}
		s.mu.Unlock()
	}
}

// policy returns that of a channel's namespace, nil for the zero value, which is
// also that of a pattern that lies in several.
func (h *Hub) policy(channel string) *Policy {
	if p := h.policies.Load(); p != nil && !grant.Spans(channel) {
		return (*p)[grant.Namespace(channel)]
	}
	return nil
}

// Policy returns how the channel treats slow consumers. It may change between two
// calls.
func (c *Channel) Policy() Policy {
	if p := c.policy.Load(); p != nil {
		return *p
	}
	return Policy{}
}

// Join returns the channel, counting one more subscriber on shard. From now on
// its publications reach the shard's inbox, in that form. Only the shard's loop
// calls it, and before it asks the broker for the subscriber's position. It
// returns nil for a pattern that is new and one too many.
func (h *Hub) Join(shard int, name string, form Form) *Channel {
	s := h.stripe(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.channels[name]
	if c == nil {
		c = &Channel{Name: name, Pattern: grant.IsPattern(name), ID: h.lastID.Add(1), shards: make([]shardSide, len(h.inboxes))}
		c.policy.Store(h.policy(name))
		if c.Pattern && !h.patterns.add(c) {
			return nil
		}
		s.channels[name] = c
		h.count.Add(1)
	}
	c.takers[form].Add(1)
	c.shards[shard].interest.Add(1)
	return c
}

// Leave takes one Join back. A channel without subscribers is forgotten.
func (h *Hub) Leave(shard int, c *Channel, form Form) {
	s := h.stripe(c.Name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.takers[form].Add(-1) < 0 || c.shards[shard].interest.Add(-1) < 0 {
		panic("hub: more Leave than Join")
	}
	if form == Delta && c.takers[Delta].Load() == 0 {
		h.setBase(c, nil)
	}
	for i := range c.shards {
		if c.shards[i].interest.Load() > 0 {
			return
		}
	}
	delete(s.channels, c.Name)
	if c.Pattern {
		h.patterns.remove(c)
	}
	h.count.Add(-1)
}

// Find returns the channel, or nil if nobody on this node subscribes to it.
func (h *Hub) Find(name string) *Channel {
	s := h.stripe(name)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.channels[name]
}

// Subscribers returns how many subscribers the channel has on this node.
func (h *Hub) Subscribers(name string) int {
	if c := h.Find(name); c != nil {
		return c.Subscribers()
	}
	return 0
}

// All goes through the channels and patterns that have subscribers, with their number. Names
// are copied a stripe at a time, so that no lock is held while the caller is at
// work; what comes or goes meanwhile may be missing.
func (h *Hub) All() iter.Seq2[string, int] {
	return func(yield func(name string, subscribers int) bool) {
		var copied []*Channel
		for i := range stripes + 1 {
			s := &h.patterns.stripe
			if i < stripes {
				s = &h.stripes[i]
			}
			copied = s.appendTo(copied[:0])
			for _, c := range copied {
				if n := c.Subscribers(); n > 0 && !yield(c.Name, n) {
					return
				}
			}
		}
	}
}

func (s *stripe) appendTo(dst []*Channel) []*Channel {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, c := range s.channels {
		dst = append(dst, c)
	}
	return dst
}

// Subscribers returns how many subscribers the channel has on this node.
func (c *Channel) Subscribers() (n int) {
	for form := range c.takers {
		n += int(c.takers[form].Load())
	}
	return n
}

// Deliver implements broker.Sink: for its channel, and for each pattern that
// matches, it encodes p once in each form that has a subscriber and leaves the
// frames in the inbox of each shard with any. It never waits for a reader.
func (h *Hub) Deliver(p *broker.Publication) {
	if c := h.Find(p.Channel); c != nil {
		h.deliver(c, p)
	}
	if h.patterns.count.Load() == 0 {
		return
	}
	var room [usualOverlap]*Channel
	for _, pattern := range h.patterns.appendMatching(room[:0], p.Channel) {
		h.deliver(pattern, p)
	}
}

// Encode makes p a delivery to the subscribers to c, in full in each form that has
// one.
func (h *Hub) Encode(c *Channel, p *broker.Publication) Delivery {
	d := Delivery{Channel: c, Key: c.key(p)}
	if !c.Pattern {
		d.Position = p.Position
	}
	for form := range Forms {
		if c.takers[form].Load() > 0 {
			d.Frames[form] = h.encoder.publication(p, form, c)
		}
	}
	return d
}

// deliver is Deliver for the subscribers to c.
func (h *Hub) deliver(c *Channel, p *broker.Publication) {
	d := h.Encode(c, p)
	if d.Frames[Delta] != nil && !c.Pattern {
		d.Delta = h.delta(p, c, d.Frames[Delta])
	}
	for i := range c.shards {
		if c.shards[i].interest.Load() > 0 {
			h.inboxes[i].append(d)
		}
	}
}

func (h *Hub) stripe(name string) *stripe {
	if grant.IsPattern(name) {
		return &h.patterns.stripe
	}
	return &h.stripes[maphash.String(h.seed, name)%stripes]
}

// Members returns the list of one shard's subscribers that take a form, owned by
// the shard's loop.
func (c *Channel) Members(shard int, form Form) *Members { return &c.shards[shard].members[form] }
