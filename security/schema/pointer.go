package schema

import "strconv"

// maxPointerBytes bounds a pointer: it goes into a reply of a few hundred bytes,
// and names of a text can be as long as the text.
const maxPointerBytes = 256

// AppendPointer appends the JSON pointer (RFC 6901) of what is refused to dst:
// the value at fault, or that around a fault of syntax. Text is the one that was
// refused. A pointer of over 256 bytes ends early, at a value further out. It
// holds names of the text with their escapes resolved: a peer's bytes, but valid
// UTF-8.
func (r Refusal) AppendPointer(dst, text []byte) []byte {
	p := pointer{text: text, offset: min(r.Offset, len(text))}
	for i := p.space(0); i < p.offset; i = p.space(i) {
		i = p.step(i)
	}
	return p.append(dst)
}

// AppendReason appends why and where: the keyword, and unless that is the whole
// text, " at " and what AppendPointer appends. It never holds a value of the text.
func (r Refusal) AppendReason(dst, text []byte) []byte {
	const at = " at "
	dst = append(dst, r.Fault.Keyword...)
	length := len(dst)
	if dst = r.AppendPointer(append(dst, at...), text); len(dst) == length+len(at) {
		return dst[:length]
	}
	return dst
}

// pointer follows a text up to an offset, up to which it is valid, and notes where
// it is at each level: which of the names or numbers that came by go into the
// pointer is known at the end only.
type pointer struct {
	text   []byte
	offset int
	depth  int
	at     [maxRunDepth + 1]int32     // by level: the number of the item that has begun, or where its name is; none
	object [maxRunDepth/64 + 1]uint64 // a bit for each level that is one
}

// none is where a level is that has begun no item.
const none = -1

// step goes past one thing at text[i].
func (p *pointer) step(i int) int {
	switch c := p.text[i]; c {
	case '{', '[':
		p.depth = min(p.depth+1, maxRunDepth)
		p.object[p.depth/64] &^= 1 << (p.depth % 64)
		if c == '{' {
			p.object[p.depth/64] |= 1 << (p.depth % 64)
		}
		p.at[p.depth] = none
		return p.item(i + 1)
	case ',':
		return p.item(i + 1)
	case '}', ']':
		p.depth = max(p.depth-1, 0)
	case '"':
		return stringEnd(p.text, i) + 1
	}
	return i + 1
}

// item goes to the value of the item that begins behind text[i], if one does.
func (p *pointer) item(i int) int {
	i = p.space(i)
	if i >= len(p.text) {
		return i
	}
	if p.text[i] == ']' || p.text[i] == '}' {
		p.at[p.depth] = none
		return i
	}
	if !p.inObject(p.depth) {
		p.at[p.depth]++
		return i
	}
	end := max(stringEnd(p.text, i), i+1)
	colon := p.space(end + 1)
	if p.text[i] != '"' || i < p.offset && p.offset <= colon {
		p.at[p.depth] = none // the name is at fault
		return p.offset
	}
	p.at[p.depth] = int32(i)
	return colon + 1
}

func (p *pointer) inObject(level int) bool { return p.object[level/64]>>(level%64)&1 != 0 }

func (p *pointer) space(i int) int {
	for i < len(p.text) && (p.text[i] == ' ' || p.text[i] == '\n' || p.text[i] == '\r' || p.text[i] == '\t') {
		i++
	}
	return i
}

// append appends a token for each level that has begun an item, as far as there is
// room for them.
func (p *pointer) append(dst []byte) []byte {
	base := len(dst)
	for level := 1; level <= p.depth && p.at[level] != none; level++ {
		whole := len(dst)
		if p.inObject(level) {
			dst = p.appendName(dst, int(p.at[level]))
		} else {
			dst = strconv.AppendInt(append(dst, '/'), int64(p.at[level]), 10)
		}
		if len(dst)-base > maxPointerBytes {
			return dst[:whole]
		}
	}
	return dst
}

// appendName appends the name whose quote is text[i], or what is too long.
func (p *pointer) appendName(dst []byte, i int) []byte {
	const longest = 6 * maxPointerBytes // an escape is of six bytes for one
	raw := p.text[i+1 : max(stringEnd(p.text, i), i+1)]
	if len(raw) > longest {
		return append(dst, raw[:maxPointerBytes+1]...)
	}
	var space [longest]byte
	return appendToken(dst, Unescape(space[:0], raw))
}
