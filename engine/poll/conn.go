package poll

import (
	"errors"

	"github.com/lesismal/nbio"
	"golang.org/x/sys/unix"
)

var (
	// ErrClosed is returned by Write when the connection is closed, closing, or was closed by this write.
	ErrClosed = errors.New("poll: connection is closed")
	// ErrUnsent is returned by Write when the bytes would exceed MaxUnsent. The connection is closed.
	ErrUnsent = errors.New("poll: more bytes queued than MaxUnsent")
)

const (
	flagClosed   = 1 << iota // closed by us; Closed follows
	flagFinish               // Finish was called: input is discarded, no more writes
	flagShut                 // SHUT_WR was sent
	flagQueued               // nbio holds bytes; the last of them going out is to be told
	flagReported             // in Loop.drained
	flagOpen                 // from Open to Closed
	flagDeaf                 // Ignore was called: input is discarded
)

// Conn is one connection. Its storage belongs to the handler, usually as a
// field of the handler's own struct, at an address that does not change between
// Open and Closed. All methods and Slot are for the loop's goroutine only.
// It must not be copied while open.
type Conn struct {
	nb     nbio.Conn // in place: by itself it would be a block of memory more for each
	loop   *Loop
	unsent int32  // bytes nbio holds, as Unsent
	index  uint32 // place in loop.conns

	// Slot is free for the handler, for example its own table's index. poll keeps it as it is.
	Slot uint32

	flags   uint8
	vain    uint8  // reports in a row that brought no input
	dropped uint16 // blocks that were discarded, up to discardBlocks
}

// open reports whether the connection is between Open and Closed.
func (c *Conn) open() bool { return c.flags&flagOpen != 0 }

// Write gives b to the kernel, and what the kernel does not take is copied and
// sent as soon as it does; b may be reused at once. The last queued byte going out
// is told by Handler.Writable. On error the connection is closed or closing, and
// Closed follows: nothing else is to be done about it.
func (c *Conn) Write(b []byte) error {
	if !c.open() || c.flags&(flagClosed|flagFinish) != 0 {
		return ErrClosed
	}
	if len(b) > c.loop.maxUnsent-int(c.unsent) {
		c.loop.overUnsent(c, len(b))
		return ErrUnsent
	}
	if n := c.send(b); n > 0 {
		if b = b[n:]; len(b) == 0 {
			return nil
		}
	}
	c.unsent += int32(len(b)) // Loop.written subtracts what goes out, also during the call
	if _, err := c.nb.Write(b); err != nil {
		c.gone() // nbio closed it during this call, or had before
		return ErrClosed
	}
	if c.unsent > 0 {
		c.flags |= flagQueued
	}
	return nil
}

// send offers b to the kernel if nothing waits before it, and returns how much it took. What went wrong, nbio finds out when
// it gets the rest. The number is only used when nbio says that it is still this connection's, as in shut.
func (c *Conn) send(b []byte) int {
	if c.unsent > 0 {
		return 0
	}
	if _, err := c.nb.Write(nil); err != nil {
		return 0
	}
	return send(c.nb.Hash(), b)
}

// Unsent is the number of bytes that were written and that the kernel has not taken yet.
func (c *Conn) Unsent() int { return int(c.unsent) }

// Ignore discards input from now on: Data is no longer called. A peer that goes on sending after discardBytes
// of it is no longer read, so that its own kernel holds it back.
func (c *Conn) Ignore() {
	if c.open() {
		c.flags |= flagDeaf
	}
}

// Finish ends the connection without loss: once everything written has gone to
// the kernel the sending side is shut, and input is ignored until the peer closes
// too, which Closed tells. Whoever calls Finish keeps the time and calls Abort when
// the peer takes too long.
func (c *Conn) Finish() {
	if !c.open() || c.flags&(flagClosed|flagFinish) != 0 {
		return
	}
	c.flags |= flagFinish | flagDeaf
	if c.unsent == 0 {
		c.shut()
	}
}

// Abort closes the connection now. Queued bytes are dropped, and unread input
// makes the kernel send a reset. Closed follows.
func (c *Conn) Abort() {
	if !c.open() || c.flags&flagClosed != 0 {
		return
	}
	_ = c.nb.Close() // close(2) failing leaves nothing to be done
	c.gone()
}

// gone notes that the descriptor was closed by a call from the handler.
func (c *Conn) gone() {
	c.flags |= flagClosed
	c.unsent = 0
	if c.loop.current != c {
		c.loop.freed.note(c.nb.Hash())
	}
}

// shut sends our FIN. The number is only used when nbio says that it is still
// this connection's; nobody but the loop can close it in between.
func (c *Conn) shut() {
	if c.flags&flagShut != 0 {
		return
	}
	c.flags |= flagShut
	if _, err := c.nb.Write(nil); err != nil {
		return
	}
	// ENOTCONN after a reset: the hang-up is already on its way.
	_ = unix.Shutdown(c.nb.Hash(), unix.SHUT_WR)
}

// deafTo counts n bytes that were read and discarded. A read costs what it costs however little it brings.
func (c *Conn) deafTo(n int) {
	c.dropped = min(c.dropped+uint16((n+dropBlock-1)/dropBlock), discardBlocks)
}

// spent reports whether as much was discarded as may be.
func (c *Conn) spent() bool { return c.dropped >= discardBlocks }

// hold has the kernel report input no more: what the peer sends waits in its own buffers. That it takes
// what is queued for it is still reported, and a reset; its FIN only if it fits in behind what is not read.
func (c *Conn) hold() {
	if _, err := c.nb.Write(nil); err != nil {
		return // closed, and the number may be another's
	}
	if err := stopReports(c.loop.poller, c.nb.Hash(), c.unsent > 0); err != nil {
		_ = c.nb.Close()
	}
}
