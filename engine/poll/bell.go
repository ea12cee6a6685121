package poll

import (
	"net"
	"os"
	"sync/atomic"
	"syscall"

	"github.com/lesismal/nbio"
)

// bell wakes the loop. nbio cannot run code on its poller, so the loop watches
// one end of a socket pair and others write a byte to the other end. The flag
// keeps at most one byte under way: ringing costs one system call a turn, and
// never blocks. nbio never writes to its end.
type bell struct {
	rung  atomic.Bool
	write *net.UnixConn // a net.Conn, so that a late ring cannot hit a reused number
	read  *nbio.Conn
	one   [1]byte
}

func newBell() (*bell, error) {
	syscall.ForkLock.RLock()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fds[0])
		syscall.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	write, err := unixConn(fds[0])
	if err != nil {
		_ = syscall.Close(fds[1])
		return nil, err
	}
	read, err := unixConn(fds[1])
	if err != nil {
		_ = write.Close()
		return nil, err
	}
	nb, err := duplicate(read)
	if err != nil {
		_ = write.Close()
		_ = read.Close()
		return nil, err
	}
	return &bell{write: write, read: nb}, nil
}

// unixConn takes fd over, also when it fails.
func unixConn(fd int) (*net.UnixConn, error) {
	f := os.NewFile(uintptr(fd), "wake-up")
	defer f.Close() // FileConn duplicates
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	return c.(*net.UnixConn), nil
}

// ring may be called by any goroutine.
func (b *bell) ring() {
	if b.rung.Swap(true) {
		return
	}
	if _, err := b.write.Write(b.one[:]); err != nil {
		b.rung.Store(false) // closed with the loop; anything else is tried again by the next ring
	}
}

// answer must be called before the work is looked for: what is posted later rings again.
func (b *bell) answer() { b.rung.Store(false) }
