package engine

import "time"

// moment is a deadline that lies near, on the server's clock: in ticks, modulo
// 2^32, so that the many of a connection take four bytes each. 0: none. One that has
// passed is told from one to come for three years.
type moment uint32

// farthest is how far ahead a moment may lie, in nanoseconds: less than the wheel's
// horizon.
const farthest = int64(100 * 24 * time.Hour)

// after is the moment d nanoseconds from now: at most a tick later, never earlier.
func (s *shard) after(d int64) moment {
	return momentOf((s.now + min(d, farthest) + int64(tick) - 1) / int64(tick))
}

func momentOf(ticks int64) moment { return max(moment(ticks), 1) }

// ticks is m, which is not 0, on a clock that has not begun anew; now is its own
// time, in ticks.
func (m moment) ticks(now int64) int64 { return now + int64(int32(m-moment(now))) }

// at is m, which is not 0, in nanoseconds of the server's clock.
func (s *shard) at(m moment) int64 { return m.ticks(s.now/int64(tick)) * int64(tick) }

// past reports whether m has come.
func (s *shard) past(m moment) bool { return m != 0 && s.at(m) <= s.now }

// earlier returns the one of two moments, neither 0, that comes first.
func earlier(a, b moment) moment {
	if int32(a-b) < 0 {
		return a
	}
	return b
}
