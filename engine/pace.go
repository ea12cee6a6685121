package engine

// pace is how many handshakes may compute at once: as many as there are cores
// while the loops are on time, half as many as before whenever one is late, and
// one more after each calm while. So a storm of handshakes takes what those who are
// connected leave it, which is everything when they need nothing. Owned by the
// ticker's goroutine.
type pace struct {
	most, now int
	calm      int // ticks in a row in which every loop was on time
}

func newPace(cores int) pace { return pace{most: cores, now: cores} }

// next takes how the last tick went.
func (p *pace) next(late bool) int {
	if late {
		p.now, p.calm = max(1, p.now/2), 0
		return p.now
	}
	if p.calm++; p.calm >= paceCalm {
		p.now, p.calm = min(p.now+1, p.most), 0
	}
	return p.now
}

// roused notes how late the loop's turn is.
func (s *shard) roused() {
	if woken := s.woken.Swap(0); woken != 0 {
		s.lag.Store(max(s.lag.Load(), s.now-woken))
	}
}

// rouse wakes the loop for a tick and reports whether it has been late since the
// last, or is.
func (s *shard) rouse(now int64) (late bool) {
	lag := s.lag.Swap(0)
	if woken := s.woken.Load(); woken != 0 {
		lag = max(lag, now-woken)
	} else {
		s.woken.Store(now)
	}
	s.loop.Wake()
	return lag > int64(loopLate)
}
