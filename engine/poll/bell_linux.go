package poll

import (
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// pillow is where the loop rests. A goroutine that sleeps in epoll_wait costs a thread and, for the scheduler, a
// processor that has to be taken away from it, and to wake it a write and a read. So the loop sleeps as
// other goroutines do: the runtime's poller watches nbio's epoll descriptor, and a ring is a wake-up
// within the process.
//
// nbio must come here whenever it is done with what was ready. There is always a byte at its end of the socket pair, and
// that end is watched for one report at a time (EPOLLONESHOT): arming it again is the last that is
// done here, so the next batch of reports has it exactly once and epoll_wait never sleeps. Resting
// looks first whether anything else is ready; what of the batch has not been worked off still is.
type pillow struct {
	state atomic.Uint32
	epoll *os.File // another descriptor of nbio's epoll, for the runtime's poller
	raw   syscall.RawConn
	epfd  int                // of epoll
	fd    int                // nbio's end of the pair
	awake func(uintptr) bool // whether the rest is over; made once
	watch [1]unix.PollFd
}

// What the loop is doing.
const (
	working uint32 = iota
	rung           // working, and a turn is due
	resting
)

// begin has the loop come here a first time, as soon as it watches the bell.
func (b *bell) begin() error {
	b.state.Store(rung)
	_, err := b.write.Write([]byte{1})
	return err
}

// lay gets it ready, on the loop. epfd is nbio's.
func (b *bell) lay(epfd int) error {
	fd, err := unix.FcntlInt(uintptr(epfd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil { // or the runtime would not watch it
		_ = unix.Close(fd)
		return os.NewSyscallError("fcntl", err)
	}
	epoll := os.NewFile(uintptr(fd), "epoll")
	if err := epoll.SetReadDeadline(time.Time{}); err != nil {
		_ = epoll.Close()
		return fmt.Errorf("the runtime does not watch an epoll descriptor: %w", err)
	}
	raw, err := epoll.SyscallConn()
	if err != nil {
		_ = epoll.Close()
		return err
	}
	b.epoll, b.raw, b.epfd, b.fd = epoll, raw, fd, b.read.Hash()
	b.watch[0] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
	b.awake = func(uintptr) bool { return b.state.Load() == rung || readable(&b.watch) }
	return nil
}

// ring may be called by any goroutine.
func (b *bell) ring() {
	if b.state.Swap(rung) == resting {
		_ = b.epoll.SetReadDeadline(time.Unix(1, 0)) // fails after the loop's end
	}
}

// answer reports whether a turn is due. What is left for the loop after it rings again.
func (b *bell) answer([]byte) bool { return b.state.CompareAndSwap(rung, working) }

// rest ends the bell's report: the loop sleeps until there is something to do.
func (b *bell) rest() {
	if b.raw == nil { // the loop did not get what it takes, and is about to be stopped
		return
	}
	if b.state.CompareAndSwap(working, resting) {
		if b.raw.Read(b.awake) != nil { // woken by a ring, or by one that came late for the rest before
			_ = b.epoll.SetReadDeadline(time.Time{})
		}
		b.state.CompareAndSwap(resting, working)
	}
	// The number is nbio's until it stops; then the call fails, and nothing needs the bell any more.
	_ = unix.EpollCtl(b.epfd, unix.EPOLL_CTL_MOD, b.fd, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLONESHOT, Fd: int32(b.fd)})
}

// close is for when the loop has ended.
func (b *bell) close() {
	_ = b.write.Close()
	if b.epoll != nil {
		_ = b.epoll.Close()
	}
}
