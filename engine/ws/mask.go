package ws

import (
	"encoding/binary"
	"math/bits"
)

// Mask masks or unmasks b in place. pos is the place of b[0] in the frame's payload, so that a
// payload can be masked piece by piece. RFC 6455 §5.3.
func Mask(b []byte, key [4]byte, pos int) {
	word := bits.RotateLeft32(binary.LittleEndian.Uint32(key[:]), -8*(pos&3))
	wide := uint64(word)<<32 | uint64(word)
	for len(b) >= 32 {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^wide)
		binary.LittleEndian.PutUint64(b[8:], binary.LittleEndian.Uint64(b[8:])^wide)
		binary.LittleEndian.PutUint64(b[16:], binary.LittleEndian.Uint64(b[16:])^wide)
		binary.LittleEndian.PutUint64(b[24:], binary.LittleEndian.Uint64(b[24:])^wide)
		b = b[32:]
	}
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^wide)
		b = b[8:]
	}
	for i := range b {
		b[i] ^= byte(wide)
		wide >>= 8
	}
}
