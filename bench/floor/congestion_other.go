//go:build !linux

package main

// setCubic does nothing: only Linux lets a socket choose.
func setCubic(uintptr) error { return nil }
