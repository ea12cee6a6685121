// Package pointer finds a scalar in a JSON text by a JSON pointer (RFC 6901),
// without decoding the rest. It keeps no state, recurses nowhere and allocates
// nothing but for member names that are written with escapes.
package pointer

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxLength bounds a pointer, in bytes; it is the operator's.
const maxLength = 1 << 10

var (
	errStart  = errors.New("a JSON pointer begins with /, as in /symbol")
	errEscape = errors.New("in a JSON pointer ~ is written ~0 and / inside a name ~1")
	errLong   = errors.New("a JSON pointer may have 1024 bytes at most")
	errUTF8   = errors.New("a JSON pointer is written in UTF-8")
)

// Pointer is a parsed JSON pointer: its reference tokens, without escapes. It is
// immutable. The zero value points to the whole text.
type Pointer struct{ tokens []string }

// Parse reads a pointer (RFC 6901 §3 and §4): Unicode, so what is not UTF-8 is refused.
func Parse(s string) (Pointer, error) {
	if s == "" {
		return Pointer{}, nil
	}
	if s[0] != '/' {
		return Pointer{}, errStart
	}
	if len(s) > maxLength {
		return Pointer{}, errLong
	}
	if !utf8.ValidString(s) {
		return Pointer{}, errUTF8
	}
	tokens := strings.Split(s[1:], "/")
	for i, t := range tokens {
		for rest := t; ; {
			_, after, found := strings.Cut(rest, "~")
			if !found {
				break
			}
			if after == "" || after[0] != '0' && after[0] != '1' {
				return Pointer{}, errEscape
			}
			rest = after[1:]
		}
		tokens[i] = strings.ReplaceAll(strings.ReplaceAll(t, "~1", "/"), "~0", "~")
	}
	return Pointer{tokens}, nil
}

// Scalar returns the string (with its quotes), number, true, false or null that p
// points to, as it is written, borrowed from text. It returns nil if there is none,
// or an object or array. text must be valid JSON in UTF-8 (RFC 8259 §8.1), or what
// is found means nothing; the first of members with the same name counts.
func (p Pointer) Scalar(text []byte) []byte {
	s := scanner{rest: text}
	for _, token := range p.tokens {
		if !s.enter(token) {
			return nil
		}
	}
	s.space()
	start := s.rest
	if c := s.peek(); c == '{' || c == '[' || !s.skip() {
		return nil
	}
	return start[:len(start)-len(s.rest)]
}

// scanner stands before rest. Its methods report false at what cannot go on.
type scanner struct{ rest []byte }

// peek returns the next byte, 0 at the end.
func (s *scanner) peek() byte {
	if len(s.rest) == 0 {
		return 0
	}
	return s.rest[0]
}

func (s *scanner) space() {
	for len(s.rest) > 0 && (s.rest[0] == ' ' || s.rest[0] == '\t' || s.rest[0] == '\n' || s.rest[0] == '\r') {
		s.rest = s.rest[1:]
	}
}

// take passes over c, with space around it.
func (s *scanner) take(c byte) bool {
	s.space()
	if s.peek() != c {
		return false
	}
	s.rest = s.rest[1:]
	s.space()
	return true
}

// enter goes to the value that token names in the object or array that follows.
func (s *scanner) enter(token string) bool {
	s.space()
	if s.peek() == '[' {
		return s.element(token)
	}
	for open := byte('{'); s.take(open); open = ',' {
		before := s.rest
		if s.peek() != '"' || !s.skip() {
			return false
		}
		name := before[1 : len(before)-len(s.rest)-1]
		if !s.take(':') {
			return false
		}
		if equal(name, token) {
			return true
		}
		if !s.skip() {
			return false
		}
	}
	return false
}

// element goes to an element of an array (RFC 6901 §4: no leading zeros).
func (s *scanner) element(token string) bool {
	index, err := strconv.ParseUint(token, 10, 32)
	if err != nil || strconv.FormatUint(index, 10) != token {
		return false
	}
	for open := byte('['); s.take(open); open = ',' {
		if s.peek() == ']' {
			return false
		}
		if index == 0 {
			return true
		}
		index--
		if !s.skip() {
			return false
		}
	}
	return false
}

// skip passes over a value.
func (s *scanner) skip() bool {
	for depth := 0; ; {
		switch s.peek() {
		case 0:
			return false
		case '"':
			if !s.skipString() {
				return false
			}
		case '{', '[':
			depth++
			s.rest = s.rest[1:]
		case '}', ']':
			depth--
			s.rest = s.rest[1:]
		case ',', ':', ' ', '\t', '\n', '\r':
			if depth == 0 {
				return false
			}
			s.rest = s.rest[1:]
		default:
			s.skipWord()
		}
		if depth <= 0 {
			return depth == 0
		}
	}
}

// skipString passes over a string, whose opening quote is next.
func (s *scanner) skipString() bool {
	for from := 1; from < len(s.rest); {
		i := bytes.IndexByte(s.rest[from:], '"')
		if i < 0 {
			break
		}
		end := from + i
		escapes := 0
		for s.rest[end-1-escapes] == '\\' { // the opening quote stops it
			escapes++
		}
		from = end + 1
		if escapes%2 == 0 {
			s.rest = s.rest[from:]
			return true
		}
	}
	s.rest = nil
	return false
}

// skipWord passes over a number, true, false or null.
func (s *scanner) skipWord() {
	i := bytes.IndexAny(s.rest, "{}[],:\" \t\n\r")
	if i < 0 {
		i = len(s.rest)
	}
	s.rest = s.rest[i:]
}

// equal reports whether a member's name, as written between its quotes, is token.
func equal(written []byte, token string) bool {
	if bytes.IndexByte(written, '\\') < 0 {
		return string(written) == token
	}
	return string(unescape(nil, written)) == token
}

// unescape appends the string that is written (RFC 8259 §7).
func unescape(dst, written []byte) []byte {
	for len(written) > 0 {
		if written[0] != '\\' || len(written) == 1 {
			dst, written = append(dst, written[0]), written[1:]
			continue
		}
		if written[1] == 'u' {
			var r rune
			r, written = unescapeRune(written)
			dst = utf8.AppendRune(dst, r)
			continue
		}
		c := written[1]
		if i := strings.IndexByte("bfnrt", c); i >= 0 {
			c = "\b\f\n\r\t"[i]
		}
		dst, written = append(dst, c), written[2:]
	}
	return dst
}

// unescapeRune reads \uXXXX, or two that are a surrogate pair.
func unescapeRune(written []byte) (r rune, rest []byte) {
	r, rest = hexRune(written)
	if utf16.IsSurrogate(r) {
		if low, after := hexRune(rest); utf16.DecodeRune(r, low) != utf8.RuneError {
			return utf16.DecodeRune(r, low), after
		}
	}
	return r, rest
}

// hexRune reads one \uXXXX; utf8.RuneError if there is none.
func hexRune(b []byte) (r rune, rest []byte) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return utf8.RuneError, b[min(len(b), 2):]
	}
	n, err := strconv.ParseUint(string(b[2:6]), 16, 16)
	if err != nil {
		return utf8.RuneError, b[6:]
	}
	return rune(n), b[6:]
}
