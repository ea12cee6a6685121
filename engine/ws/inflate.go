package ws

import (
	"encoding/binary"
	"math/bits"
)

// This is DEFLATE (RFC 1951) for whole messages in memory. The standard library's inflater keeps a
// window of its own, allocates upon corrupt input and cannot stop at a limit without a reader around
// it; here the output is the window, a refusal is a static value, and the limit is
// tested before a byte is written.

const (
	fastBits    = 9  // codes up to this long are found in one look
	maxCodeBits = 15 // RFC 1951 §3.2.7
	maxLitCodes = 286
	maxDistance = 30

	// A dynamic block takes more than a microsecond to set up and 22 bytes to send, even if nothing is in it. A
	// message may have freeBlocks of them, as many as a sender that flushes with every fragment makes, and one more for
	// each blockBytes that it has come to: the smallest buffer of zlib (memLevel 1) ends a block after 127 symbols.
	freeBlocks = 64
	blockBytes = 96
)

// deflateTail is what RFC 7692 §7.2.2 appends to every message: the rest of an empty stored block.
var deflateTail = [4]byte{0x00, 0x00, 0xFF, 0xFF}

// huffman is a canonical code. Short codes are looked up by the next bits of the input, longer ones are
// counted out length by length.
type huffman struct {
	mask   uint64                // of the bits that index fast
	fast   [1 << fastBits]uint16 // symbol<<4 | bits; 0: a longer code, or none
	count  [maxCodeBits + 1]uint16
	symbol [288]uint16 // in the order of their codes
}

// inflater decodes one message at a time. It belongs to one goroutine.
type inflater struct {
	in     []byte // what has not been taken into acc
	tail   bool   // in is deflateTail, or what is left of it
	acc    uint64 // bits taken, the next one lowest
	n      uint   // number of them
	lit    huffman
	dist   huffman
	code   huffman // of the code lengths
	length [maxLitCodes + maxDistance]uint8

	fixedLit, fixedDist huffman
}

func newInflater() *inflater {
	z := new(inflater)
	var length [288]uint8 // RFC 1951 §3.2.6
	for i := range length {
		switch {
		case i < 144:
			length[i] = 8
		case i < 256:
			length[i] = 9
		case i < 280:
			length[i] = 7
		default:
			length[i] = 8
		}
	}
	z.fixedLit.build(length[:])
	for i := range 32 {
		length[i] = 5
	}
	z.fixedDist.build(length[:32])
	return z
}

// inflate appends to dst what payload decompresses to, at most limit bytes. The violation is
// ErrTooBig as soon as there would be one byte more, ErrTooManyBlocks for one that costs more than it says,
// ErrDeflate for what is not a message of RFC 7692 §7.2.1. dst is returned in either case, for its memory.
func (z *inflater) inflate(dst, payload []byte, limit int) ([]byte, *Violation) {
	if len(payload) == 0 { // some peers send an empty message so, instead of as an empty block
		return dst, nil
	}
	z.in, z.tail, z.acc, z.n = payload, false, 0, 0
	defer func() { z.in = nil }()
	base := len(dst)
	for dynamic := 0; ; {
		z.refill()
		if z.n == 0 {
			return dst, nil
		}
		if z.n < 3 {
			return dst, ErrDeflate
		}
		final, kind := z.acc&1 != 0, z.acc>>1&3
		z.drop(3)
		var v *Violation
		switch kind {
		case 0:
			dst, v = z.stored(dst, base+limit)
		case 1:
			dst, v = z.block(dst, base, limit, &z.fixedLit, &z.fixedDist)
		case 2:
			if dynamic++; dynamic > freeBlocks+(len(dst)-base)/blockBytes {
				return dst, ErrTooManyBlocks
			}
			if !z.readCodes() {
				return dst, ErrDeflate
			}
			dst, v = z.block(dst, base, limit, &z.lit, &z.dist)
		default:
			v = ErrDeflate
		}
		if v != nil {
			return dst, v
		}
		if final { // RFC 7692 §7.2.1: the next block, if any, begins at a byte boundary
			z.drop(z.n & 7)
			if z.left() <= len(deflateTail) {
				return dst, nil
			}
		}
	}
}

// left returns how many whole bytes have not been decoded, the tail included.
func (z *inflater) left() int {
	n := int(z.n/8) + len(z.in)
	if !z.tail {
		n += len(deflateTail)
	}
	return n
}

// refill takes bits in until there are at least 56, or all.
func (z *inflater) refill() {
	if len(z.in) >= 8 {
		z.acc |= binary.LittleEndian.Uint64(z.in) << z.n
		took := (63 - z.n) / 8
		z.in = z.in[took:]
		z.n += 8 * took
		z.acc &= 1<<z.n - 1
		return
	}
	for z.n <= 56 {
		if len(z.in) == 0 {
			if z.tail {
				return
			}
			z.in, z.tail = deflateTail[:], true
		}
		z.acc |= uint64(z.in[0]) << z.n
		z.in = z.in[1:]
		z.n += 8
	}
}

func (z *inflater) drop(n uint) {
	z.acc >>= n
	z.n -= n
}

// stored copies a block that is not compressed. RFC 1951 §3.2.4.
func (z *inflater) stored(dst []byte, end int) ([]byte, *Violation) {
	z.drop(z.n & 7)
	z.refill()
	if z.n < 32 || uint16(z.acc) != ^uint16(z.acc>>16) {
		return dst, ErrDeflate
	}
	size := int(uint16(z.acc))
	z.drop(32)
	if size > z.left() {
		return dst, ErrDeflate
	}
	if size > end-len(dst) {
		return dst, ErrTooBig
	}
	for size > 0 {
		if z.n > 0 {
			dst = append(dst, byte(z.acc))
			z.drop(8)
			size--
			continue
		}
		if len(z.in) == 0 {
			z.refill()
			continue
		}
		n := min(size, len(z.in))
		dst = append(dst, z.in[:n]...)
		z.in = z.in[n:]
		size -= n
	}
	return dst, nil
}

// Lengths and distances: the least value of each symbol and its extra bits. RFC 1951 §3.2.5.
var (
	lengthBase = [29]uint16{3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258}
	lengthBits = [29]uint8{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0}
	distBase   = [maxDistance]uint16{1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577}
	distBits   = [maxDistance]uint8{0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13}
)

// block decodes a compressed block. One refill is enough for a length and its distance: 15+5+15+13 bits.
func (z *inflater) block(dst []byte, base, limit int, lit, dist *huffman) ([]byte, *Violation) {
	for {
		z.refill()
		sym := z.decode(lit)
		switch {
		case sym < 0 || sym >= maxLitCodes:
			return dst, ErrDeflate
		case sym == 256:
			return dst, nil
		case sym < 256:
			if len(dst)-base >= limit {
				return dst, ErrTooBig
			}
			dst = append(dst, byte(sym))
			continue
		}
		length, ok := z.extra(uint(lengthBase[sym-257]), uint(lengthBits[sym-257]))
		if !ok {
			return dst, ErrDeflate
		}
		sym = z.decode(dist)
		if sym < 0 || sym >= maxDistance {
			return dst, ErrDeflate
		}
		back, ok := z.extra(uint(distBase[sym]), uint(distBits[sym]))
		if !ok || back > len(dst)-base {
			return dst, ErrDeflate
		}
		if length > limit-(len(dst)-base) {
			return dst, ErrTooBig
		}
		for length > 0 { // what is copied may reach into what is written: as far as there is, again and again
			from := dst[len(dst)-back:]
			n := min(length, len(from))
			dst = append(dst, from[:n]...)
			length -= n
			back += n
		}
	}
}

// extra adds the next n bits to base.
func (z *inflater) extra(base, n uint) (int, bool) {
	if n > z.n {
		return 0, false
	}
	value := base + uint(z.acc&(1<<n-1))
	z.drop(n)
	return int(value), true
}

// decode returns the next symbol, or -1 if the bits are of no code or too few.
func (z *inflater) decode(h *huffman) int {
	if e := h.fast[z.acc&h.mask]; e != 0 {
		if n := uint(e & 15); n <= z.n {
			z.drop(n)
			return int(e >> 4)
		}
		return -1
	}
	// Codes of one length are consecutive numbers, the first of them following from the shorter ones.
	code, first, index := 0, 0, 0
	acc := z.acc
	for n := uint(1); n <= maxCodeBits && n <= z.n; n++ {
		code |= int(acc & 1)
		acc >>= 1
		count := int(h.count[n])
		if code-first < count {
			z.drop(n)
			return int(h.symbol[index+code-first])
		}
		index += count
		first = (first + count) << 1
		code <<= 1
	}
	return -1
}

// codeOrder is the order in which a block gives the lengths of the code length code. RFC 1951 §3.2.7.
var codeOrder = [19]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// readCodes reads the codes of a dynamic block. RFC 1951 §3.2.7.
func (z *inflater) readCodes() bool {
	z.refill()
	if z.n < 14 {
		return false
	}
	literals, distances, codes := int(z.acc&31)+257, int(z.acc>>5&31)+1, int(z.acc>>10&15)+4
	z.drop(14)
	if literals > maxLitCodes || distances > maxDistance {
		return false
	}
	clear(z.length[:19])
	for _, place := range codeOrder[:codes] {
		z.refill()
		length, ok := z.extra(0, 3)
		if !ok {
			return false
		}
		z.length[place] = uint8(length)
	}
	if !z.code.build(z.length[:19]) {
		return false
	}
	total := literals + distances
	if !z.readLengths(z.length[:total]) {
		return false
	}
	return z.lit.build(z.length[:literals]) && z.dist.build(z.length[literals:total])
}

// readLengths reads run-length coded code lengths.
func (z *inflater) readLengths(length []uint8) bool {
	for i := 0; i < len(length); {
		z.refill()
		sym := z.decode(&z.code)
		var value uint8
		var run int
		ok := sym >= 0
		switch sym {
		case 16:
			if i == 0 {
				return false
			}
			value = length[i-1]
			run, ok = z.extra(3, 2)
		case 17:
			run, ok = z.extra(3, 3)
		case 18:
			run, ok = z.extra(11, 7)
		default:
			value, run = uint8(sym), 1
		}
		if !ok || run > len(length)-i {
			return false
		}
		for range run {
			length[i] = value
			i++
		}
	}
	return true
}

// build makes the code with these lengths. It refuses a set that has too many codes or too few, except
// for none at all and for one of a single bit, which RFC 1951 §3.2.7 allows. The work is bounded by
// the number of symbols and by what the longest code calls for, so that a small block costs little.
func (h *huffman) build(length []uint8) bool {
	h.count = [maxCodeBits + 1]uint16{}
	longest := uint8(0)
	for _, n := range length {
		h.count[n]++
		longest = max(longest, n)
	}
	room := 1
	var index, code [maxCodeBits + 2]uint16
	for n := 1; n <= maxCodeBits; n++ {
		room = room<<1 - int(h.count[n])
		if room < 0 {
			return false
		}
		index[n+1] = index[n] + h.count[n]
		code[n+1] = (code[n] + h.count[n]) << 1
	}
	if room > 0 && longest > 1 {
		return false
	}
	h.mask = 1<<min(longest, fastBits) - 1
	clear(h.fast[:h.mask+1])
	for sym, n := range length {
		if n == 0 {
			continue
		}
		h.symbol[index[n]] = uint16(sym)
		index[n]++
		if n <= fastBits {
			entry := uint16(sym)<<4 | uint16(n)
			for at := uint64(bits.Reverse16(code[n]) >> (16 - n)); at <= h.mask; at += 1 << n {
				h.fast[at] = entry
			}
		}
		code[n]++
	}
	return true
}
