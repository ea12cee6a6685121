package schema

import (
	"bytes"
	"math/bits"
)

// decimal is a number of a JSON text, exactly: 0.d₁d₂d₃… × 10^power, the first
// and the last digit not 0. Zero has no digits and no sign.
type decimal struct {
	negative bool
	power    int
	count    int
	digits   [maxNumberBytes]byte // '0' to '9'
}

// parse reads a number that scanNumber accepted.
func (d *decimal) parse(text []byte) {
	d.negative, d.power, d.count = text[0] == '-', 0, 0
	fraction := false
	for i, c := range text {
		switch {
		case c == '.':
			fraction = true
		case c|0x20 == 'e':
			exponent, _, _ := scanExponent(text, i+1)
			d.power += exponent
			d.trim()
			return
		case c == '-':
		case c == '0' && d.count == 0:
			if fraction {
				d.power--
			}
		default:
			d.digits[d.count] = c
			d.count++
			if !fraction {
				d.power++
			}
		}
	}
	d.trim()
}

func (d *decimal) trim() {
	for d.count > 0 && d.digits[d.count-1] == '0' {
		d.count--
	}
	if d.count == 0 {
		d.negative, d.power = false, 0
	}
}

func (d *decimal) significant() []byte { return d.digits[:d.count] }

// whole reports whether d is an integer.
func (d *decimal) whole() bool { return d.power >= d.count }

// compare is negative if d is less than e, positive if it is more.
func (d *decimal) compare(e *decimal) int {
	switch {
	case d.sign() != e.sign():
		return d.sign() - e.sign()
	case d.power != e.power:
		return (d.power - e.power) * d.sign()
	}
	return bytes.Compare(d.significant(), e.significant()) * d.sign()
}

func (d *decimal) sign() int {
	switch {
	case d.count == 0:
		return 0
	case d.negative:
		return -1
	}
	return 1
}

// maxDivisorDigits bounds the digits of a multipleOf, so that it fits a word and
// the remainder needs no big numbers.
const maxDivisorDigits = 18

// divisor is a multipleOf: factor·10^power, factor not a multiple of 10, or 0 if
// there is none.
type divisor struct {
	factor uint64
	power  int
	tens   [10]uint64 // 10^(2^i) modulo factor
}

func newDivisor(d *decimal) divisor {
	result := divisor{power: d.power - d.count}
	for _, c := range d.significant() {
		result.factor = result.factor*10 + uint64(c-'0')
	}
	result.tens[0] = 10 % result.factor
	for i := 1; i < len(result.tens); i++ {
		result.tens[i] = result.times(result.tens[i-1], result.tens[i-1], 0)
	}
	return result
}

// times is (a·b + c) modulo the factor.
func (d *divisor) times(a, b, c uint64) uint64 {
	high, low := bits.Mul64(a, b)
	low, carry := bits.Add64(low, c, 0)
	return bits.Rem64(high+carry, low, d.factor)
}

// shifted is a·10^shift modulo the factor. The shift is at most the difference
// of the exponents of two float64 and the digits of two numbers, under 1,024.
func (d *divisor) shifted(a uint64, shift int) uint64 {
	for i := 0; shift > 0 && i < len(d.tens); i++ {
		if shift&1 != 0 {
			a = d.times(a, d.tens[i], 0)
		}
		shift >>= 1
	}
	return a % d.factor
}

// divides reports whether the number mantissa·10^-scale is a multiple of d.
// Scale is below len(powersOfTen).
func (d *divisor) divides(mantissa uint64, scale int) bool {
	shift := -scale - d.power
	if shift >= 0 {
		return d.shifted(mantissa, shift) == 0
	}
	// The factor is no multiple of 10, so the mantissa must have the zeros.
	if -shift >= len(powersOfTen) {
		return mantissa == 0
	}
	ten := powersOfTen[-shift]
	return mantissa%ten == 0 && mantissa/ten%d.factor == 0
}

// dividesDecimal is divides for a number of any length.
func (d *divisor) dividesDecimal(n *decimal) bool {
	shift := n.power - n.count - d.power
	if n.count == 0 || shift < 0 {
		return n.count == 0 // its last digit is not 0
	}
	rest := uint64(0)
	for digits := n.significant(); len(digits) > 0; {
		chunk, length := uint64(0), min(len(digits), maxShortDigits)
		for _, c := range digits[:length] {
			chunk = chunk*10 + uint64(c-'0')
		}
		rest = d.times(rest, powersOfTen[length], chunk)
		digits = digits[length:]
	}
	return d.shifted(rest, shift) == 0
}

// powersOfTen are those that a word holds.
var powersOfTen = [20]uint64{
	1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19,
}
