package schema

import (
	"encoding/binary"
	"math"
)

// word is a JSON text that is expected at a certain place, as it is usually
// written: one or two comparisons of eight bytes tell whether it is there.
type word struct {
	head, headMask uint64
	tail, tailMask uint64
	tailAt         int
	reach          int    // bytes that are looked at
	middle         string // behind the head, before the tail
	size           int
}

// newWord makes a word of a text, which begins with a quoted string; one that is
// never found if the string cannot be written without escapes.
func newWord(content, behind string) word {
	for _, c := range []byte(content) {
		if c < ' ' || c == '"' || c == '\\' {
			return word{reach: math.MaxInt32}
		}
	}
	text := []byte(`"` + content + `"` + behind)
	w := word{size: len(text), reach: max(len(text), 8)}
	padded := append(append([]byte{}, text...), make([]byte, 8)...)
	w.head, w.headMask = binary.LittleEndian.Uint64(padded), math.MaxUint64
	w.tailAt, w.tailMask = w.reach-8, math.MaxUint64
	if len(text) < 8 {
		w.headMask >>= 8 * (8 - len(text))
		w.tailMask = 0
	} else {
		w.tail = binary.LittleEndian.Uint64(text[w.tailAt:])
	}
	if len(text) > 16 {
		w.middle = string(text[8:w.tailAt])
	}
	return w
}

// at reports whether the word stands at b[i].
func (w *word) at(b []byte, i int) bool {
	if i+w.reach > len(b) {
		return false
	}
	head := binary.LittleEndian.Uint64(b[i:])
	tail := binary.LittleEndian.Uint64(b[i+w.tailAt:])
	return (head^w.head)&w.headMask|(tail^w.tail)&w.tailMask == 0 && (w.middle == "" || w.middleAt(b, i+8))
}

func (w *word) middleAt(b []byte, i int) bool { return string(b[i:i+len(w.middle)]) == w.middle }
