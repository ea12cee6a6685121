package poll

import (
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// descriptorFields name the descriptors in nbio's poller.
var descriptorFields = [...]string{"epfd", "evtfd"}

func setCongestion(fd int, name string) error {
	return unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, name)
}

func setNotSentLowat(fd, bytes int) error {
	return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, bytes)
}

func setUserTimeout(fd int, d time.Duration) error {
	return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d.Milliseconds()))
}

// send gives b to a socket that does not block, and returns how much of it the kernel took; 0 also if it took none, for whatever
// reason. It is send(2), for write(2) looks at the file too, and a raw call: the runtime takes calls for ones that may block, and has
// its monitor awake every 20 µs for them while a fan-out makes a hundred thousand a second. What is sent goes through the whole
// of TCP within the call, up to the other end on a loopback: some 10 µs, in which this thread cannot be stopped for the collector.
func send(fd int, b []byte) int {
	if len(b) == 0 {
		return 0
	}
	n, _, errno := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)),
		unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		return 0
	}
	return int(n)
}

// acceptFrom takes a connection off a listening descriptor.
func acceptFrom(fd int) (int, unix.Sockaddr, error) {
	return unix.Accept4(fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
}

// stopReports has epfd report no input of fd any more, only its end, and with out that it can be written to. The kernel
// takes little more of it.
func stopReports(epfd, fd int, out bool) error {
	events := uint32(unix.EPOLLERR | unix.EPOLLHUP | unix.EPOLLRDHUP)
	if out {
		events |= unix.EPOLLOUT
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, heldWindow)
	return unix.EpollCtl(epfd, unix.EPOLL_CTL_MOD, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
}
