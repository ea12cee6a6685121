package tlsconn

import (
	"encoding/binary"

	"weir/engine/tlsconn/record"
)

// Limits of a ClientHello, which is collected before anything is known of the peer.
const (
	// MaxHello bounds the bytes of a ClientHello with its record headers. Post-quantum key shares make it 2 KB, a
	// ticket with client certificates some KB more.
	MaxHello = 16 << 10
	// maxHelloRecords bounds the pieces it is cut into, hence the work of Hello for each call.
	maxHelloRecords = 64

	messageHeaderLen = 4
	typeClientHello  = 1
)

// The violations of Hello. Read only. There is no key and no version yet; the peer need not be answered.
var (
	ErrNotTLS       = &record.Violation{Alert: record.AlertUnexpectedMessage, Reason: "first byte is not a TLS handshake"}
	ErrHelloVersion = &record.Violation{Alert: alertProtocolVersion, Reason: "record version before the hello is not TLS"}
	ErrHelloLength  = &record.Violation{Alert: record.AlertRecordOverflow, Reason: "ClientHello too long or in too many records"}
	ErrHelloEmpty   = &record.Violation{Alert: record.AlertUnexpectedMessage, Reason: "empty record before the hello"}
	ErrNotHello     = &record.Violation{Alert: record.AlertUnexpectedMessage, Reason: "first message is not a ClientHello"}
)

// Hello reports whether b, all bytes of a connection so far, holds a whole ClientHello (RFC 8446 §4.1.2), in one
// record or several (§5.1). whole false and v nil: need more. It reads lengths only; what the hello says is
// crypto/tls's to judge. A violation is told as early as the bytes allow. b is not kept; bytes after the hello do not
// matter. 0 allocations, at most maxHelloRecords steps.
func Hello(b []byte) (whole bool, v *record.Violation) {
	var message [messageHeaderLen]byte
	have, need := 0, messageHeaderLen
	for off, records := 0, 0; off < len(b); records++ {
		if records == maxHelloRecords || off+record.HeaderLen >= MaxHello {
			return false, ErrHelloLength
		}
		rest := b[off:]
		if v := checkHelloHeader(rest); v != nil {
			return false, v
		}
		if len(rest) < record.HeaderLen {
			break
		}
		n := int(binary.BigEndian.Uint16(rest[3:]))
		body := rest[record.HeaderLen:min(len(rest), record.HeaderLen+n)]
		if have < messageHeaderLen {
			copy(message[have:], body)
		}
		have += len(body)
		if have > 0 && message[0] != typeClientHello {
			return false, ErrNotHello
		}
		if have >= messageHeaderLen {
			need = messageHeaderLen + (int(message[1])<<16 | int(message[2])<<8 | int(message[3]))
		}
		if need > MaxHello {
			return false, ErrHelloLength
		}
		// crypto/tls reads whole records, so the one in which the hello ends must be there.
		switch off += record.HeaderLen + n; {
		case off > MaxHello: // however much of it is there: what is said must not depend on how it comes
			return false, ErrHelloLength
		case have >= need && off <= len(b):
			return true, nil
		}
	}
	if len(b) >= MaxHello {
		return false, ErrHelloLength
	}
	return false, nil
}

// checkHelloHeader judges the first record header in b, of which any part may be there. RFC 8446 §5.1: the version
// is 0x0301 or 0x0303 in practice, but only its first byte is held against the peer.
func checkHelloHeader(b []byte) *record.Violation {
	switch {
	case record.Type(b[0]) != record.Handshake:
		return ErrNotTLS
	case len(b) > 1 && b[1] != 3:
		return ErrHelloVersion
	case len(b) < record.HeaderLen:
		return nil
	}
	switch n := int(binary.BigEndian.Uint16(b[3:])); {
	case n == 0:
		return ErrHelloEmpty
	case n > MaxHello-record.HeaderLen:
		return ErrHelloLength
	}
	return nil
}
