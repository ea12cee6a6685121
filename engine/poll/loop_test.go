package poll

import (
	"context"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"
)

// server is a handler for tests: functions, each of which may be nil, and storage by slot.
type server struct {
	loop *Loop

	open     func(peer, local netip.AddrPort) bool
	data     func(c *Conn, b []byte)
	writable func(c *Conn)
	closed   func(c *Conn)
	wake     func(now time.Time)
}

func (s *server) Open(peer, local netip.AddrPort) *Conn {
	if s.open != nil && !s.open(peer, local) {
		return nil
	}
	return new(Conn)
}

func (s *server) Data(c *Conn, b []byte) {
	if s.data != nil {
		s.data(c, b)
	}
}

func (s *server) Writable(c *Conn) {
	if s.writable != nil {
		s.writable(c)
	}
}

func (s *server) Closed(c *Conn) {
	if s.closed != nil {
		s.closed(c)
	}
}

func (s *server) Wake(now time.Time) {
	if s.wake != nil {
		s.wake(now)
	}
}

func newLoop(t testing.TB, cfg LoopConfig, h Handler) *Loop {
	t.Helper()
	l, err := NewLoop(cfg, h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Stop)
	return l
}

// serve listens for the loops and returns the address.
func serve(t testing.TB, cfg ListenConfig, loops ...*Loop) *Listener {
	t.Helper()
	if cfg.Addr == "" {
		cfg.Addr = "127.0.0.1:0"
	}
	ln, err := Listen(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- ln.Serve(loops) }()
	t.Cleanup(func() {
		_ = ln.Close()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return ln
}

func dial(t testing.TB, addr netip.AddrPort) *net.TCPConn {
	t.Helper()
	nc, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(30 * time.Second))
	return nc.(*net.TCPConn)
}

func TestEcho(t *testing.T) {
	s := &server{data: func(c *Conn, b []byte) { _ = c.Write(b) }}
	l := newLoop(t, LoopConfig{}, s)
	nc := dial(t, serve(t, ListenConfig{}, l).Addr())
	if _, err := nc.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 5)
	if _, err := io.ReadFull(nc, got); err != nil || string(got) != "hello" {
		t.Fatalf("got %q, %v", got, err)
	}
}
