package schema

import "unicode/utf8"

// pattern is a regular expression made into a table: it reads a text once, one
// step for each character, and keeps nothing. Immutable.
type pattern struct {
	ascii   [utf8.RuneSelf]uint8 // the class of each
	quoted  [256]uint8           // the same in a string, where quotes and what has to be decoded are the end
	beyond  []runeClass          // of the other characters, in order
	classes int
	next    []uint16 // at a state plus a class: the next state; a state is where its row begins
	start   uint16
}

// runeClass is the class of the characters from first up to the next one's.
type runeClass struct {
	first rune
	class uint8
}

// The states without a row: no text from here on matches, every one does.
const (
	stateDead    = 0
	stateMatched = 1
	firstRow     = 2
)

// classEnd is the class of the end of a text.
const classEnd = 0

// match reports whether the pattern is found anywhere in a text of valid UTF-8.
func (p *pattern) match(text []byte) bool {
	state := p.start
	for i := 0; i < len(text) && state >= firstRow; {
		var class uint8
		if c := text[i]; c < utf8.RuneSelf {
			class = p.ascii[c]
			i++
		} else {
			r, size := utf8.DecodeRune(text[i:])
			class = p.class(r)
			i += size
		}
		state = p.next[int(state)+int(class)]
	}
	if state >= firstRow {
		state = p.next[int(state)+classEnd]
	}
	return state == stateMatched
}

// class is that of a character beyond ASCII.
func (p *pattern) class(r rune) uint8 {
	low, high := 0, len(p.beyond)
	for high-low > 1 {
		if middle := (low + high) / 2; p.beyond[middle].first <= r {
			low = middle
		} else {
			high = middle
		}
	}
	return p.beyond[low].class
}
