package main

import (
	"bytes"
	"fmt"
)

// printable writes DEL and the control characters behind it (U+0080 to U+009F)
// in JSON text as escapes. Those below a space cannot stand in JSON, these can,
// and a terminal takes U+009B for the start of a command: whoever may publish
// could otherwise write to the screens of those who follow.
func printable(text []byte) []byte {
	control := func(r rune) bool { return r >= 0x7f && r <= 0x9f }
	if !bytes.ContainsFunc(text, control) {
		return text
	}
	out := make([]byte, 0, len(text)+len(text)/2)
	for _, r := range string(text) {
		if control(r) {
			out = fmt.Appendf(out, `\u%04x`, r)
			continue
		}
		out = fmt.Appendf(out, "%c", r)
	}
	return out
}
