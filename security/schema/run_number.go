package schema

import (
	"cmp"
	"math/bits"
	"slices"
)

// maxShortDigits is how many digits a word holds with room for a sign.
const maxShortDigits = 18

// The shape of a number without a sign is how many digits it has before the
// point, and whether the first is 0 and whether there is a point. A set of
// shapes has a bit for each.
const (
	shapeZero  = 1 << 3
	shapePoint = 1 << 4
	shapeCount = 1 << 5
)

// fewDigits finds a number that fits eight bytes with the byte behind it, has no
// sign and no exponent, and whose shape tells that it is as n asks.
func (v *Validator) fewDigits(i int, n *node) int {
	const ones, point = tops >> 7, '.' ^ '0'
	b, i := v.text, place(i)
	if i+8 > len(b) {
		return 0
	}
	digits := load(b, i) ^ ones*'0'
	// The top bit of each byte that is no digit. Above one that is not ASCII there
	// may be too many, from a carry: the number has ended by then.
	others := (digits + ones*(0x80-10) | digits) & tops
	if others == 0 {
		return 0
	}
	last := uint(bits.TrailingZeros64(others)) // the top bit of the byte behind the digits
	shape := last / 8
	if digits&0xff == 0 {
		shape |= shapeZero
	}
	if byte(digits>>(last&56)) == point {
		shape |= shapePoint
		whole := last
		if others &= others - 1; others == 0 {
			return 0
		}
		if last = uint(bits.TrailingZeros64(others)); last == whole+8 {
			return 0
		}
	}
	if n.shapes>>(shape&31)&1 == 0 || byte(digits>>(last&56))|0x20 == 'E'^'0' {
		return 0
	}
	return i + int(last/8)
}

// number runs n, which admits numbers, on what should be one at b[at].
func (v *Validator) number(at int, n *node) int {
	b, i, mantissa := v.text, uint(at), uint64(0) // unsigned: one bounds check an index
	if i < uint(len(b)) && b[i] == '-' {
		i++
	}
	whole := i
	for ; i < uint(len(b)); i++ {
		digit := uint64(b[i]) - '0'
		if digit > 9 {
			break
		}
		mantissa = mantissa*10 + digit
	}
	if i == whole || i > whole+1 && b[whole] == '0' || i >= uint(len(b)) {
		return v.oddNumber(at, n)
	}
	scale := uint(0)
	if b[i] == '.' {
		point := i
		for i++; i < uint(len(b)); i++ {
			digit := uint64(b[i]) - '0'
			if digit > 9 {
				break
			}
			mantissa = mantissa*10 + digit
		}
		if scale = i - point - 1; scale == 0 || i >= uint(len(b)) {
			return v.oddNumber(at, n)
		}
	}
	if b[i]|0x20 == 'e' || i-whole > maxShortDigits || scale >= scales {
		return v.oddNumber(at, n)
	}
	if r := n.number; r != nil {
		signed := int64(mantissa)
		if uint(at) != whole {
			signed = -signed
		}
		if signed < r.least[scale] || signed > r.most[scale] || r.more && !r.holdsShort(signed, scale) {
			if v.trying > 0 {
				return v.refuse(FaultNumber, at)
			}
			return v.oddNumber(at, n)
		}
	}
	return int(i)
}

// short is a number of few digits: mantissa·10^-scale, without zeros at the end
// of what is behind the point.
type short struct {
	mantissa int64
	scale    uint
}

// compare orders numbers in any way.
func (s short) compare(t short) int {
	if s.scale != t.scale {
		return cmp.Compare(s.scale, t.scale)
	}
	return cmp.Compare(s.mantissa, t.mantissa)
}

// holdsShort reports whether a number is as the rules ask, bounds apart.
func (r *numberRules) holdsShort(mantissa int64, scale uint) bool {
	if r.divisor.factor != 0 && !r.divisor.divides(uint64(max(mantissa, -mantissa)), int(scale)) {
		return false
	}
	for ; scale > 0 && mantissa%10 == 0; scale-- {
		mantissa /= 10
	}
	if r.integer && scale > 0 {
		return false
	}
	if !r.enumerated {
		return true
	}
	_, found := slices.BinarySearchFunc(r.shorts, short{mantissa, scale}, short.compare)
	return found
}

// oddNumber is number for one of many digits or with an exponent, at the end of
// the text, with a fault in it, or where there is none.
func (v *Validator) oddNumber(start int, n *node) int {
	b := v.text
	if start >= len(b) || kindOf[b[start]] != kindNumber {
		return v.indirect(start, n)
	}
	end, fault := scanNumber(b, start)
	if fault != nil {
		return v.refuse(fault, end)
	}
	if n.number != nil {
		var d decimal
		d.parse(b[start:end])
		if fault = n.number.fault(&d, n.values); fault != nil {
			return v.refuse(fault, start)
		}
	}
	return end
}

// fault is what the rules find in a number; values is what it is if enum does
// not hold the number.
func (r *numberRules) fault(d *decimal, values *Fault) *Fault {
	if r.integer && !d.whole() {
		return FaultType
	}
	if r.enumerated && !r.holds(d) {
		return values
	}
	for i := range r.bounds {
		b := &r.bounds[i]
		if beyond := d.compare(&b.value) * b.sign; beyond > 0 || beyond == 0 && b.exclusive {
			return b.fault
		}
	}
	if r.divisor.factor != 0 && !r.divisor.dividesDecimal(d) {
		return FaultMultipleOf
	}
	return nil
}

// holds reports whether enum has a number.
func (r *numberRules) holds(d *decimal) bool {
	low, high := 0, len(r.enum)
	for low < high {
		middle := (low + high) / 2
		switch order := d.compare(&r.enum[middle]); {
		case order == 0:
			return true
		case order > 0:
			low = middle + 1
		default:
			high = middle
		}
	}
	return false
}
