package hub

import (
	"weir/engine/broker"
	"weir/engine/outbox"
	"weir/engine/pointer"
)

// Overflow is what becomes of a publication for which an outbox has no room.
type Overflow uint8

const (
	Disconnect Overflow = iota // the connection is closed
	DropOldest                 // what waits longest gives way
	DropNewest                 // it is dropped
	Conflate                   // of each key only the newest is kept, beside the outbox
	Overflows
)

// Policy is how the channels of a namespace treat slow consumers (PROTOCOL.md
// §5). It goes by value from who knows the namespaces to each channel. The zero
// value closes connections that are over their own bound.
type Policy struct {
	Overflow Overflow
	Class    outbox.Class // whose frames share the namespace's bound in an outbox

	// Of Conflate: where the key stands, and the bounds of Arrears.
	Key     pointer.Pointer
	Bytes   int
	Entries int
}

// key is what p is conflated by among the publications to c: nil if it has no
// key, so that it stands for itself. Through a pattern come several channels; the
// newline, which no name has, keeps a:1 with key 2 apart from a: with key 12.
func (c *Channel) key(p *broker.Publication) []byte {
	policy := c.Policy()
	if policy.Overflow != Conflate {
		return nil
	}
	key := policy.Key.Scalar(p.Data)
	if key == nil || !c.Pattern {
		return key
	}
	return append(append(append(make([]byte, 0, len(p.Channel)+1+len(key)), p.Channel...), '\n'), key...)
}
