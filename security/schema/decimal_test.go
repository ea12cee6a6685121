package schema

import (
	"fmt"
	"math/big"
	"testing"
)

// numerals are numbers near each other and near what words, float64 and the
// bounds of the fast ways hold.
func numerals() (list []string) {
	for _, n := range []string{
		"0", "0.0", "0e5", "0.000e-7", "1", "1.0", "10e-1", "0.1e1", "100e-2", "1.5", "15e-1", "0.015e2", "2", "9", "10", "11", "99", "100", "1e2", "101", "0.1", "0.10", "0.01", "0.001", "1e-3",
		"123456789012345678", "999999999999999999", "1000000000000000000", "1000000000000000001", "9223372036854775807", "9223372036854775808", "18446744073709551615", "18446744073709551616",
		"9007199254740992", "9007199254740993", "9007199254740993.0", "0.999999999999999", "0.9999999999999999", "0.99999999999999999999", "1.000000000000001", "1.0000000000000001", "1.00000000000000000001",
		"1e300", "1.0000000000000000000000000001e300", "1e308", "1e-300", "123456789.123456789", "12345678901234567890.123", "19.99", "4.35", "0.07", "7", "21", "2.1", "700000000000000000000000007", "3e20", "1000000007", "2.5", "1234.5678",
		"99999999999999999.9", "0.123456789012345", "0.1234567890123456", "340282366920938463463374607431768211456",
	} {
		list = append(list, n, "-"+n)
	}
	return list
}

func rational(t testing.TB, n string) *big.Rat {
	r, ok := new(big.Rat).SetString(n)
	if !ok {
		t.Fatal(n)
	}
	return r
}

// TestDecimal holds comparison and division against math/big.
func TestDecimal(t *testing.T) {
	for _, a := range numerals() {
		var x decimal
		x.parse([]byte(a))
		ratA := rational(t, a)
		if x.whole() != ratA.IsInt() {
			t.Errorf("%s is whole: %v", a, x.whole())
		}
		if ratA.Cmp(rational(t, x.text())) != 0 {
			t.Errorf("%s reads as %s", a, x.text())
		}
		for _, b := range numerals() {
			var y decimal
			y.parse([]byte(b))
			got, want := x.compare(&y), ratA.Cmp(rational(t, b))
			if (got < 0) != (want < 0) || (got > 0) != (want > 0) {
				t.Errorf("%s and %s: %d, want %d", a, b, got, want)
			}
			if equalNumbers([]byte(a), []byte(b)) != (want == 0) {
				t.Errorf("%s and %s: equal", a, b)
			}
		}
	}
}

// TestNumberRules holds each keyword with each bound on each number against
// math/big, on the fast way and on the other.
func TestNumberRules(t *testing.T) {
	var v Validator
	for _, limit := range numerals() {
		ratLimit := rational(t, limit)
		for _, k := range []struct {
			keyword string
			holds   func(n *big.Rat) bool
		}{
			{"minimum", func(n *big.Rat) bool { return n.Cmp(ratLimit) >= 0 }},
			{"maximum", func(n *big.Rat) bool { return n.Cmp(ratLimit) <= 0 }},
			{"exclusiveMinimum", func(n *big.Rat) bool { return n.Cmp(ratLimit) > 0 }},
			{"exclusiveMaximum", func(n *big.Rat) bool { return n.Cmp(ratLimit) < 0 }},
			{"const", func(n *big.Rat) bool { return n.Cmp(ratLimit) == 0 }},
			{"multipleOf", func(n *big.Rat) bool { return new(big.Rat).Quo(n, ratLimit).IsInt() }},
		} {
			if k.keyword == "multipleOf" && ratLimit.Sign() <= 0 {
				continue
			}
			s, err := Compile(fmt.Appendf(nil, `{"%s":%s}`, k.keyword, limit))
			if err != nil {
				if k.keyword != "multipleOf" {
					t.Error(err)
				}
				continue
			}
			for _, n := range numerals() {
				want := k.holds(rational(t, n))
				for _, text := range []string{n, n + " "} { // a number that ends a text is read in another way
					r := s.Validate(&v, []byte(text), usual)
					if (r.Fault == nil) != want || r.Fault != nil && r.Fault.Keyword != k.keyword {
						t.Errorf("%s %s: %q: %v, want %v", k.keyword, limit, text, r.Fault, want)
					}
				}
			}
		}
	}
}

func FuzzDecimal(f *testing.F) {
	for i, n := range numerals() {
		f.Add(n, numerals()[(i*7)%len(numerals())])
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		for _, n := range []string{a, b} {
			if n == "" {
				return
			}
			if end, fault := scanNumber([]byte(n), 0); fault != nil || end != len(n) {
				return
			}
		}
		if len(a)+len(b) > 120 {
			return
		}
		var x, y decimal
		x.parse([]byte(a))
		y.parse([]byte(b))
		if x.count == 0 || y.count == 0 {
			return // an exponent of 0 may be too large for math/big
		}
		want := rational(t, a).Cmp(rational(t, b))
		if got := x.compare(&y); (got < 0) != (want < 0) || (got > 0) != (want > 0) {
			t.Fatalf("%s and %s: %d, want %d", a, b, got, want)
		}
		s, err := Compile(fmt.Appendf(nil, `{"multipleOf":%s}`, b))
		if err != nil {
			return
		}
		var v Validator
		divisible := new(big.Rat).Quo(rational(t, a), rational(t, b)).IsInt()
		if r := s.Validate(&v, []byte(a+" "), usual); (r.Fault == nil) != divisible {
			t.Fatalf("%s of %s: %v, want %v", a, b, r.Fault, divisible)
		}
	})
}
