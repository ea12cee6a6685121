package client

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"weir/engine/ws"
)

// ErrClosed is what the server's close frame is reported as, with its code.
var ErrClosed = errors.New("the server closed the connection")

// Conn is one subscribed connection. Next belongs to one goroutine; Close may
// be called from any.
type Conn struct {
	stream   io.ReadWriter // TLS
	raw      io.Closer     // the socket below
	buf      []byte        // what was read stands at buf[from:to]
	from, to int
	out      []byte // scratch of send
}

// Close cuts the connection without a closing handshake.
func (c *Conn) Close() error { return c.raw.Close() }

// Buffered returns how many bytes have arrived that Next has not returned yet.
func (c *Conn) Buffered() int { return c.to - c.from }

// Next returns the next message of the server other than its pings, which it
// answers. The message is valid until the next call.
func (c *Conn) Next() ([]byte, error) {
	for {
		h, n, v := ws.ParseHeader(c.buf[c.from:c.to])
		if v != nil {
			return nil, fmt.Errorf("frame header: %s", v.Reason)
		}
		if n == 0 || uint64(c.Buffered()-n) < h.Length {
			if h.Length > maxMessageBytes {
				return nil, fmt.Errorf("a message of %d bytes", h.Length)
			}
			if err := c.fill(); err != nil {
				return nil, err
			}
			continue
		}
		payload := c.buf[c.from+n:][:h.Length]
		c.from += n + len(payload)
		if message, err := c.frame(h, payload); message != nil || err != nil {
			return message, err
		}
	}
}

// frame returns the message of a whole frame, nil if it is not for the caller.
func (c *Conn) frame(h ws.Header, payload []byte) ([]byte, error) {
	switch {
	case h.Opcode == ws.OpText && h.Fin && !h.Masked && !h.Rsv1:
		if string(payload) == "{}" {
			return nil, c.send(ws.OpText, payload)
		}
		return payload, nil
	case h.Opcode == ws.OpPing:
		return nil, c.send(ws.OpPong, payload)
	case h.Opcode == ws.OpClose && len(payload) >= 2:
		return nil, fmt.Errorf("%w: %d %s", ErrClosed, binary.BigEndian.Uint16(payload), payload[2:])
	}
	return nil, fmt.Errorf("unexpected frame: %+v", h)
}

// fill reads once, behind what is there.
func (c *Conn) fill() error {
	if c.from > 0 {
		c.to = copy(c.buf, c.buf[c.from:c.to])
		c.from = 0
	}
	if c.to == len(c.buf) {
		if len(c.buf) > maxMessageBytes {
			return errors.New("a message longer than the buffer may grow")
		}
		c.buf = append(c.buf, make([]byte, len(c.buf))...)
	}
	n, err := c.stream.Read(c.buf[c.to:])
	c.to += n
	if n > 0 {
		return nil
	}
	if err == io.EOF {
		return ErrClosed
	}
	return err
}

// Send sends one text message. It belongs to the goroutine of Next.
func (c *Conn) Send(text []byte) error { return c.send(ws.OpText, text) }

func (c *Conn) send(op ws.Opcode, payload []byte) error {
	var key [4]byte
	if _, err := rand.Read(key[:]); err != nil {
		return err
	}
	c.out = ws.AppendMasked(c.out[:0], op, key, payload)
	_, err := c.stream.Write(c.out)
	return err
}
