package schema

// largest is the shortest decimal of the largest float64, the point behind its
// first digit and an exponent of largestExponent. Vanishing are the first digits, as
// many as a number may have, of the largest that is read as 0: half of the smallest
// float64, which has 752.
const (
	largest         = "17976931348623157"
	largestExponent = 308
	vanishing       = "2470328229206232720882843964341106861825299013071623822127928412" +
		"5033775363510437593264991818081799618989828234772285886546332835"
	smallestExponent = -324
)

// inRange reports whether a float64 holds mantissa·10^exponent: not above the
// largest, and not so small that it would be read as 0. The mantissa has at
// most maxNumberBytes.
func inRange(mantissa []byte, exponent int) bool {
	first, point := -1, len(mantissa)
	for i, c := range mantissa {
		if c == '.' {
			point = i
		} else if c != '0' && first < 0 {
			first = i
		}
	}
	if first < 0 {
		return true // zero
	}
	power := exponent + point - first // of the first digit that counts
	if first < point {
		power--
	}
	switch power {
	case largestExponent:
		return notAbove(mantissa[first:], largest)
	case smallestExponent:
		return !notAbove(mantissa[first:], vanishing)
	}
	return smallestExponent < power && power < largestExponent
}

// notAbove compares digits, a point among them passed over, with those of limit;
// both begin at the same power of ten.
func notAbove(mantissa []byte, limit string) bool {
	n := 0
	for _, c := range mantissa {
		if c == '.' {
			continue
		}
		want := byte('0')
		if n < len(limit) {
			want = limit[n]
		}
		if c != want {
			return c < want
		}
		n++
	}
	return true
}
