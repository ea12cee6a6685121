// Package payload is what the load generator publishes: a JSON object that says
// where it belongs, when it was due, and whether it is whole. A receiver finds it
// in a message of any protocol without parsing the envelope around it.
//
//	{"weir":"ssssssssnnnnnnnnnnnnnnnndddddddddddddddd","crc":"cccccccc","pad":"aaaa…"}
//
// All numbers are of fixed width and hexadecimal: the stream (8 digits), the number
// in it (16), the time at which it was due (16, nanoseconds since 1970), and
// CRC-32C over these digits and the pad (8).
package payload

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
)

// Beginning is how every payload begins.
const Beginning = `{"weir":"`

const (
	head   = Beginning
	digits = 8 + 16 + 16
	middle = `","crc":"`
	behind = `","pad":"`
	tail   = `"}`

	// MinSize is the shortest payload in bytes.
	MinSize = len(head) + digits + len(middle) + 8 + len(behind) + len(tail)
)

var (
	// ErrNone says that there is no payload in what was searched.
	ErrNone = errors.New("no payload of the load generator")
	// ErrCorrupt says that there is one, but not as it was sent.
	ErrCorrupt = errors.New("a payload that is not as it was sent")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Publication is what a payload says.
type Publication struct {
	Stream uint32 // a channel's numbering by one publisher
	Seq    uint64 // in the stream, from 1 on
	Due    int64  // when it should have been published: nanoseconds since 1970
}

// Append appends the payload of p, size bytes long, at least MinSize.
func Append(dst []byte, p Publication, size int) []byte {
	dst = append(dst, head...)
	start := len(dst)
	dst = appendHex(dst, uint64(p.Stream), 8)
	dst = appendHex(dst, p.Seq, 16)
	dst = appendHex(dst, uint64(p.Due), 16)
	sum := crc32.Update(0, castagnoli, dst[start:])
	dst = append(dst, middle...)
	crcAt := len(dst)
	dst = append(dst, "00000000"+behind...)
	padAt := len(dst)
	for n := size - MinSize; n > 0; n-- {
		dst = append(dst, 'a'+byte((uint64(n)+p.Seq)%26))
	}
	appendHex(dst[:crcAt], uint64(crc32.Update(sum, castagnoli, dst[padAt:])), 8)
	return append(dst, tail...)
}

// Next finds the first payload in b and returns what stands behind it. With
// ErrCorrupt rest is behind the place at which it begins, with ErrNone empty.
func Next(b []byte) (p Publication, rest []byte, err error) {
	at := bytes.Index(b, []byte(head))
	if at < 0 {
		return p, nil, ErrNone
	}
	b = b[at+len(head):]
	if len(b) < MinSize-len(head) || string(b[digits:digits+len(middle)]) != middle {
		return p, b, ErrCorrupt
	}
	sum := crc32.Update(0, castagnoli, b[:digits])
	told, valid := hex(b[digits+len(middle):][:8])
	pad := b[digits+len(middle)+8:]
	if string(pad[:len(behind)]) != behind {
		return p, b, ErrCorrupt
	}
	pad = pad[len(behind):]
	end := bytes.IndexByte(pad, '"')
	if end < 0 || !valid || uint32(told) != crc32.Update(sum, castagnoli, pad[:end]) {
		return p, b, ErrCorrupt
	}
	stream, ok1 := hex(b[:8])
	seq, ok2 := hex(b[8:24])
	due, ok3 := hex(b[24:40])
	if !ok1 || !ok2 || !ok3 || !bytes.HasPrefix(pad[end:], []byte(tail)) {
		return p, b, ErrCorrupt
	}
	return Publication{uint32(stream), seq, int64(due)}, pad[end+len(tail):], nil
}

// CheckSize tells whether payloads can have this size.
func CheckSize(size, most int) error {
	if size < MinSize || size > most {
		return fmt.Errorf("payloads of %d bytes: from %d to %d", size, MinSize, most)
	}
	return nil
}

func appendHex(dst []byte, v uint64, width int) []byte {
	for shift := 4 * (width - 1); shift >= 0; shift -= 4 {
		dst = append(dst, "0123456789abcdef"[v>>shift&15])
	}
	return dst
}

func hex(b []byte) (v uint64, ok bool) {
	for _, c := range b {
		switch {
		case c >= '0' && c <= '9':
			v = v<<4 | uint64(c-'0')
		case c >= 'a' && c <= 'f':
			v = v<<4 | uint64(c-'a'+10)
		default:
			return 0, false
		}
	}
	return v, true
}
