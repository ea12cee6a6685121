package poll

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

func TestEchoAndAddresses(t *testing.T) {
	for _, tc := range []struct{ name, listen, dial string }{
		{"IPv4", "127.0.0.1:0", "127.0.0.1"},
		{"IPv6", "[::1]:0", "::1"},
		{"IPv4 on the dual-stack address", ":0", "127.0.0.1"},
		{"IPv6 on the dual-stack address", ":0", "::1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			type ends struct{ peer, local netip.AddrPort }
			opened := make(chan ends, 1)
			s := &server{
				open:     func(peer, local netip.AddrPort, _ uint8) bool { opened <- ends{peer, local}; return true },
				data:     func(c *Conn, b []byte) { _ = c.Write(b) },
				writable: func(*Conn) { t.Error("Writable, although nothing was queued") },
			}
			port := serve(t, ListenConfig{Addr: tc.listen}, s.start(t, LoopConfig{})).Addr().Port()
			to := netip.AddrPortFrom(netip.MustParseAddr(tc.dial), port)
			nc := dial(t, to)
			got := receive(t, opened)
			if got.local != to || got.peer != nc.LocalAddr().(*net.TCPAddr).AddrPort() {
				t.Errorf("Open got %v, want peer %v and local %v", got, nc.LocalAddr(), to)
			}
			roundTrip(t, nc, "hello")
			s.run(func() {})
		})
	}
}

// roundTrip sends s to an echoing peer.
func roundTrip(t testing.TB, nc net.Conn, s string) {
	t.Helper()
	if _, err := io.WriteString(nc, s); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(s))
	if _, err := io.ReadFull(nc, got); err != nil || string(got) != s {
		t.Fatalf("got %q, %v, want %q", got, err, s)
	}
}

func TestOpenRefuses(t *testing.T) {
	s := &server{open: func(netip.AddrPort, netip.AddrPort, uint8) bool { return false }}
	l := s.start(t, LoopConfig{})
	nc := dial(t, serve(t, ListenConfig{}, l).Addr())
	if n, err := nc.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Fatalf("read %d, %v from a refused connection", n, err)
	}
	s.await(func() bool { return l.Len() == 0 && len(l.conns) == 0 })
}

func TestWriteInOpenFails(t *testing.T) {
	got := make(chan error, 1)
	s := &server{}
	h := &openWriter{server: s, got: got}
	s.t, s.conns = t, make(map[*Conn]bool)
	l, err := NewLoop(LoopConfig{}, h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Stop)
	ours, _ := pair(t)
	if err := l.Add(ours); err != nil {
		t.Fatal(err)
	}
	if err := receive(t, got); err != ErrClosed {
		t.Fatalf("Write during Open: %v", err)
	}
}

type openWriter struct {
	*server
	got chan error
}

func (h *openWriter) Open(peer, local netip.AddrPort, door uint8) *Conn {
	c := h.server.Open(peer, local, door)
	h.got <- c.Write([]byte("early"))
	return c
}

// TestDialledSpeaksFirst is how a client works: it writes in the Wake that follows Open.
func TestDialledSpeaksFirst(t *testing.T) {
	ours, theirs := pair(t)
	s := &server{}
	fresh := false
	s.open = func(netip.AddrPort, netip.AddrPort, uint8) bool { fresh = true; return true }
	s.wake = func(time.Time) {
		for c := range s.conns {
			if fresh {
				fresh = false
				_ = c.Write([]byte("first"))
			}
		}
	}
	if err := s.start(t, LoopConfig{}).Add(ours); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 5)
	if _, err := io.ReadFull(theirs, got); err != nil || string(got) != "first" {
		t.Fatalf("got %q, %v", got, err)
	}
}

// TestSlowReader writes much more than the kernel takes, in pieces of every size, reusing
// the piece's memory. The reader must get it unharmed, Writable must come, and only after
// everything has gone.
func TestSlowReader(t *testing.T) {
	const total = 16 << 20
	want := make([]byte, total)
	for i, rng := 0, rand.New(rand.NewPCG(1, 2)); i < total; i++ {
		want[i] = byte(rng.Uint32())
	}
	const maxUnsent = 300 << 10
	sent, blocked, tellings := 0, 0, 0
	piece := make([]byte, 0, 100<<10)
	rng := rand.New(rand.NewPCG(3, 4))
	s := &server{}
	write := func(c *Conn) {
		for sent < total {
			n := min(1+rng.IntN(1<<rng.IntN(17)), total-sent)
			if c.Unsent()+n > maxUnsent {
				blocked++
				return
			}
			piece = append(piece[:0], want[sent:sent+n]...)
			if err := c.Write(piece); err != nil {
				t.Errorf("write: %v", err)
				return
			}
			clear(piece) // Write must have copied what it keeps
			sent += n
		}
	}
	s.writable = func(c *Conn) {
		tellings++
		if c.Unsent() != 0 {
			t.Errorf("Writable with %d bytes unsent", c.Unsent())
		}
		write(c)
	}
	l := s.start(t, LoopConfig{MaxUnsent: maxUnsent})
	ours, theirs := pair(t)
	if err := l.Add(ours); err != nil {
		t.Fatal(err)
	}
	c := s.only()
	s.run(func() { write(c) })
	got := make([]byte, total)
	if _, err := io.ReadFull(theirs, got); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("the bytes differ")
	}
	s.run(func() {
		if c.Unsent() != 0 || blocked == 0 || tellings < blocked {
			t.Errorf("unsent %d, blocked %d times, told %d times", c.Unsent(), blocked, tellings)
		}
	})
}

func TestMaxUnsent(t *testing.T) {
	s := &server{}
	l := s.start(t, LoopConfig{MaxUnsent: 1 << 20})
	ours, theirs := pair(t)
	_ = theirs // does not read
	if err := l.Add(ours); err != nil {
		t.Fatal(err)
	}
	c := s.only()
	var err error
	s.run(func() {
		b := make([]byte, 64<<10)
		for range 1 << 10 {
			before := c.Unsent()
			if err = c.Write(b); err != nil {
				if before+len(b) <= 1<<20 {
					t.Errorf("refused at %d + %d", before, len(b))
				}
				return
			}
			if c.Unsent() > 1<<20 {
				t.Errorf("%d bytes unsent", c.Unsent())
			}
		}
	})
	if err != ErrUnsent {
		t.Fatalf("a write over the bound: %v", err)
	}
	s.run(func() {
		if c.open() && c.Write(nil) != ErrClosed {
			t.Error("the connection is still open")
		}
	})
	s.await(func() bool { return len(s.conns) == 0 })
}

func TestAbort(t *testing.T) {
	slots := make(chan uint32, 2)
	s := &server{closed: func(c *Conn) {
		slots <- c.Slot
		if !reflect.DeepEqual(c, &Conn{Slot: c.Slot}) || c.Write([]byte("x")) != ErrClosed || c.Unsent() != 0 {
			t.Error("in Closed the connection is not blank")
		}
		c.Finish()
		c.Abort()
	}}
	l := s.start(t, LoopConfig{})
	ours, theirs := pair(t)
	if err := l.Add(ours); err != nil {
		t.Fatal(err)
	}
	c := s.only()
	s.run(func() {
		c.Slot = 7
		c.Abort()
		c.Abort()
		c.Finish()
		if err := c.Write([]byte("x")); err != ErrClosed {
			t.Errorf("write after Abort: %v", err)
		}
	})
	if slot := receive(t, slots); slot != 7 {
		t.Errorf("Slot is %d", slot)
	}
	if _, err := theirs.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the peer reads %v", err)
	}
	s.run(func() {
		if len(slots) != 0 || len(l.conns) != 0 || l.Len() != 0 {
			t.Error("Closed came twice, or the connection is still counted")
		}
	})
}

// TestPeerGoes: however the peer goes, and whatever is queued, Closed comes once.
func TestPeerGoes(t *testing.T) {
	for _, tc := range []struct {
		name  string
		leave func(*net.TCPConn)
	}{
		{"in order", func(nc *net.TCPConn) { _ = nc.Close() }},
		{"by half", func(nc *net.TCPConn) { _ = nc.CloseWrite() }},
		{"by reset", func(nc *net.TCPConn) { _ = nc.SetLinger(0); _ = nc.Close() }},
		{"after half a message", func(nc *net.TCPConn) { _, _ = nc.Write([]byte("half")); _ = nc.Close() }},
	} {
		for _, queued := range []int{0, 8 << 20} {
			t.Run(tc.name, func(t *testing.T) {
				closed := make(chan *Conn, 2)
				s := &server{closed: func(c *Conn) { closed <- c }}
				l := s.start(t, LoopConfig{MaxUnsent: 16 << 20})
				ours, theirs := pair(t)
				if err := l.Add(ours); err != nil {
					t.Fatal(err)
				}
				c := s.only()
				s.run(func() {
					if err := c.Write(make([]byte, queued)); err != nil {
						t.Error(err)
					}
				})
				tc.leave(theirs)
				if receive(t, closed) != c {
					t.Error("Closed for another connection")
				}
				s.run(func() {})
				if len(closed) != 0 {
					t.Error("Closed came twice")
				}
			})
		}
	}
}

func TestWakeIsCoalescedAndNeverLost(t *testing.T) {
	var posted, seen, wakes atomic.Int64
	s := &server{wake: func(time.Time) { wakes.Add(1); seen.Store(posted.Load()) }}
	l := s.start(t, LoopConfig{})
	const each, callers = 20_000, 4
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for range each {
				posted.Add(1)
				l.Wake()
			}
		})
	}
	wg.Wait()
	for end := time.Now().Add(patience); seen.Load() != each*callers; {
		if time.Now().After(end) {
			t.Fatalf("posted %d, seen %d", posted.Load(), seen.Load())
		}
	}
	t.Logf("%d calls, %d turns", each*callers, wakes.Load())

	// While the loop is busy any number of calls is one turn.
	busy, release := make(chan struct{}), make(chan struct{})
	go s.run(func() { close(busy); <-release })
	<-busy
	before := wakes.Load()
	for range 1000 {
		l.Wake()
	}
	close(release)
	s.run(func() {})
	s.run(func() {})
	if got := wakes.Load() - before; got > 3 {
		t.Errorf("1000 calls made %d turns", got)
	}
}

func TestNowIsTheConfiguredClock(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	got := make(chan time.Time, 100)
	s := &server{wake: func(now time.Time) { got <- now }}
	s.start(t, LoopConfig{Now: func() time.Time { return at }}).Wake()
	if now := receive(t, got); !now.Equal(at) {
		t.Errorf("now is %v", now)
	}
}

// TestPanics: a panic costs the connection it was about and nothing else.
func TestPanics(t *testing.T) {
	for _, where := range []string{"Open", "Data", "Writable", "Closed", "Wake", "storage"} {
		t.Run(where, func(t *testing.T) {
			var armed atomic.Bool
			fire := func(at string) {
				if at == where && armed.CompareAndSwap(true, false) {
					panic(at)
				}
			}
			reports := make(chan string, 4)
			s := &server{
				open: func(netip.AddrPort, netip.AddrPort, uint8) bool { fire("Open"); return true },
				data: func(c *Conn, b []byte) {
					fire("Data")
					if b[0] == 'w' { // more than the kernel takes
						_ = c.Write(make([]byte, 12<<20))
						return
					}
					if b[0] == 'q' {
						c.Abort()
						return
					}
					_ = c.Write(b)
				},
				writable: func(c *Conn) { fire("Writable") },
				closed:   func(*Conn) { fire("Closed") },
				wake:     func(time.Time) { fire("Wake") },
			}
			var h Handler = s
			if where == "storage" {
				h = &reusing{server: s, armed: &armed}
			}
			s.t, s.conns = t, make(map[*Conn]bool)
			l, err := NewLoop(LoopConfig{MaxUnsent: 16 << 20, Panic: func(v any, stack []byte) {
				if !bytes.Contains(stack, []byte("poll.")) {
					t.Errorf("no stack: %s", stack)
				}
				reports <- v.(string)
			}}, h)
			if err != nil {
				t.Fatal(err)
			}
			s.loop = l
			t.Cleanup(l.Stop)
			ln := serve(t, ListenConfig{}, l)
			innocent := dial(t, ln.Addr())
			roundTrip(t, innocent, "before")
			armed.Store(true)
			victim := dial(t, ln.Addr())
			_, _ = victim.Write([]byte(map[string]string{"Writable": "w", "Closed": "q"}[where] + "x"))
			if where == "Wake" {
				l.Wake()
			} else if _, err := io.Copy(io.Discard, victim); err != nil && !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the victim was not closed: %v", err)
			}
			if got := receive(t, reports); !strings.Contains(got, where) {
				t.Errorf("reported %q", got)
			}
			roundTrip(t, innocent, "after")
			roundTrip(t, dial(t, ln.Addr()), "newcomer")
		})
	}
}

// reusing returns storage that is in use.
type reusing struct {
	*server
	armed *atomic.Bool
}

func (h *reusing) Open(peer, local netip.AddrPort, door uint8) *Conn {
	if h.armed.CompareAndSwap(true, false) {
		for c := range h.conns {
			return c
		}
	}
	return h.server.Open(peer, local, door)
}

func TestStop(t *testing.T) {
	var closed atomic.Int64
	s := &server{closed: func(*Conn) { closed.Add(1) }}
	l := s.start(t, LoopConfig{})
	var theirs []net.Conn
	for range 50 {
		ours, peer := pair(t)
		theirs = append(theirs, peer)
		if err := l.Add(ours); err != nil {
			t.Fatal(err)
		}
	}
	s.await(func() bool { return len(s.conns) == 50 })
	var wg sync.WaitGroup
	for range 3 { // more than one may wait
		wg.Go(l.Stop)
	}
	wg.Wait()
	if closed.Load() != 50 {
		t.Errorf("Closed came %d times", closed.Load())
	}
	for _, peer := range theirs {
		if _, err := peer.Read(make([]byte, 1)); err == nil {
			t.Error("a peer is still connected")
		}
	}
	ours, peer := pair(t)
	if err := l.Add(ours); err != ErrStopped {
		t.Errorf("Add after Stop: %v", err)
	}
	if _, err := peer.Read(make([]byte, 1)); err == nil {
		t.Error("the connection added after Stop is still open")
	}
	l.Wake() // does nothing
}

// TestStopWhileAdding: each connection is either refused with an error, or opened and closed, or never opened.
func TestStopWhileAdding(t *testing.T) {
	for range 20 {
		s := &server{}
		l := s.start(t, LoopConfig{})
		var wg sync.WaitGroup
		for range 4 {
			ours, _ := pair(t)
			wg.Go(func() {
				if err := l.Add(ours); err != nil && !errors.Is(err, ErrStopped) {
					t.Error(err)
				}
			})
		}
		wg.Go(l.Stop)
		wg.Wait()
		l.Stop()
		if l.Len() != 0 || len(s.conns) != 0 {
			t.Errorf("Len %d, %d open", l.Len(), len(s.conns))
		}
	}
}

func TestAddClosedConn(t *testing.T) {
	s := &server{}
	l := s.start(t, LoopConfig{})
	ours, _ := pair(t)
	_ = ours.Close()
	if err := l.Add(ours); err == nil {
		t.Error("a closed connection was taken")
	}
	if l.Len() != 0 {
		t.Errorf("Len is %d", l.Len())
	}
}

func TestLoopConfigRange(t *testing.T) {
	for _, cfg := range []LoopConfig{{ReadBuffer: -1}, {MaxUnsent: -1}, {MaxUnsent: 1 << 31}} {
		if _, err := NewLoop(cfg, &server{}); err == nil {
			t.Errorf("%+v was accepted", cfg)
		}
	}
}

// TestReadBuffer: nothing longer than the buffer is lent.
func TestReadBuffer(t *testing.T) {
	const size = 1000
	total, longest := 0, 0
	s := &server{data: func(_ *Conn, b []byte) { total += len(b); longest = max(longest, len(b)) }}
	l := s.start(t, LoopConfig{ReadBuffer: size})
	ours, theirs := pair(t)
	if err := l.Add(ours); err != nil {
		t.Fatal(err)
	}
	if _, err := theirs.Write(make([]byte, 50*size)); err != nil {
		t.Fatal(err)
	}
	s.await(func() bool { return total == 50*size })
	if longest > size {
		t.Errorf("lent %d bytes", longest)
	}
}
