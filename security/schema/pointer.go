package schema

import (
	"bytes"
	"strconv"
)

// maxPointerBytes bounds a pointer: it goes into a reply of a few hundred bytes,
// and names of a text can be as long as the text.
const maxPointerBytes = 256

// AppendPointer appends the JSON pointer (RFC 6901) of what is refused to dst:
// the value at fault, or that around a fault of syntax. Text is the one that was
// refused. A pointer of over 256 bytes ends early, at a value further out. It
// holds names of the text with their escapes resolved: a peer's bytes, but valid
// UTF-8.
func (r Refusal) AppendPointer(dst, text []byte) []byte {
	p := pointer{text: text, offset: min(r.Offset, len(text)), dst: dst, base: len(dst)}
	for i := p.space(0); i < p.offset; i = p.space(i) {
		i = p.step(i)
	}
	return p.dst
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

// pointer follows a text up to an offset, up to which it is valid.
type pointer struct {
	text   []byte
	offset int
	dst    []byte // from base on a stack: a token for each level that has begun an item
	base   int
	hidden int  // innermost tokens that there was no room for
	fresh  bool // the innermost level has begun no item
	depth  int
	object [maxRunDepth/64 + 1]uint64 // a bit for each level that is one
}

// step goes past one thing at text[i].
func (p *pointer) step(i int) int {
	switch c := p.text[i]; c {
	case '{', '[':
		p.depth = min(p.depth+1, maxRunDepth)
		p.object[p.depth/64] &^= 1 << (p.depth % 64)
		if c == '{' {
			p.object[p.depth/64] |= 1 << (p.depth % 64)
		}
		p.fresh = true
		return p.item(i + 1)
	case ',':
		return p.item(i + 1)
	case '}', ']':
		p.pop()
		p.depth = max(p.depth-1, 0)
		p.fresh = false
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
		p.pop()
		p.fresh = true
		return i
	}
	if p.object[p.depth/64]>>(p.depth%64)&1 == 0 {
		p.count()
		return i
	}
	end := max(stringEnd(p.text, i), i+1)
	colon := p.space(end + 1)
	p.pop()
	if p.fresh = p.text[i] != '"' || i < p.offset && p.offset <= colon; p.fresh {
		return p.offset // the name is at fault
	}
	p.push(p.text[i+1 : end])
	return colon + 1
}

func (p *pointer) space(i int) int {
	for i < len(p.text) && (p.text[i] == ' ' || p.text[i] == '\n' || p.text[i] == '\r' || p.text[i] == '\t') {
		i++
	}
	return i
}

// pop takes off the token of the innermost level, if it has one.
func (p *pointer) pop() {
	switch {
	case p.fresh:
	case p.hidden > 0:
		p.hidden--
	default:
		if slash := bytes.LastIndexByte(p.dst[p.base:], '/'); slash >= 0 {
			p.dst = p.dst[:p.base+slash]
		}
	}
}

// push adds a name as it is between its quotes.
func (p *pointer) push(raw []byte) {
	const longestEscape = 6
	if p.hidden > 0 || len(raw) > longestEscape*maxPointerBytes {
		p.hidden++
		return
	}
	var space [longestEscape * maxPointerBytes]byte
	p.append(Unescape(space[:0], raw))
}

// count goes from one item of an array to the next. One that was hidden stays so.
func (p *pointer) count() {
	if p.hidden > 0 {
		if p.fresh {
			p.hidden++
		}
		p.fresh = false
		return
	}
	next := int64(0)
	if !p.fresh {
		last, err := strconv.ParseInt(string(p.dst[p.base+bytes.LastIndexByte(p.dst[p.base:], '/')+1:]), 10, 64)
		if err == nil {
			next = last + 1
		}
	}
	p.pop()
	p.fresh = false
	var space [20]byte
	p.append(strconv.AppendInt(space[:0], next, 10))
}

// append adds a token if there is room for it.
func (p *pointer) append(token []byte) {
	length := len(p.dst)
	p.dst = appendToken(p.dst, token)
	if len(p.dst)-p.base > maxPointerBytes {
		p.dst = p.dst[:length]
		p.hidden++
	}
}
