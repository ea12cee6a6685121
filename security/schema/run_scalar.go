package schema

import "unicode/utf8"

// string runs the text rules of n on the string at b[i].
func (v *Validator) string(b []byte, i int, n *node) int {
	r := n.text
	if r == nil {
		end, _, fault := scanString(b, i)
		if fault != nil {
			return v.refuse(fault, end)
		}
		return end
	}
	for w := range r.words {
		if r.words[w].at(b, i) {
			return i + r.words[w].size
		}
	}
	end, escaped, fault := scanString(b, i)
	if fault != nil {
		return v.refuse(fault, end)
	}
	text := b[i+1 : end-1]
	if escaped {
		v.plain = Unescape(v.plain[:0], text)
		text = v.plain
	}
	if fault := r.fault(text, n.values); fault != nil {
		return v.refuse(fault, i)
	}
	return end
}

// fault is what the rules find in a text; values is what it is if enum does not
// hold the text.
func (r *textRules) fault(text []byte, values *Fault) *Fault {
	if r.enum != nil && r.enum.find(text) < 0 {
		return values
	}
	// A code point is one to four bytes, so most lengths need no count.
	if size := len(text); size > r.max || (size+3)/4 < r.min {
		switch length := utf8.RuneCount(text); {
		case length < r.min:
			return FaultMinLength
		case length > r.max:
			return FaultMaxLength
		}
	}
	if r.pattern != nil && !r.pattern.match(text) {
		return FaultPattern
	}
	if r.format != nil && !r.format(text) {
		return FaultFormat
	}
	return nil
}

// maxShortDigits is how many digits a word holds with room for a sign.
const maxShortDigits = 18

// number runs the number rules of n on the number at b[i].
func (v *Validator) number(b []byte, i int, n *node) int {
	start := i
	if b[i] == '-' {
		i++
	}
	whole, mantissa := i, uint64(0)
	for ; i < len(b) && b[i]-'0' <= 9; i++ {
		mantissa = mantissa*10 + uint64(b[i]-'0')
	}
	if i == whole || b[whole] == '0' && i > whole+1 {
		return v.refuse(FaultSyntax, i)
	}
	scale := 0
	if i < len(b) && b[i] == '.' {
		point := i
		for i++; i < len(b) && b[i]-'0' <= 9; i++ {
			mantissa = mantissa*10 + uint64(b[i]-'0')
		}
		if scale = i - point - 1; scale == 0 {
			return v.refuse(FaultSyntax, i)
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' || i-whole > maxShortDigits || scale >= scales {
		return v.longNumber(b, start, n)
	}
	r := n.number
	if r == nil {
		return i
	}
	signed := int64(mantissa)
	if b[start] == '-' {
		signed = -signed
	}
	if signed < r.least[scale] || signed > r.most[scale] || r.integer && scale > 0 && mantissa%powersOfTen[scale] != 0 {
		return v.longNumber(b, start, n)
	}
	if r.beyondBounds && (r.enumerated || !r.divisor.divides(mantissa, scale)) {
		return v.longNumber(b, start, n)
	}
	return i
}

// longNumber is number for those of many digits or with an exponent, and for
// those in which there is a fault.
func (v *Validator) longNumber(b []byte, start int, n *node) int {
	end, fault := scanNumber(b, start)
	if fault == nil && n.number != nil {
		var d decimal
		d.parse(b[start:end])
		fault = n.number.fault(&d, n.values)
	}
	if fault != nil {
		return v.refuse(fault, start)
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
