package record

import (
	"crypto/cipher"
	"encoding/binary"
	"math"
	"slices"
)

// Lengths in bytes: RFC 8446 §5.1, §5.2.
const (
	HeaderLen    = 5                                 // type, legacy version, length
	MaxPlaintext = 1 << 14                           // content of one record
	MaxRecord    = HeaderLen + MaxPlaintext + 256    // the longest record a peer may send
	Overhead     = HeaderLen + innerTypeLen + tagLen // what Seal adds to a plaintext, header included
	innerTypeLen = 1
	maxFragment  = MaxRecord - HeaderLen
)

// Type is a record's content type: RFC 8446 §5.1.
type Type uint8

// The content types of TLS 1.3.
const (
	ChangeCipherSpec Type = 20
	Alert            Type = 21
	Handshake        Type = 22
	ApplicationData  Type = 23
)

// Scratch is the room for one nonce, which would otherwise escape to the heap for each record. One per event loop;
// its content means nothing between calls.
type Scratch struct {
	nonce [ivLen]byte
}

// Split looks at the first record in b and answers its whole length, header included, once all of it is there. 0 means
// need more. A first byte that is no content type is refused at once and a length over the limit as soon as the header
// is there: nobody makes room for a record that is refused anyway. b may hold more than one record. The version is
// ignored (§5.1), and Split does not say whether the record opens.
func Split(b []byte) (n int, v *Violation) {
	if len(b) == 0 {
		return 0, nil
	}
	if t := Type(b[0]); t < ChangeCipherSpec || t > ApplicationData {
		return 0, ErrUnexpectedMessage
	}
	if len(b) < HeaderLen {
		return 0, nil
	}
	n = fragmentLen(b)
	if n > maxFragment {
		return 0, ErrRecordOverflow
	}
	if len(b) < HeaderLen+n {
		return 0, nil
	}
	return HeaderLen + n, nil
}

// fragmentLen is the length field of the header at the start of b.
func fragmentLen(b []byte) int { return int(binary.BigEndian.Uint16(b[3:HeaderLen])) }

// Open opens rec, which is exactly one record as cut by Split, in place: plain aliases rec and is valid as long as rec
// is. a is the cipher of k as it is now. The sequence number advances only when the record opens.
//
// The only unprotected record it accepts is a change_cipher_spec of one byte 0x01: typ ChangeCipherSpec, plain empty;
// whether it may stand here is the caller's to say (§5: not after the handshake). Else typ is Alert (plain has exactly
// two bytes), Handshake (never empty) or ApplicationData (may be empty). Padding is taken off (§5.4).
//
// It panics if rec is not exactly one record: Split was not asked.
func (k *Key) Open(s *Scratch, a cipher.AEAD, rec []byte) (typ Type, plain []byte, v *Violation) {
	if len(rec) < HeaderLen || fragmentLen(rec) != len(rec)-HeaderLen {
		panic("record: Open of something else than exactly one record")
	}
	header, body := rec[:HeaderLen:HeaderLen], rec[HeaderLen:]
	switch Type(header[0]) {
	case ApplicationData:
	case ChangeCipherSpec:
		// RFC 8446 §5: "A change_cipher_spec record received with any other value ... unexpected_message".
		if len(body) != 1 || body[0] != 1 {
			return 0, nil, ErrUnexpectedMessage
		}
		return ChangeCipherSpec, nil, nil
	default:
		return 0, nil, ErrUnexpectedMessage
	}
	// RFC 8446 §5.2: "length MUST NOT exceed 2^14 + 256 bytes ... record_overflow".
	if len(body) > maxFragment {
		return 0, nil, ErrRecordOverflow
	}
	// A body too short for type and tag cannot authenticate; nor may a sequence number repeat (§5.3).
	if len(body) < innerTypeLen+tagLen || k.seq == math.MaxUint64 {
		return 0, nil, ErrBadRecordMAC
	}
	k.nonce(s)
	inner, err := a.Open(body[:0], s.nonce[:], body, header)
	if err != nil {
		return 0, nil, ErrBadRecordMAC
	}
	k.seq++
	return parseInner(inner)
}

// parseInner reads a TLSInnerPlaintext: content, type, zeros (RFC 8446 §5.2, §5.4).
func parseInner(inner []byte) (typ Type, plain []byte, v *Violation) {
	// §5.4: "the full encoded TLSInnerPlaintext MUST NOT exceed 2^14 + 1 octets".
	if len(inner) > MaxPlaintext+innerTypeLen {
		return 0, nil, ErrRecordOverflow
	}
	end := trimZeros(inner)
	// §5.4: "If a receiving implementation does not find a non-zero octet ... unexpected_message".
	if end == 0 {
		return 0, nil, ErrUnexpectedMessage
	}
	typ, plain = Type(inner[end-1]), inner[:end-1:end-1]
	switch typ {
	case ApplicationData:
		// §5.4: "Application Data records may contain a zero-length TLSInnerPlaintext.content".
		return typ, plain, nil
	case Handshake, Alert:
		// §5.4: "Implementations MUST NOT send Handshake and Alert records that have a zero-length content".
		if len(plain) == 0 {
			return 0, nil, ErrEmptyMessage
		}
		// §5.1: "a record with an Alert type MUST contain exactly one message".
		if typ == Alert && len(plain) != 2 {
			return 0, nil, ErrDecode
		}
		return typ, plain, nil
	}
	// §5: a protected change_cipher_spec, and any type that is not known: unexpected_message.
	return 0, nil, ErrUnexpectedMessage
}

// trimZeros answers the length of b without the zero bytes at its end, eight at a time: a peer may pad every record
// to its full length.
func trimZeros(b []byte) int {
	n := len(b)
	for n >= 8 && binary.NativeEndian.Uint64(b[n-8:n]) == 0 {
		n -= 8
	}
	for n > 0 && b[n-1] == 0 {
		n--
	}
	return n
}

// Seal makes a record of buf[start:]: HeaderLen bytes of room for the header, then the plaintext, at most MaxPlaintext
// bytes. It is sealed in place, type and tag are appended, and the longer slice is returned; what stands before start
// is not touched. With HeaderLen+len(plaintext)+17 bytes of capacity from start nothing is allocated. a is the cipher of k
// as it is now.
//
// It panics for a plaintext over MaxPlaintext, and when the sequence number has run out: the caller did not heed
// NeedsUpdate.
func (k *Key) Seal(s *Scratch, a cipher.AEAD, buf []byte, start int, typ Type) []byte {
	content := start + HeaderLen
	n := len(buf) - content
	if n < 0 || n > MaxPlaintext {
		panic("record: Seal of a plaintext that does not fit a record")
	}
	if k.seq == math.MaxUint64 {
		panic("record: Seal past the last sequence number")
	}
	buf = append(slices.Grow(buf, innerTypeLen+tagLen), byte(typ))
	header := buf[start:content:content]
	header[0] = byte(ApplicationData) // §5.2: opaque_type, legacy_record_version
	header[1], header[2] = 3, 3
	binary.BigEndian.PutUint16(header[3:], uint16(n+innerTypeLen+tagLen))
	k.nonce(s)
	sealed := a.Seal(buf[content:content], s.nonce[:], buf[content:], header)
	k.seq++
	return buf[:content+len(sealed)]
}

// nonce puts the per-record nonce into s: the IV xor the sequence number, big-endian on the right (RFC 8446 §5.3).
func (k *Key) nonce(s *Scratch) {
	s.nonce = k.iv
	low := s.nonce[ivLen-8:]
	binary.BigEndian.PutUint64(low, binary.BigEndian.Uint64(low)^k.seq)
}
