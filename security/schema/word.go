package schema

import (
	"encoding/binary"
	"math"
)

// word is a text that is expected at a certain place, as it is usually written:
// comparisons of eight bytes tell whether it is there.
type word struct {
	head, headMask      uint64
	tail, tailMask      uint64
	tailAt, reach, size uint32  // reach is how many bytes are looked at
	op                  op      // of the node for the value behind it
	middle              *string // between head and tail, nil if nothing is
}

// newWord makes a word of a quoted string with text before and behind, one that
// is never found if the string cannot be written without escapes.
func newWord(before, content, behind string) word {
	for _, c := range []byte(content) {
		if c < ' ' || c == '"' || c == '\\' {
			return word{reach: math.MaxInt32}
		}
	}
	text := []byte(before + `"` + content + `"` + behind)
	w := word{size: uint32(len(text)), reach: uint32(max(len(text), 8)), headMask: math.MaxUint64}
	w.head = binary.LittleEndian.Uint64(append(text, make([]byte, 8)...))
	if len(text) <= 8 {
		w.headMask >>= 8 * (8 - len(text))
		return w
	}
	w.tailAt, w.tailMask = w.size-8, math.MaxUint64
	w.tail = binary.LittleEndian.Uint64(text[w.tailAt:])
	if len(text) > 16 {
		middle := string(text[8:w.tailAt])
		w.middle = &middle
	}
	return w
}

// at reports whether the word stands at b[i], its first byte being what it is
// xor first.
func (w *word) at(b []byte, i int, first uint64) bool {
	return i+int(w.reach) <= len(b) && w.differs(b, i, first) == 0 && (w.middle == nil || w.middleAt(b, i))
}

// differs is 0 if head and tail of the word stand at b[i], where it has reach.
func (w *word) differs(b []byte, i int, first uint64) uint64 {
	return (load(b, i)^first^w.head)&w.headMask | (load(b, i+int(w.tailAt))^w.tail)&w.tailMask
}

func (w *word) middleAt(b []byte, i int) bool {
	return string(b[i+8:i+8+len(*w.middle)]) == *w.middle
}

// load is the eight bytes at b[i].
func load(b []byte, i int) uint64 { return binary.LittleEndian.Uint64(b[i : i+8 : i+8]) }
