package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"weir/loadtest/tally"
)

// Format writes a figure's value for people, to three digits: "1.23 ms",
// "46.7 MiB", "16,712/s", "99.9 %".
func Format(v float64, unit tally.Unit) string {
	if !finite(v) {
		return "–"
	}
	switch unit {
	case tally.Seconds:
		return scaled(v, durations)
	case tally.Bytes:
		return scaled(v, sizes)
	case tally.BytesPerSecond:
		return scaled(v, sizes) + "/s"
	case tally.PerSecond:
		return grouped(v) + "/s"
	case tally.Share:
		return percent(v) + " %"
	}
	return grouped(v)
}

// percent does not round up to 100 what is less.
func percent(v float64) string {
	text := digits(v * 100)
	for places := 1; text == "100" && v < 1 && places < 8; places++ {
		text = strconv.FormatFloat(v*100, 'f', places, 64)
		if strings.HasPrefix(text, "100.") {
			text = "100"
		}
	}
	return text
}

// step is a unit and how many of the base unit it has.
type step struct {
	name string
	size float64
}

var (
	durations = []step{{"ns", 1e-9}, {"µs", 1e-6}, {"ms", 1e-3}, {"s", 1}}
	sizes     = []step{{"B", 1}, {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}}
)

// scaled writes v in the largest unit of which it has one.
func scaled(v float64, steps []step) string {
	of := steps[0]
	for _, s := range steps {
		if math.Abs(v) >= s.size*0.9995 { // 999.6 µs is 1.00 ms
			of = s
		}
	}
	if v == 0 {
		of = step{steps[len(steps)-1].name, 1}
		if steps[0].size == 1 {
			of = steps[0]
		}
	}
	return digits(v/of.size) + " " + of.name
}

// grouped writes large numbers whole, in groups of three.
func grouped(v float64) string {
	if math.Abs(v) < 999.5 {
		return digits(v)
	}
	whole := strconv.FormatFloat(math.Abs(v), 'f', 0, 64)
	var b strings.Builder
	if v < 0 {
		b.WriteByte('-')
	}
	for i, d := range whole {
		if i > 0 && (len(whole)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}

// digits writes three of them, more only if they stand before the point; no zeros
// at the end of a whole number.
func digits(v float64) string {
	if v == math.Trunc(v) && math.Abs(v) < 1e15 {
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	places := 2
	switch a := math.Abs(v); {
	case a >= 99.95:
		places = 0
	case a >= 9.995:
		places = 1
	case a < 0.01:
		return strconv.FormatFloat(v, 'g', 2, 64)
	}
	return strconv.FormatFloat(v, 'f', places, 64)
}

// kind of quantity that a suffix says.
type kind string

const (
	plain    kind = "a plain number"
	duration kind = "a duration (50ms)"
	size     kind = "a size (1KiB)"
	share    kind = "a share (5%)"
)

// suffixes of quantities, longest first where one ends in another. What is a power
// of ten is an exponent, so that 99.9% is 0.999 to the last bit.
var suffixes = []struct {
	name   string
	kind   kind
	power  string
	factor float64
}{
	{"ns", duration, "e-9", 1}, {"us", duration, "e-6", 1}, {"µs", duration, "e-6", 1}, {"μs", duration, "e-6", 1}, {"ms", duration, "e-3", 1},
	{"KiB", size, "", 1 << 10}, {"MiB", size, "", 1 << 20}, {"GiB", size, "", 1 << 30},
	{"kB", size, "e3", 1}, {"MB", size, "e6", 1}, {"GB", size, "e9", 1},
	{"s", duration, "", 1}, {"m", duration, "", 60}, {"B", size, "", 1}, {"%", share, "e-2", 1},
}

// parseQuantity reads a decimal number with a unit behind it, in the base unit of
// figures. No exponents, no infinity: 15 digits before and behind the point at most.
func parseQuantity(s string) (v float64, k kind, err error) {
	number, k, power, factor := s, plain, "", 1.0
	for _, u := range suffixes {
		if before, ok := strings.CutSuffix(s, u.name); ok {
			number, k, power, factor = strings.TrimRight(before, " "), u.kind, u.power, u.factor
			break
		}
	}
	whole, fraction, point := strings.Cut(strings.TrimPrefix(number, "-"), ".")
	if !decimal(whole) || point && !decimal(fraction) {
		return 0, "", fmt.Errorf("%q is not a number with a unit of ns, us, ms, s, m, B, KiB, MiB, GiB, kB, MB, GB, %% or none", s)
	}
	v, err = strconv.ParseFloat(number+power, 64)
	return v * factor, k, err
}

func decimal(s string) bool {
	return s != "" && len(s) <= 15 && strings.Trim(s, "0123456789") == ""
}

// fits tells whether a quantity of this kind can be compared with a figure.
func (k kind) fits(unit tally.Unit) bool {
	switch unit {
	case tally.Seconds:
		return k == duration
	case tally.Bytes, tally.BytesPerSecond:
		return k == size
	case tally.Share:
		return k == share || k == plain
	}
	return k == plain
}

// wanted is the kind that fits.
func wanted(unit tally.Unit) kind {
	switch unit {
	case tally.Seconds:
		return duration
	case tally.Bytes, tally.BytesPerSecond:
		return size
	case tally.Share:
		return share
	}
	return plain
}
