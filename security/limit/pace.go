package limit

import (
	"math"
	"math/bits"
)

// pace is a Rate made ready for a table. Immutable.
type pace struct {
	Rate
	over     uint64 // the least cost that is never admitted
	interval int64  // units that a token takes, where it is the same whole number for any cost; or 0
	plain    int64  // ns that the burst takes, where the unit is 1 ns and there is an interval; or -1
	unit     uint   // of the times in its words, as there
	burst    int64  // units that the burst takes
	slack    int64  // units
	horizon  int64  // ns: burst and slack
}

// pace makes the rate ready.
func (r Rate) pace() *pace {
	p := &pace{Rate: r, plain: -1}
	if !(r.PerSecond > 0) || r.Burst < 0 {
		return p
	}
	p.over = uint64(r.Burst) + 1
	span := r.span(int64(r.Burst))
	over := bits.Len64(uint64(span)) - frameBits
	p.unit = uint(min((max(over, 0)+unitStep-1)/unitStep, longUnit))
	p.slack, p.burst = slack>>p.shift(), p.span(int64(r.Burst))
	p.horizon = p.burst<<p.shift() + slack // not span: in units the burst may be rounded up by more than the slack
	if one := p.span(1); float64(one)*float64(r.Burst) == float64(p.burst) {
		p.interval = one
	}
	if p.unit == 0 && p.interval > 0 {
		p.plain = p.burst
	}
	return p
}

func (p *pace) shift() uint { return p.unit * unitStep & 63 }

// span is [Rate.span] in units. A burst of more than 69 s takes 2³¹ to 2³⁶ of them, for an entry has 38 bits of the time and a bit
// more of it would be one less of the tag. So up to bursts of 21 million tokens (2³¹/100) a token is worth 100 units, and what is said
// there holds for any cost. Of a longer burst it is worth fewer and each take is rounded up by itself: never more than the rate,
// and of it at least n/(n+Burst/2³¹) by takes of n tokens, which is 99 % from a 21 millionth of the burst on.
func (p *pace) span(n int64) int64 {
	unit := float64(uint64(1) << p.shift())
	interval := second / (p.PerSecond * unit)
	if interval >= 100 {
		interval = math.Ceil(interval)
	}
	return int64(min(math.Ceil(float64(n)*interval), maxSpan/unit))
}

// take is the rule of [Rate.take] in units, for a cost that may be admitted.
func (p *pace) take(fullAt, cost, now int64) (next int64, ok bool) {
	span := cost * p.interval
	if p.interval == 0 {
		span = p.span(cost)
	}
	if fullAt-now > p.burst+p.slack {
		fullAt = now + p.burst
	}
	next = max(fullAt, now) + span
	if next-now > p.burst {
		return fullAt, false
	}
	return next, true
}
