package engine

import "time"

// pause notices that a loop stood still: the process was stopped, the machine
// suspended, or somebody else had its core. What clients sent meanwhile has not
// been read, so their deadlines wait until it has. Owned by the loop.
type pause struct {
	turned time.Time // the last turn, by the machine's clock; zero: there was none
	until  time.Time // when deadlines count again; zero: they do
}

// over reports whether deadlines count in a turn that began at now. Between two
// pauses they do once at least: a loop that is always late has them too.
func (p *pause) over(now time.Time) bool {
	stood := !p.turned.IsZero() && now.Sub(p.turned) > stoodStill
	p.turned = now
	switch {
	case now.Before(p.until):
		return false
	case !p.until.IsZero():
		p.until = time.Time{}
	case stood:
		p.until = now.Add(readUpIn)
		return false
	}
	return true
}

// deadlines acts on those that have come, in a turn that began at now.
func (s *shard) deadlines(now time.Time) {
	if s.pause.over(now) {
		s.expire()
	}
}
