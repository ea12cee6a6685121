// Package client is the subscriber of the benchmarks: a connection that is
// authenticated, subscribed, and as cheap to read as crypto/tls allows.
//
// Target.Dial does everything up to the subscribe reply. After that one
// goroutine calls Next in a loop: it reads frames in place, answers the
// server's pings on the way and returns the messages as they are, without
// decoding JSON. Nothing is allocated per message.
package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"weir/engine/ws"
)

const (
	// dialTimeout is from the TCP connect to the last subscribe reply.
	dialTimeout = time.Minute

	// maxMessageBytes is the longest message that a Conn reads.
	maxMessageBytes = 1 << 20
)

// Target is where to connect and what to ask for. It is plain data, so that
// one process can hand it to another.
type Target struct {
	Addr        string   // host:port of the public listener
	Authority   string   // PEM file of the certificate to trust
	Token       string   // connection token
	Channels    []string // all of them are subscribed to
	BufferBytes int      // read buffer of a connection; grows if a message is longer
	Origin      string   // "" sends none

	ReceiveBytes int // the kernel's receive buffer of a connection; 0: the system decides
}

// Dialer opens connections to one target. It is safe for concurrent use.
type Dialer struct {
	target Target
	tls    *tls.Config
	hello  []byte // connect and subscribe commands, one frame's payload
}

// NewDialer reads the target's certificate.
func NewDialer(t Target) (*Dialer, error) {
	pem, err := os.ReadFile(t.Authority)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", t.Authority)
	}
	hello := fmt.Appendf(nil, `{"id":1,"connect":{"token":%q,"name":"bench"}}`, t.Token)
	for i, channel := range t.Channels {
		hello = fmt.Appendf(hello, "\n"+`{"id":%d,"subscribe":{"channel":%q}}`, i+2, channel)
	}
	return &Dialer{
		target: t, hello: hello,
		tls: &tls.Config{RootCAs: roots, ServerName: "localhost", NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS13},
	}, nil
}

// Dial connects the i-th connection of a process: TCP, TLS, upgrade, connect,
// subscribe. Source addresses vary with i, so that no port range runs out.
func (d *Dialer) Dial(ctx context.Context, i int) (*Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	dialer := net.Dialer{}
	if server, err := netip.ParseAddrPort(d.target.Addr); err == nil && server.Addr().Is4() && server.Addr().IsLoopback() {
		dialer.LocalAddr = sourceAddr(i)
	}
	raw, err := dialer.DialContext(ctx, "tcp", d.target.Addr)
	if err != nil {
		return nil, err
	}
	c, err := d.establish(ctx, raw.(*net.TCPConn))
	if err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	return c, nil
}

// sourceAddr spreads connections over addresses of 127/8, 1,000 on each.
func sourceAddr(i int) *net.TCPAddr {
	return &net.TCPAddr{IP: net.IPv4(127, 1, byte(i/1000/250), byte(1+i/1000%250))}
}

func (d *Dialer) establish(ctx context.Context, raw *net.TCPConn) (*Conn, error) {
	if err := setCubic(raw); err != nil {
		return nil, err
	}
	if d.target.ReceiveBytes > 0 {
		if err := raw.SetReadBuffer(d.target.ReceiveBytes); err != nil {
			return nil, err
		}
	}
	stop := context.AfterFunc(ctx, func() { _ = raw.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	stream := tls.Client(raw, d.tls)
	if err := stream.Handshake(); err != nil {
		return nil, err
	}
	c := &Conn{stream: stream, raw: raw, buf: make([]byte, max(d.target.BufferBytes, 512))}
	if err := c.upgrade(d.target.Origin); err != nil {
		return nil, err
	}
	if err := c.send(ws.OpText, d.hello); err != nil {
		return nil, err
	}
	return c, c.replies(1 + len(d.target.Channels))
}

func (c *Conn) upgrade(origin string) error {
	if origin != "" {
		origin = "Origin: " + origin + "\r\n"
	}
	var nonce [16]byte
	if _, err := rand.Read(nonce[:]); err != nil {
		return err
	}
	_, err := fmt.Fprintf(c.stream, "GET /connection/websocket HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n%s\r\n", base64.StdEncoding.EncodeToString(nonce[:]), origin)
	if err != nil {
		return err
	}
	for {
		head, _, whole := bytes.Cut(c.buf[:c.to], []byte("\r\n\r\n"))
		if whole {
			if !bytes.HasPrefix(head, []byte("HTTP/1.1 101 ")) {
				return fmt.Errorf("the upgrade was answered %q", c.buf[:c.to])
			}
			c.from = len(head) + 4
			return nil
		}
		if err := c.fill(); err != nil {
			return fmt.Errorf("no answer to the upgrade (%q): %w", c.buf[:c.to], err)
		}
	}
}

// replies reads the answers to n commands; each must be a success.
func (c *Conn) replies(n int) error {
	for n > 0 {
		message, err := c.Next()
		if err != nil {
			return err
		}
		for line := range bytes.SplitSeq(message, []byte("\n")) {
			var reply struct {
				ID    int             `json:"id"`
				Error json.RawMessage `json:"error"`
			}
			if err := json.Unmarshal(line, &reply); err != nil {
				return fmt.Errorf("reply %q: %w", line, err)
			}
			if reply.ID == 0 || reply.Error != nil {
				return fmt.Errorf("a command was answered %s", line)
			}
			n--
		}
	}
	return nil
}
