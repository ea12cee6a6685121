//go:build !linux

package client

import "net"

// setCubic does nothing: only Linux lets a socket choose.
func setCubic(*net.TCPConn) error { return nil }
