package ws

import (
	"encoding/binary"
	"unicode/utf8"
)

// AppendFrame appends a server's frame: one whole message or control frame.
func AppendFrame(dst []byte, op Opcode, payload []byte) []byte {
	return AppendFragment(dst, true, op, payload)
}

// AppendFragment appends a server's frame; fin says whether it is the last of its message. Fragments
// after the first have OpContinuation. RFC 6455 §5.4.
func AppendFragment(dst []byte, fin bool, op Opcode, payload []byte) []byte {
	dst = AppendHeader(dst, Header{Fin: fin, Opcode: op, Length: uint64(len(payload))})
	return append(dst, payload...)
}

// AppendCompressed appends a server's frame that carries a whole message as Deflater wrote it.
func AppendCompressed(dst []byte, op Opcode, deflated []byte) []byte {
	dst = AppendHeader(dst, Header{Fin: true, Rsv1: true, Opcode: op, Length: uint64(len(deflated))})
	return append(dst, deflated...)
}

// AppendMasked appends a client's frame: one whole message or control frame. The key must be
// unpredictable to whoever chose the payload. RFC 6455 §5.3, §10.3.
func AppendMasked(dst []byte, op Opcode, key [4]byte, payload []byte) []byte {
	return AppendMaskedFragment(dst, Header{Fin: true, Opcode: op, Mask: key}, payload)
}

// AppendMaskedFragment appends a client's frame with the bits, opcode and key of h; its Masked and
// Length are those of the frame whatever h says.
func AppendMaskedFragment(dst []byte, h Header, payload []byte) []byte {
	h.Masked, h.Length = true, uint64(len(payload))
	dst = AppendHeader(dst, h)
	start := len(dst)
	dst = append(dst, payload...)
	Mask(dst[start:], h.Mask, 0)
	return dst
}

// NoStatus stands for a close frame without a code. It never goes over the wire. RFC 6455 §7.4.1.
const NoStatus = 1005

// AppendClose appends a server's close frame. A reason beyond 123 bytes is cut between characters.
// With NoStatus the frame is empty. It panics upon a code that may not be sent.
func AppendClose(dst []byte, code uint16, reason string) []byte {
	var body [maxControlBytes]byte
	return AppendFrame(dst, OpClose, AppendCloseBody(body[:0], code, reason))
}

// AppendCloseBody appends the payload of the close frame that AppendClose writes, for AppendMasked.
func AppendCloseBody(dst []byte, code uint16, reason string) []byte {
	if code == NoStatus {
		return dst
	}
	if !ValidCloseCode(code) {
		panic("ws: close code may not be sent")
	}
	if len(reason) > maxControlBytes-2 {
		cut := maxControlBytes - 2
		for cut > 0 && !utf8.RuneStart(reason[cut]) {
			cut--
		}
		reason = reason[:cut]
	}
	dst = binary.BigEndian.AppendUint16(dst, code)
	return append(dst, reason...)
}
