package poll

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestStartWithoutDescriptors: whichever of its descriptors a loop does not get, its start fails, and leaves nothing behind.
func TestStartWithoutDescriptors(t *testing.T) {
	warmUp(t)
	s := &server{}
	s.start(t, LoopConfig{}) // what the process makes once
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	most := 0
	known := descriptors(t)
	for fd := range known {
		most = max(most, fd)
	}
	limit := before
	limit.Cur = uint64(most + 1)
	for fd := range most { // none is free below it
		if _, there := known[fd]; !there {
			if err := unix.Dup3(0, fd, unix.O_CLOEXEC); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = unix.Close(fd) })
		}
	}
	began := false
	for ; !began; limit.Cur++ {
		if limit.Cur > uint64(most+20) {
			t.Fatal("it does not start with 20 descriptors")
		}
		started := make(chan error, 1)
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			t.Fatal(err)
		}
		go func() {
			l, err := NewLoop(LoopConfig{}, &server{})
			if err == nil {
				l.Stop()
			}
			started <- err
		}()
		var err error
		select {
		case err = <-started:
		case <-time.After(patience):
			t.Errorf("with %d descriptors the start does not end", limit.Cur-uint64(most)-1)
			began = true
		}
		if e := unix.Setrlimit(unix.RLIMIT_NOFILE, &before); e != nil {
			t.Fatal(e)
		}
		began = began || err == nil
		for fd, what := range descriptors(t) {
			if fd > most {
				t.Errorf("with %d descriptors %d (%s) is left", limit.Cur-uint64(most)-1, fd, what)
			}
		}
	}
}
