package main

import "golang.org/x/sys/unix"

// setCubic chooses the congestion control that every benchmark uses at both ends.
func setCubic(fd uintptr) error {
	return unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, "cubic")
}
