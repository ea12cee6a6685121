package schema

import (
	"bytes"
	"unicode/utf8"
)

// Unescape appends the text between the quotes of a valid JSON string (Check
// accepted it) with its escapes resolved; the result is at most as long. dst
// must not overlap s.
func Unescape(dst, s []byte) []byte {
	for {
		i := bytes.IndexByte(s, '\\')
		if i < 0 || i+1 >= len(s) {
			return append(dst, s...)
		}
		dst = append(dst, s[:i]...)
		size := 2
		switch c := s[i+1]; c {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			var r rune
			r, size = escapedRune(s, i)
			dst = utf8.AppendRune(dst, r)
		default: // quote, backslash, slash
			dst = append(dst, c)
		}
		s = s[i+size:]
	}
}

// escapedRune is the character of the \u escape at s[i], or of the two of a
// surrogate pair, and their length. Text that Check refuses gives U+FFFD.
func escapedRune(s []byte, i int) (r rune, size int) {
	const surrogates, low, behind, astral = 0xd800, 0xdc00, 0xe000, 0x10000
	unit := hex4(s, i+2)
	switch {
	case unit < 0:
		return utf8.RuneError, 2
	case unit < surrogates || unit >= behind:
		return unit, 6
	}
	second := hex4(s, i+8)
	if unit >= low || second < low || second >= behind {
		return utf8.RuneError, 6
	}
	return astral + (unit-surrogates)<<10 + second - low, 12
}
