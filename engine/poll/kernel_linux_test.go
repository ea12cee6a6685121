package poll

import (
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// descriptors returns the open descriptors of this process, with what they are.
func descriptors(t testing.TB) map[int]string {
	t.Helper()
	dir, err := os.Open("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		t.Fatal(err)
	}
	fds := make(map[int]string)
	for _, name := range names {
		fd, err := strconv.Atoi(name)
		if err != nil || fd == int(dir.Fd()) {
			continue
		}
		if target, err := os.Readlink(filepath.Join("/proc/self/fd", name)); err == nil {
			fds[fd] = target
		}
	}
	return fds
}

// TestDescriptorsCloseOnExec looks at every descriptor that a loop, a listener and their
// connections have.
func TestDescriptorsCloseOnExec(t *testing.T) {
	warmUp(t)
	before := descriptors(t)
	s := &server{data: func(c *Conn, b []byte) { _ = c.Write(b) }}
	l := s.start(t, LoopConfig{})
	ln := serve(t, ListenConfig{}, l)
	roundTrip(t, dial(t, ln.Addr()), "x")
	made := 0
	for fd, what := range descriptors(t) {
		if before[fd] == what {
			continue
		}
		made++
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("%d (%s) is inherited by children: %v", fd, what, err)
		}
	}
	// epoll twice, eventfd, the pair, the listener, its spare, both ends of the connection.
	if made != 9 {
		t.Errorf("%d descriptors, want 9", made)
	}
}

// warmUp has the Go runtime make its own descriptors.
func warmUp(t testing.TB) { pair(t) }

// TestThousandConnections come, speak, and go, by all ways of going. Nothing is left behind.
func TestThousandConnections(t *testing.T) {
	warmUp(t)
	before := len(descriptors(t))
	s := &server{}
	s.data = func(c *Conn, b []byte) {
		switch b[0] {
		case 'a':
			c.Abort()
		case 'f':
			_ = c.Write([]byte("f"))
			c.Finish()
		default:
			_ = c.Write(b)
		}
	}
	s.t, s.conns = t, make(map[*Conn]bool)
	l, err := NewLoop(LoopConfig{}, s)
	if err != nil {
		t.Fatal(err)
	}
	s.loop = l
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var clients []net.Conn
	for i := range 1000 {
		nc, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_ = nc.SetDeadline(time.Now().Add(patience))
		ours, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Add(ours.(*net.TCPConn)); err != nil {
			t.Fatal(err)
		}
		roundTrip(t, nc, "x")
		clients = append(clients, nc)
		switch i % 4 {
		case 0:
			_, _ = io.WriteString(nc, "a")
		case 1:
			_, _ = io.WriteString(nc, "f")
		case 2:
			_ = nc.Close()
		}
	}
	s.await(func() bool { return len(s.conns) == 500 }) // 250 of them wait for the client's FIN
	for i, nc := range clients {
		if i%4 == 1 {
			if b, err := io.ReadAll(nc); string(b) != "f" || err != nil {
				t.Fatalf("client %d read %q, %v", i, b, err)
			}
			_ = nc.Close()
		}
	}
	s.await(func() bool { return len(s.conns) == 250 && l.Len() == 250 })
	l.Stop()
	_ = ln.Close()
	for _, nc := range clients {
		_ = nc.Close()
	}
	if n := len(descriptors(t)); n != before {
		t.Errorf("%d descriptors, %d before", n, before)
	}
}

// TestOptionsAreInherited: what Listen sets is what connections have, without a system call for each.
func TestOptionsAreInherited(t *testing.T) {
	s := &server{data: func(c *Conn, b []byte) { _ = c.Write(b) }}
	l := s.start(t, LoopConfig{})
	ln := serve(t, ListenConfig{Congestion: "reno", NotSentLowat: 16 << 10, UserTimeout: 1500 * time.Millisecond}, l)
	roundTrip(t, dial(t, ln.Addr()), "x")
	fd := s.descriptor(s.only())
	if name, err := unix.GetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION); err != nil || name != "reno" {
		t.Errorf("congestion control %q, %v", name, err)
	}
	for _, o := range []struct {
		name             string
		level, opt, want int
	}{
		{"TCP_NODELAY", unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
		{"TCP_NOTSENT_LOWAT", unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, 16 << 10},
		{"TCP_USER_TIMEOUT", unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 1500},
		{"SO_KEEPALIVE", unix.SOL_SOCKET, unix.SO_KEEPALIVE, 0},
	} {
		if v, err := unix.GetsockoptInt(fd, o.level, o.opt); err != nil || v != o.want {
			t.Errorf("%s is %d, %v, want %d", o.name, v, err, o.want)
		}
	}
}

// TestUserTimeoutOfNewcomers: it can be changed while the listener is open.
func TestUserTimeoutOfNewcomers(t *testing.T) {
	s := &server{data: func(c *Conn, b []byte) { _ = c.Write(b) }}
	ln := serve(t, ListenConfig{UserTimeout: 1500 * time.Millisecond}, s.start(t, LoopConfig{}))
	if err := ln.SetUserTimeout(2500 * time.Millisecond); err != nil {
		t.Fatal(err)
	}
	roundTrip(t, dial(t, ln.Addr()), "x")
	if v, err := unix.GetsockoptInt(s.descriptor(s.only()), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT); err != nil || v != 2500 {
		t.Errorf("TCP_USER_TIMEOUT is %d, %v, want 2500", v, err)
	}
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	if ln.SetUserTimeout(time.Second) == nil {
		t.Error("a closed listener took it")
	}
}

// TestVanishedPeer: nobody acts, the kernel gives up after UserTimeout.
func TestVanishedPeer(t *testing.T) {
	closed := make(chan struct{}, 1)
	s := &server{closed: func(*Conn) { closed <- struct{}{} }}
	s.data = func(c *Conn, _ []byte) { _ = c.Write(make([]byte, 40<<20)) }
	l := s.start(t, LoopConfig{MaxUnsent: 64 << 20})
	nc := dial(t, serve(t, ListenConfig{UserTimeout: 300 * time.Millisecond}, l).Addr())
	_, _ = nc.Write([]byte("x")) // and never reads
	receive(t, closed)
}

// TestUrgentByte: a peer can mark a byte as urgent, which the poller watches for. The condition must
// not last, or the loop would spin.
func TestUrgentByte(t *testing.T) {
	s := &server{}
	l := s.start(t, LoopConfig{})
	ours, theirs := pair(t)
	if err := l.Add(ours); err != nil {
		t.Fatal(err)
	}
	fd := s.descriptor(s.only())
	rc, err := theirs.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := rc.Control(func(fd uintptr) { err = unix.Sendto(int(fd), []byte("!"), unix.MSG_OOB, nil) }); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.await(func() bool {
		info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		return err == nil && info.Bytes_received == 1
	})
	s.await(func() bool {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN | unix.POLLPRI}}, 0)
		return n == 0 && err == nil
	})
}

// TestHeapPerConnection: what an idle connection keeps alive in this package and in nbio.
func TestHeapPerConnection(t *testing.T) {
	if raceEnabled {
		t.Skip("skipped: the race detector adds its own memory")
	}
	const conns, limit = 2000, 270 // nbio.Conn 208, Conn 32, its place in the list
	slab := make([]Conn, conns)
	h := &slabServer{slab: slab, opened: make(chan int, conns)}
	l, err := NewLoop(LoopConfig{}, h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Stop)
	ln, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	port := ln.Addr().(*net.TCPAddr).Port
	fds := make([]int, 0, conns)
	t.Cleanup(func() {
		for _, fd := range fds {
			_ = unix.Close(fd)
		}
	})
	connect := func() { // without Go's own memory for a client
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		fds = append(fds, fd)
		if err := unix.Connect(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
			t.Fatal(err)
		}
		tc, err := ln.AcceptTCP()
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Add(tc); err != nil {
			t.Fatal(err)
		}
		receive(t, h.opened)
	}
	connect()
	before := liveHeap()
	for range conns - 1 {
		connect()
	}
	each := (liveHeap() - before) / (conns - 1)
	each += 32 // the slab was there before
	t.Logf("%d bytes of live heap for each connection", each)
	if each > limit {
		t.Errorf("%d bytes, at most %d wanted", each, limit)
	}
}

func liveHeap() int {
	for range 3 { // finalizers of Go's own descriptors
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

type slabServer struct {
	exhaustServer
	slab   []Conn
	opened chan int
	n      int
}

func (h *slabServer) Open(_, _ netip.AddrPort, _ uint8) *Conn {
	c := &h.slab[h.n]
	h.n++
	h.opened <- h.n
	return c
}

// TestCannotWatch: connections that epoll refuses (fs.epoll.max_user_watches) are closed as ever, with one line in the log.
func TestCannotWatch(t *testing.T) {
	var lines atomic.Int64
	s := &server{}
	l := s.start(t, LoopConfig{
		Log: slog.New(countLines{&lines}),
		Now: func() time.Time { return time.Unix(1e9, 0) },
	})
	file, err := os.Open("/proc/self/stat") // epoll takes no regular file
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	const n = 3
	for range n {
		ours, theirs := pair(t)
		newcomer, err := l.newcomer(ours)
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Dup3(int(file.Fd()), newcomer.nb.Hash(), unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		l.open.Add(1)
		s.run(func() { l.register(l.now(), newcomer) })
		refusedSoon(t, theirs)
	}
	s.await(func() bool { return len(s.conns) == 0 })
	if lines.Load() != 1 || l.Len() != 0 {
		t.Errorf("%d lines, %d open", lines.Load(), l.Len())
	}
}
