package poll

import (
	"net"
	"os"
	"syscall"

	"github.com/lesismal/nbio"
)

// bell wakes the loop, which nbio cannot: it watches one end of a socket pair, which brings it here.
// How that costs least is the system's matter: see pillow.
type bell struct {
	pillow
	write *net.UnixConn // a net.Conn, so that a late byte cannot hit a reused number
	read  *nbio.Conn
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
