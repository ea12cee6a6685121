package poll

import (
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// descriptorFields name the descriptors in nbio's poller.
var descriptorFields = [...]string{"kfd"}

func setCongestion(int, string) error { return unix.ENOTSUP }

func setNotSentLowat(fd, bytes int) error {
	const notSentLowat = 0x201 // TCP_NOTSENT_LOWAT of netinet/tcp.h
	return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, notSentLowat, bytes)
}

func setUserTimeout(int, time.Duration) error { return unix.ENOTSUP }

// send leaves everything to nbio: a signal for each broken connection is no gain.
func send(int, []byte) int { return 0 }

// acceptFrom takes a connection off a listening descriptor.
func acceptFrom(fd int) (int, netip.AddrPort, error) {
	syscall.ForkLock.RLock()
	n, sa, err := unix.Accept(fd)
	if err == nil {
		unix.CloseOnExec(n)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return -1, netip.AddrPort{}, err
	}
	if err := unix.SetNonblock(n, true); err != nil {
		_ = unix.Close(n)
		return -1, netip.AddrPort{}, err
	}
	return n, sockaddrPort(sa), nil
}

// stopReports fails: the connection is closed instead.
func stopReports(int, int, bool) error { return unix.ENOTSUP }
