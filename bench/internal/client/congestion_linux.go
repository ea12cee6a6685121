package client

import (
	"errors"
	"net"

	"golang.org/x/sys/unix"
)

// setCubic chooses the congestion control that every benchmark uses at both
// ends: the default may be one that paces even on loopback.
func setCubic(tc *net.TCPConn) error {
	raw, err := tc.SyscallConn()
	if err != nil {
		return err
	}
	var set error
	err = raw.Control(func(fd uintptr) {
		set = unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, "cubic")
	})
	return errors.Join(err, set)
}
