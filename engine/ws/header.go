// Package ws is the WebSocket wire: RFC 6455 §5 to §8 and permessage-deflate of RFC 7692 without
// context takeover. It is pure: bytes in, events or a violation out. It knows no socket, no clock and
// no goroutine.
//
// Inbound, a connection has a Reader and the loop that owns the connection has a Scratch. Each read
// from the socket goes through Next until it is used up:
//
//	for {
//		ev, rest, v := c.reader.Next(in, &limits, &loop.scratch)
//		if v != nil { … close with v.Code … }
//		if ev.Kind == ws.None { break }
//		… ev.Payload is on loan until the next call with this scratch …
//		in = rest
//	}
//
// An idle Reader is 16 bytes. A frame that lies whole in the read is unmasked where it lies and handed
// out from there; nothing is copied or allocated. A frame or message that does not lie whole is
// collected in a buffer borrowed from the Scratch, which grows with the bytes that have arrived and
// never by the length that the peer declares.
//
// Outbound, the Append functions write whole frames. ParseHeader and AppendHeader mirror each other;
// Check holds every rule about a single header.
package ws

import "encoding/binary"

// Opcode says what a frame is. RFC 6455 §5.2.
type Opcode uint8

// The opcodes of RFC 6455 §11.8; all others are reserved.
const (
	OpContinuation Opcode = 0x0
	OpText         Opcode = 0x1
	OpBinary       Opcode = 0x2
	OpClose        Opcode = 0x8
	OpPing         Opcode = 0x9
	OpPong         Opcode = 0xA
)

// Control tells whether the opcode, reserved or not, is that of a control frame. RFC 6455 §5.5.
func (op Opcode) Control() bool { return op&0x8 != 0 }

// MaxHeaderBytes is the longest frame header: two bytes, a 64-bit length and the masking key.
const MaxHeaderBytes = 14

// Header is the head of one frame. RFC 6455 §5.2.
type Header struct {
	Fin, Rsv1, Rsv2, Rsv3, Masked bool
	Opcode                        Opcode
	Mask                          [4]byte // meaningful if Masked
	Length                        uint64  // of the payload, bytes; below 2⁶³
}

// ParseHeader reads the header that b begins with and returns its length n. n is 0 if b does not hold
// it whole, or if there is a violation. Only the form of the length is judged here; the rest is for Check.
func ParseHeader(b []byte) (h Header, n int, v *Violation) {
	if len(b) < 2 {
		return Header{}, 0, nil
	}
	h = Header{
		Fin:    b[0]&0x80 != 0,
		Rsv1:   b[0]&0x40 != 0,
		Rsv2:   b[0]&0x20 != 0,
		Rsv3:   b[0]&0x10 != 0,
		Masked: b[1]&0x80 != 0,
		Opcode: Opcode(b[0] & 0x0F),
		Length: uint64(b[1] & 0x7F),
	}
	n = 2
	switch h.Length {
	case 126:
		n = 4
		if len(b) < n {
			return Header{}, 0, nil
		}
		h.Length = uint64(binary.BigEndian.Uint16(b[2:]))
		if h.Length < 126 {
			return Header{}, 0, ErrLengthForm
		}
	case 127:
		n = 10
		if len(b) < n {
			return Header{}, 0, nil
		}
		h.Length = binary.BigEndian.Uint64(b[2:])
		if h.Length>>63 != 0 {
			return Header{}, 0, ErrLengthRange
		}
		if h.Length <= 0xFFFF {
			return Header{}, 0, ErrLengthForm
		}
	}
	if h.Masked {
		if len(b) < n+4 {
			return Header{}, 0, nil
		}
		h.Mask = [4]byte(b[n:])
		n += 4
	}
	return h, n, nil
}

// AppendHeader appends the header in its shortest form. It panics if Length is 2⁶³ or more.
func AppendHeader(dst []byte, h Header) []byte {
	first := byte(h.Opcode & 0x0F)
	for i, set := range [...]bool{h.Rsv3, h.Rsv2, h.Rsv1, h.Fin} {
		if set {
			first |= 0x10 << i
		}
	}
	var second byte
	if h.Masked {
		second = 0x80
	}
	switch {
	case h.Length < 126:
		dst = append(dst, first, second|byte(h.Length))
	case h.Length <= 0xFFFF:
		dst = append(dst, first, second|126)
		dst = binary.BigEndian.AppendUint16(dst, uint16(h.Length))
	case h.Length>>63 == 0:
		dst = append(dst, first, second|127)
		dst = binary.BigEndian.AppendUint64(dst, h.Length)
	default:
		panic("ws: frame length out of range")
	}
	if h.Masked {
		dst = append(dst, h.Mask[:]...)
	}
	return dst
}
