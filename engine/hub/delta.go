package hub

import (
	"sync"
	"sync/atomic"

	"weir/engine/broker"
	"weir/engine/clientproto"
	"weir/engine/delta"
	"weir/engine/outbox"
)

// base is the publication that the next one of its channel is compared with.
// Immutable; the data is the publication's.
type base struct {
	broker.Position
	data []byte
}

// bases counts the bases of all channels. Over the limit a channel has none, and
// what is published to it goes out in full.
type bases struct {
	limit    int64        // bytes of their data; immutable
	held     atomic.Int64 // bytes of their data
	encoders sync.Pool    // of *differ
}

// differ is what it takes to make a delta, kept for the next one.
type differ struct {
	delta.Encoder
	text []byte
}

// delta encodes what changed since the publication before, and makes p the base
// of the next. It returns nil where there is nothing to gain: full is not longer,
// or the publisher did not ask, or the publication before is not known. Who
// applies a delta to anything else is wrong from then on, so the base is the one
// of the offset before and no other. One that is no part of the stream has no
// offset and leaves no base: whom it reaches is a matter of chance.
//
// Only deliver calls it: never twice at once for a channel, and not for patterns.
func (h *Hub) delta(p *broker.Publication, c *Channel, full *outbox.Frame) *outbox.Frame {
	before := c.base.Load()
	if p.Offset == 0 {
		h.setBase(c, nil)
		return nil
	}
	h.setBase(c, &base{p.Position, p.Data})
	if c.takers[Delta].Load() == 0 { // the last has left, and may have done so before the base was set
		h.setBase(c, nil)
	}
	if !p.Delta || before == nil || before.Offset+1 != p.Offset || before.Epoch != p.Epoch {
		return nil
	}
	d, ok := h.bases.encoders.Get().(*differ)
	if !ok {
		d = new(differ)
	}
	defer h.bases.encoders.Put(d)
	var shorter bool
	if d.text, shorter = d.Append(d.text[:0], before.data, p.Data); !shorter {
		return nil
	}
	buf := make([]byte, maxHeader, maxHeader+len(c.Name)+len(p.Info)+len(p.Tags)+len(d.text)+len(d.text)/8+80)
	f := h.encoder.frame(clientproto.AppendPublication(buf, c.Name, &clientproto.Publication{
		Offset: p.Offset, Data: d.text, Info: p.Info, Tags: p.Tags, Text: true, Delta: true,
	}), Delta, c, p.Position)
	if len(f.Plain) >= len(full.Plain) { // escapes may make up for it
		return nil
	}
	f.Full = full
	return f
}

// setBase gives the channel a base, nil for none, if there is room for it.
func (h *Hub) setBase(c *Channel, next *base) {
	if next != nil && h.bases.held.Add(int64(len(next.data))) > h.bases.limit {
		h.bases.held.Add(-int64(len(next.data)))
		next = nil
	}
	if old := c.base.Swap(next); old != nil {
		h.bases.held.Add(-int64(len(old.data)))
	}
}
