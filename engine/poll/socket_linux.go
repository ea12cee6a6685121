package poll

import (
	"encoding/binary"
	"net/netip"
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

// acceptFrom takes a connection off a listening descriptor that does not block: a raw call for the same reason as send's. What
// unix.Accept4 would ask beside, the socket's protocol, is a system call more.
func acceptFrom(fd int) (int, netip.AddrPort, error) {
	var from unix.RawSockaddrInet6 // as long as any of the internet's
	size := uint32(unsafe.Sizeof(from))
	n, _, errno := syscall.RawSyscall6(unix.SYS_ACCEPT4, uintptr(fd), uintptr(unsafe.Pointer(&from)), uintptr(unsafe.Pointer(&size)),
		unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
	if errno != 0 {
		return -1, netip.AddrPort{}, errno
	}
	return int(n), rawPort(&from), nil
}

// rawPort is sockaddrPort of what the kernel wrote.
func rawPort(from *unix.RawSockaddrInet6) netip.AddrPort {
	switch from.Family {
	case unix.AF_INET:
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(from)) // the shorter one
		return netip.AddrPortFrom(netip.AddrFrom4(v4.Addr), hostOrder(&v4.Port))
	case unix.AF_INET6:
		return netip.AddrPortFrom(netip.AddrFrom16(from.Addr).Unmap(), hostOrder(&from.Port))
	}
	return netip.AddrPort{}
}

// hostOrder is a port as the kernel writes it, the high byte first.
func hostOrder(port *uint16) uint16 {
	return binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(port))[:])
}

// readable reports whether watched has anything to read, without waiting; also when that cannot be found out.
func readable(watched *[1]unix.PollFd) bool {
	n, _, errno := syscall.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&watched[0])), 1, uintptr(unsafe.Pointer(&unix.Timespec{})), 0, 0, 0)
	return n != 0 || errno != 0
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
