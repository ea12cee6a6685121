package ws

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	coder "github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"
)

const agreed = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

// echo is a server made of this package: it answers the upgrade and sends every message back, cut into
// as many fragments as its length modulo four, compressed if so negotiated.
func echo(conn net.Conn, compress bool) error {
	defer conn.Close()
	in := bufio.NewReader(conn)
	req, err := http.ReadRequest(in)
	if err != nil {
		return err
	}
	sum := sha1.Sum([]byte(req.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n",
		base64.StdEncoding.EncodeToString(sum[:]))
	if compress {
		fmt.Fprintf(conn, "Sec-WebSocket-Extensions: %s\r\n", agreed)
	}
	fmt.Fprint(conn, "\r\n")

	r, s, d := new(Reader), new(Scratch), NewDeflater()
	lim := &Limits{Message: 1 << 20, Compression: compress}
	buf := make([]byte, 1500)
	for {
		n, err := in.Read(buf)
		if err != nil {
			return err
		}
		for chunk := buf[:n]; ; {
			ev, rest, v := r.Next(chunk, lim, s)
			if v != nil {
				return fmt.Errorf("violation: %s", v.Reason)
			}
			if ev.Kind == None {
				break
			}
			chunk = rest
			var out []byte
			switch ev.Kind {
			case Ping:
				out = AppendFrame(nil, OpPong, ev.Payload)
			case Close:
				conn.Write(AppendClose(nil, ev.Code, string(ev.Payload)))
				return nil
			default:
				out = answer(Opcode(ev.Kind), ev.Payload, compress, d)
			}
			if _, err := conn.Write(out); err != nil {
				return err
			}
		}
	}
}

func answer(op Opcode, payload []byte, compress bool, d *Deflater) []byte {
	if compress {
		return AppendCompressed(nil, op, d.Append(nil, payload))
	}
	var out []byte
	for range len(payload) % 4 {
		part := len(payload) / 2
		out = AppendFragment(out, false, op, payload[:part])
		op, payload = OpContinuation, payload[part:]
	}
	return AppendFragment(out, true, op, payload)
}

// bodies are messages of every form of length, of text and of noise.
func bodies() [][]byte {
	var all [][]byte
	for _, n := range []int{0, 1, 2, 3, 125, 126, 127, 1024, 4095, 65535, 65536, 200001} {
		for _, name := range []string{"words", "noise"} {
			all = append(all, samples(n)[name])
		}
	}
	return all
}

// served returns a connection to echo, and what to wait for at the end.
func served(t *testing.T, compress bool) net.Conn {
	client, server := net.Pipe()
	done := make(chan error, 1)
	go func() { done <- echo(server, compress) }()
	t.Cleanup(func() {
		client.Close()
		if err := <-done; err != nil {
			t.Errorf("server: %v", err)
		}
	})
	return client
}

func TestGorillaClient(t *testing.T) {
	for _, compress := range []bool{false, true} {
		t.Run(fmt.Sprintf("compress=%v", compress), func(t *testing.T) {
			u, _ := url.Parse("ws://weir.test/")
			conn := served(t, compress)
			dialer := gorilla.Dialer{EnableCompression: compress, WriteBufferSize: 700,
				NetDial: func(string, string) (net.Conn, error) { return conn, nil }}
			c, _, err := dialer.Dial(u.String(), nil)
			if err != nil {
				t.Fatal(err)
			}
			pong := ""
			c.SetPongHandler(func(data string) error { pong = data; return nil })
			for i, body := range bodies() {
				kind := []int{gorilla.TextMessage, gorilla.BinaryMessage}[i%2]
				wrote := make(chan error, 1)
				go func() { // in several fragments, with a ping between them
					w, err := c.NextWriter(kind)
					if err == nil {
						_, err = w.Write(body[:len(body)/2])
					}
					if err == nil {
						err = c.WriteControl(gorilla.PingMessage, []byte("p"), time.Now().Add(2*time.Minute))
					}
					if err == nil {
						_, err = w.Write(body[len(body)/2:])
					}
					if err == nil {
						err = w.Close()
					}
					wrote <- err
				}()
				gotKind, got, err := c.ReadMessage()
				if err != nil || gotKind != kind || !bytes.Equal(got, body) {
					t.Fatalf("%d bytes came back as %d of kind %d: %v", len(body), len(got), gotKind, err)
				}
				if err := <-wrote; err != nil {
					t.Fatal(err)
				}
			}
			if pong != "p" {
				t.Errorf("pong %q", pong)
			}
			go c.WriteControl(gorilla.CloseMessage, gorilla.FormatCloseMessage(4001, "done"), time.Now().Add(2*time.Minute))
			if _, _, err = c.ReadMessage(); !gorilla.IsCloseError(err, 4001) {
				t.Errorf("close: %v", err)
			}
		})
	}
}

func TestCoderClient(t *testing.T) {
	for _, compress := range []bool{false, true} {
		t.Run(fmt.Sprintf("compress=%v", compress), func(t *testing.T) {
			conn := served(t, compress)
			mode := coder.CompressionDisabled
			if compress {
				mode = coder.CompressionNoContextTakeover
			}
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
			defer cancel()
			c, _, err := coder.Dial(ctx, "ws://weir.test/", &coder.DialOptions{CompressionMode: mode, CompressionThreshold: 1,
				HTTPClient: &http.Client{Transport: &http.Transport{
					DialContext: func(context.Context, string, string) (net.Conn, error) { return conn, nil }}}})
			if err != nil {
				t.Fatal(err)
			}
			c.SetReadLimit(1 << 20)
			for i, body := range bodies() {
				kind := []coder.MessageType{coder.MessageText, coder.MessageBinary}[i%2]
				wrote := make(chan error, 1)
				go func() { wrote <- c.Write(ctx, kind, body) }()
				gotKind, got, err := c.Read(ctx)
				if err != nil || gotKind != kind || !bytes.Equal(got, body) {
					t.Fatalf("%d bytes came back as %d of kind %v: %v", len(body), len(got), gotKind, err)
				}
				if err := <-wrote; err != nil {
					t.Fatal(err)
				}
			}
			if err := c.Close(4001, "done"); err != nil {
				t.Errorf("close: %v", err)
			}
		})
	}
}

// loop is a network connection that reads from one buffer and writes to another.
type loop struct {
	net.Conn
	in  io.Reader
	out bytes.Buffer
}

func (l *loop) Read(b []byte) (int, error)       { return l.in.Read(b) }
func (l *loop) Write(b []byte) (int, error)      { return l.out.Write(b) }
func (l *loop) Close() error                     { return nil }
func (l *loop) SetDeadline(time.Time) error      { return nil }
func (l *loop) SetReadDeadline(time.Time) error  { return nil }
func (l *loop) SetWriteDeadline(time.Time) error { return nil }

// hijacked hands gorilla's upgrader the loop.
type hijacked struct {
	http.ResponseWriter
	conn net.Conn
}

func (h hijacked) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return h.conn, bufio.NewReadWriter(bufio.NewReader(h.conn), bufio.NewWriter(h.conn)), nil
}

// gorilla's server reads what this package writes as a client, and this package, as a client, reads what
// gorilla's server writes.
func TestGorillaServer(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	for _, compress := range []bool{false, true} {
		d := NewDeflater()
		var stream []byte
		for i, body := range bodies() {
			var key [4]byte
			for i := range key {
				key[i] = byte(rng.Uint32())
			}
			op := []Opcode{OpText, OpBinary}[i%2]
			if compress {
				stream = AppendMaskedFragment(stream, Header{Fin: true, Rsv1: true, Opcode: op, Mask: key}, d.Append(nil, body))
				continue
			}
			stream = AppendMaskedFragment(stream, Header{Opcode: op, Mask: key}, body[:len(body)/3])
			stream = AppendMaskedFragment(stream, Header{Opcode: OpContinuation, Mask: key}, body[len(body)/3:len(body)/2])
			stream = AppendMasked(stream, OpPong, key, []byte("unasked"))
			stream = AppendMaskedFragment(stream, Header{Fin: true, Opcode: OpContinuation, Mask: key}, body[len(body)/2:])
		}
		stream = AppendMasked(stream, OpClose, [4]byte{1, 2, 3, 4}, AppendCloseBody(nil, 4002, "enough"))

		l := &loop{in: bytes.NewReader(stream)}
		req, _ := http.NewRequest("GET", "/", strings.NewReader(""))
		for name, value := range map[string]string{"Connection": "Upgrade", "Upgrade": "websocket", "Sec-Websocket-Version": "13",
			"Sec-Websocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-Websocket-Extensions": agreed} {
			req.Header.Set(name, value)
		}
		up := gorilla.Upgrader{EnableCompression: compress}
		c, err := up.Upgrade(hijacked{conn: l}, req, nil)
		if err != nil {
			t.Fatal(err)
		}
		head := l.out.Len()
		c.EnableWriteCompression(compress)
		for _, body := range bodies() {
			kind, got, err := c.ReadMessage()
			if err != nil || !bytes.Equal(got, body) {
				t.Fatalf("compress %v: gorilla read %d bytes for %d: %v", compress, len(got), len(body), err)
			}
			if err := c.WriteMessage(kind, got); err != nil {
				t.Fatal(err)
			}
		}
		if _, _, err := c.ReadMessage(); !gorilla.IsCloseError(err, 4002) {
			t.Fatalf("compress %v: gorilla read %v for a close", compress, err)
		}

		r, s, lim := new(Reader), new(Scratch), &Limits{Message: 1 << 20, Compression: compress, Client: true}
		in := l.out.Bytes()[head:]
		for i, body := range bodies() {
			ev, rest, v := r.Next(in, lim, s)
			if v != nil || ev.Kind != []Kind{Text, Binary}[i%2] || !bytes.Equal(ev.Payload, body) {
				t.Fatalf("compress %v: read %d bytes of kind %d for %d, %s", compress, len(ev.Payload), ev.Kind, len(body), label(v))
			}
			in = rest
		}
		if ev, _, v := r.Next(in, lim, s); v != nil || ev.Kind != Close || ev.Code != 4002 {
			t.Fatalf("compress %v: %+v, %s for the answer to the close", compress, ev, label(v))
		}
	}
}
