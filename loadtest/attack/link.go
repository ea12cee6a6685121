package attack

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"time"

	"weir/engine/clientproto"
	"weir/engine/ws"
)

// link is one connection of an attacker. Its owner is the attacker; only close
// is called from elsewhere.
type link struct {
	raw    *net.TCPConn
	stream io.ReadWriter // raw, or TLS on it
	ctx    context.Context
	unhook func() bool
	out    []byte // scratch of what is sent
	in     [4096]byte
}

// dial connects. The link is closed when ctx ends, or by close.
func (a *attacker) dial(ctx context.Context) (*link, error) {
	d := net.Dialer{LocalAddr: a.source(), KeepAlive: -1}
	nc, err := d.DialContext(ctx, "tcp", a.target.Addr)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errRefused, err)
	}
	l := &link{raw: nc.(*net.TCPConn), stream: nc, ctx: ctx}
	_ = l.raw.SetLinger(0) // no TIME_WAIT of ours holds a port
	l.unhook = context.AfterFunc(ctx, func() { _ = nc.Close() })
	return l, nil
}

func (l *link) close() {
	l.unhook()
	_ = l.raw.Close()
}

// secure is dial and the TLS handshake.
func (a *attacker) secure(ctx context.Context) (*link, error) {
	l, err := a.dial(ctx)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(l.raw, a.tls)
	if err := conn.HandshakeContext(ctx); err != nil {
		l.close()
		return nil, fmt.Errorf("attack: handshake: %w", err)
	}
	l.stream = conn
	return l, nil
}

// head is a request for a WebSocket, with more header lines.
func (a *attacker) head(more ...string) []byte {
	var nonce [16]byte
	for i := range nonce {
		nonce[i] = byte(rand.Uint32())
	}
	if a.target.Origin != "" {
		more = append(more, "Origin: "+a.target.Origin+"\r\n")
	}
	return fmt.Appendf(nil, "GET /connection/websocket HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n%s\r\n",
		a.target.Name, base64.StdEncoding.EncodeToString(nonce[:]), strings.Join(more, ""))
}

// open is secure and the upgrade.
func (a *attacker) open(ctx context.Context, more ...string) (*link, error) {
	l, err := a.secure(ctx)
	if err != nil {
		return nil, err
	}
	_, err = l.stream.Write(a.head(more...))
	if err == nil {
		err = l.switched()
	}
	if err != nil {
		l.close()
		return nil, fmt.Errorf("attack: upgrade: %w", err)
	}
	return l, nil
}

// switched reads the answer to the upgrade.
func (l *link) switched() error {
	got := 0
	for got < len(l.in) {
		n, err := l.stream.Read(l.in[got:])
		got += n
		if bytes.Contains(l.in[:got], []byte("\r\n\r\n")) {
			if !bytes.HasPrefix(l.in[:got], []byte("HTTP/1.1 101 ")) {
				return fmt.Errorf("answered %.30q", l.in[:got])
			}
			return nil
		}
		if err != nil {
			return err
		}
	}
	return errors.New("an answer without end")
}

// enter is open and a connect with the good token, and waits for the reply.
func (a *attacker) enter(ctx context.Context) (*link, error) {
	l, err := a.open(ctx)
	if err != nil {
		return nil, err
	}
	if err = l.command(&clientproto.Command{ID: 1, Method: clientproto.Connect, Connect: clientproto.ConnectRequest{Token: []byte(a.target.Token)}}); err == nil {
		err = l.await(`"connect":`)
	}
	if err != nil {
		l.close()
		return nil, fmt.Errorf("attack: connect: %w", err)
	}
	return l, nil
}

// await reads once, and looks for what the answer must hold.
func (l *link) await(word string) error {
	n, err := l.stream.Read(l.in[:])
	if err != nil {
		return err
	}
	if !bytes.Contains(l.in[:n], []byte(word)) {
		return fmt.Errorf("answered %.60q", l.in[:n])
	}
	return nil
}

func (l *link) command(c *clientproto.Command) error {
	return l.text(clientproto.AppendCommand(nil, c))
}

// text sends one text message.
func (l *link) text(payload []byte) error {
	l.frame(ws.Header{Fin: true, Opcode: ws.OpText}, payload)
	return l.flush()
}

// frame puts a frame where flush finds it.
func (l *link) frame(h ws.Header, payload []byte) {
	h.Mask = [4]byte{1, 2, 3, 4} // whoever reads along may know it
	l.out = ws.AppendMaskedFragment(l.out, h, payload)
}

// flush sends what frame has put together.
func (l *link) flush() error {
	_, err := l.stream.Write(l.out)
	l.out = l.out[:0]
	return err
}

// outlast reads, and throws away what comes, until the server has closed or
// ctx is over.
func (l *link) outlast() {
	for {
		if _, err := l.stream.Read(l.in[:]); err != nil {
			return
		}
	}
}

// each calls f at once and then in even distances until it fails, the server
// has closed, or ctx is over. Nothing is read.
func (l *link) each(every time.Duration, f func() error) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for f() == nil {
		select {
		case <-ticker.C:
		case <-l.ctx.Done():
			return
		}
	}
}
