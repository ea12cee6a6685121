package tlsconn

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"time"

	"weir/engine/tlsconn/record"
)

// errMore tells crypto/tls that no byte is there yet. It is temporary, so crypto/tls goes on where it stood at the next
// Read; during a handshake it would be final, which is why handshakes wait instead.
var errMore net.Error = more{}

type more struct{}

func (more) Error() string   { return "tlsconn: no bytes yet" }
func (more) Timeout() bool   { return true }
func (more) Temporary() bool { return true }

// transport is the net.Conn under a tls.Conn: first a Handshake's bytes, then one call's in and out at a time.
type transport struct {
	h     *Handshake // until the handshake is over
	alert uint8      // a fatal alert that went out alone and unencrypted
	in    []byte     // borrowed for one call
	out   []byte     // borrowed for one call, appended to
}

func (t *transport) Read(b []byte) (int, error) {
	if t.h != nil {
		return t.h.read(b)
	}
	if len(t.in) == 0 {
		return 0, errMore
	}
	n := copy(b, t.in)
	t.in = t.in[n:]
	return n, nil
}

func (t *transport) Write(b []byte) (int, error) {
	if t.h != nil {
		// RFC 8446 §6: a record of type alert, two bytes: level, description.
		if len(b) == record.HeaderLen+2 && record.Type(b[0]) == record.Alert {
			t.alert = b[record.HeaderLen+1]
		}
		return t.h.write(b)
	}
	t.out = append(t.out, b...)
	return len(b), nil
}

func (*transport) Close() error                     { return nil }
func (*transport) LocalAddr() net.Addr              { return nil }
func (*transport) RemoteAddr() net.Addr             { return nil }
func (*transport) SetDeadline(time.Time) error      { return nil }
func (*transport) SetReadDeadline(time.Time) error  { return nil }
func (*transport) SetWriteDeadline(time.Time) error { return nil }

// stream12 is an established TLS 1.2 connection: crypto/tls, fed with whole records and never waiting.
type stream12 struct {
	conn *tls.Conn
	t    *transport
}

// open opens exactly one record; the plaintext is written over it.
func (c *stream12) open(rec, out []byte) (o Opened) {
	// A type is not encrypted in TLS 1.2. After the handshake a handshake message can only begin a renegotiation
	// (RFC 5246 §7.4.1.1), which is refused before crypto/tls would collect it.
	switch record.Type(rec[0]) {
	case record.Handshake:
		return Opened{Out: c.closeNotify(out), Violation: ErrRenegotiation}
	case record.ChangeCipherSpec:
		return Opened{Out: c.closeNotify(out), Violation: ErrLateCCS}
	}
	c.t.in, c.t.out = rec, out
	n, err := c.conn.Read(rec)
	o = Opened{Plain: rec[:n], N: len(rec), Out: c.t.out}
	c.t.in, c.t.out = nil, nil
	var op *net.OpError
	switch {
	case err == nil, errors.Is(err, errMore):
	case errors.Is(err, io.EOF):
		o.CloseNotify = true
	case errors.As(err, &op) && op.Op == "remote error":
		o.Violation = ErrPeerAlert
	default:
		o.Violation = ErrRecord12
	}
	return o
}

// seal puts the record of buf[start+HeaderLen:] to buf[start:]. crypto/tls seals into memory of its own first.
func (c *stream12) seal(buf []byte, start int) []byte {
	c.t.out = buf[:start]
	_, err := c.conn.Write(buf[start+record.HeaderLen:])
	buf, c.t.out = c.t.out, nil
	if err != nil {
		return buf[:start] // crypto/tls has sent an alert or close_notify: nothing may follow
	}
	return buf
}

// closeNotify is the only alert that crypto/tls sends on request. A second one is nothing.
func (c *stream12) closeNotify(dst []byte) []byte {
	c.t.out = dst
	err := c.conn.CloseWrite()
	out := c.t.out
	c.t.out = nil
	if err != nil {
		return dst
	}
	return out
}
