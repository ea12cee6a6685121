package delta

import (
	"encoding/binary"
	"math"
	"math/bits"
	"unicode/utf8"
)

const (
	// blockBytes is the grain of the index: of a common run of twice as many
	// bytes at least one block is found.
	blockBytes = 8

	// indexedBytes is how much of a source is looked through for what moved. It
	// bounds an Encoder's tables to a MiB. Attack: long publications.
	indexedBytes = 1 << 20

	// maxChain is how many equal blocks of the source are tried for one place of
	// the target. Attack: a source that repeats itself, for time.
	maxChain = 16

	// maxTries and triesShare bound how many matches are measured for one delta:
	// so many, and one for each triesShare bytes of the target. Attack: texts in
	// which everything matches a little.
	maxTries   = 1024
	triesShare = 4

	// patience is after how many bytes without a match the search looks at every
	// second place only, then at every third: what has so little in common is
	// hardly worth a delta. Attack: publications that are unlike, for time.
	patience = 256

	// Behind a place where source and target differ, what they have in common is
	// most often close by: looked for in the next nearBytes of the target, with up
	// to nearShift bytes put in or taken out, after maxNear differences at most.
	nearBytes = 48
	nearShift = 8
	maxNear   = 256
)

// Encoder makes deltas. The zero value is ready; its tables are kept for the
// next delta. It belongs to one goroutine at a time.
type Encoder struct {
	source, target []byte // nil between calls
	out            []byte
	limit          int // longest that out may become
	done           int // how much of target out makes
	nears          int // how often near has looked
	tries          int // how many matches may still be measured

	indexed bool
	heads   []int32 // by hash: 1 + the first block of the source that has it; 0: none
	next    []int32 // by block: 1 + the next one with the same hash; 0: none
	shift   int     // of a hash, to a place in heads
}

// match is a run of bytes that source and target have in common.
type match struct{ source, target, length int }

// Append appends the delta that makes target of source, if it is shorter than
// target; if not, dst comes back as it was, with false. Its time is linear in
// both lengths, whatever stands in them.
func (e *Encoder) Append(dst, source, target []byte) (_ []byte, shorter bool) {
	if len(source) > math.MaxInt32 || len(target) > math.MaxInt32 {
		return dst, false
	}
	e.source, e.target, e.out = source, target, dst
	e.limit, e.done, e.nears, e.indexed = len(dst)+len(target)-1, 0, 0, false
	e.tries = maxTries + len(target)/triesShare
	if shorter = e.delta(); shorter {
		dst = e.out
	}
	e.source, e.target, e.out = nil, nil, nil
	return dst, shorter
}

// delta writes the delta, or as much of it as shows that it is too long.
func (e *Encoder) delta() bool {
	e.out = append(appendNumber(e.out, uint32(len(e.target))), '\n')
	head := e.trim(match{0, 0, common(e.source, e.target)})
	n := commonEnd(e.source[head.length:], e.target[head.length:])
	tail := e.trim(match{len(e.source) - n, len(e.target) - n, n})
	if !head.worth() {
		head = match{}
	}
	if !tail.worth() {
		tail = match{target: len(e.target)}
	}
	if !e.write(head) || !e.between(head, tail.target) || !e.write(tail) {
		return false
	}
	e.out = append(appendNumber(e.out, checksum(e.target)), ';')
	return len(e.out) <= e.limit
}

// between writes copies, with what stands before them, up to the place end of
// the target. last is the copy before.
func (e *Encoder) between(last match, end int) bool {
	for {
		m := e.near(last, end)
		if m.length == 0 {
			m = e.search(end)
		}
		if m.length == 0 {
			return true
		}
		if !e.write(m) {
			return false
		}
		last = m
	}
}

// write inserts what of the target stands before m and copies m; false if the
// delta becomes too long.
func (e *Encoder) write(m match) bool {
	if plain := e.target[e.done:m.target]; len(plain) > 0 {
		if len(e.out)+len(plain) >= e.limit {
			return false
		}
		e.out = append(append(appendNumber(e.out, uint32(len(plain))), ':'), plain...)
	}
	if m.length > 0 {
		e.out = append(appendNumber(e.out, uint32(m.length)), '@')
		e.out = append(appendNumber(e.out, uint32(m.source)), ',')
	}
	e.done = m.target + m.length
	return len(e.out) <= e.limit
}

// worth reports whether m is longer than what it takes to copy it, and to begin
// another insertion behind it.
func (m match) worth() bool { return m.length > numberLen(m.length)+numberLen(m.source)+4 }

// near looks for the next match at about the same distance from the last one
// in source and target. Its length is 0 if there is none.
func (e *Encoder) near(last match, end int) match {
	if e.nears++; e.nears > maxNear {
		return match{}
	}
	distance := last.source - last.target
	for at := e.done; at < e.done+nearBytes && at+blockBytes <= end && e.tries > 0; at++ {
		want := binary.LittleEndian.Uint64(e.target[at:])
		for i := range 2*nearShift + 1 {
			shift := (i + 1) / 2 // 0, 1, -1, 2, -2 …
			if i&1 == 0 {
				shift = -shift
			}
			from := at + distance + shift
			if from < 0 || from+blockBytes > len(e.source) || binary.LittleEndian.Uint64(e.source[from:]) != want {
				continue
			}
			if m := e.extend(from, at, end); m.length >= 2*blockBytes && m.worth() {
				return m
			}
		}
	}
	return match{}
}

// search looks for the next match anywhere in the source. Its length is 0 if
// there is none.
func (e *Encoder) search(end int) match {
	if e.done+blockBytes > end {
		return match{}
	}
	if !e.indexed {
		e.index()
	}
	for at := e.done; at+blockBytes <= end && e.tries > 0; at += 1 + (at-e.done)/patience {
		if best := e.longest(at, end); best.worth() {
			return best
		}
	}
	return match{}
}

// longest is the longest match through a place of the target and a block of the
// source.
func (e *Encoder) longest(at, end int) (best match) {
	want := binary.LittleEndian.Uint64(e.target[at:])
	block := e.heads[e.hash(want)]
	for range maxChain {
		if block == 0 {
			break
		}
		from := int(block-1) * blockBytes
		if binary.LittleEndian.Uint64(e.source[from:]) == want {
			if m := e.extend(from, at, end); m.length > best.length {
				best = m
			}
		}
		block = e.next[block-1]
	}
	return best
}

// index notes the blocks of the source by their hash, each chain in the order
// of the source.
func (e *Encoder) index() {
	e.indexed = true
	blocks := min(len(e.source), indexedBytes) / blockBytes
	width := max(bits.Len(uint(blocks)), 6)
	e.shift = 64 - width
	e.heads = zeroed(e.heads, 1<<width)
	e.next = zeroed(e.next, blocks)
	for i := blocks - 1; i >= 0; i-- {
		h := e.hash(binary.LittleEndian.Uint64(e.source[i*blockBytes:]))
		e.next[i] = e.heads[h]
		e.heads[h] = int32(i + 1)
	}
}

// zeroed returns n zeros, in the space of s if that is large enough.
func zeroed(s []int32, n int) []int32 {
	if cap(s) < n {
		return make([]int32, n)
	}
	s = s[:n]
	clear(s)
	return s
}

// hash is that of a block: a place in heads.
func (e *Encoder) hash(block uint64) uint64 { return block * 0x9E3779B97F4A7C15 >> e.shift }

// extend makes the longest match through these places, within what is not yet
// written up to end.
func (e *Encoder) extend(source, target, end int) match {
	e.tries--
	back := commonEnd(e.source[:source], e.target[e.done:target])
	ahead := common(e.source[source:], e.target[target:end])
	return e.trim(match{source - back, target - back, back + ahead})
}

// trim takes away half runes at both ends of m.
func (e *Encoder) trim(m match) match {
	for range utf8.UTFMax - 1 {
		if m.length == 0 || utf8.RuneStart(e.target[m.target]) {
			break
		}
		m.source, m.target, m.length = m.source+1, m.target+1, m.length-1
	}
	for range utf8.UTFMax - 1 {
		if end := m.target + m.length; m.length == 0 || end == len(e.target) || utf8.RuneStart(e.target[end]) {
			break
		}
		m.length--
	}
	return m
}

// common is how many bytes a and b have in common from their beginnings.
func common(a, b []byte) int {
	n := min(len(a), len(b))
	i := 0
	for ; i+8 <= n; i += 8 {
		if x := binary.LittleEndian.Uint64(a[i:]) ^ binary.LittleEndian.Uint64(b[i:]); x != 0 {
			return i + bits.TrailingZeros64(x)/8
		}
	}
	for i < n && a[i] == b[i] {
		i++
	}
	return i
}

// commonEnd is how many bytes a and b have in common before their ends.
func commonEnd(a, b []byte) int {
	n := min(len(a), len(b))
	a, b = a[len(a)-n:], b[len(b)-n:]
	i := n
	for ; i >= 8; i -= 8 {
		if x := binary.LittleEndian.Uint64(a[i-8:]) ^ binary.LittleEndian.Uint64(b[i-8:]); x != 0 {
			return n - i + bits.LeadingZeros64(x)/8
		}
	}
	for i > 0 && a[i-1] == b[i-1] {
		i--
	}
	return n - i
}
