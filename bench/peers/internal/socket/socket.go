// Package socket chooses the congestion control of listeners, its own and those of other processes, and reads it back from
// accepted connections. What a listener has its connections inherit. It works on Linux only, like the benchmarks.
package socket

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Listener returns the control function of a net.ListenConfig that sets the congestion control before the socket listens.
func Listener(congestion string) func(network, address string, raw syscall.RawConn) error {
	return func(_, _ string, raw syscall.RawConn) error {
		var set error
		err := raw.Control(func(fd uintptr) { set = setCongestion(int(fd), congestion) })
		return errors.Join(err, set)
	}
}

func setCongestion(fd int, congestion string) error {
	return unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, congestion)
}

// SetForeign sets the congestion control of the socket with which a process of ours listens at a port. For servers that
// cannot do it themselves: a duplicate of their descriptor is the same socket.
func SetForeign(pid, port int, congestion string) error {
	set := 0
	err := each(pid, port, func(fd int, listening bool) error {
		if !listening {
			return nil
		}
		set++
		return setCongestion(fd, congestion)
	})
	if err == nil && set == 0 {
		err = fmt.Errorf("process %d does not listen at port %d", pid, port)
	}
	return err
}

// Accepted counts the connections that a process has accepted at a port, by their congestion control.
func Accepted(pid, port int) (map[string]int, error) {
	count := map[string]int{}
	err := each(pid, port, func(fd int, listening bool) error {
		if listening {
			return nil
		}
		name, err := unix.GetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION)
		name, _, _ = strings.Cut(name, "\x00")
		count[name]++
		return err
	})
	return count, err
}

// each calls what for every TCP socket of a process that is bound to a local port.
func each(pid, port int, what func(fd int, listening bool) error) error {
	process, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return err
	}
	defer unix.Close(process)
	folder := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		number, err := strconv.Atoi(entry.Name())
		target, _ := os.Readlink(folder + "/" + entry.Name())
		if err != nil || !strings.HasPrefix(target, "socket:") {
			continue
		}
		fd, err := unix.PidfdGetfd(process, number, 0)
		if errors.Is(err, unix.EBADF) {
			continue // closed since the folder was read
		}
		if err != nil {
			return fmt.Errorf("descriptor %d of process %d: %w", number, pid, err)
		}
		listening, bound := at(fd, port)
		if bound {
			err = what(fd, listening)
		}
		if err := errors.Join(err, unix.Close(fd)); err != nil {
			return err
		}
	}
	return nil
}

// at tells whether a socket is bound to a port, and whether it listens there.
func at(fd, port int) (listening, bound bool) {
	name, err := unix.Getsockname(fd)
	if err != nil {
		return false, false
	}
	switch name := name.(type) {
	case *unix.SockaddrInet4:
		bound = name.Port == port
	case *unix.SockaddrInet6:
		bound = name.Port == port
	}
	accepts, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	return err == nil && accepts == 1, bound
}

// Port is the port of a TCP address.
func Port(address net.Addr) int { return address.(*net.TCPAddr).Port }
