package poll

import "time"

// turn is the loop's answer to the bell. The order is part of the package's contract:
// see the package comment. Storage is given back (hungUp) before it is asked for
// (arrived), and drained is emptied before hungUp, so it never names a reused Conn.
func (l *Loop) turn() {
	l.freed.turn()
	l.turns++
	if l.turns == 1 {
		l.unlaid = l.bell.lay(l.poller)
		close(l.started) // NewLoop is waiting; the handler is not ready
		return
	}
	now := l.now()

	l.mu.Lock()
	arrived, hungUp, stopping := l.arrived, l.hungUp, l.stopping
	l.arrived, l.hungUp = l.spare.arrived[:0], l.spare.hungUp[:0]
	l.mu.Unlock()

	drained := l.drained
	l.drained = nil
	for _, c := range drained {
		l.tellDrained(c)
	}
	for _, c := range hungUp {
		l.remove(c)
	}
	l.admit(now, arrived, stopping)
	l.callWake(now)
	l.spare.arrived, l.spare.hungUp = reusable(arrived), reusable(hungUp)
	if l.drained == nil {
		l.drained = reusable(drained)
	}
	if stopping {
		l.abortAll()
	}
	if len(l.parked) > 0 {
		l.bell.ring()
	}
}

// reusable empties s for the next turn, or lets a large one go.
func reusable[T any](s []T) []T {
	const keep = 4096
	if cap(s) > keep {
		return nil
	}
	clear(s)
	return s[:0]
}

func (l *Loop) tellDrained(c *Conn) {
	c.flags &^= flagReported
	switch {
	case c.flags&flagClosed != 0 || c.unsent > 0: // closed, or queued again: it will be told then
	case c.flags&flagFinish != 0:
		c.shut()
	default:
		defer l.contain(c)
		l.handler.Writable(c)
	}
}

// remove takes c out and gives its storage back.
func (l *Loop) remove(c *Conn) {
	last := len(l.conns) - 1
	moved := l.conns[last]
	l.conns[c.index] = moved
	moved.index = c.index
	l.conns[last] = nil
	l.conns = l.conns[:last]
	*c = Conn{Slot: c.Slot}
	l.open.Add(-1)
	defer l.contain(nil)
	l.handler.Closed(c)
}

// admit opens what was parked and what has arrived.
func (l *Loop) admit(now time.Time, arrived []newcomer, stopping bool) {
	waiting := l.parked
	l.parked = nil
	for _, list := range [2][]newcomer{waiting, arrived} {
		for _, n := range list {
			switch {
			case stopping:
				l.refuse(n)
			case l.freed.stale(n.nb.Hash()):
				l.parked = append(l.parked, n)
			default:
				l.register(now, n)
			}
		}
	}
}

// refuse closes a newcomer that was never registered; nbio tells nobody.
func (l *Loop) refuse(n newcomer) {
	_ = n.nb.Close()
	l.open.Add(-1)
}

func (l *Loop) register(now time.Time, n newcomer) {
	c := l.callOpen(n)
	if c == nil {
		l.refuse(n)
		return
	}
	*c = Conn{Slot: c.Slot, loop: l, index: uint32(len(l.conns)), flags: flagOpen}
	settle(&c.nb, n.nb)
	l.conns = append(l.conns, c)
	c.nb.SetSession(c)
	// When the kernel refuses (ENOSPC: max_user_watches) nbio closes it, and closed is called as ever.
	if _, err := l.engine.AddConn(&c.nb); err != nil && !now.Before(l.nextLog) {
		l.nextLog = now.Add(time.Second)
		l.log.Error("cannot watch a connection; for \"no space left on device\" raise fs.epoll.max_user_watches", "error", err)
	}
}

func (l *Loop) callOpen(n newcomer) (c *Conn) {
	defer l.contain(nil)
	c = l.handler.Open(n.peer, n.local, n.door)
	if c != nil && c.open() {
		c = nil
		panic("poll: Open returned storage that is in use")
	}
	return c
}

func (l *Loop) callWake(now time.Time) {
	defer l.contain(nil)
	l.handler.Wake(now)
}

// abortAll closes everything once, and tells Stop when nothing is left.
func (l *Loop) abortAll() {
	if !l.aborted {
		l.aborted = true
		for _, c := range l.conns {
			c.Abort()
		}
	}
	if len(l.conns) > 0 {
		return
	}
	select {
	case <-l.empty:
	default:
		close(l.empty)
	}
}
