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
	compressing atomic.Int64 // connections that take compressed messages

	mu       sync.Mutex
	deflater *ws.Deflater // guarded by mu; made when first needed
}

func (e *encoder) publication(p *broker.Publication, topic uint64) *outbox.Frame {
	// The payload is encoded behind room for the longest header; the header is
	// then put right before it: one buffer, one encoding.
	buf := make([]byte, maxHeader, maxHeader+len(p.Data)+len(p.Info)+len(p.Tags)+len(p.Channel)+80)
	buf = clientproto.AppendPublication(buf, p.Channel, &clientproto.Publication{
		Offset: p.Offset, Data: p.Data, Info: p.Info, Tags: p.Tags,
	})
	payload := buf[maxHeader:]
	var header [maxHeader]byte
	h := ws.AppendHeader(header[:0], ws.Header{Fin: true, Opcode: ws.OpText, Length: uint64(len(payload))})
	start := maxHeader - len(h)
	copy(buf[start:], h)
	f := &outbox.Frame{Plain: buf[start:], Topic: topic}
	if e.compressing.Load() > 0 {
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
