package schema

import (
	"bytes"
	"hash/maphash"
)

// fewNames is how many names of an object are compared one by one, by hash;
// from the next on they are in the table.
const fewNames = 8

// names finds out whether an object has two members of one name. It is a stack:
// an object's names stand together above those of the objects around it, and
// are taken off when it closes. The table probes linearly, and since the last
// to come in is the first to go out, taking out is emptying the slot.
type names struct {
	seed   maphash.Seed
	seeded bool
	clear  uint64 // bits taken out of every hash, so that tests have collisions
	open   []name
	table  []int32 // index in open plus one; 0 is free; at most half full
	filled int
	plain  []byte // two unescaped names
}

// absent is the slot of a name that is not in the table.
const absent = -1

// smallestTable is the table's first size, a power of two.
const smallestTable = 64

// name is a member's name: text[start:end] between its quotes.
type name struct {
	hash       uint64 // of the name unescaped and its object, under seed
	start, end int
	slot       int32 // in table, or absent
	escaped    bool
}

// add puts a name on the stack. False says that the object at top has it already.
func (n *names) add(text []byte, top *level, m name) bool {
	m.hash, m.slot = n.sum(text, m, top.base), absent
	if !top.hashed && len(n.open)-top.base >= fewNames {
		top.hashed = true
		for i := top.base; i < len(n.open); i++ {
			n.fill(i)
		}
	}
	if top.hashed {
		if n.inTable(text, m, top.base) {
			return false
		}
		n.open = append(n.open, m)
		n.fill(len(n.open) - 1)
		return true
	}
	for i := top.base; i < len(n.open); i++ {
		if n.open[i].hash == m.hash && n.same(text, n.open[i], m) {
			return false
		}
	}
	n.open = append(n.open, m)
	return true
}

// sum is the hash of m in the object whose names begin at base. The base is in
// it because equal names in objects within each other would else probe one run
// of slots. The multiplier is odd, so different bases have different slots.
func (n *names) sum(text []byte, m name, base int) uint64 {
	raw := text[m.start:m.end]
	if m.escaped {
		n.plain = Unescape(n.plain[:0], raw)
		raw = n.plain
	}
	return (maphash.Bytes(n.secret(), raw) ^ uint64(base)*0x9e3779b97f4a7c15) &^ n.clear
}

// secret is the seed of all hashes. It is only against collisions that a peer
// crafts: no result depends on it.
func (n *names) secret() maphash.Seed {
	if !n.seeded {
		n.seed, n.seeded = maphash.MakeSeed(), true
	}
	return n.seed
}

// inTable reports whether the object whose names begin at base, the innermost,
// has m in the table. Only its own names stand at base or above.
func (n *names) inTable(text []byte, m name, base int) bool {
	mask := len(n.table) - 1
	for slot := int(m.hash) & mask; n.table[slot] != 0; slot = (slot + 1) & mask {
		i := int(n.table[slot]) - 1
		if i >= base && n.open[i].hash == m.hash && n.same(text, n.open[i], m) {
			return true
		}
	}
	return false
}

// fill puts open[i] in the table.
func (n *names) fill(i int) {
	if 2*n.filled >= len(n.table) {
		n.grow()
	}
	n.put(i)
	n.filled++
}

func (n *names) put(i int) {
	mask := len(n.table) - 1
	slot := int(n.open[i].hash) & mask
	for n.table[slot] != 0 {
		slot = (slot + 1) & mask
	}
	n.table[slot] = int32(i + 1)
	n.open[i].slot = int32(slot)
}

// grow doubles the table. Names go in again in their order, oldest first, so
// taking out stays emptying the slot.
func (n *names) grow() {
	n.table = make([]int32, max(smallestTable, 2*len(n.table)))
	for i := range n.open {
		if n.open[i].slot != absent {
			n.put(i)
		}
	}
}

// close takes off the names of the innermost object.
func (n *names) close(top *level) {
	if top.hashed {
		n.empty(n.open[top.base:])
	}
	n.open = n.open[:top.base]
}

// drop takes off all names, also of objects that never closed.
func (n *names) drop() {
	n.empty(n.open)
	n.open = n.open[:0]
}

func (n *names) empty(list []name) {
	for i := range list {
		if list[i].slot != absent {
			n.table[list[i].slot] = 0
			n.filled--
		}
	}
}

// same compares two names unescaped.
func (n *names) same(text []byte, a, b name) bool {
	left, right := text[a.start:a.end], text[b.start:b.end]
	if !a.escaped && !b.escaped {
		return bytes.Equal(left, right)
	}
	n.plain = Unescape(n.plain[:0], left)
	half := len(n.plain)
	n.plain = Unescape(n.plain, right)
	return bytes.Equal(n.plain[:half], n.plain[half:])
}
