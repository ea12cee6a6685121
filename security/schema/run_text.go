package schema

import (
	"math/bits"
	"unicode/utf8"
)

// string runs n, which admits strings, on the string at b[i], in the way that op
// says. Each way but the last finds out quickly that a string is as asked for; of
// what it does not find good, for whatever reason, the last is the judge.
func (v *Validator) string(i int, n *node, how op) int {
	switch how {
	case opPlainText:
		return v.plainText(i, n)
	case opWord:
		return v.wordText(i, n)
	case opPatternText:
		return v.patternText(i, n)
	case opDateTime:
		return v.dateTimeText(i, n)
	case opUUID:
		return v.uuidText(i, n)
	}
	return v.anyText(i, n)
}

// plainText counts the bytes of a string of ASCII while it scans it.
func (v *Validator) plainText(i int, n *node) int {
	b, start := v.text, i+1
	if i >= len(b) || b[i] != '"' {
		return v.indirect(i, n)
	}
	for i = start; i+8 <= len(b); i += 8 {
		special := specialBytes(load(b, i))
		if special == 0 {
			continue
		}
		if i += bits.TrailingZeros64(special) / 8; b[i] == '"' {
			if r := n.text; r == nil || i-start >= r.min && i-start <= r.max {
				return i + 1
			}
		}
		break
	}
	return v.anyText(start-1, n)
}

// wordText compares a string with the words that are expected.
func (v *Validator) wordText(i int, n *node) int {
	b, words := v.text, n.text.words
	for w := range words {
		word := &words[w]
		if i+int(word.reach) <= len(b) && word.differs(b, i, 0) == 0 && (word.middle == nil || word.middleAt(b, i)) {
			return i + int(word.size)
		}
	}
	return v.anyText(i, n)
}

// patternText runs the pattern while it scans a string.
func (v *Validator) patternText(i int, n *node) int {
	b := v.text
	if i < len(b) && b[i] == '"' {
		if end := n.text.pattern.quotedEnd(b, i+1); end > 0 {
			return end + 1
		}
	}
	return v.anyText(i, n)
}

// dateTimeText looks for a date and time at its place.
func (v *Validator) dateTimeText(i int, n *node) int {
	b := v.text
	if i < len(b) && b[i] == '"' {
		if end := dateTimeEnd(b, i+1); end > 0 && end < len(b) && b[end] == '"' {
			return end + 1
		}
	}
	return v.anyText(i, n)
}

// uuidText looks for a UUID at its place.
func (v *Validator) uuidText(i int, n *node) int {
	b, end := v.text, i+1+uuidBytes
	if end < len(b) && b[i] == '"' && b[end] == '"' && uuidAt(b, i+1) {
		return end + 1
	}
	return v.anyText(i, n)
}

// plainEnd is where the text at b[i] ends with a quote if it is of ASCII without
// escapes and control characters, else 0.
func plainEnd(b []byte, i int) int {
	for i+8 <= len(b) {
		if special := specialBytes(load(b, i)); special != 0 {
			if i += bits.TrailingZeros64(special) / 8; b[i] != '"' {
				return 0
			}
			return i
		}
		i += 8
	}
	for ; i < len(b) && b[i] >= ' ' && b[i] < utf8.RuneSelf && b[i] != '\\'; i++ {
		if b[i] == '"' {
			return i
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
