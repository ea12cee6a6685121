package poll

import "sync/atomic"

// pillow is the part of a bell that is the system's. Here a byte is written for each ring: at most one is
// under way, so it costs one system call a turn and never blocks.
type pillow struct{ rung atomic.Bool }

// begin has the loop come here a first time, as soon as it watches the bell.
func (b *bell) begin() error {
	b.ring()
	return nil
}

// lay gets it ready, on the loop.
func (b *bell) lay(int) error { return nil }

// ring may be called by any goroutine.
func (b *bell) ring() {
	if b.rung.Swap(true) {
		return
	}
	if _, err := b.write.Write([]byte{1}); err != nil {
		b.rung.Store(false) // closed with the loop; anything else is tried again by the next ring
	}
}

// answer reports whether a turn is due. What is left for the loop after it rings again.
func (b *bell) answer(buf []byte) bool {
	n, _ := b.read.Read(buf)
	b.rung.Store(false)
	return n > 0
}

// rest ends the bell's report.
func (*bell) rest() {}

// close is for when the loop has ended.
func (b *bell) close() { _ = b.write.Close() }
