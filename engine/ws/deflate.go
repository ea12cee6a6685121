package ws

import "github.com/klauspost/compress/flate"

// deflateLevel is the fastest: higher levels take two to four times as long for a few percent.
const deflateLevel = flate.BestSpeed

// Deflater compresses messages for permessage-deflate, each by itself (server_no_context_takeover), so
// that one result serves every subscriber. It holds half a MiB: have one per publishing
// goroutine, not per connection. It belongs to one goroutine.
type Deflater struct {
	w   *flate.Writer
	out sink
}

// sink collects what the compressor writes.
type sink struct{ b []byte }

func (s *sink) Write(b []byte) (int, error) {
	s.b = append(s.b, b...)
	return len(b), nil
}

// NewDeflater returns a Deflater.
func NewDeflater() *Deflater {
	w, err := flate.NewWriter(nil, deflateLevel)
	if err != nil {
		panic("ws: " + err.Error())
	}
	return &Deflater{w: w}
}

// Append appends the payload of a compressed message, to be framed by AppendCompressed. RFC 7692 §7.2.1.
func (d *Deflater) Append(dst, payload []byte) []byte {
	d.out.b = dst
	d.w.Reset(&d.out)
	_, err := d.w.Write(payload)
	if err == nil {
		err = d.w.Flush() // ends with an empty stored block, whose last four bytes stay away
	}
	if err != nil {
		panic("ws: " + err.Error()) // the sink does not fail
	}
	dst = d.out.b[:len(d.out.b)-len(deflateTail)]
	d.out.b = nil
	return dst
}
