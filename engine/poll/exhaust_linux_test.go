package poll

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// exhaustEnv makes the test binary a server that is nearly out of descriptors.
const exhaustEnv = "WEIR_POLL_TEST_EXHAUST"

// exhaustRoom is the number of descriptors that the child leaves itself; a connection takes one.
const exhaustRoom = 12

// TestDescriptorsRunOut: with no descriptor left, newcomers are turned away at once,
// those who are connected do not notice, little CPU and one log line a second are spent,
// and when descriptors are free again so is the door.
func TestDescriptorsRunOut(t *testing.T) {
	child := startExhausted(t)
	var kept []net.Conn
	turnedAway := 0
	try := func() {
		if nc := dialEcho(t, child.addr); nc != nil {
			kept = append(kept, nc)
		} else {
			turnedAway++
		}
	}
	for range 3 * exhaustRoom {
		try()
	}
	if len(kept) < exhaustRoom/2 || len(kept) > exhaustRoom || turnedAway < exhaustRoom {
		t.Fatalf("%d served, %d turned away", len(kept), turnedAway)
	}
	start, before := time.Now(), child.ask(t, "cpu")
	for time.Since(start) < 300*time.Millisecond {
		try()
	}
	wall, cpu := time.Since(start), time.Duration(child.ask(t, "cpu")-before)*time.Microsecond
	t.Logf("%d served, %d turned away, %v of CPU in %v", len(kept), turnedAway, cpu, wall)
	if cpu > wall/4 {
		t.Errorf("%v of CPU in %v", cpu, wall)
	}
	child.ask(t, "eat")
	for range 5 { // whatever was free for the moment, now not even an accept is possible
		if nc := dialEcho(t, child.addr); nc != nil {
			t.Error("served without a descriptor")
		}
	}
	for _, nc := range kept {
		if !echoes(nc) {
			t.Error("a connected client was dropped")
		}
	}
	for end := time.Now().Add(patience); child.ask(t, "exhausted") < turnedAway; { // counted after the close
		if time.Now().After(end) {
			t.Fatalf("counted %d, turned away %d", child.ask(t, "exhausted"), turnedAway)
		}
	}
	if lines, most := child.ask(t, "lines"), int(time.Since(child.started).Seconds())+2; lines < 1 || lines > most {
		t.Errorf("%d log lines, at most %d wanted", lines, most)
	}
	for _, nc := range kept[:3] { // a connection needs two
		_ = nc.Close()
	}
	for end := time.Now().Add(patience); dialEcho(t, child.addr) == nil; {
		if time.Now().After(end) {
			t.Fatal("descriptors are free again, but nobody is let in")
		}
	}
}

// dialEcho returns nil when it is turned away, which may be before the connection is known to be made.
func dialEcho(t *testing.T, addr netip.AddrPort) net.Conn {
	nc, err := net.Dial("tcp", addr.String())
	if err != nil {
		return nil
	}
	t.Cleanup(func() { _ = nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(patience))
	if !echoes(nc) {
		return nil
	}
	return nc
}

func echoes(nc net.Conn) bool {
	if _, err := nc.Write([]byte("x")); err != nil {
		return false
	}
	_, err := io.ReadFull(nc, make([]byte, 1))
	return err == nil
}

type exhausted struct {
	addr    netip.AddrPort
	in      io.Writer
	out     *bufio.Scanner
	started time.Time
}

func startExhausted(t *testing.T) *exhausted {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), exhaustEnv+"=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	started := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the child: %v", err)
		}
	})
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		t.Fatalf("the child says nothing: %v", lines.Err())
	}
	addr, err := netip.ParseAddrPort(lines.Text())
	if err != nil {
		t.Fatalf("the child says %q", lines.Text())
	}
	return &exhausted{addr: addr, in: in, out: lines, started: started}
}

func (e *exhausted) ask(t *testing.T, what string) (n int) {
	t.Helper()
	_, _ = fmt.Fprintln(e.in, what)
	if !e.out.Scan() {
		t.Fatalf("the child does not answer %s", what)
	}
	if _, err := fmt.Sscan(e.out.Text(), &n); err != nil {
		t.Fatalf("the child answers %q", e.out.Text())
	}
	return n
}

// exhaustChild is the child's main; it ends with its standard input.
func exhaustChild() int {
	if err := runExhausted(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func runExhausted() error {
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 200, Max: 200}); err != nil {
		return err
	}
	var lines atomic.Int64
	h := &exhaustServer{}
	l, err := NewLoop(LoopConfig{}, h)
	if err != nil {
		return err
	}
	ln, err := Listen(context.Background(), ListenConfig{Addr: "127.0.0.1:0", Log: slog.New(countLines{&lines})})
	if err != nil {
		return err
	}
	served := make(chan error)
	go func() { served <- ln.Serve([]*Loop{l}) }()
	in := bufio.NewScanner(os.Stdin)
	if _, err := eatDescriptors(exhaustRoom); err != nil {
		return err
	}
	fmt.Println(ln.Addr())
	for in.Scan() {
		switch in.Text() {
		case "cpu":
			var ru unix.Rusage
			if err := unix.Getrusage(unix.RUSAGE_SELF, &ru); err != nil {
				return err
			}
			fmt.Println((ru.Utime.Nano() + ru.Stime.Nano()) / 1000)
		case "exhausted":
			fmt.Println(ln.Counters().Exhausted)
		case "eat":
			ln.spareMu.Lock() // not the one that is spare for the moment
			n, err := eatDescriptors(0)
			ln.spareMu.Unlock()
			if err != nil {
				return err
			}
			fmt.Println(n)
		case "lines":
			fmt.Println(lines.Load())
		}
	}
	if err := ln.Close(); err != nil {
		return err
	}
	l.Stop()
	return <-served
}

// eatDescriptors leaves room descriptors, and returns how many it took.
func eatDescriptors(room int) (int, error) {
	var eaten []int
	for {
		fd, err := unix.Open(os.DevNull, unix.O_RDONLY, 0)
		if err == syscall.EMFILE {
			break
		}
		if err != nil {
			return 0, err
		}
		eaten = append(eaten, fd)
	}
	for _, fd := range eaten[len(eaten)-room:] {
		_ = unix.Close(fd)
	}
	return len(eaten) - room, nil
}

type exhaustServer struct{}

func (*exhaustServer) Open(_, _ netip.AddrPort, _ uint8) *Conn { return new(Conn) }
func (*exhaustServer) Data(c *Conn, b []byte)                  { _ = c.Write(b) }
func (*exhaustServer) Writable(*Conn)                          {}
func (*exhaustServer) Closed(*Conn)                            {}
func (*exhaustServer) Wake(time.Time)                          {}

// countLines is a slog.Handler.
type countLines struct{ n *atomic.Int64 }

func (h countLines) Enabled(context.Context, slog.Level) bool  { return true }
func (h countLines) Handle(context.Context, slog.Record) error { h.n.Add(1); return nil }
func (h countLines) WithAttrs([]slog.Attr) slog.Handler        { return h }
func (h countLines) WithGroup(string) slog.Handler             { return h }
