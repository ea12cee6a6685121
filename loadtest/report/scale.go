package report

import (
	"math"
	"strconv"
	"time"

	"weir/loadtest/tally"
)

// axis maps values to a length and says where its lines and labels stand.
type axis struct {
	low, high float64
	log       bool
	ticks     []tick
}

// tick is a line across the chart.
type tick struct {
	value float64
	label string
}

// headroom keeps lines off the ends of an axis.
const headroom = 1.03

// at is where v stands, from 0 to 1; what is beyond an end stands at it.
func (a *axis) at(v float64) float64 {
	low, high := a.low, a.high
	if a.log {
		v, low, high = math.Log10(math.Max(v, math.SmallestNonzeroFloat64)), math.Log10(low), math.Log10(high)
	}
	at := (v - low) / (high - low)
	if math.IsNaN(at) {
		return 0
	}
	return math.Min(math.Max(at, 0), 1)
}

// linear begins at 0 and has three to six round steps up to the first above most.
func linear(most float64, unit tally.Unit) axis {
	if !finite(most) || most <= 0 {
		most = 1
	}
	scale := 1.0
	if unit == tally.Bytes || unit == tally.BytesPerSecond {
		for most/scale >= 1024 && scale < 1<<60 {
			scale *= 1024
		}
	}
	step := scale * roundStep(most/scale/5)
	if unit == tally.Count || unit == tally.Bytes || unit == tally.BytesPerSecond { // there is no half of one
		step = math.Max(step, 1)
	}
	n := math.Ceil(most * headroom / step)
	a := axis{high: n * step}
	for i := 0.0; i <= n; i++ {
		a.ticks = append(a.ticks, tick{i * step, label(i*step, unit)})
	}
	return a
}

// roundStep is the least of 1, 2 and 5 times a power of ten that is not below v.
func roundStep(v float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 5} {
		if m*power >= v*(1-1e-9) {
			return m * power
		}
	}
	return 10 * power
}

// logarithmic goes from the round value below least to the one above most: 1, 2
// and 5 of each power of ten, or powers of ten alone if those are many. It is at
// least a factor of ten long.
func logarithmic(least, most float64, unit tally.Unit) axis {
	if !finite(least) || !finite(most) || least <= 0 || most < least {
		least, most = 1e-3, 1e-2
	}
	factors := []float64{1, 2, 5}
	if most/least > 500 {
		factors = factors[:1]
	}
	var all []float64
	for e := math.Floor(math.Log10(least)) - 1; e <= math.Ceil(math.Log10(most))+1; e++ {
		for _, f := range factors {
			value, _ := strconv.ParseFloat(strconv.FormatFloat(f, 'f', 0, 64)+"e"+strconv.Itoa(int(e)), 64)
			all = append(all, value)
		}
	}
	first, last := 0, len(all)-1
	for first+1 < len(all) && all[first+1] <= least/headroom {
		first++
	}
	for last > 0 && all[last-1] >= most*headroom {
		last--
	}
	for all[last]/all[first] < 9.99 { // there is one more power at either end
		if last+1 < len(all) {
			last++
		} else {
			first--
		}
	}
	a := axis{low: all[first], high: all[last], log: true}
	for _, v := range all[first : last+1] {
		a.ticks = append(a.ticks, tick{v, label(v, unit)})
	}
	return a
}

// label is a round value on an axis, where the digits of Format would mislead.
func label(v float64, unit tally.Unit) string {
	if unit == tally.PerSecond || unit == tally.Count || unit == coresUnit {
		switch {
		case v >= 1e9:
			return digits(v/1e9) + "G"
		case v >= 1e6:
			return digits(v/1e6) + "M"
		case v >= 1e4:
			return digits(v/1e3) + "k"
		case v >= 1e3:
			return grouped(v)
		}
		return strconv.FormatFloat(v, 'g', 4, 64)
	}
	if unit == tally.Seconds && v > 0 {
		for i := len(durations) - 1; i >= 0; i-- {
			if s := durations[i]; v >= s.size*0.999 || i == 0 {
				return strconv.FormatFloat(v/s.size, 'g', 4, 64) + " " + s.name
			}
		}
	}
	return Format(v, unit)
}

// timeline is the time of a run, from 0 to its end, with at most seven round steps.
func timeline(end time.Duration) axis {
	s := end.Seconds()
	if s <= 0 {
		s = 1
	}
	a := axis{high: s}
	step := roundTime(s / 7)
	for v := 0.0; v <= s*(1+1e-9); v += step {
		text := clock(time.Duration(v * float64(time.Second)))
		if step < 1 {
			text = strconv.FormatFloat(v, 'g', 3, 64) + " s"
		}
		a.ticks = append(a.ticks, tick{v, text})
	}
	return a
}

// roundTime is the least round number of seconds, minutes, hours or days that is not below s.
func roundTime(s float64) float64 {
	if s <= 10 {
		return roundStep(s)
	}
	for _, step := range []float64{15, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200} {
		if step >= s {
			return step
		}
	}
	return 86400 * roundStep(math.Max(s/86400, 1))
}

// nines is the axis of a latency distribution: 0 %, 90 %, 99 %, … as far as a
// count of latencies reaches. Its values are powers of ten: 1 ⁄ (1 − share).
func nines(count uint64) axis {
	most := math.Max(math.Min(math.Log10(float64(max(count, 1))), 7), 1)
	a := axis{high: most}
	for n, text := range []string{"0 %", "90 %", "99 %", "99.9 %", "99.99 %", "99.999 %", "99.9999 %", "99.99999 %"} {
		if float64(n) <= most {
			a.ticks = append(a.ticks, tick{float64(n), text})
		}
	}
	return a
}
