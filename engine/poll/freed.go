package poll

// freed remembers the descriptor numbers that the loop closed while it worked
// on something other than that descriptor's own report.
//
// Reports come in batches, and a batch holds the wake-up at most once. A number
// freed after turn t began was freed in some batch B. Turn t+1 may still be in B,
// with a stale report for the number behind it; turn t+2 cannot be. So a number
// noted in this turn or in the one before is not fit for a newcomer.
//
// A number closed during its own report needs no note: epoll reports a
// descriptor once a batch, so no other report for it is left.
type freed struct {
	this, last map[int]struct{}
}

// freedKeep bounds the map that is kept for reuse; maps do not shrink.
const freedKeep = 1024

func newFreed() freed {
	return freed{this: make(map[int]struct{}), last: make(map[int]struct{})}
}

func (f *freed) note(fd int) { f.this[fd] = struct{}{} }

// turn begins a turn.
func (f *freed) turn() {
	f.this, f.last = f.last, f.this
	if len(f.this) > freedKeep {
		f.this = make(map[int]struct{})
		return
	}
	clear(f.this)
}

// recent reports whether a stale report for fd may still be waiting in the running batch.
func (f *freed) recent(fd int) bool {
	if _, ok := f.this[fd]; ok {
		return true
	}
	_, ok := f.last[fd]
	return ok
}
