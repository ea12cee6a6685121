package schema

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// maxNumberBytes bounds a number's text. No float64 or 256-bit integer needs as
// many; a reader that keeps digits would keep them all.
const maxNumberBytes = 128

// scanScalar reads a number or literal at b[i] and returns the index behind it.
func scanScalar(b []byte, i int) (int, *Fault) {
	switch b[i] {
	case 't':
		return scanLiteral(b, i, "true")
	case 'f':
		return scanLiteral(b, i, "false")
	case 'n':
		return scanLiteral(b, i, "null")
	}
	return scanNumber(b, i)
}

func scanLiteral(b []byte, i int, word string) (int, *Fault) {
	end := i + len(word)
	if end > len(b) || string(b[i:end]) != word {
		return i, FaultSyntax
	}
	return end, nil
}

// scanString reads the string whose opening quote is b[i] and returns the index
// behind the closing one, and whether it holds escapes. RFC 8259 §7.
func scanString(b []byte, i int) (end int, escaped bool, fault *Fault) {
	for i++; i < len(b); {
		if i+8 <= len(b) {
			special := specialBytes(binary.LittleEndian.Uint64(b[i:]))
			if special == 0 {
				i += 8
				continue
			}
			i += bits.TrailingZeros64(special) / 8
		}
		switch c := b[i]; {
		case c == '"':
			return i + 1, escaped, nil
		case c == '\\':
			escaped = true
			if i, fault = scanEscape(b, i); fault != nil {
				return i, escaped, fault
			}
		case c < ' ':
			return i, escaped, FaultSyntax
		case c < utf8.RuneSelf:
			i++
		default:
			r, size := utf8.DecodeRune(b[i:])
			if r == utf8.RuneError && size == 1 {
				return i, escaped, FaultUTF8
			}
			i += size
		}
	}
	return i, escaped, FaultSyntax
}

// tops are the top bits of eight bytes.
const tops = 0x8080808080808080

// specialBytes marks with its top bit each of eight bytes that ends a run of
// plain text: a control character, a quote, a backslash or no ASCII. The lowest
// mark is exact; one above it may be too many, from a borrow.
func specialBytes(w uint64) uint64 {
	const ones = tops >> 7
	quote := w ^ ones*'"'
	backslash := w ^ ones*'\\'
	return ((w - ones*' ') | (quote - ones) | (backslash - ones) | w) & tops
}

// scanEscape reads the escape at b[i], both halves of a surrogate pair at once.
func scanEscape(b []byte, i int) (int, *Fault) {
	if i+1 >= len(b) {
		return i, FaultSyntax
	}
	switch b[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 2, nil
	case 'u':
	default:
		return i, FaultSyntax
	}
	unit := hex4(b, i+2)
	switch {
	case unit < 0:
		return i, FaultSyntax
	case unit < 0xd800 || unit > 0xdfff:
		return i + 6, nil
	}
	// Encoding/json reads half a pair as U+FFFD, browsers keep it: no text that
	// two readers take for two things comes in.
	if unit > 0xdbff || i+7 >= len(b) || b[i+6] != '\\' || b[i+7] != 'u' {
		return i, FaultSurrogate
	}
	if low := hex4(b, i+8); low < 0xdc00 || low > 0xdfff {
		return i, FaultSurrogate
	}
	return i + 12, nil
}

// hex4 is the value of four hexadecimal digits at b[i:], or -1.
func hex4(b []byte, i int) rune {
	if i+4 > len(b) {
		return -1
	}
	var v rune
	for _, c := range b[i : i+4] {
		switch {
		case '0' <= c && c <= '9':
			v = v<<4 | rune(c-'0')
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			v = v<<4 | rune(c|0x20-'a'+10)
		default:
			return -1
		}
	}
	return v
}

// scanNumber reads the number at b[i]. RFC 8259 §6, and a float64 can hold it.
func scanNumber(b []byte, i int) (int, *Fault) {
	start := i
	if b[i] == '-' {
		i++
	}
	whole := i
	i = digits(b, i)
	if i == whole || b[whole] == '0' && i > whole+1 {
		return i, FaultSyntax
	}
	if i < len(b) && b[i] == '.' {
		fraction := i + 1
		if i = digits(b, fraction); i == fraction {
			return i, FaultSyntax
		}
	}
	mantissa := b[whole:i]
	exponent := 0
	if i < len(b) && b[i]|0x20 == 'e' {
		var ok bool
		if exponent, i, ok = scanExponent(b, i+1); !ok {
			return i, FaultSyntax
		}
	}
	if i-start > maxNumberBytes || exponent != 0 && !inRange(mantissa, exponent) {
		return i, FaultNumber
	}
	return i, nil
}

// scanExponent reads sign and digits behind the e; the value saturates.
func scanExponent(b []byte, i int) (value, end int, ok bool) {
	negative := false
	if i < len(b) && (b[i] == '+' || b[i] == '-') {
		negative = b[i] == '-'
		i++
	}
	end = digits(b, i)
	for _, c := range b[i:end] {
		if value < 1_000_000 {
			value = value*10 + int(c-'0')
		}
	}
	if negative {
		value = -value
	}
	return value, end, end > i
}

func digits(b []byte, i int) int {
	for i < len(b) && '0' <= b[i] && b[i] <= '9' {
		i++
	}
	return i
}
