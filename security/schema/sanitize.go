package schema

import "math/bits"

// AppendHTML appends the JSON text b to dst with <, >, &, U+2028 and U+2029,
// which can only stand in its strings, written as escapes: \u003c, \u003e,
// \u0026, \u2028 and \u2029. To every JSON reader it is the same text; a page that
// it is pasted into sees no tag, no entity and no end of a line. A text without
// them is appended as it is, and what it gives is such a text. B must be valid
// JSON (Check or Validate accepted it); the result is at most six times as long.
// dst must not overlap b.
func AppendHTML(dst, b []byte) []byte {
	start := 0
	for {
		at, escape, size := nextMarkup(b, start)
		if size == 0 {
			return append(dst, b[start:]...)
		}
		dst = append(append(dst, b[start:at]...), escape...)
		start = at + size
	}
}

// SizeHTML is how many bytes AppendHTML appends.
func SizeHTML(b []byte) int {
	total := len(b)
	for start := 0; ; {
		at, escape, size := nextMarkup(b, start)
		if size == 0 {
			return total
		}
		total += len(escape) - size
		start = at + size
	}
}

// nextMarkup is where the next character from b[i] on stands that is to be
// escaped, how, and its size; 0: there is none.
func nextMarkup(b []byte, i int) (at int, escape string, size int) {
	for i < len(b) {
		if i+8 <= len(b) {
			marked := markupBytes(load(b, i))
			if marked == 0 {
				i += 8
				continue
			}
			i += bits.TrailingZeros64(marked) / 8
		}
		if escape, size = markupEscape(b[i:]); size > 0 {
			return i, escape, size
		}
		i++
	}
	return i, "", 0
}

// markupBytes marks with its top bit each of eight bytes that is <, >, & or what
// U+2028 begins with. The lowest mark is exact; one above it may be too many,
// from a borrow.
func markupBytes(w uint64) uint64 {
	const ones, lineSeparator = tops >> 7, 0xe2
	// < and > differ in one bit.
	angle, and, separator := w&^(ones*0x02)^ones*'<', w^ones*'&', w^ones*lineSeparator
	return ((angle-ones)&^angle | (and-ones)&^and | (separator-ones)&^separator) & tops
}

// markupEscape is what to write for the character that b begins with, and its
// size; 0 if it may stay.
func markupEscape(b []byte) (escape string, size int) {
	switch b[0] {
	case '<':
		return `\u003c`, 1
	case '>':
		return `\u003e`, 1
	case '&':
		return `\u0026`, 1
	case 0xe2:
		if len(b) > 2 && b[1] == 0x80 && b[2] == 0xa8 {
			return `\u2028`, 3
		}
		if len(b) > 2 && b[1] == 0x80 && b[2] == 0xa9 {
			return `\u2029`, 3
		}
	}
	return "", 0
}
