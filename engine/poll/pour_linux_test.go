package poll

import (
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// pour writes until that fails, and tells it.
func pour(to io.Writer) <-chan error {
	ended := make(chan error, 1)
	go func() {
		b := make([]byte, 64<<10)
		for {
			if _, err := to.Write(b); err != nil {
				ended <- err
				return
			}
		}
	}()
	return ended
}

// TestPouring: a peer that pours on after we ignore it, or have finished, is read up to a bound and then
// no more: its own kernel holds it back. That it resets is still heard. What it pours in drips counts
// by the read.
func TestPouring(t *testing.T) {
	for name, end := range map[string]func(*Conn){"ignored": (*Conn).Ignore, "finished": (*Conn).Finish} {
		t.Run(name, func(t *testing.T) {
			closed := make(chan struct{}, 2)
			s := &server{closed: func(*Conn) { closed <- struct{}{} }}
			l := s.start(t, LoopConfig{ReadBuffer: 4 << 10})
			ours, theirs := pair(t)
			if err := l.Add(ours); err != nil {
				t.Fatal(err)
			}
			c := s.only()
			s.run(func() { end(c) })
			flood := pour(theirs)
			s.await(c.spent)
			s.run(func() {}) // a turn: what was ready when the bound was reached has been reported
			s.run(func() {
				if !held(t, c) {
					t.Error("the kernel still reports its input")
				}
			})
			_ = theirs.SetLinger(0) // a FIN would wait behind what we do not read
			_ = theirs.Close()
			receive(t, flood)
			receive(t, closed)
		})
	}
	c := new(Conn)
	for range discardBlocks {
		if c.spent() {
			t.Fatal("spent too early")
		}
		c.deafTo(1)
	}
	if !c.spent() {
		t.Errorf("%d reads of a byte, and more may come", discardBlocks)
	}
}

// TestHeldWriting: a connection that is no longer read is still written to.
func TestHeldWriting(t *testing.T) {
	const queued = 12 << 20
	s := new(server)
	l := s.start(t, LoopConfig{MaxUnsent: 16 << 20})
	ours, theirs := pair(t)
	if err := l.Add(ours); err != nil {
		t.Fatal(err)
	}
	c := s.only()
	s.run(func() { c.Ignore() })
	flood := pour(theirs)
	s.await(c.spent)
	s.run(func() {
		_ = c.Write(make([]byte, queued))
		c.Finish()
	})
	if n, err := io.Copy(io.Discard, theirs); n != queued || err != nil {
		t.Errorf("the peer got %d of %d bytes, %v", n, queued, err)
	}
	_ = theirs.SetLinger(0)
	_ = theirs.Close()
	receive(t, flood)
	s.await(func() bool { return len(s.conns) == 0 })
}

// held reports whether epoll watches the connection, and not its input. On the loop.
func held(t *testing.T, c *Conn) bool {
	info, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", c.loop.poller))
	if err != nil {
		t.Error(err)
	}
	for line := range strings.Lines(string(info)) {
		var fd int
		var events uint32
		if n, _ := fmt.Sscanf(line, "tfd: %d events: %x", &fd, &events); n == 2 && fd == c.nb.Hash() {
			return events&(unix.EPOLLIN|unix.EPOLLPRI) == 0
		}
	}
	return false
}
