package schema

import "github.com/cespare/xxhash/v2"

// lookup finds a text among those of a schema: open addressing, at most a
// quarter full, so that few slots are tried whatever is looked for. The hash has
// no secret: the texts in it are the operator's, a peer's are never put in.
// Immutable once built.
type lookup struct {
	texts []string
	slots []int32 // index in texts plus one; 0 is free
}

func newLookup(texts []string) *lookup {
	size := 4
	for size < 4*len(texts) {
		size *= 2
	}
	l := &lookup{texts: texts, slots: make([]int32, size)}
	for i, text := range texts {
		slot := int(xxhash.Sum64String(text)) & (size - 1)
		for l.slots[slot] != 0 {
			slot = (slot + 1) & (size - 1)
		}
		l.slots[slot] = int32(i + 1)
	}
	return l
}

// fewTexts is how many texts are compared one by one.
const fewTexts = 4

// find is the index of a text, or -1.
func (l *lookup) find(text []byte) int {
	if len(l.texts) <= fewTexts {
		for i := range l.texts {
			if l.texts[i] == string(text) {
				return i
			}
		}
		return -1
	}
	mask := len(l.slots) - 1
	for slot := int(xxhash.Sum64(text)) & mask; l.slots[slot] != 0; slot = (slot + 1) & mask {
		if i := int(l.slots[slot]) - 1; l.texts[i] == string(text) {
			return i
		}
	}
	return -1
}
