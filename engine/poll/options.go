package poll

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// SocketOptions are set on listening sockets, whose connections inherit them, and on
// dialled ones. Zero values leave the system's choice.
type SocketOptions struct {
	Congestion   string        // TCP_CONGESTION, by name
	NotSentLowat int           // TCP_NOTSENT_LOWAT, bytes
	UserTimeout  time.Duration // TCP_USER_TIMEOUT, whole milliseconds
}

// Dial connects to addr for Loop.Add, without keep-alive. local may be the zero AddrPort.
func Dial(ctx context.Context, local, addr netip.AddrPort, o SocketOptions) (*net.TCPConn, error) {
	var optErr error
	d := net.Dialer{
		KeepAlive: -1,
		Control: func(_, _ string, rc syscall.RawConn) error {
			if err := rc.Control(func(fd uintptr) { optErr = o.set(int(fd)) }); err != nil {
				return err
			}
			return optErr
		},
	}
	d.SetMultipathTCP(false)
	if local.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(local)
	}
	nc, err := d.DialContext(ctx, "tcp", addr.String())
	if err != nil {
		return nil, err
	}
	return nc.(*net.TCPConn), nil
}

func (o SocketOptions) set(fd int) error {
	if o.Congestion != "" {
		if err := setCongestion(fd, o.Congestion); err != nil {
			return congestionError(o.Congestion, err)
		}
	}
	if o.NotSentLowat > 0 {
		if err := setNotSentLowat(fd, o.NotSentLowat); err != nil {
			return fmt.Errorf("TCP_NOTSENT_LOWAT %d: %w", o.NotSentLowat, err)
		}
	}
	if o.UserTimeout > 0 {
		if err := setUserTimeout(fd, o.UserTimeout); err != nil {
			return fmt.Errorf("TCP_USER_TIMEOUT %s: %w", o.UserTimeout, err)
		}
	}
	return nil
}

func congestionError(name string, err error) error {
	switch {
	case errors.Is(err, syscall.EPERM):
		return fmt.Errorf("--tcp-congestion %q: only root may choose it; add it to net.ipv4.tcp_allowed_congestion_control%s: %w",
			name, choices("/proc/sys/net/ipv4/tcp_allowed_congestion_control"), err)
	default:
		return fmt.Errorf("--tcp-congestion %q: this kernel does not have it; choose one of net.ipv4.tcp_available_congestion_control%s: %w",
			name, choices("/proc/sys/net/ipv4/tcp_available_congestion_control"), err)
	}
}

func choices(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return " (" + strings.TrimSpace(string(b)) + ")"
}

const (
	minReserve = 64
	maxReserve = 1024

	mostDescriptors = 1 << 30 // RLIM_INFINITY
)

// Descriptors is the limit on open files.
func Descriptors() (int, error) {
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		return 0, os.NewSyscallError("getrlimit", err)
	}
	return int(min(uint64(lim.Cur), mostDescriptors)), nil
}

// Capacity is the number of connections that the limit on open files leaves room
// for, after a reserve for everything else: an eighth, at least 64 and at most 1,024.
func Capacity() (int, error) {
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		return 0, os.NewSyscallError("getrlimit", err)
	}
	return capacity(uint64(lim.Cur)), nil
}

func capacity(nofile uint64) int {
	n := int(min(nofile, mostDescriptors))
	return max(0, n-min(max(n/8, minReserve), maxReserve))
}

// capacity fills MaxConns in, or checks it.
func (cfg *ListenConfig) capacity() error {
	n, err := Capacity()
	if err != nil {
		return err
	}
	switch {
	case n == 0:
		return fmt.Errorf("the limit on open files leaves no room for connections: raise LimitNOFILE (ulimit -n) above %d", minReserve)
	case cfg.MaxConns == 0:
		cfg.MaxConns = n
	case cfg.MaxConns < 0 || cfg.MaxConns > n:
		return fmt.Errorf("--connections %d: the limit on open files has room for %d; raise LimitNOFILE (ulimit -n) or lower --connections", cfg.MaxConns, n)
	}
	return nil
}
