package client

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"net"

	"weir/engine/tlsconn/record"
)

// tap is the socket below crypto/tls. It hands over one record at a time, so
// that crypto/tls never holds bytes of the next one, and counts the protected
// records of both directions from the end of the handshake on.
type tap struct {
	*net.TCPConn
	counting      bool
	read, written uint64

	header [record.HeaderLen]byte
	left   int // bytes of the record's body that have not been handed over
}

// Read hands over the header of a record with as much of its body as there is,
// or more of the body. b must have room for a header, as crypto/tls's has.
func (t *tap) Read(b []byte) (n int, err error) {
	if len(b) < record.HeaderLen {
		return 0, io.ErrShortBuffer
	}
	if t.left == 0 {
		if _, err := io.ReadFull(t.TCPConn, t.header[:]); err != nil {
			return 0, err
		}
		n = copy(b, t.header[:])
		t.left = int(t.header[3])<<8 | int(t.header[4])
		if t.left > record.MaxRecord {
			return n, nil // crypto/tls refuses it
		}
	}
	if t.left > 0 && n < len(b) {
		m, err := t.TCPConn.Read(b[n : n+min(t.left, len(b)-n)])
		n, t.left = n+m, t.left-m
		if err != nil {
			return n, err
		}
	}
	if t.left == 0 && t.counting && record.Type(t.header[0]) == record.ApplicationData {
		t.read++
	}
	return n, nil
}

// Write takes whole records, as crypto/tls writes them.
func (t *tap) Write(b []byte) (int, error) {
	for rest := b; t.counting && len(rest) >= record.HeaderLen; {
		if record.Type(rest[0]) == record.ApplicationData {
			t.written++
		}
		rest = rest[min(len(rest), record.HeaderLen+int(rest[3])<<8+int(rest[4])):]
	}
	return t.TCPConn.Write(b)
}

// secrets takes the application traffic secrets of one handshake, in
// hexadecimal.
type secrets struct{ client, server []byte }

// Write gets one line: label, client random, secret.
func (s *secrets) Write(line []byte) (int, error) {
	fields := bytes.Fields(line)
	if len(fields) == 3 {
		switch string(fields[0]) {
		case "CLIENT_TRAFFIC_SECRET_0":
			s.client = bytes.Clone(fields[2])
		case "SERVER_TRAFFIC_SECRET_0":
			s.server = bytes.Clone(fields[2])
		}
	}
	return len(line), nil
}

// keys are those of the connection as it is now.
func (l *Line) keys() (in, out record.Key, err error) {
	if in, err = key(l.suite, l.secrets.server, l.tap.read); err != nil {
		return in, out, err
	}
	out, err = key(l.suite, l.secrets.client, l.tap.written)
	return in, out, err
}

func key(suite uint16, digits []byte, seq uint64) (record.Key, error) {
	secret, err := hex.AppendDecode(nil, digits)
	if err != nil {
		return record.Key{}, fmt.Errorf("traffic secret: %w", err)
	}
	return record.NewKey(suite, secret, seq)
}
