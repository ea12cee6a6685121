package schema

import (
	"fmt"
	"math"
	"math/big"
	"slices"
)

// numbers compiles the keywords for numbers.
func (c *compiler) numbers(n *node, keywords map[string]int32) {
	for _, k := range []struct {
		keyword   string
		sign      int
		exclusive bool
		fault     *Fault
	}{
		{"minimum", -1, false, FaultMinimum},
		{"maximum", 1, false, FaultMaximum},
		{"exclusiveMinimum", -1, true, FaultExclusiveMinimum},
		{"exclusiveMaximum", 1, true, FaultExclusiveMaximum},
	} {
		i, ok := keywords[k.keyword]
		if !ok {
			continue
		}
		if c.source.tape[i].kind != kindNumber {
			c.fail(k.keyword, "must be a number")
			return
		}
		b := bound{sign: k.sign, exclusive: k.exclusive, fault: k.fault}
		b.value.parse(c.source.raw(i))
		n.numbers().bounds = append(n.numbers().bounds, b)
	}
	if i, ok := keywords["multipleOf"]; ok {
		n.numbers().divisor = c.divisor(i)
	}
	if n.number != nil {
		n.number.prepare()
	}
}

// divisor compiles multipleOf.
func (c *compiler) divisor(i int32) divisor {
	var d decimal
	if c.source.tape[i].kind == kindNumber {
		d.parse(c.source.raw(i))
	}
	if d.sign() <= 0 {
		c.fail("multipleOf", "must be a number above 0")
		return divisor{}
	}
	if d.count > maxDivisorDigits {
		c.fail("multipleOf", "only %d digits are supported", maxDivisorDigits)
		return divisor{}
	}
	return newDivisor(&d)
}

// prepare works the bounds out for numbers of few digits.
func (r *numberRules) prepare() {
	for i := range r.enum {
		if s, ok := r.enum[i].short(); ok {
			r.shorts = append(r.shorts, s)
		}
	}
	slices.SortFunc(r.shorts, short.compare)
	r.more = r.divisor.factor != 0 || r.enumerated || r.integer
	for scale := range scales {
		r.least[scale], r.most[scale] = math.MinInt64, math.MaxInt64
		for i := range r.bounds {
			b := &r.bounds[i]
			limit := b.mantissa(scale)
			if b.sign < 0 {
				r.least[scale] = max(r.least[scale], limit)
			} else {
				r.most[scale] = min(r.most[scale], limit)
			}
		}
	}
}

// shapes are those of which all numbers that fewDigits finds are as the rules
// ask. Nothing is asked without rules.
func (r *numberRules) shapes() (set uint32) {
	const mostBytes = 7 // that fewDigits takes, the point among them
	for shape := range uint(shapeCount) {
		whole, zero, point := shape&(shapeZero-1), shape&shapeZero != 0, shape&shapePoint != 0
		if whole == 0 || zero && whole > 1 || point && whole+2 > mostBytes {
			continue
		}
		fits := true
		least, most := powersOfTen[whole-1], powersOfTen[whole]-1
		if zero {
			least, most = 0, 0
		}
		if !point {
			fits = r.holdsAll(least, most, 0)
		}
		for scale := uint(1); point && whole+1+scale <= mostBytes; scale++ {
			fits = fits && r.holdsAll(least*powersOfTen[scale], most*powersOfTen[scale]+powersOfTen[scale]-1, scale)
		}
		if fits {
			set |= 1 << shape
		}
	}
	return set
}

// holdsAll reports whether all numbers of a scale are as the rules ask whose
// mantissas are from least to most; not if it takes more than bounds to tell.
func (r *numberRules) holdsAll(least, most uint64, scale uint) bool {
	return r == nil || r.divisor.factor == 0 && !r.enumerated && !(r.integer && scale > 0) &&
		r.least[scale] <= int64(least) && int64(most) <= r.most[scale]
}

// short is d as one, if it is.
func (d *decimal) short() (s short, ok bool) {
	digits, scale := max(d.power, d.count), max(d.count-d.power, 0)
	if digits > maxShortDigits {
		return s, false
	}
	for i := range digits {
		s.mantissa *= 10
		if i < d.count {
			s.mantissa += int64(d.digits[i] - '0')
		}
	}
	if d.negative {
		s.mantissa = -s.mantissa
	}
	s.scale = uint(scale)
	return s, true
}

// mantissa is the last one within the bound for a number of a scale. One that
// does not fit is the nearest that does: numbers of few digits do not reach it.
func (b *bound) mantissa(scale int) int64 {
	value, ok := new(big.Rat).SetString(b.value.text())
	if !ok {
		panic("schema: a number that was read is none")
	}
	value.Mul(value, new(big.Rat).SetInt(new(big.Int).SetUint64(powersOfTen[scale])))
	floor := new(big.Int).Div(value.Num(), value.Denom()) // Euclidean: the denominator is positive
	one := big.NewInt(1)
	switch exact := value.IsInt(); {
	case b.sign > 0 && b.exclusive && exact:
		floor.Sub(floor, one)
	case b.sign < 0 && (b.exclusive || !exact):
		floor.Add(floor, one)
	}
	switch {
	case floor.IsInt64():
		return floor.Int64()
	case floor.Sign() < 0:
		return math.MinInt64
	}
	return math.MaxInt64
}

// text writes d so that math/big reads it.
func (d *decimal) text() string {
	sign := ""
	if d.negative {
		sign = "-"
	}
	return fmt.Sprintf("%s0.%s0e%d", sign, d.significant(), d.power)
}
