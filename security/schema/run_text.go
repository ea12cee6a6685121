package schema

import (
	"math/bits"
	"unicode/utf8"
)

// plainText finds a string of ASCII without escapes that is as long as n asks for.
func (v *Validator) plainText(i int, n *node) int {
	b, start := v.text, i+1
	if i >= len(b) || b[i] != '"' {
		return 0
	}
	for i = place(start); i+8 <= len(b); i = place(i + 8) {
		w := load(b, i)
		special := specialBytes(w)
		if special == 0 {
			continue
		}
		first := bits.TrailingZeros64(special) &^ 7
		i += first / 8
		if size := i - start; byte(w>>first) == '"' && size >= n.shortest && size <= n.longest {
			return i + 1
		}
		return 0
	}
	return 0
}

// wordText finds one of the words that are expected.
func (v *Validator) wordText(i int, n *node) int {
	b, i, words := v.text, place(i), n.text.words
	for w := range words {
		word := &words[w]
		if word.differs(b, i, 0) == 0 && (word.middle == nil || word.middleAt(b, i)) {
			return i + int(word.size)
		}
	}
	return 0
}

// patternText finds a string of ASCII without escapes that the pattern is found in.
func (v *Validator) patternText(i int, n *node) int {
	b, i := v.text, place(i)
	if i >= len(b) || b[i] != '"' {
		return 0
	}
	p := n.text.pattern
	state, next := p.start, p.next
	for i++; i < len(b); i++ {
		if state = next[int(state)+int(p.quoted[b[i]])]; state < firstRow {
			break
		}
	}
	if state != stateMatched {
		return 0
	}
	if b[i] == '"' {
		return i + 1
	}
	return plainEnd(b, i)
}

// dateTimeText finds a date and time.
func (v *Validator) dateTimeText(i int, n *node) int {
	b := v.text
	if i < len(b) && b[i] == '"' {
		if end := dateTimeEnd(b, i+1); end > 0 && end < len(b) && b[end] == '"' {
			return end + 1
		}
	}
	return 0
}

// uuidText finds a UUID.
func (v *Validator) uuidText(i int, n *node) int {
	b := v.text
	if i+1+uuidBytes < len(b) && b[i] == '"' {
		if end := uuidEnd(b, i+1); end > 0 && end < len(b) && b[end] == '"' {
			return end + 1
		}
	}
	return 0
}

// plainEnd is behind the quote that ends the text at b[i] if it is of ASCII
// without escapes and control characters, else 0.
func plainEnd(b []byte, i int) int {
	for i+8 <= len(b) {
		if special := specialBytes(load(b, i)); special != 0 {
			if i += bits.TrailingZeros64(special) / 8; b[i] != '"' {
				return 0
			}
			return i + 1
		}
		i += 8
	}
	for ; i < len(b) && b[i] >= ' ' && b[i] < utf8.RuneSelf && b[i] != '\\'; i++ {
		if b[i] == '"' {
			return i + 1
		}
	}
	return 0
}

// anyText is string for every string, and for what is none.
func (v *Validator) anyText(i int, n *node) int {
	b := v.text
	if i >= len(b) || b[i] != '"' {
		return v.indirect(i, n)
	}
	end, escaped, fault := scanString(b, i)
	if fault != nil {
		return v.refuse(fault, end)
	}
	if n.text == nil {
		return end
	}
	text := b[i+1 : end-1]
	if escaped {
		v.plain = Unescape(v.plain[:0], text)
		text = v.plain
	}
	if fault := n.text.fault(text, n.values); fault != nil {
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
