// Package limit decides how often a peer may do something, in memory that does not grow with the
// number of peers, and how many connections one may have open.
//
// Every limit is a token bucket, kept as the one number of the generic cell rate algorithm: the time
// at which the bucket will be full again ("full at"). Taking n tokens moves it n intervals on; it may
// not get further ahead of the clock than the whole burst. So within any time t at most rate·t + burst
// is admitted, a refusal changes nothing, and a bucket that is full again is the same as none: an
// entry whose time has passed can be given to another peer without a loss.
//
//	Bucket  one owner (a connection on its loop), 8 bytes
//	Shared  any goroutine (the whole node)
//	Table   any goroutine, one bucket a peer in fixed memory (addresses, users)
//	Failures  what an address may fail at before it is no longer asked
//	Gate    admission of connections: a Table for the rate, and an exact count of what each has open
//
// Time is an argument in nanoseconds of any clock that all callers share, best one that only runs
// forward. A clock that steps back by more than a minute costs one burst of waiting, see [slack]; by
// less, the waiting is as long as the step.
package limit

import "math"

// Rate is what a bucket admits: PerSecond on average and Burst at once. PerSecond 0 is no limit, as
// in the flags; a negative or NaN rate, and a burst below the cost, admit nothing.
type Rate struct {
	PerSecond float64 // tokens a second
	Burst     int     // tokens that a rested peer may take at once
}

const (
	second = 1_000_000_000

	// maxSpan bounds every span of time in nanoseconds (36 years), so that a clock and two spans
	// never overflow.
	maxSpan = 1 << 60

	// slack is how far the clocks that callers have read may lie apart, in nanoseconds: longer than
	// any goroutine is kept from running. A bucket that is more than its burst and this ahead of the
	// clock was filled by a clock that has since stepped back (or by a slower rate): it counts as just
	// emptied, instead of refusing until the clock is where it was.
	slack = 60 * second
)

// span is the time that n tokens take, in nanoseconds. It never rounds down. Up to ten million a second
// a token has a whole number of nanoseconds, so that a burst is exactly as many takes of one, and the
// rate is met to 1 %; above that (bytes) each take is rounded by itself, and the rate is met to 1 % as
// long as a take is worth 100 ns.
func (r Rate) span(n int64) int64 {
	interval := second / r.PerSecond
	if interval >= 100 {
		return int64(min(float64(n)*math.Ceil(interval), maxSpan))
	}
	return int64(min(math.Ceil(float64(n)*interval), maxSpan))
}

// take is the rule of all buckets. It returns the bucket's new state and whether the cost is
// admitted; a state that differs from fullAt must be stored even when it is not.
func (r Rate) take(fullAt, cost, now int64) (next int64, ok bool) {
	if r.PerSecond == 0 {
		return fullAt, true
	}
	if !(r.PerSecond > 0) || cost < 0 || cost > int64(r.Burst) {
		return fullAt, false
	}
	burst := r.span(int64(r.Burst))
	if fullAt-now > burst+slack {
		fullAt = now + burst
	}
	next = max(fullAt, now) + r.span(cost)
	if next-now > burst {
		return fullAt, false
	}
	return next, true
}

// Bucket limits one owner, who alone may use it. The zero value is full.
type Bucket struct{ fullAt int64 }

// Take takes cost tokens at now nanoseconds, all or none. No allocation.
func (b *Bucket) Take(r *Rate, cost, now int64) (ok bool) {
	b.fullAt, ok = r.take(b.fullAt, cost, now)
	return ok
}

// Full reports whether nothing is missing at now nanoseconds: the bucket is as good as a new one.
func (b *Bucket) Full(now int64) bool { return b.fullAt <= now }
