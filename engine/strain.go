package engine

import (
	"cmp"
	"slices"
	"time"

	"weir/engine/clientproto"
	"weir/engine/stats"
	"weir/security/overload"
)

// strain is a shard's part in the node's level: what it does to its connections.
// Owned by the loop.
type strain struct {
	level    overload.Level
	closing  overload.Level // that connections are closed by: Gauge.Closing
	scanning bool
	cursor   uint32 // next slot that the scan looks at

	behind []burden // what the scan found of readers that are behind
	heavy  []burden // and of all others, from Evict on
}

// burden is a connection that the scan found.
type burden struct {
	of     handle
	bytes  int   // what closing it frees
	silent int64 // nanoseconds since it came, of one that has not connected; else 0
}

// takeLevel takes the node's level and has all connections looked at, unless that
// is under way. It is an order to the loop.
func (s *shard) takeLevel(level, closing overload.Level) {
	p := &s.strain
	p.level, p.closing = level, closing
	if !p.scanning && level > overload.Normal {
		p.scanning, p.cursor = true, 0
	}
}

// idle is how long a connection may stay idle that the operator gives d.
func (p *strain) idle(d time.Duration) int64 {
	if p.level >= overload.Tighten {
		d /= tightenedShare
	}
	return int64(d)
}

// makeRoom goes on with the scan, so many connections a turn. At its end some of
// those found are closed.
func (s *shard) makeRoom() {
	p := &s.strain
	if !p.scanning {
		return
	}
	end := uint32(len(s.conns.chunks) * slabChunk)
	for stop := min(p.cursor+sweepConnections, end); p.cursor < stop; p.cursor++ {
		if c := s.conns.at(p.cursor); c.phase < phaseClosing {
			s.weigh(c)
		}
	}
	if p.cursor < end {
		s.loop.Wake()
		return
	}
	p.scanning = false
	if p.closing >= overload.Shed {
		s.closeBurdens(p.behind, shedPerScan, overload.Shed)
	}
	if p.closing >= overload.Evict {
		s.closeBurdens(p.heavy, evictPerScan, overload.Evict)
	}
	p.behind, p.heavy = p.behind[:0], p.heavy[:0]
}

// weigh looks at one connection.
func (s *shard) weigh(c *conn) {
	defer func() { s.contain(recover(), c) }()
	p := &s.strain
	if c.phaseBy != 0 && c.phase == phaseOpen { // it has not connected
		c.phaseBy = earlier(c.phaseBy, s.after(p.idle(s.limits.StaleCloseDelay)))
		s.arm(c)
	}
	if c.kind == kindEcho && c.pingAt != 0 {
		c.pingAt = earlier(c.pingAt, s.after(p.idle(s.limits.IdleTimeout)))
		s.arm(c)
	}
	switch {
	case p.closing < overload.Shed:
	case s.isBehind(c):
		p.behind = addBurden(p.behind, burden{of: c.handle(), bytes: c.owed() + s.arrears(c)}, shedPerScan)
	case p.closing >= overload.Evict:
		p.heavy = addBurden(p.heavy, burden{of: c.handle(), bytes: s.weight(c), silent: s.silence(c)}, evictPerScan)
	}
}

// isBehind reports whether a reader's socket takes nothing while more waits for it:
// for a while, or with half of what may wait.
func (s *shard) isBehind(c *conn) bool {
	if c.phase != phaseOpen || c.Unsent() == 0 || !c.pending() && !c.behind {
		return false
	}
	since := s.at(c.writeBy) - int64(tick) - int64(s.limits.WriteTimeout) // or up to a tick later
	return c.writeBy != 0 && s.now-since >= int64(behindAfter) || c.owed() >= s.limits.MaxOutboxBytes/2
}

// silence is for how long a connection is here that has not connected, in any phase;
// 0 if it has. Such go first. Attack: hoarders who say nothing and so weigh nothing,
// that subscribers are closed in their place.
func (s *shard) silence(c *conn) int64 {
	if c.connected() {
		return 0
	}
	return max(s.now-c.opened, 1)
}

// weight is what a connection takes beside what each does, in bytes.
func (s *shard) weight(c *conn) int {
	n := c.owed() + c.held() + c.Unsent() + c.tls.Extra()
	if c.seated {
		n += s.arrears(c) + len(c.session.Subs())*subscriptionBytes
	}
	return n
}

// addBurden keeps the first, as sortBurdens has them, of what it is given: at least
// as many as limit and fewer than twice that.
func addBurden(list []burden, b burden, limit int) []burden {
	list = append(list, b)
	if len(list) < 2*limit {
		return list
	}
	sortBurdens(list)
	return list[:limit]
}

// sortBurdens puts first who has been silent for longest, then the heaviest.
func sortBurdens(list []burden) {
	slices.SortFunc(list, func(a, b burden) int {
		return cmp.Or(cmp.Compare(b.silent, a.silent), cmp.Compare(b.bytes, a.bytes))
	})
}

// closeBurdens closes the first connections of the list, at most so many.
func (s *shard) closeBurdens(list []burden, limit int, level overload.Level) {
	sortBurdens(list)
	for _, b := range list[:min(limit, len(list))] {
		if c := s.conns.find(b.of); c != nil && c.phase < phaseClosing && (b.silent == 0 || !c.connected()) {
			s.closeBurden(c, level)
		}
	}
}

func (s *shard) closeBurden(c *conn, level overload.Level) {
	defer func() { s.contain(recover(), c) }()
	why := clientproto.CloseForceReconnect
	if level == overload.Shed {
		if !s.isBehind(c) { // it has caught up since
			return
		}
		why = clientproto.CloseSlow
	}
	s.stats.Label(stats.OverloadCloses, level.String())
	if c.phase == phaseOpen {
		s.cutOff(c, why)
	} else {
		s.abort(c, "")
	}
	s.settle(c)
}
