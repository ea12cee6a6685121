package record

// Alert descriptions of RFC 8446 §6 that this layer names.
const (
	AlertCloseNotify       uint8 = 0
	AlertUnexpectedMessage uint8 = 10
	AlertBadRecordMAC      uint8 = 20
	AlertRecordOverflow    uint8 = 22
	AlertDecodeError       uint8 = 50
)

// Violation is a peer's fault: the alert that answers it (RFC 8446 §6.2) and a short reason for counters and logs.
// The values are static and compared by identity; none holds bytes of the peer.
type Violation struct {
	Alert  uint8
	Reason string
}

// The violations of this layer. Read only.
var (
	// ErrUnexpectedMessage: a record type or an inner type that may not stand here (§5, §5.2, §5.4).
	ErrUnexpectedMessage = &Violation{AlertUnexpectedMessage, "unexpected record type"}
	// ErrEmptyMessage: a handshake or alert record without content (§5.1, §5.4).
	ErrEmptyMessage = &Violation{AlertUnexpectedMessage, "empty handshake or alert record"}
	// ErrBadRecordMAC: the record does not open with this key (§5.2).
	ErrBadRecordMAC = &Violation{AlertBadRecordMAC, "record does not authenticate"}
	// ErrRecordOverflow: a record longer than §5.1, §5.2 or §5.4 allow.
	ErrRecordOverflow = &Violation{AlertRecordOverflow, "record too long"}
	// ErrDecode: an alert record that is not exactly one alert (§5.1, §6).
	ErrDecode = &Violation{AlertDecodeError, "malformed alert record"}
)
