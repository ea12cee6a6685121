package poll

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long a test waits for what must happen; one that passes does not wait.
const patience = 2 * time.Minute

// server is a handler for tests: functions, each of which may be nil. It checks
// the rules that hold for every handler: Closed is last and comes once, and
// everything runs on one goroutine (the race detector sees open otherwise).
type server struct {
	t    testing.TB
	loop *Loop

	open     func(peer, local netip.AddrPort, door uint8) bool
	data     func(c *Conn, b []byte)
	writable func(c *Conn)
	closed   func(c *Conn)
	wake     func(now time.Time)

	conns map[*Conn]bool // owned by the loop

	mu   sync.Mutex
	jobs []func()
}

// start makes the loop of s.
func (s *server) start(t testing.TB, cfg LoopConfig) *Loop {
	t.Helper()
	s.t = t
	s.conns = make(map[*Conn]bool)
	l, err := NewLoop(cfg, s)
	if err != nil {
		t.Fatal(err)
	}
	s.loop = l
	t.Cleanup(func() {
		l.Stop()
		if n := len(s.conns); n > 0 || l.Len() != 0 {
			t.Errorf("after Stop the handler still has %d connections, Len is %d", n, l.Len())
		}
	})
	return l
}

// run runs f on the loop and waits for it.
func (s *server) run(f func()) {
	done := make(chan struct{})
	s.mu.Lock()
	s.jobs = append(s.jobs, func() { defer close(done); f() })
	s.mu.Unlock()
	s.loop.Wake()
	<-done
}

// only returns the one connection, once it is there.
func (s *server) only() (c *Conn) {
	s.t.Helper()
	s.await(func() bool {
		for c = range s.conns {
		}
		return len(s.conns) == 1
	})
	return c
}

// descriptor is the number of a connection's descriptor.
func (s *server) descriptor(c *Conn) (fd int) {
	s.run(func() { fd = c.nb.Hash() })
	return fd
}

// await asks cond on the loop until it holds.
func (s *server) await(cond func() bool) {
	s.t.Helper()
	for end := time.Now().Add(patience); ; {
		ok := false
		s.run(func() { ok = cond() })
		if ok {
			return
		}
		if time.Now().After(end) {
			s.t.Fatal("waited in vain")
		}
	}
}

func (s *server) Open(peer, local netip.AddrPort, door uint8) *Conn {
	if s.open != nil && !s.open(peer, local, door) {
		return nil
	}
	c := new(Conn)
	s.conns[c] = true
	return c
}

func (s *server) check(c *Conn) {
	if !s.conns[c] {
		s.t.Error("called for a connection that is not open")
	}
}

func (s *server) Data(c *Conn, b []byte) {
	s.check(c)
	if s.data != nil {
		s.data(c, b)
	}
}

func (s *server) Writable(c *Conn) {
	s.check(c)
	if s.writable != nil {
		s.writable(c)
	}
}

func (s *server) Closed(c *Conn) {
	s.check(c)
	delete(s.conns, c)
	if s.closed != nil {
		s.closed(c)
	}
}

func (s *server) Wake(now time.Time) {
	if s.wake != nil {
		s.wake(now)
	}
	s.mu.Lock()
	jobs := s.jobs
	s.jobs = nil
	s.mu.Unlock()
	for _, f := range jobs {
		f()
	}
}

// serve listens for the loops until the test ends.
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
	_ = nc.SetDeadline(time.Now().Add(patience))
	return nc.(*net.TCPConn)
}

// pair returns both ends of a connection that no loop has yet.
func pair(t testing.TB) (ours, theirs *net.TCPConn) {
	t.Helper()
	ln, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	theirs = dial(t, addrPort(ln.Addr().(*net.TCPAddr)))
	if ours, err = ln.AcceptTCP(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ours.Close() })
	return ours, theirs
}

// awaitReadable waits until the kernel has something to report about a descriptor.
func awaitReadable(t testing.TB, fd int) {
	t.Helper()
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(patience.Milliseconds()))
		if err == unix.EINTR {
			continue
		}
		if n != 1 || err != nil {
			t.Fatalf("descriptor %d does not get readable: %v", fd, err)
		}
		return
	}
}

// receive takes a value from ch or fails.
func receive[T any](t testing.TB, ch <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-ch:
	case <-time.After(patience):
		t.Fatal("waited in vain")
	}
	return v
}
