package main

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// printable writes as escapes what a terminal would obey in text that others
// wrote: control characters but line ends, which are the caller's, and what turns
// the direction of what follows. JSON stays JSON: the former stand in strings only.
// Whoever may publish, answer or be called a name could otherwise write to the
// screens of those who look. What is no UTF-8 becomes U+FFFD.
func printable(text []byte) []byte {
	s := string(text)
	if utf8.ValidString(s) && strings.IndexFunc(s, obeyed) < 0 {
		return text
	}
	out := make([]byte, 0, len(text)+len(text)/2)
	for _, r := range s {
		if obeyed(r) {
			out = fmt.Appendf(out, `\u%04x`, r)
			continue
		}
		out = utf8.AppendRune(out, r)
	}
	return out
}

// obeyed reports whether r does something on a screen, rather than standing there. All
// such are of 16 bits.
func obeyed(r rune) bool {
	return r != '\n' && unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || unicode.Is(unicode.Bidi_Control, r)
}

// oneLine is printable for text that begins no line of its own.
func oneLine(text string) string {
	return strings.ReplaceAll(string(printable([]byte(text))), "\n", `\n`)
}

// quotation is an error in which a server's own words may stand, such as the names
// in a certificate that is not good.
type quotation struct{ err error }

func (q quotation) Error() string { return oneLine(q.err.Error()) }
func (q quotation) Unwrap() error { return q.err }
