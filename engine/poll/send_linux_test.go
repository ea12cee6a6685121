package poll

import (
	"io"
	"testing"

	"golang.org/x/sys/unix"
)

// TestWriteHitsNoNewcomer: nbio may have closed a connection by itself, and its number may be somebody else's by now, before
// Closed is told. What is written to it then goes nowhere.
func TestWriteHitsNoNewcomer(t *testing.T) {
	s := &server{}
	l := s.start(t, LoopConfig{})
	ours, _ := pair(t)
	if err := l.Add(ours); err != nil {
		t.Fatal(err)
	}
	c := s.only()
	stranger, strangerPeer := pair(t)
	raw, err := stranger.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	s.run(func() {
		number := c.nb.Hash()
		_ = c.nb.Close()
		if err := raw.Control(func(fd uintptr) { err = unix.Dup3(int(fd), number, unix.O_CLOEXEC) }); err != nil {
			t.Error(err)
		}
		if err != nil {
			t.Error(err)
		}
		if err := c.Write([]byte("secret")); err != ErrClosed {
			t.Errorf("written: %v", err)
		}
		_ = unix.Close(number)
	})
	_ = stranger.Close()
	if b, err := io.ReadAll(strangerPeer); err != nil || len(b) > 0 {
		t.Errorf("a stranger has %q, %v", b, err)
	}
}
