package main

import (
	"bytes"
	"fmt"
	"strings"
)

// What is published: {"at":<nanoseconds since the start>,"pad":"…"}.
const (
	channelPrefix = "soak"
	minDataBytes  = 40
	dataForm      = `{"at":%d,"pad":"%s"}`
)

func channelName(i int) string { return fmt.Sprintf("%s%d", channelPrefix, i) }

// appendData appends the data of a publication that was due at, of size bytes
// or a little more.
func appendData(dst []byte, at int64, size int) []byte {
	dst = fmt.Appendf(dst, dataForm, at, "")
	if pad := size - len(dst); pad > 0 {
		dst = append(append(dst[:len(dst)-2], strings.Repeat("x", pad)...), `"}`...)
	}
	return dst
}

// publication is what a subscriber needs of one.
type publication struct {
	channel int
	at      int64 // nanoseconds since the start
	offset  uint64
}

// The words around the figures, in the order in which they stand in a push.
const (
	beforeChannel = `{"push":{"channel":"` + channelPrefix
	beforeAt      = `"at":`
	beforeOffset  = `"offset":`
)

// parsePublication finds the figures of a push without decoding it.
func parsePublication(message []byte) (p publication, ok bool) {
	rest, ok := bytes.CutPrefix(message, []byte(beforeChannel))
	if !ok {
		return p, false
	}
	channel, rest, ok := number(rest)
	if !ok {
		return p, false
	}
	i := bytes.Index(rest, []byte(beforeAt))
	if i < 0 {
		return p, false
	}
	at, rest, ok := number(rest[i+len(beforeAt):])
	if !ok {
		return p, false
	}
	if i = bytes.LastIndex(rest, []byte(beforeOffset)); i < 0 {
		return p, false
	}
	p.offset, _, ok = number(rest[i+len(beforeOffset):])
	p.channel, p.at = int(channel), int64(at)
	return p, ok
}

// number reads the digits that b begins with.
func number(b []byte) (n uint64, rest []byte, ok bool) {
	i := 0
	for i < len(b) && b[i] >= '0' && b[i] <= '9' && i < 19 {
		n = n*10 + uint64(b[i]-'0')
		i++
	}
	return n, b[i:], i > 0
}

// ledger is a subscriber's account of the offsets it saw. Its zero value
// expects offset 1 of every channel.
type ledger struct {
	last           []uint64 // by channel
	lost, repeated int64
}

// enter accounts for one offset of a channel. An offset that comes late was
// counted as lost before, and counts as out of order too.
func (l *ledger) enter(channel int, offset uint64) {
	for channel >= len(l.last) {
		l.last = append(l.last, 0)
	}
	switch last := &l.last[channel]; {
	case offset == *last+1:
		*last = offset
	case offset > *last:
		l.lost += int64(offset - *last - 1)
		*last = offset
	default:
		l.repeated++
	}
}
