package schema

import (
	"bytes"
	"hash/maphash"
)

// effort is what may still be spent on a text, and the space that spending it
// takes.
type effort struct {
	steps int    // below 0: all is spent, and what was found out means nothing
	plain []byte // unescaped strings in use, a stack
}

// spend reports whether there were so many steps left.
func (e *effort) spend(steps int) bool {
	e.steps -= steps
	return e.steps >= 0
}

// reading is what it takes to read a value or name once, in steps, without what
// is in an array or object.
func (x *entry) reading() int {
	const bytesInStep, escapedBytesInStep = 8, 4
	switch {
	case x.kind&(kindArray|kindObject) != 0:
		return 0
	case x.escaped:
		return int(x.end-x.start) / escapedBytesInStep
	}
	return int(x.end-x.start) / bytesInStep
}

// equal reports whether two values are the same to JSON Schema: numbers by value,
// objects whatever the order. False if there are not steps enough to say so.
func (e *effort) equal(a *tapedText, i int32, b *tapedText, j int32) bool {
	x, y := &a.tape[i], &b.tape[j]
	if x.kind != y.kind || !e.spend(2+x.reading()) {
		return false
	}
	switch x.kind {
	case kindNumber:
		return equalNumbers(a.raw(i), b.raw(j))
	case kindString:
		return e.equalStrings(a, i, b, j)
	case kindArray:
		return e.equalArrays(a, i, b, j)
	case kindObject:
		return e.equalObjects(a, i, b, j)
	}
	return true
}

func equalNumbers(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	var x, y decimal
	x.parse(a)
	y.parse(b)
	return x.compare(&y) == 0
}

func (e *effort) equalStrings(a *tapedText, i int32, b *tapedText, j int32) bool {
	base := len(e.plain)
	left := a.string(i, &e.plain)
	same := bytes.Equal(left, b.string(j, &e.plain))
	e.plain = e.plain[:base]
	return same
}

func (e *effort) equalArrays(a *tapedText, i int32, b *tapedText, j int32) bool {
	m, n := i+1, j+1
	for m < a.tape[i].next && n < b.tape[j].next {
		if !e.equal(a, m, b, n) {
			return false
		}
		m, n = a.tape[m].next, b.tape[n].next
	}
	return m == a.tape[i].next && n == b.tape[j].next
}

// equalObjects looks for each member of one object in the other: first where it
// is if both have the same order, then everywhere. Names of one object differ, so
// equal numbers of members are enough.
func (e *effort) equalObjects(a *tapedText, i int32, b *tapedText, j int32) bool {
	m, n := i+1, j+1
	for m < a.tape[i].next {
		if n >= b.tape[j].next {
			return false
		}
		same := n
		if !e.equalStrings(a, m, b, n) {
			if same = e.member(a, m, b, j); same < 0 {
				return false
			}
		}
		if !e.equal(a, m+1, b, same+1) {
			return false
		}
		m, n = a.tape[m+1].next, b.tape[n+1].next
	}
	return n == b.tape[j].next
}

// member is the entry of the name in object j that is the same as that at i, or -1.
func (e *effort) member(a *tapedText, i int32, b *tapedText, j int32) int32 {
	for n := j + 1; n < b.tape[j].next; n = b.tape[n+1].next {
		if !e.spend(1 + b.tape[n].reading()) {
			return -1
		}
		if e.equalStrings(a, i, b, n) {
			return n
		}
	}
	return -1
}

// hash is the same for values that are equal, under one seed.
func (e *effort) hash(seed maphash.Seed, t *tapedText, i int32) uint64 {
	x := &t.tape[i]
	if !e.spend(2 + x.reading()) {
		return 0
	}
	const odd = 0x9e3779b97f4a7c15
	sum := uint64(x.kind) * odd
	switch x.kind {
	case kindNumber:
		var d decimal
		d.parse(t.raw(i))
		sum += maphash.Bytes(seed, d.significant()) ^ uint64(d.power*2+d.sign())*odd
	case kindString:
		base := len(e.plain)
		sum += maphash.Bytes(seed, t.string(i, &e.plain))
		e.plain = e.plain[:base]
	case kindArray:
		for m := i + 1; m < x.next; m = t.tape[m].next {
			sum = mix(sum) + e.hash(seed, t, m)
		}
	case kindObject:
		for m := i + 1; m < x.next; m = t.tape[m+1].next {
			sum += mix(mix(e.hash(seed, t, m)) + e.hash(seed, t, m+1))
		}
	}
	return sum
}

// mix makes sums depend on their order, and a peer's choice of what is added
// hard to work out: what comes in is under a secret seed.
func mix(x uint64) uint64 {
	x ^= x >> 32
	x *= 0xd6e8feb86659fd93
	x ^= x >> 32
	x *= 0xd6e8feb86659fd93
	return x ^ x>>32
}
