package realclient

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"

	"weir/engine"
)

// pattern is length bytes that are valid UTF-8 and deflate a little.
func pattern(length int) []byte {
	b := make([]byte, 0, length+64)
	random := rand.NewPCG(uint64(length), 0)
	for len(b) < length {
		b = strconv.AppendUint(b, random.Uint64(), 36)
		b = append(b, " same "...)
	}
	return b[:length]
}

func (s *server) httpClient() *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: s.tlsConfig(), DisableKeepAlives: true}}
}

func (s *server) coder(t testing.TB, path string, mode websocket.CompressionMode, protocols ...string) *websocket.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), longest)
	defer cancel()
	c, res, err := websocket.Dial(ctx, s.url(path), &websocket.DialOptions{
		HTTPClient: s.httpClient(), HTTPHeader: http.Header{"Origin": {ourOrigin}},
		CompressionMode: mode, CompressionThreshold: 1, Subprotocols: protocols,
	})
	if err != nil {
		t.Fatalf("coder/websocket: %v, %v", err, res)
	}
	c.SetReadLimit(echoLimit + 1)
	t.Cleanup(func() { _ = c.CloseNow() })
	return c
}

func (s *server) gorilla(t testing.TB, path string, compressed bool) *gorilla.Conn {
	t.Helper()
	d := gorilla.Dialer{TLSClientConfig: s.tlsConfig(), EnableCompression: compressed, HandshakeTimeout: longest, WriteBufferSize: 4096}
	c, res, err := d.DialContext(t.Context(), s.url(path), http.Header{"Origin": {ourOrigin}})
	if err != nil {
		t.Fatalf("gorilla/websocket: %v, %v", err, res)
	}
	if got := strings.Contains(res.Header.Get("Sec-WebSocket-Extensions"), "permessage-deflate"); got && !compressed {
		t.Error("compression was negotiated that nobody offered")
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// link is what both libraries are for these tests.
type link interface {
	send(text bool, message []byte, pieces int) error // in as many fragments as pieces, or about
	receive() (text bool, message []byte, err error)
	bye(code int, reason string) error // the closing handshake; nil if it was whole and the code came back
}

type coderLink struct{ *websocket.Conn }

func (l coderLink) send(text bool, message []byte, pieces int) error {
	ctx, cancel := context.WithTimeout(context.Background(), longest)
	defer cancel()
	kind := websocket.MessageBinary
	if text {
		kind = websocket.MessageText
	}
	if pieces == 1 {
		return l.Write(ctx, kind, message)
	}
	w, err := l.Writer(ctx, kind)
	if err != nil {
		return err
	}
	if err := writePieces(w, message, pieces); err != nil { // a frame for each Write
		return err
	}
	return w.Close()
}

func (l coderLink) receive() (bool, []byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), longest)
	defer cancel()
	kind, message, err := l.Read(ctx)
	return kind == websocket.MessageText, message, err
}

func (l coderLink) bye(code int, reason string) error {
	return l.Close(websocket.StatusCode(code), reason)
}

type gorillaLink struct{ *gorilla.Conn }

func (l gorillaLink) send(text bool, message []byte, pieces int) error {
	_ = l.SetWriteDeadline(time.Now().Add(longest)) // never errs
	kind := gorilla.BinaryMessage
	if text {
		kind = gorilla.TextMessage
	}
	if pieces == 1 {
		return l.WriteMessage(kind, message)
	}
	w, err := l.NextWriter(kind)
	if err != nil {
		return err
	}
	if err := writePieces(w, message, pieces); err != nil { // a frame for each full buffer
		return err
	}
	return w.Close()
}

func (l gorillaLink) receive() (bool, []byte, error) {
	_ = l.SetReadDeadline(time.Now().Add(longest)) // errs with the read
	kind, message, err := l.ReadMessage()
	return kind == gorilla.TextMessage, message, err
}

func (l gorillaLink) bye(code int, reason string) error {
	if err := l.WriteControl(gorilla.CloseMessage, gorilla.FormatCloseMessage(code, reason), time.Now().Add(longest)); err != nil {
		return err
	}
	_, _, err := l.ReadMessage()
	var closed *gorilla.CloseError
	if errors.As(err, &closed) && closed.Code == code {
		return nil
	}
	return err
}

func writePieces(w io.Writer, message []byte, pieces int) error {
	size := max((len(message)+pieces-1)/pieces, 1)
	for len(message) > 0 {
		n := min(size, len(message))
		if _, err := w.Write(message[:n]); err != nil {
			return err
		}
		message = message[n:]
	}
	return nil
}

// roundTrip wants a message back as it was sent.
func roundTrip(l link, text bool, message []byte, pieces int) error {
	if err := l.send(text, message, pieces); err != nil {
		return fmt.Errorf("sending %d bytes in %d: %w", len(message), pieces, err)
	}
	asText, back, err := l.receive()
	if err != nil {
		return fmt.Errorf("receiving %d bytes sent in %d: %w", len(message), pieces, err)
	}
	if asText != text || !bytes.Equal(back, message) {
		return fmt.Errorf("%d bytes (text %v) in %d came back as %d (text %v), or others", len(message), text, pieces, len(back), asText)
	}
	return nil
}

// libraries are the two of Go in each of their ways to compress.
func (s *server) libraries() map[string]func(testing.TB) link {
	return map[string]func(testing.TB) link{
		"coder, plain": func(t testing.TB) link { return coderLink{s.coder(t, echoPath, websocket.CompressionDisabled)} },
		"coder, no context takeover": func(t testing.TB) link {
			return coderLink{s.coder(t, echoPath, websocket.CompressionNoContextTakeover)}
		},
		"coder, context takeover": func(t testing.TB) link { return coderLink{s.coder(t, echoPath, websocket.CompressionContextTakeover)} },
		"gorilla, plain":          func(t testing.TB) link { return gorillaLink{s.gorilla(t, echoPath, false)} },
		"gorilla, compressed":     func(t testing.TB) link { return gorillaLink{s.gorilla(t, echoPath, true)} },
	}
}

func TestGoEcho(t *testing.T) {
	t.Parallel()
	for _, compression := range []bool{false, true} {
		s := serve(t, func(c *engine.Config) { c.Compression = compression })
		for name, dial := range s.libraries() {
			t.Run(fmt.Sprintf("%s, server %v", name, compression), func(t *testing.T) {
				l := dial(t)
				for _, length := range append([]int{4 << 20}, lengths...) {
					message := pattern(length)
					for _, pieces := range []int{1, 2, 7} {
						for _, text := range []bool{false, true} {
							if err := roundTrip(l, text, message, pieces); err != nil {
								t.Fatal(err)
							}
						}
					}
				}
				if err := l.bye(4000, "done"); err != nil {
					t.Errorf("the closing handshake: %v", err)
				}
			})
		}
	}
}

// TestGoPipelined: many messages under way at once come back whole and in order.
func TestGoPipelined(t *testing.T) {
	t.Parallel()
	s := serve(t, func(c *engine.Config) { c.Compression = true })
	for name, dial := range s.libraries() {
		t.Run(name, func(t *testing.T) {
			l := dial(t)
			const messages = 300
			size := func(i int) int { return i * i % 5000 }
			sent := make(chan error, 1)
			go func() {
				for i := range messages {
					if err := l.send(true, pattern(size(i)), 1+i%3); err != nil {
						sent <- err
						return
					}
				}
				sent <- nil
			}()
			for i := range messages {
				if _, back, err := l.receive(); err != nil || !bytes.Equal(back, pattern(size(i))) {
					t.Fatalf("message %d of %d bytes: %d bytes, %v", i, size(i), len(back), err)
				}
			}
			if err := <-sent; err != nil {
				t.Error(err)
			}
		})
	}
}

// TestGoConcurrent: connections beside one another each get their own back.
func TestGoConcurrent(t *testing.T) {
	t.Parallel()
	s := serve(t, func(c *engine.Config) { c.Compression, c.Limits.IPHandshakes = true, 0 })
	var wg sync.WaitGroup
	for name, dial := range s.libraries() {
		for i := range 12 {
			l := dial(t)
			wg.Go(func() {
				for round := range 20 {
					own := fmt.Appendf(nil, "%s %d %d %s", name, i, round, pattern(round*997))
					if err := roundTrip(l, round%2 == 0, own, 1+round%4); err != nil {
						t.Errorf("%s %d: %v", name, i, err)
						return
					}
				}
				if err := l.bye(1000, ""); err != nil {
					t.Errorf("%s %d: the closing handshake: %v", name, i, err)
				}
			})
		}
	}
	wg.Wait()
}

// TestGoClosedByServer: codes and reasons of the server, with the handshake
// completed by the library: both report an error where it is not.
func TestGoClosedByServer(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	connect := `{"id":1,"connect":{"token":"` + sign(t, "alice", time.Hour) + `"}}`
	for name, l := range map[string]link{
		"coder": coderLink{s.coder(t, wsPath, websocket.CompressionDisabled, "centrifuge-json")}, "gorilla": gorillaLink{s.gorilla(t, wsPath, false)},
	} {
		if err := l.send(true, []byte(connect), 3); err != nil {
			t.Fatal(err)
		}
		if _, reply, err := l.receive(); err != nil || !bytes.Contains(reply, []byte(`"connect":{`)) {
			t.Fatalf("%s: %s, %v", name, reply, err)
		}
		s.api("disconnect", `{"user":"alice","disconnect":{"code":3456,"reason":"no more"}}`)
		_, _, err := l.receive()
		var c websocket.CloseError
		var g *gorilla.CloseError
		if !(errors.As(err, &c) && c.Code == 3456 && c.Reason == "no more") && !(errors.As(err, &g) && g.Code == 3456 && g.Text == "no more") {
			t.Errorf("%s: closed with %v", name, err)
		}
	}
}

// TestGoTooLarge: one byte too much is 1009, said in time.
func TestGoTooLarge(t *testing.T) {
	t.Parallel()
	s := serve(t, func(c *engine.Config) { c.Limits.EchoSize = 100_000; c.Compression = true })
	for name, dial := range s.libraries() {
		for _, pieces := range []int{1, 5} {
			l := dial(t)
			if err := roundTrip(l, false, pattern(100_000), pieces); err != nil {
				t.Errorf("%s: the longest: %v", name, err)
			}
			_ = l.send(false, pattern(100_001), pieces) // may be cut off while it writes
			_, _, err := l.receive()
			var c websocket.CloseError
			var g *gorilla.CloseError
			if !(errors.As(err, &c) && c.Code == websocket.StatusMessageTooBig) && !(errors.As(err, &g) && g.Code == gorilla.CloseMessageTooBig) {
				t.Errorf("%s: %d bytes in %d: %v, want 1009", name, 100_001, pieces, err)
			}
		}
	}
}

// TestGoSubprotocol: coder refuses an answer that it did not ask for, so this
// holds for none, one and several.
func TestGoSubprotocol(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	for want, offer := range map[string][]string{"centrifuge-json": {"centrifuge-protobuf", "centrifuge-json"}, "": {"other"}} {
		if got := s.coder(t, wsPath, websocket.CompressionDisabled, offer...).Subprotocol(); got != want {
			t.Errorf("offered %q, got %q", offer, got)
		}
	}
	if got := s.coder(t, wsPath, websocket.CompressionDisabled).Subprotocol(); got != "" {
		t.Errorf("offered none, got %q", got)
	}
}

// TestGoPings: both ways of asking whether the server is there, between messages.
func TestGoPings(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	c := s.coder(t, echoPath, websocket.CompressionDisabled)
	ctx, cancel := context.WithTimeout(t.Context(), longest)
	defer cancel()
	reading := c.CloseRead(ctx) // pongs are read there
	for range 3 {
		if err := c.Ping(ctx); err != nil {
			t.Fatal(err, reading.Err())
		}
	}
	g := s.gorilla(t, echoPath, false)
	var pongs []string
	g.SetPongHandler(func(text string) error { pongs = append(pongs, text); return nil })
	for _, text := range []string{"one", "two", ""} {
		if err := g.WriteControl(gorilla.PingMessage, []byte(text), time.Now().Add(longest)); err != nil {
			t.Fatal(err)
		}
	}
	if err := roundTrip(gorillaLink{g}, true, []byte("behind the pings"), 1); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(pongs, ","); got != "one,two," {
		t.Errorf("pongs %q", got)
	}
}
