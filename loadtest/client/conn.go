package client

import (
	"crypto/cipher"
	"encoding/binary"
	"fmt"

	"weir/engine/poll"
	"weir/engine/tlsconn/record"
	"weir/engine/ws"
)

// Conn is a connection of a Loop, which owns it. Its methods are for the loop's
// goroutine only.
type Conn struct {
	socket poll.Conn
	loop   *Loop

	in, out record.Key
	opener  cipher.AEAD // of in; nil: made anew for each record
	opened  uint32      // second of the last record
	reader  ws.Reader
	partial []byte // a record that is not whole yet
	early   []byte // plaintext that came before the loop had the connection
	end     *End   // nil while it lives

	// Tag is the handler's number of the connection.
	Tag uint32
}

// input takes bytes off the socket.
func (c *Conn) input(b []byte) {
	if len(c.partial) > 0 {
		c.partial = append(c.partial, b...)
		b = c.partial
	}
	for c.end == nil {
		n, v := record.Split(b)
		if v != nil {
			c.fail(fmt.Errorf("TLS record: %s", v.Reason))
			return
		}
		if n == 0 {
			break
		}
		c.record(b[:n:n])
		b = b[n:]
	}
	if len(b) == 0 || c.end != nil {
		c.partial = nil
		return
	}
	c.partial = append([]byte(nil), b...)
}

// record opens one record. Its cipher is kept from the second one within two
// seconds on, and then for good: a connection that receives goes on receiving.
func (c *Conn) record(rec []byte) {
	a := c.opener
	if a == nil {
		a = c.in.AEAD()
		if c.loop.nowUnix-c.opened <= 1 {
			c.opener = a
		}
		c.opened = c.loop.nowUnix
	}
	typ, plain, v := c.in.Open(&c.loop.records, a, rec)
	switch {
	case v != nil:
		c.fail(fmt.Errorf("TLS record: %s", v.Reason))
	case typ == record.ApplicationData:
		c.plain(plain)
	case typ == record.Handshake:
		c.postHandshake(plain)
	case typ == record.Alert && plain[1] != record.AlertCloseNotify:
		c.fail(fmt.Errorf("TLS alert %d", plain[1]))
	case typ == record.Alert:
		c.over(&End{})
	default:
		c.fail(fmt.Errorf("TLS record of type %d after the handshake", typ))
	}
}

// postHandshake takes messages behind the handshake (RFC 8446 §4.6): a ticket is
// left, a KeyUpdate rolls the key, and ours if the server asks for it. Each must be
// whole in its record, which they are with every server there is.
func (c *Conn) postHandshake(b []byte) {
	const newSessionTicket, keyUpdate = 4, 24
	for len(b) >= 4 && c.end == nil {
		n := 4 + int(b[1])<<16 + int(b[2])<<8 + int(b[3])
		if n > len(b) {
			break
		}
		switch {
		case b[0] == newSessionTicket:
		case b[0] == keyUpdate && n == 5:
			c.in.Update()
			c.opener = nil
			if b[4] == 1 {
				out := append(c.loop.out[:0], 0, 0, 0, 0, 0, keyUpdate, 0, 0, 1, 0)
				c.write(c.out.Seal(&c.loop.records, c.out.AEAD(), out, 0, record.Handshake))
				c.out.Update()
			}
		default:
			c.fail(fmt.Errorf("TLS handshake message of type %d", b[0]))
			return
		}
		b = b[n:]
	}
	if len(b) > 0 && c.end == nil {
		c.fail(fmt.Errorf("a TLS handshake message cut by its record"))
	}
}

// plain takes bytes of the WebSocket stream.
func (c *Conn) plain(b []byte) {
	for len(b) > 0 && c.end == nil {
		ev, rest, v := c.reader.Next(b, &c.loop.limits, &c.loop.frames)
		if v != nil {
			c.fail(fmt.Errorf("WebSocket frame: %s", v.Reason))
			return
		}
		switch ev.Kind {
		case ws.Text:
			c.loop.handler.Text(c, ev.Payload, c.loop.now)
		case ws.Ping:
			c.Send(ws.OpPong, ev.Payload)
		case ws.Close:
			code := ev.Code
			if code == ws.NoStatus {
				code = 0
			}
			c.over(&End{Code: code, Reason: string(ev.Payload)})
		case ws.Binary:
			c.fail(fmt.Errorf("a binary message"))
		}
		b = rest
	}
}

// Send sends one message or control frame. What the socket does not take is
// queued, up to a megabyte.
func (c *Conn) Send(op ws.Opcode, payload []byte) {
	if c.end != nil {
		return
	}
	var key [4]byte
	c.loop.mask = c.loop.mask*1664525 + 1013904223 // only proxies ask for unpredictable masks (RFC 6455 §10.3)
	binary.LittleEndian.PutUint32(key[:], c.loop.mask)
	c.loop.frame = ws.AppendMasked(c.loop.frame[:0], op, key, payload)
	a, out := c.out.AEAD(), c.loop.out[:0]
	for rest := c.loop.frame; len(rest) > 0; {
		n, start := min(len(rest), record.MaxPlaintext), len(out)
		out = append(append(out, 0, 0, 0, 0, 0), rest[:n]...)
		out, rest = c.out.Seal(&c.loop.records, a, out, start, record.ApplicationData), rest[n:]
	}
	c.write(out)
}

func (c *Conn) write(b []byte) {
	c.loop.out = b
	_ = c.socket.Write(b) // Closed follows an error
}

// Cut closes the connection without a word.
func (c *Conn) Cut() {
	if c.end == nil {
		c.end = &End{}
	}
	c.socket.Abort()
}

// over ends the connection after the server did: its close frame is answered.
func (c *Conn) over(end *End) {
	if end.Code != 0 {
		c.Send(ws.OpClose, binary.BigEndian.AppendUint16(nil, end.Code))
	}
	c.end = end
	c.socket.Abort()
}

func (c *Conn) fail(err error) { c.over(&End{Err: err}) }
