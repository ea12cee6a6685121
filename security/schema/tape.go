package schema

import "math/bits"

// tape is a text taken apart: an entry for each value, in reading order; that
// of an array or object before its items. A name has one too, before its value.
type tape []entry

// entry is a value, or a name, which is like a string.
type entry struct {
	start, end int32 // text[start:end], quotes and brackets included
	next       int32 // the entry behind this value
	kind       kind
	escaped    bool // a string with escapes
}

// tapedText is a text with its tape.
type tapedText struct {
	text []byte
	tape tape
}

// add puts a scalar, a name or a bracket that opened on the tape.
func (t *tape) add(k kind, start, end int, escaped bool) {
	*t = append(*t, entry{start: int32(start), end: int32(end), next: int32(len(*t) + 1), kind: k, escaped: escaped})
}

// close says where the value that opened with the entry ends.
func (t tape) close(opened, end int) {
	t[opened].end, t[opened].next = int32(end), int32(len(t))
}

// kind is what a JSON value is, one bit each, so that they can be a set.
type kind uint8

const (
	kindNull kind = 1 << iota
	kindFalse
	kindTrue
	kindNumber
	kindString
	kindArray
	kindObject

	kindBool = kindFalse | kindTrue
	kinds    = 7 // how many there are

	kindAny = kindNull | kindBool | kindNumber | kindString | kindArray | kindObject
)

// number is the place of a kind in an array of kinds.
func (k kind) number() int { return bits.TrailingZeros8(uint8(k)) % kinds }

// kindOf is the kind of the value that begins with a byte; 0: none does.
var kindOf = [256]kind{
	'n': kindNull, 'f': kindFalse, 't': kindTrue, '"': kindString, '[': kindArray, '{': kindObject, '-': kindNumber,
	'0': kindNumber, '1': kindNumber, '2': kindNumber, '3': kindNumber, '4': kindNumber,
	'5': kindNumber, '6': kindNumber, '7': kindNumber, '8': kindNumber, '9': kindNumber,
}

// string gives the text of the string or name at entry i, unescaped. If it had
// escapes it lies in scratch, which grows by it: the caller cuts scratch back
// when it is done with the text.
func (t *tapedText) string(i int32, scratch *[]byte) []byte {
	e := &t.tape[i]
	raw := t.text[e.start+1 : e.end-1]
	if !e.escaped {
		return raw
	}
	base := len(*scratch)
	*scratch = Unescape(*scratch, raw)
	return (*scratch)[base:]
}

// raw is the JSON text of the value at entry i.
func (t *tapedText) raw(i int32) []byte {
	return t.text[t.tape[i].start:t.tape[i].end]
}
