package poll

// freed remembers the descriptor numbers that the loop closed while it worked
// on something other than that descriptor's own report.
//
// Reports come in batches, and a batch holds the wake-up at most once. A number
// freed after turn t began was freed in some batch B, or in the one that t is in.
// Turn t+1 may still be in B, with a stale report for the number behind it; turn t+2
// cannot be. So a newcomer that comes up in a turn, with a number noted since the turn
// before began, has to wait; the turn after that will do, for it holds the number now
// and nobody can free it again.
//
// A number closed during its own report needs no note: epoll reports a
// descriptor once a batch, so no other report for it is left.
type freed struct {
	since, before map[int]struct{} // since the running turn began; between the one before and this
}

// freedKeep bounds the map that is kept for reuse; maps do not shrink.
const freedKeep = 1024

func newFreed() freed {
	return freed{since: make(map[int]struct{}), before: make(map[int]struct{})}
}

func (f *freed) note(fd int) { f.since[fd] = struct{}{} }

// turn begins a turn.
func (f *freed) turn() {
	f.since, f.before = f.before, f.since
	if len(f.since) > freedKeep {
		f.since = make(map[int]struct{})
		return
	}
	clear(f.since)
}

// stale reports whether a report for fd's last owner may still be waiting in the running batch.
func (f *freed) stale(fd int) bool {
	_, ok := f.before[fd]
	return ok
}
