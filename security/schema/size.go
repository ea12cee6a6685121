package schema

import "unsafe"

// Bytes is about how much memory the program takes, for who adds up that of a node.
func (s *Schema) Bytes() int { return s.bytes }

// size is Bytes of what was compiled: its nodes and tables, and the text twice for what is copied out of it (names, words).
func (c *compiler) size() int {
	sum := 2*len(c.source.text) + len(c.source.tape)*int(unsafe.Sizeof(entry{})) + 2*c.cells
	for _, n := range c.made {
		sum += int(unsafe.Sizeof(*n)) + 8*(len(n.all)+len(n.any)+len(n.one))
		if n.number != nil {
			sum += int(unsafe.Sizeof(*n.number))
		}
		if n.text != nil {
			sum += int(unsafe.Sizeof(*n.text))
		}
		if n.array != nil {
			sum += int(unsafe.Sizeof(*n.array))
		}
		if n.object != nil {
			sum += int(unsafe.Sizeof(*n.object))
		}
		if n.byKind != nil {
			sum += int(unsafe.Sizeof(*n.byKind))
		}
	}
	return sum
}
