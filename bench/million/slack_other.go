//go:build !linux

package main

import "time"

// timerSlack does nothing: only Linux has it.
func timerSlack(time.Duration) (undo func(), err error) { return func() {}, nil }
