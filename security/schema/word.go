package schema

import (
	"encoding/binary"
	"math"
)

// word is a text that is expected at a certain place, as it is usually written:
// comparisons of eight bytes tell whether it is there.
type word struct {
	head, headMask uint64
	tail, tailMask uint64
	tailAt, size   uint32
	middle         *string // between head and tail, nil if nothing is
}

// nowhere is the tailAt of a word that is not found anywhere.
const nowhere = maxRunBytes

// newWord makes a word of a quoted string with text before and behind, one that
// is never found if the string cannot be written without escapes.
func newWord(before, content, behind string) word {
	for _, c := range []byte(content) {
		if c < ' ' || c == '"' || c == '\\' {
			return word{tailAt: nowhere}
		}
	}
	text := []byte(before + `"` + content + `"` + behind)
	w := word{size: uint32(len(text)), headMask: math.MaxUint64}
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

// differs is 0 if head and tail of the word stand at b[i], its first byte being
// what it is xor first.
func (w *word) differs(b []byte, i int, first uint64) uint64 {
	tail := i + int(w.tailAt)
	if tail+8 > len(b) || i+8 > len(b) {
		return 1
	}
	return (load(b, i)^first^w.head)&w.headMask | (load(b, tail)^w.tail)&w.tailMask
}

// at reports whether the word stands at b[i], see differs.
func (w *word) at(b []byte, i int, first uint64) bool {
	return w.differs(b, place(i), first) == 0 && (w.middle == nil || w.middleAt(b, i))
}

func (w *word) middleAt(b []byte, i int) bool {
	return string(b[i+8:i+8+len(*w.middle)]) == *w.middle
}

// load is the eight bytes at b[i].
func load(b []byte, i int) uint64 { return binary.LittleEndian.Uint64(b[i : i+8 : i+8]) }

// place is i, which is at most maxRunBytes. It tells the compiler as much, so
// that one comparison with the length of a text is all that an access costs.
func place(i int) int { return int(uint32(i)) }
