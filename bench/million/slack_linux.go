package main

import (
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// timerSlack lets the processes that this goroutine starts sleep so much longer than they asked for. Each has a
// monitor of Go's runtime that would look every 20 µs while there is work; with many processes on a core that is most of
// the switches between them. It is a setting of the thread, which children have from it; undo lets go of both.
func timerSlack(d time.Duration) (undo func(), err error) {
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(d), 0, 0, 0); err != nil {
		runtime.UnlockOSThread()
		return nil, fmt.Errorf("timer slack of %v: %w", d, err)
	}
	return func() {
		_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 0, 0, 0, 0) // what it was
		runtime.UnlockOSThread()
	}, nil
}
