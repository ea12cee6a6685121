package tlsconn

import (
	"crypto/cipher"

	"weir/engine/tlsconn/record"
)

// Limits of an established connection.
const (
	// maxKeyUpdates bounds KeyUpdates of a peer in one minute of Shared's clock: each costs two key derivations and,
	// if asked for, an answer. RFC 8446 §5.5 has an honest one send one in 2^24 records.
	maxKeyUpdates = 16
	// maxUseless bounds records in a row that carry nothing: empty ones (RFC 8446 §5.4 allows them) and user_canceled.
	maxUseless = 32
	// extra12 is what a TLS 1.2 connection takes beside one of TLS 1.3, in bytes.
	extra12 = 8 << 10
)

// The violations of an established connection, beside those of package record. Read only.
var (
	ErrLateCCS       = &record.Violation{Alert: record.AlertUnexpectedMessage, Reason: "change_cipher_spec after the handshake"}
	ErrPostHandshake = &record.Violation{Alert: record.AlertUnexpectedMessage, Reason: "post-handshake message other than KeyUpdate"}
	ErrInterleaved   = &record.Violation{Alert: record.AlertUnexpectedMessage, Reason: "record inside a cut handshake message"}
	ErrKeyBoundary   = &record.Violation{Alert: record.AlertUnexpectedMessage, Reason: "bytes behind a KeyUpdate in its record"}
	ErrKeyUpdate     = &record.Violation{Alert: record.AlertDecodeError, Reason: "KeyUpdate of a wrong length"}
	ErrKeyUpdateKind = &record.Violation{Alert: alertIllegalParameter, Reason: "KeyUpdate of an unknown kind"}
	ErrKeyUpdates    = &record.Violation{Alert: record.AlertUnexpectedMessage, Reason: "too many KeyUpdates"}
	ErrUseless       = &record.Violation{Alert: record.AlertUnexpectedMessage, Reason: "too many empty records"}
	// ErrPeerAlert: the peer sent a fatal alert, which is not answered.
	ErrPeerAlert     = &record.Violation{Alert: record.AlertCloseNotify, Reason: "peer sent a fatal alert"}
	ErrRenegotiation = &record.Violation{Alert: alertNoRenegotiation, Reason: "TLS 1.2 renegotiation"}
	ErrRecord12      = &record.Violation{Alert: record.AlertBadRecordMAC, Reason: "TLS 1.2 record refused"}
)

// Conn is an established connection, filled by Handshake.Take and embedded by value in the loop's own. Owned by the
// loop, like the Shared that all calls for it name. Not copied; wiped before its memory is used again. After
// CloseNotify or a Violation nothing may be opened; after AppendCloseNotify or AppendAlert nothing may be sealed.
//
// Whatever Seal, Open and the Append methods produce must reach the socket in the order in which it was produced.
type Conn struct {
	keys  [2]record.Key // by direction
	extra *extra        // nil with TLS 1.3 while no cipher is kept
	used  [2]uint16     // Shared's clock, modulo 2^16, at the last use of each key; 0: never

	minute  uint8 // in which updates were counted, modulo 2^8
	updates uint8 // KeyUpdates of the peer in that minute
	useless uint8 // records in a row that carried nothing
	partial uint8 // bytes of a KeyUpdate that have arrived
}

// direction is which of a connection's keys.
type direction uint8

const (
	reading direction = iota
	writing
)

// extra is what an idle connection with TLS 1.3 does without.
type extra struct {
	v12     *stream12      // nil for TLS 1.3
	aeads   [2]cipher.AEAD // by direction, owned by Shared; nil: made anew for each record
	place   uint32         // owned by Shared: 1 + place among the connections with a cipher; 0: none
	seconds [2]uint8       // owned by Shared: in which each cipher was used, beside the first; counted up to steadyAfter
}

// v12 is nil for TLS 1.3.
func (c *Conn) v12() *stream12 {
	if c.extra == nil {
		return nil
	}
	return c.extra.v12
}

// Extra is about what the connection takes beside what each does, in bytes: with TLS 1.2 crypto/tls goes on.
func (c *Conn) Extra() int {
	if c.v12() != nil {
		return extra12
	}
	return 0
}

// Opened is the outcome of one record.
type Opened struct {
	Plain       []byte            // application data; aliases the record. Empty for control and empty records
	N           int               // length of the record, to be taken off the input; 0: need more, or Violation
	Out         []byte            // dst of Open, with what must now be written to the socket appended
	CloseNotify bool              // the peer sends nothing any more (Plain is used first)
	Violation   *record.Violation // the connection is over; its alert is in Out
}

// Open takes the first whole record off in, in place. N 0 without a Violation: need more, and in is untouched. Answers
// (to a KeyUpdate, an alert to a violation) are appended to out. 0 allocations while the cipher is kept.
func (c *Conn) Open(s *Shared, in, out []byte) Opened {
	n, v := record.Split(in)
	switch {
	case v != nil:
		return c.refuse(s, out, v)
	case n == 0:
		return Opened{Out: out}
	}
	rec := in[:n:n]
	if v12 := c.v12(); v12 != nil {
		return v12.open(rec, out)
	}
	// RFC 8446 §5: a change_cipher_spec may only stand before the peer's Finished.
	if record.Type(rec[0]) == record.ChangeCipherSpec {
		return c.refuse(s, out, ErrLateCCS)
	}
	typ, plain, v := c.keys[reading].Open(&s.scratch, s.cipher(c, reading), rec)
	if v != nil {
		return c.refuse(s, out, v)
	}
	o := Opened{N: n, Out: out}
	switch {
	case typ == record.Handshake:
		o.Out, v = c.postHandshake(s, plain, out)
	case c.partial > 0:
		// §5.1: "Handshake messages MUST NOT be interleaved with other record types."
		v = ErrInterleaved
	case typ == record.Alert:
		o.CloseNotify, v = c.alert(plain[1])
	case len(plain) == 0:
		v = c.countUseless()
	default:
		c.useless = 0
		o.Plain = plain
	}
	if v != nil {
		return c.refuse(s, out, v)
	}
	return o
}

// refuse ends the connection with v's alert. Nothing is opened or sealed after it, so no cipher is kept either.
func (c *Conn) refuse(s *Shared, out []byte, v *record.Violation) Opened {
	if v != ErrPeerAlert {
		out = c.AppendAlert(s, out, v.Alert)
	}
	s.drop(c)
	return Opened{Out: out, Violation: v}
}

// alert judges a peer's alert: RFC 8446 §6, the level is ignored.
func (c *Conn) alert(description uint8) (closeNotify bool, v *record.Violation) {
	switch description {
	case record.AlertCloseNotify:
		return true, nil
	case alertUserCanceled: // §6.1: a notice before close_notify
		return false, c.countUseless()
	}
	return false, ErrPeerAlert
}

func (c *Conn) countUseless() *record.Violation {
	if c.useless++; c.useless > maxUseless {
		return ErrUseless
	}
	return nil
}

// postHandshake takes the content of a handshake record. Only KeyUpdate may come (RFC 8446 §4.6: a client sends neither
// tickets nor, unasked, certificates). It may be cut over records but must end where its record ends (§5.1).
func (c *Conn) postHandshake(s *Shared, content, out []byte) ([]byte, *record.Violation) {
	const typeKeyUpdate, updateRequested = 24, 1
	keyUpdate := [...]byte{typeKeyUpdate, 0, 0, 1} // and its length; what is behind says whether to answer
	for i, b := range content {
		at := int(c.partial)
		c.partial++
		switch {
		case at == 0 && b != typeKeyUpdate:
			return out, ErrPostHandshake
		case at < len(keyUpdate) && b != keyUpdate[at]:
			return out, ErrKeyUpdate
		case at < len(keyUpdate):
			continue
		case b > updateRequested:
			// §4.6.3: "any other value ... illegal_parameter".
			return out, ErrKeyUpdateKind
		case i != len(content)-1:
			return out, ErrKeyBoundary
		}
		c.partial = 0
		if v := c.countUpdate(s); v != nil {
			return out, v
		}
		if b == updateRequested {
			out = c.appendKeyUpdate(s, out)
		}
		c.keys[reading].Update()
		s.forget(c, reading)
	}
	return out, nil
}

// countUpdate charges one KeyUpdate of the peer to the minute.
func (c *Conn) countUpdate(s *Shared) *record.Violation {
	if minute := uint8(s.clock / 60); minute != c.minute {
		c.minute, c.updates = minute, 0
	}
	if c.updates++; c.updates > maxKeyUpdates {
		return ErrKeyUpdates
	}
	return nil
}

// appendKeyUpdate sends update_not_requested under the old key, then rolls it: RFC 8446 §4.6.3.
func (c *Conn) appendKeyUpdate(s *Shared, dst []byte) []byte {
	dst = c.appendRecord(s, dst, record.Handshake, 24, 0, 0, 1, 0)
	c.keys[writing].Update()
	s.forget(c, writing)
	return dst
}

// appendRecord seals a few bytes of another type than application data.
func (c *Conn) appendRecord(s *Shared, dst []byte, typ record.Type, content ...byte) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0, 0)
	dst = append(dst, content...)
	return c.keys[writing].Seal(&s.scratch, s.cipher(c, writing), dst, start, typ)
}

// Seal makes one record of application data: buf[start:start+5] is room for the header, buf[start+5:] the plaintext,
// at most record.MaxPlaintext bytes, in place. The longer slice is returned; with 44 bytes of spare capacity nothing is
// allocated while the cipher is kept. Our own KeyUpdate goes out behind the record that reaches the cipher's limit
// (RFC 8446 §5.5), so what is returned may hold two records. TLS 1.2 cannot roll keys and empty plaintexts are
// no record there.
func (c *Conn) Seal(s *Shared, buf []byte, start int) []byte {
	if v12 := c.v12(); v12 != nil {
		return v12.seal(buf, start)
	}
	buf = c.keys[writing].Seal(&s.scratch, s.cipher(c, writing), buf, start, record.ApplicationData)
	if c.keys[writing].NeedsUpdate() {
		buf = c.appendKeyUpdate(s, buf)
	}
	return buf
}

// AppendCloseNotify appends the record that says that nothing more will be sent: RFC 8446 §6.1.
func (c *Conn) AppendCloseNotify(s *Shared, dst []byte) []byte {
	return c.AppendAlert(s, dst, record.AlertCloseNotify)
}

// AppendAlert appends an alert (RFC 8446 §6.2); for TLS 1.2 always close_notify, once.
func (c *Conn) AppendAlert(s *Shared, dst []byte, code uint8) []byte {
	if v12 := c.v12(); v12 != nil {
		return v12.closeNotify(dst)
	}
	const warning, fatal = 1, 2
	level := byte(fatal)
	if code == record.AlertCloseNotify || code == alertUserCanceled {
		level = warning
	}
	return c.appendRecord(s, dst, record.Alert, level, code)
}

// Wipe overwrites the keys, drops the ciphers (whose expanded keys are left to the garbage collector) and leaves the
// zero Conn.
func (c *Conn) Wipe(s *Shared) {
	s.drop(c)
	c.keys[reading].Wipe()
	c.keys[writing].Wipe()
	*c = Conn{}
}
