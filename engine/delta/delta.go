// Package delta makes and applies deltas in Fossil's format: what has to be
// copied from a source and inserted to get a target.
//
//	<length of target> "\n" segment… <checksum> ";"
//	segment: <count> "@" <offset> ","   copy from the source
//	         <count> ":" <bytes>        insert
//
// Numbers are written in base 64 with digits of their own. The format counts
// bytes, also where a delta travels as text: subscribers of the JSON protocol
// apply it to the UTF-8 form of what they were sent before. So that a delta is
// text itself, nothing is inserted that begins or ends within a rune.
//
// https://fossil-scm.org/home/doc/trunk/www/delta_format.wiki
package delta

import "encoding/binary"

const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~"

// maxDigits is how many digits a number has at most: all are below 2^32.
const maxDigits = 6

// appendNumber appends n without leading zeros.
func appendNumber(dst []byte, n uint32) []byte {
	var b [maxDigits]byte
	i := len(b)
	for {
		i--
		b[i] = digits[n&63]
		if n >>= 6; n == 0 {
			return append(dst, b[i:]...)
		}
	}
}

// numberLen is the number of digits that n takes.
func numberLen(n int) int {
	length := 1
	for n >>= 6; n > 0; n >>= 6 {
		length++
	}
	return length
}

// checksum is the sum of b read as big-endian 32-bit words, the last one
// filled up with zeros.
func checksum(b []byte) (sum uint32) {
	for len(b) >= 4 {
		sum += binary.BigEndian.Uint32(b)
		b = b[4:]
	}
	var last [4]byte
	copy(last[:], b)
	return sum + binary.BigEndian.Uint32(last[:])
}
