//go:build linux

package faults

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"weir/bench/internal/client"
	"weir/bench/internal/node"
	"weir/security/oplog/logtest"
)

const (
	stopClients = 50
	stopTimeout = 4 * time.Second // of each thing that the server waits for
	stopPing    = 5 * time.Second
	stopFor     = stopPing + 2*stopTimeout // what the clients see pass while the server stands still
	stopLines   = 10                       // warnings of the server in all of it, at most
)

// TestStopped is row D2's SIGSTOP, of a real process and for longer than it waits for
// anything: clients who answered what they were sent stay, each of them, and get what is
// published next; handshakes that came or went on meanwhile are finished; who said nothing
// is closed as ever; and the log says no more of it than a few lines.
func TestStopped(t *testing.T) {
	var log logtest.Log
	limit := stopTimeout.String()
	s := startServer(t, node.Options{Log: &log, Flags: []string{
		"--ping-interval=" + stopPing.String(), "--pong-timeout=" + limit, "--handshake-timeout=" + limit, "--head-timeout=" + limit,
		"--stale-close-delay=" + limit, "--write-timeout=" + limit, "--partial-timeout=" + limit,
		"--message-rate=0", "--byte-rate=0",
	}})
	target, err := s.Target("", []string{"a"})
	if err != nil {
		t.Fatal(err)
	}
	dialer, err := client.NewDialer(target)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var got, ended atomic.Int64
	var reading sync.WaitGroup
	t.Cleanup(reading.Wait) // after the connections are closed
	join := func(i int) {
		c, err := dialer.Dial(ctx, i)
		if err != nil {
			ended.Add(1)
			t.Errorf("client %d: %v", i, err)
			return
		}
		t.Cleanup(func() { _ = c.Close() })
		reading.Go(func() { // it answers pings
			for {
				if _, err := c.Next(); err != nil {
					if ctx.Err() == nil && !errors.Is(err, net.ErrClosed) {
						ended.Add(1)
						t.Errorf("client %d: %v", i, err)
					}
					return
				}
				got.Add(1)
			}
		})
	}
	for i := range stopClients {
		join(i)
	}
	behind := dialRaw(t, s, target.Token)
	behind.untilPinged(t)
	silent := dialTLS(t, s) // has finished its handshake, and says no more
	s.signal(t, syscall.SIGSTOP)
	begun := time.Now()
	answered := make(chan error, 1)
	go func() { answered <- behind.answerAtLength() }()
	var late sync.WaitGroup
	for i := range 5 { // their hellos wait in the kernel
		late.Go(func() { join(stopClients + i) })
	}
	for time.Since(begun) < stopFor { // the clients' clock, not the server's
		<-time.After(100 * time.Millisecond)
	}
	s.signal(t, syscall.SIGCONT)
	late.Wait()
	if err := <-answered; err != nil {
		t.Errorf("who had much to say before its pong: %v", err)
	}
	const all = stopClients + 5 + 1
	if _, _, err := s.publish(ctx, "a", []byte(`1`)); err != nil {
		t.Error(err)
	}
	eventually(t, "the publication, at everybody", func() bool { return got.Load() >= all-1 || t.Failed() })
	behind.untilPinged(t) // again: the pong was heard
	if err := behind.ws.Write(ctx, websocket.MessageText, []byte("{}")); err != nil {
		t.Error(err)
	}
	_ = silent.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.Copy(io.Discard, silent); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("who said nothing was never closed")
	}
	if n, said := ended.Load(), log.String(); n > 0 || strings.Count(said, "\n") > stopLines {
		t.Errorf("%d clients ended; the server said %s", n, said)
	}
	eventually(t, "the end of the silent one, and of nobody else", func() bool {
		left, err := s.Metric(ctx, "weir_connections")
		if err != nil || left < all {
			t.Fatalf("%v connections are left, want %d: %v", left, all, err)
		}
		return left == all
	})
}

// talker is a client that the test has in hand.
type talker struct{ ws *websocket.Conn }

func dialRaw(t *testing.T, s *server, token string) *talker {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: trusting(t, s), DisableKeepAlives: true}}
	ws, _, err := websocket.Dial(t.Context(), "wss://"+s.Addr+"/connection/websocket", &websocket.DialOptions{HTTPClient: client})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ws.CloseNow() })
	if err := ws.Write(t.Context(), websocket.MessageText, []byte(`{"id":1,"connect":{"token":"`+token+`"}}`)); err != nil {
		t.Fatal(err)
	}
	return &talker{ws}
}

// untilPinged reads on to the next ping, and does not answer it.
func (k *talker) untilPinged(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		_, b, err := k.ws.Read(ctx)
		if err != nil {
			t.Fatalf("no ping came: %v", err)
		}
		if string(b) == "{}" {
			return
		}
	}
}

// answerAtLength has the pong behind more than one turn of the server reads.
func (k *talker) answerAtLength() error {
	padding := strings.Repeat(" ", 60<<10)
	for i := range 40 {
		text := fmt.Sprintf(`{"id":%d,"history":{"channel":"a"}%s}`, i+2, padding)
		if err := k.ws.Write(context.Background(), websocket.MessageText, []byte(text)); err != nil {
			return err
		}
	}
	return k.ws.Write(context.Background(), websocket.MessageText, []byte("{}"))
}

// dialTLS opens a connection that is through with TLS.
func dialTLS(t *testing.T, s *server) net.Conn {
	t.Helper()
	c, err := tls.Dial("tcp", s.Addr, trusting(t, s))
	if err != nil {
		t.Fatal(fmt.Errorf("a handshake: %w", err))
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func trusting(t *testing.T, s *server) *tls.Config {
	t.Helper()
	pem, err := os.ReadFile(s.Authority())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return &tls.Config{RootCAs: roots, ServerName: "localhost", NextProtos: []string{"http/1.1"}}
}
