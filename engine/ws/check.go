package ws

// Violation is a peer's fault: static, so that refusing costs no allocation. Code is the close code
// to answer with, Reason a short text fit for the close frame, Label a metric label.
type Violation struct {
	Code   uint16
	Reason string
	Label  string
}

// What a peer can do wrong. RFC 6455 §7.4.1 names the codes.
var (
	ErrLengthForm       = &Violation{1002, "frame length not in its shortest form", "length_form"}
	ErrLengthRange      = &Violation{1002, "frame length out of range", "length_range"}
	ErrReservedBits     = &Violation{1002, "reserved bits set", "reserved_bits"}
	ErrReservedOpcode   = &Violation{1002, "reserved opcode", "reserved_opcode"}
	ErrUnmasked         = &Violation{1002, "frame not masked", "unmasked"}
	ErrMasked           = &Violation{1002, "frame masked by the server", "masked"}
	ErrControlLength    = &Violation{1002, "control frame too long", "control_length"}
	ErrControlFragment  = &Violation{1002, "control frame fragmented", "control_fragment"}
	ErrContinuation     = &Violation{1002, "continuation of nothing", "continuation"}
	ErrInterleaved      = &Violation{1002, "message within a message", "interleaved"}
	ErrCloseLength      = &Violation{1002, "close payload of one byte", "close_length"}
	ErrCloseCode        = &Violation{1002, "close code not allowed", "close_code"}
	ErrCloseReason      = &Violation{1007, "close reason is not UTF-8", "close_reason"}
	ErrText             = &Violation{1007, "text is not UTF-8", "text"}
	ErrDeflate          = &Violation{1007, "compressed data is corrupt", "deflate"}
	ErrTooManyFragments = &Violation{1008, "too many fragments", "fragments"}
	ErrTooManyBlocks    = &Violation{1008, "compressed in too many blocks", "deflate_blocks"}
	ErrTooBig           = &Violation{1009, "message too big", "too_big"}
)

// Violations lists every violation of this package, for metrics that want a closed set of labels.
func Violations() []*Violation {
	return []*Violation{
		ErrLengthForm, ErrLengthRange, ErrReservedBits, ErrReservedOpcode, ErrUnmasked, ErrMasked,
		ErrControlLength, ErrControlFragment, ErrContinuation, ErrInterleaved, ErrCloseLength,
		ErrCloseCode, ErrCloseReason, ErrText, ErrDeflate, ErrTooManyFragments,
		ErrTooManyBlocks, ErrTooBig,
	}
}

// State is what Check must know about the connection besides the header.
type State struct {
	Client      bool // the frame is received by a client, not by a server
	Compression bool // permessage-deflate has been negotiated
	Fragmented  bool // a data message has begun and its last frame has not come
}

// Check holds every rule of RFC 6455 §5 and RFC 7692 §6 that concerns a single header in its state.
func Check(h Header, s State) *Violation {
	switch {
	// RFC 6455 §5.2: RSV bits MUST be 0 unless an extension is negotiated that defines them.
	case h.Rsv2 || h.Rsv3:
		return ErrReservedBits
	// RFC 7692 §6: RSV1 marks the first frame of a compressed message. §6.1: it MUST NOT be set on
	// control frames nor on the fragments after the first.
	case h.Rsv1 && (!s.Compression || h.Opcode.Control() || h.Opcode == OpContinuation):
		return ErrReservedBits
	// RFC 6455 §5.2: an unknown opcode fails the connection.
	case h.Opcode > OpBinary && h.Opcode < OpClose || h.Opcode > OpPong:
		return ErrReservedOpcode
	// RFC 6455 §5.1: a server MUST close upon a frame that is not masked.
	case !h.Masked && !s.Client:
		return ErrUnmasked
	// RFC 6455 §5.1: a client MUST close upon a masked frame.
	case h.Masked && s.Client:
		return ErrMasked
	}
	if h.Opcode.Control() {
		return checkControl(h)
	}
	switch {
	// RFC 6455 §5.4: continuation frames follow the first fragment of a message.
	case h.Opcode == OpContinuation && !s.Fragmented:
		return ErrContinuation
	// RFC 6455 §5.4: the fragments of one message MUST NOT be interleaved with those of another.
	case h.Opcode != OpContinuation && s.Fragmented:
		return ErrInterleaved
	}
	return nil
}

func checkControl(h Header) *Violation {
	switch {
	// RFC 6455 §5.5: control frames MUST have a payload length of 125 bytes or less.
	case h.Length > maxControlBytes:
		return ErrControlLength
	// RFC 6455 §5.5: control frames MUST NOT be fragmented.
	case !h.Fin:
		return ErrControlFragment
	// RFC 6455 §5.5.1: a body, if there is one, begins with a two-byte code.
	case h.Opcode == OpClose && h.Length == 1:
		return ErrCloseLength
	}
	return nil
}

// maxControlBytes bounds a control frame's payload. RFC 6455 §5.5.
const maxControlBytes = 125

// ValidCloseCode tells whether a close frame may carry the code. RFC 6455 §7.4 and IANA's registry:
// 1004 is reserved; 1005, 1006 and 1015 never go over the wire; 1012 to 1014 came later.
func ValidCloseCode(code uint16) bool {
	switch {
	case code >= 1000 && code <= 1003:
		return true
	case code >= 1007 && code <= 1014:
		return true
	}
	return code >= 3000 && code <= 4999
}
