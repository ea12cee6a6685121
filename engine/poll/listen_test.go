package poll

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestListenErrorsNameTheOption(t *testing.T) {
	taken := serve(t, ListenConfig{}, (&server{}).start(t, LoopConfig{})).Addr().String()
	capacity, err := Capacity()
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		cfg  ListenConfig
		want []string
	}{
		{"taken", ListenConfig{Addr: taken}, []string{"--listen " + taken, "another process", "choose another port"}},
		{"taken, other option", ListenConfig{Addr: taken, Flag: "--proxy-listen"}, []string{"--proxy-listen " + taken}},
		{"no port", ListenConfig{Addr: "127.0.0.1"}, []string{"--listen 127.0.0.1", "host:port"}},
		{"not ours", ListenConfig{Addr: "192.0.2.1:0"}, []string{"--listen 192.0.2.1:0", "address of this machine"}},
		{"congestion", ListenConfig{Addr: "127.0.0.1:0", Congestion: "nosuch"}, []string{`--tcp-congestion "nosuch"`, "tcp_available_congestion_control"}},
		{"too many", ListenConfig{Addr: "127.0.0.1:0", MaxConns: capacity + 1}, []string{"--connections", "LimitNOFILE"}},
		{"negative", ListenConfig{Addr: "127.0.0.1:0", MaxConns: -1}, []string{"--connections -1"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ln, err := Listen(context.Background(), tc.cfg)
			if err == nil {
				_ = ln.Close()
				t.Fatal("accepted")
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
		})
	}
}

func TestReusePort(t *testing.T) {
	s := &server{data: func(c *Conn, b []byte) { _ = c.Write(b) }}
	l := s.start(t, LoopConfig{})
	first := serve(t, ListenConfig{ReusePort: true}, l)
	second := serve(t, ListenConfig{ReusePort: true, Addr: first.Addr().String()}, l)
	if first.Addr() != second.Addr() {
		t.Fatal("two addresses")
	}
	for end := time.Now().Add(patience); ; {
		roundTrip(t, dial(t, first.Addr()), "x")
		a, b := first.Counters().Accepted, second.Counters().Accepted
		if a > 0 && b > 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("accepted %d and %d", a, b)
		}
	}
}

func TestSpreadsOverLoops(t *testing.T) {
	s1, s2 := &server{}, &server{}
	s1.data = func(c *Conn, b []byte) { _ = c.Write(b) }
	s2.data = s1.data
	l1, l2 := s1.start(t, LoopConfig{Name: "1"}), s2.start(t, LoopConfig{Name: "2"})
	ln := serve(t, ListenConfig{}, l1, l2)
	for range 10 {
		roundTrip(t, dial(t, ln.Addr()), "x")
	}
	if l1.Len() != 5 || l2.Len() != 5 {
		t.Errorf("%d and %d", l1.Len(), l2.Len())
	}
}

func TestServeWithoutLoops(t *testing.T) {
	ln, err := Listen(context.Background(), ListenConfig{Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	if err := ln.Serve(nil); err == nil {
		t.Error("no error")
	}
	for range 2 {
		if err := ln.Close(); err != nil {
			t.Error(err)
		}
	}
}

// refusedSoon reads from a connection that must be closed without a byte.
func refusedSoon(t *testing.T, r io.Reader) {
	t.Helper()
	if n, err := r.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("read %d, %v from a refused connection", n, err)
	}
}

// refusedAtOnce dials and must be turned away, which may be before the connection is known to be made.
func refusedAtOnce(t *testing.T, ln *Listener) {
	t.Helper()
	nc, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		if !errors.Is(err, syscall.ECONNRESET) {
			t.Error(err)
		}
		return
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(patience))
	refusedSoon(t, nc)
}

func TestMaxConnsAndAdmit(t *testing.T) {
	var refuse atomic.Bool
	var asked atomic.Int64
	s := &server{data: func(c *Conn, b []byte) { _ = c.Write(b) }}
	l := s.start(t, LoopConfig{})
	ln := serve(t, ListenConfig{MaxConns: 2, Admit: func(peer netip.Addr) bool {
		asked.Add(1)
		if peer != netip.AddrFrom4([4]byte{127, 0, 0, 1}) {
			t.Errorf("asked about %v", peer)
		}
		return !refuse.Load()
	}}, l)
	first := dial(t, ln.Addr())
	roundTrip(t, first, "first")

	refuse.Store(true)
	refusedAtOnce(t, ln)
	refuse.Store(false)
	roundTrip(t, dial(t, ln.Addr()), "second")
	before := asked.Load()
	refusedAtOnce(t, ln)
	if asked.Load() != before {
		t.Error("Admit was asked about a peer that finds no room")
	}
	_ = first.Close()
	s.await(func() bool { return l.Len() == 1 })
	roundTrip(t, dial(t, ln.Addr()), "third")
	awaitCounters(t, ln, ListenCounters{Accepted: 3, Refused: 1, Full: 1})
}

// awaitCounters waits for what is counted after the connection is handed over.
func awaitCounters(t *testing.T, ln *Listener, want ListenCounters) {
	t.Helper()
	for end := time.Now().Add(patience); ln.Counters() != want; {
		if time.Now().After(end) {
			t.Fatalf("counted %+v, want %+v", ln.Counters(), want)
		}
	}
}

// TestRelease: a peer that was admitted and that no loop took is given back.
func TestRelease(t *testing.T) {
	released := make(chan netip.Addr, 10)
	s := &server{}
	l := s.start(t, LoopConfig{})
	ln := serve(t, ListenConfig{Release: func(peer netip.Addr) { released <- peer }}, l)
	l.Stop()
	refusedAtOnce(t, ln)
	if peer := receive(t, released); peer.String() != "127.0.0.1" {
		t.Errorf("released %v", peer)
	}
	if got := ln.Counters(); got.Failed != 1 || got.Accepted != 0 {
		t.Errorf("counted %+v", got)
	}
}

// TestDoor: a handler is told whose listener each connection came through.
func TestDoor(t *testing.T) {
	doors := make(chan uint8, 2)
	s := &server{open: func(_, _ netip.AddrPort, door uint8) bool { doors <- door; return true }}
	l := s.start(t, LoopConfig{})
	for _, door := range []uint8{0, 7} {
		dial(t, serve(t, ListenConfig{Door: door}, l).Addr())
		if got := receive(t, doors); got != door {
			t.Errorf("door %d, want %d", got, door)
		}
	}
}

func TestCloseKeepsConnections(t *testing.T) {
	s := &server{data: func(c *Conn, b []byte) { _ = c.Write(b) }}
	l := s.start(t, LoopConfig{})
	ln, err := Listen(context.Background(), ListenConfig{Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error)
	go func() { served <- ln.Serve([]*Loop{l}) }()
	nc := dial(t, ln.Addr())
	roundTrip(t, nc, "before")
	if err := ln.Close(); err != nil {
		t.Error(err)
	}
	if err := receive(t, served); err != nil {
		t.Errorf("Serve: %v", err)
	}
	roundTrip(t, nc, "after")
	awaitCounters(t, ln, ListenCounters{Accepted: 1})
}

func TestDialAddsToLoop(t *testing.T) {
	echo := &server{data: func(c *Conn, b []byte) { _ = c.Write(b) }}
	ln := serve(t, ListenConfig{}, echo.start(t, LoopConfig{}))
	got := make(chan string, 1)
	client := &server{data: func(_ *Conn, b []byte) { got <- string(b) }}
	l := client.start(t, LoopConfig{})
	local := netip.MustParseAddrPort("127.0.0.2:0")
	tc, err := Dial(context.Background(), local, ln.Addr(), SocketOptions{Congestion: "reno"})
	if err != nil {
		t.Fatal(err)
	}
	if addrOf(t, tc.LocalAddr().String()) != local.Addr() {
		t.Errorf("dialled from %v", tc.LocalAddr())
	}
	if err := l.Add(tc); err != nil {
		t.Fatal(err)
	}
	c := client.only()
	client.run(func() { _ = c.Write([]byte("hello")) })
	if s := receive(t, got); s != "hello" {
		t.Errorf("got %q", s)
	}
	if _, err := Dial(context.Background(), netip.AddrPort{}, ln.Addr(), SocketOptions{Congestion: "nosuch"}); err == nil || !strings.Contains(err.Error(), "--tcp-congestion") {
		t.Errorf("an unknown congestion control: %v", err)
	}
	if _, err := Dial(context.Background(), netip.AddrPort{}, unheard(t), SocketOptions{}); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("dialled where nobody listens: %v", err)
	}
}

// unheard is an address where nobody listens, nor can until the test ends: it is taken.
func unheard(t *testing.T) netip.AddrPort {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(name.(*unix.SockaddrInet4).Port))
}

func addrOf(t *testing.T, s string) netip.Addr {
	t.Helper()
	ap, err := netip.ParseAddrPort(s)
	if err != nil {
		t.Fatal(err)
	}
	return ap.Addr()
}

func TestCapacity(t *testing.T) {
	for _, tc := range []struct {
		nofile uint64
		want   int
	}{
		{0, 0}, {64, 0}, {65, 1}, {512, 448}, {1024, 896}, {20_000, 18_976}, {1 << 20, 1<<20 - 1024}, {1<<64 - 1, 1<<30 - 1024},
	} {
		if got := capacity(tc.nofile); got != tc.want {
			t.Errorf("capacity(%d) is %d, want %d", tc.nofile, got, tc.want)
		}
	}
}
