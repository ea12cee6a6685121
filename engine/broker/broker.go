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
}

// Publication is a Message with its place. It is immutable and shared.
type Publication struct {
	Channel string
	Position
	Message
}

// Sink receives what is published on channels that this node has attached.
type Sink interface {
	// Deliver is called in the order of offsets, each once, and never by two
	// goroutines at once for one channel. It must not block and must not call
	// the broker.
	Deliver(p *Publication)
}

var (
	// ErrFull refuses a new stream: the broker holds as many as it may.
	ErrFull = errors.New("broker: too many streams")
	// ErrClosed answers every call after Close.
	ErrClosed = errors.New("broker: closed")
)

// Broker is safe for concurrent use.
type Broker interface {
	// Publish numbers m, keeps it as the channel's options ask, and delivers it
	// to every node that attached the channel. When it returns without error
	// the publication is numbered and kept; delivery to this node's Sink has
	// happened or will, in order.
	Publish(ctx context.Context, channel string, m Message) (Position, error)

	// Attach counts one more subscriber of this node and returns the position
	// from which it is served: every publication with a higher offset is
	// delivered to the Sink after Attach was called, none is missed.
	Attach(ctx context.Context, channel string) (Position, error)

	// Detach takes one Attach back. Without a matching one it panics.
	Detach(channel string)

	// Close ends delivery and waits until no Deliver is running.
	Close() error
}
