package hub

import (
	"sync"
	"sync/atomic"

	"weir/engine/broker"
	"weir/engine/clientproto"
	"weir/engine/outbox"
	"weir/engine/ws"
)

// maxHeader is the longest WebSocket header of a server: 64-bit length, no mask.
const maxHeader = 10

// encoder turns a publication into the frame that all its subscribers share.
type encoder struct {
	plain       atomic.Bool         // nothing is deflated
	compressing [Forms]atomic.Int64 // connections that take compressed messages; Delta's are Protocol's

	mu       sync.Mutex
	deflater *ws.Deflater // guarded by mu; made when first needed
}

// publication encodes p in one form, for the subscribers to c: its channel, or a
// pattern, under which it has no position.
func (e *encoder) publication(p *broker.Publication, form Form, c *Channel) *outbox.Frame {
	room := maxHeader + len(p.Channel) + len(p.Data) + 80
	at, channel := p.Position, ""
	if c.Pattern {
		at, channel = broker.Position{}, p.Channel
		room += len(c.Name) + 16
	}
	if form == Feed {
		buf := make([]byte, maxHeader, room+len(at.Epoch))
		return e.frame(clientproto.AppendFeed(buf, p.Channel, at.Offset, at.Epoch, p.Data), form, c, at)
	}
	buf := make([]byte, maxHeader, room+len(p.Info)+len(p.Tags))
	return e.frame(clientproto.AppendPublication(buf, c.Name, &clientproto.Publication{
		Channel: channel, Offset: at.Offset, Data: p.Data, Info: p.Info, Tags: p.Tags, Text: form == Delta,
	}), form, c, at)
}

// GapFrame is what the Feed subscribers of a channel are sent in place of the
// publications of a gap.
func (h *Hub) GapFrame(c *Channel, g Gap) *outbox.Frame {
	buf := clientproto.AppendFeedGap(make([]byte, maxHeader), c.Name, g.To.Offset, g.To.Epoch)
	f := h.encoder.frame(buf, Feed, c, g.To)
	f.Notice = true
	return f
}

// frame makes a text message of c of the payload, which stands in buf behind room
// for the longest header; the header is put right before it: one buffer, one
// encoding.
func (e *encoder) frame(buf []byte, form Form, c *Channel, at broker.Position) *outbox.Frame {
	payload := buf[maxHeader:]
	var header [maxHeader]byte
	h := ws.AppendHeader(header[:0], ws.Header{Fin: true, Opcode: ws.OpText, Length: uint64(len(payload))})
	start := maxHeader - len(h)
	copy(buf[start:], h)
	f := &outbox.Frame{Plain: buf[start:], Topic: c.ID, Offset: at.Offset, Epoch: at.Epoch, Class: c.Policy().Class}
	if form == Delta {
		form = Protocol // one connection has subscriptions of both
	}
	if e.compressing[form].Load() > 0 && !e.plain.Load() {
		f.Deflated = e.deflate(payload)
	}
	return f
}

// deflate returns the whole compressed frame.
func (e *encoder) deflate(payload []byte) []byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.deflater == nil {
		e.deflater = ws.NewDeflater()
	}
	return ws.AppendCompressed(nil, ws.OpText, e.deflater.Append(nil, payload))
}
