// Package broker says what carries publications between nodes: who numbers
// them, in which order they arrive, and what an acknowledgement is worth.
// memory implements it for one node; brokertest is the suite that every
// implementation passes.
//
// A channel is a stream. Its publications are numbered 1, 2, 3 … (the offset)
// under an epoch: a random text that changes whenever the numbering starts
// anew. Positions of different epochs cannot be compared.
package broker

import (
	"context"
	"errors"
	"time"
)

// Position is a place in a stream: that of its newest publication, or of one.
type Position struct {
	Offset uint64
	Epoch  string
}

// Message is what a publisher hands in.
type Message struct {
	Data []byte // compact JSON, kept: the caller does not change it afterwards
	Info []byte // compact JSON about the publishing client; nil from the API
	Tags []byte // compact JSON object; nil if none

	Delta bool // who takes deltas is to be sent what changed since the publication before
}

// Publication is a Message with its place. It is immutable and shared.
type Publication struct {
	Channel string
	Position
	Message
}

// Sink receives what is published on channels that this node has attached or
// watches.
type Sink interface {
	// Deliver is called in the order of offsets, each once, and never by two
	// goroutines at once for one channel. It must not block and must not call
	// the broker.
	Deliver(p *Publication)
}

// Size is what m takes in a reply, about: its bytes and the envelope's.
func (m *Message) Size() int { return len(m.Data) + len(m.Info) + len(m.Tags) + 64 }

// Retention is how much of a stream is kept: the options history_size and
// history_ttl of its namespace. The zero value keeps nothing.
type Retention struct {
	Size int           // publications
	TTL  time.Duration // of the whole history, counted from the newest publication
	Skip bool          // this publication is no part of the stream: delivered with offset 0, not kept
}

// None reports whether nothing is kept.
func (r Retention) None() bool { return r.Size <= 0 || r.TTL <= 0 }

// Since asks for what was missed after a position.
type Since struct {
	Position      // an empty Epoch is any
	Limit    int  // most publications wanted; a longer run counts as not recovered
	Bytes    int  // most bytes of them, by Size; a larger run counts as not recovered
	Envelope int  // bytes that each takes beyond its Size
	Latest   bool // only the newest publication is wanted
}

// Attached is the answer to Attach.
type Attached struct {
	Position                // from which the subscriber is served
	Missed    []Publication // what lies between the position asked for and this one, in order; shared, not to be changed
	Recovered bool          // Missed is whole, or nothing was missed
}

// Filter selects from a history.
type Filter struct {
	Since   *Position // only what follows it, or with Reverse precedes it; nil: from the end that Reverse says
	Limit   int       // 0: none, only the position is wanted; below 0: all
	Bytes   int       // most bytes, by Size; what is over is left out at the end; 0: no bound
	Reverse bool      // newest first
}

var (
	// ErrFull refuses a new stream: the broker holds as many as it may.
	ErrFull = errors.New("broker: too many streams")
	// ErrUnrecoverable answers History with a position of another epoch or
	// beyond the top.
	ErrUnrecoverable = errors.New("broker: position is not of this stream")
	// ErrClosed answers every call after Close.
	ErrClosed = errors.New("broker: closed")
)

// Broker is safe for concurrent use.
type Broker interface {
	// Publish numbers m, keeps it as r says, and delivers it to every node that
	// attached or watches the channel. A publication that is not kept (but for r.Skip) drops
	// what was: a history has no gap and ends at the top. When Publish returns
	// without error the publication is numbered and kept; delivery to this node's Sink has happened or will, in
	// order.
	Publish(ctx context.Context, channel string, m Message, r Retention) (Position, error)

	// Attach counts one more subscriber of this node and returns the position
	// from which it is served: every publication with a higher offset is
	// delivered to the Sink after Attach was called, none is missed. With since,
	// what was published after that position up to the one returned comes with
	// it, if it is all there; with since.Latest only the newest of it.
	Attach(ctx context.Context, channel string, since *Since) (Attached, error)

	// Detach takes one Attach back. Without a matching one it panics.
	Detach(channel string)

	// Watch counts one more subscriber of this node to all channels that match
	// pattern, `*` being any run of characters, also none. Whatever is published to
	// one of them after Watch returned is delivered to the Sink, attached or not,
	// once however many count. There is no position: what was published before may
	// come or not, and what a node loses while it has no link to the broker is lost.
	// What no pattern matches may be delivered too; the Sink looks again.
	Watch(ctx context.Context, pattern string) error

	// Unwatch takes one Watch back. Without a matching one it panics.
	Unwatch(pattern string)

	// History returns the stream's position and what is kept of it, in order.
	// The publications are shared and must not be changed.
	History(ctx context.Context, channel string, f Filter) (Position, []Publication, error)

	// RemoveHistory drops what is kept. Offsets and epoch go on.
	RemoveHistory(ctx context.Context, channel string) error

	// Close ends delivery and waits until no Deliver is running.
	Close() error
}
