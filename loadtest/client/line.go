package client

import (
	"bytes"
	"crypto/rand"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"weir/engine/tlsconn/record"
	"weir/engine/ws"
)

const (
	// lineBytes is a Line's buffer: room for a record behind the rest of the one before.
	lineBytes = 2 * record.MaxPlaintext

	// MaxMessage is the longest message that is read, in bytes.
	MaxMessage = 1 << 20
)

// Line is a connection on the goroutine that made it. It belongs to one
// goroutine, and ends with Close or with Loop.Adopt.
type Line struct {
	tap      tap
	secrets  secrets
	tls      *tls.Conn
	suite    uint16
	protocol string // the subprotocol that was selected
	buf      []byte // what was read and not returned stands at buf[from:to]
	from, to int
	out      []byte
}

// Protocol is the subprotocol that the server selected, or "".
func (l *Line) Protocol() string { return l.protocol }

// Close cuts the connection without a closing handshake.
func (l *Line) Close() error { return l.tap.Close() }

// SetDeadline is until when Send and Next may take; the Target's Timeout sets the first one.
func (l *Line) SetDeadline(t time.Time) error { return l.tap.SetDeadline(t) }

// Refusal is a server's answer to the upgrade that is no 101.
type Refusal struct{ Status string }

func (r *Refusal) Error() string { return fmt.Sprintf("the upgrade was answered %q", r.Status) }

// End is how a server ended a connection: the code and reason of its close
// frame; 0 if it sent none.
type End struct {
	Code   uint16
	Reason string
	Err    error // of the socket, of TLS, or a frame that may not be
}

func (e *End) Error() string {
	if e.Code != 0 {
		return fmt.Sprintf("the server closed with %d %q", e.Code, e.Reason)
	}
	if e.Err == nil {
		return "the connection ended without a close frame"
	}
	return e.Err.Error()
}

func (e *End) Unwrap() error { return e.Err }

func (l *Line) upgrade(d *Dialer, more string) error {
	var nonce [16]byte
	if _, err := rand.Read(nonce[:]); err != nil {
		return err
	}
	key := base64.StdEncoding.EncodeToString(nonce[:])
	if _, err := io.WriteString(l.tls, d.head(key, more)); err != nil {
		return err
	}
	for {
		head, _, whole := bytes.Cut(l.buf[:l.to], []byte("\r\n\r\n"))
		if whole {
			l.from = len(head) + 4
			return l.accepted(string(head), key)
		}
		if l.to > 16<<10 {
			return errors.New("the answer to the upgrade does not end")
		}
		if err := l.fill(); err != nil {
			return fmt.Errorf("no answer to the upgrade: %w", err)
		}
	}
}

// accepted checks the answer to the upgrade: RFC 6455 §4.1.
func (l *Line) accepted(head, key string) error {
	lines := strings.Split(head, "\r\n")
	if !strings.HasPrefix(lines[0], "HTTP/1.1 101 ") {
		return &Refusal{lines[0]}
	}
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	accept := ""
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ":")
		switch strings.ToLower(name) {
		case "sec-websocket-accept":
			accept = strings.TrimSpace(value)
		case "sec-websocket-protocol":
			l.protocol = strings.TrimSpace(value)
		case "sec-websocket-extensions":
			return errors.New("the server chose an extension that was not offered")
		}
	}
	if accept != base64.StdEncoding.EncodeToString(sum[:]) {
		return errors.New("the server's Sec-WebSocket-Accept does not answer the key")
	}
	return nil
}

// Send sends one message or control frame.
func (l *Line) Send(op ws.Opcode, payload []byte) error {
	var key [4]byte
	if _, err := rand.Read(key[:]); err != nil {
		return err
	}
	l.out = ws.AppendMasked(l.out[:0], op, key, payload)
	_, err := l.tls.Write(l.out)
	return err
}

// Next returns the next text message, which is valid until the next call.
// WebSocket pings are answered on the way. A close frame is an *End.
func (l *Line) Next() ([]byte, error) {
	for {
		h, n, v := ws.ParseHeader(l.buf[l.from:l.to])
		if v != nil {
			return nil, fmt.Errorf("frame header: %s", v.Reason)
		}
		if n == 0 || uint64(l.to-l.from-n) < h.Length {
			if h.Length > MaxMessage {
				return nil, fmt.Errorf("a message of %d bytes", h.Length)
			}
			if err := l.fill(); err != nil {
				return nil, err
			}
			continue
		}
		payload := l.buf[l.from+n:][:h.Length]
		l.from += n + len(payload)
		switch {
		case h.Opcode == ws.OpText && h.Fin && !h.Masked && !h.Rsv1:
			return payload, nil
		case h.Opcode == ws.OpPing:
			if err := l.Send(ws.OpPong, payload); err != nil {
				return nil, err
			}
		case h.Opcode == ws.OpClose && len(payload) >= 2:
			return nil, &End{Code: binary.BigEndian.Uint16(payload), Reason: string(payload[2:])}
		default:
			return nil, fmt.Errorf("unexpected frame: opcode %d, fin %t", h.Opcode, h.Fin)
		}
	}
}

// fill reads the rest of a record behind what is there. There is always room
// for a whole one, so crypto/tls keeps nothing of it back.
func (l *Line) fill() error {
	if l.from > 0 {
		l.to = copy(l.buf, l.buf[l.from:l.to])
		l.from = 0
	}
	if len(l.buf)-l.to < record.MaxPlaintext {
		l.buf = append(l.buf, make([]byte, len(l.buf))...)
	}
	n, err := l.tls.Read(l.buf[l.to:])
	l.to += n
	if n > 0 {
		return nil
	}
	return &End{Err: err}
}
