package limit

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"net/netip"

	"github.com/cespare/xxhash/v2"
)

// kind keeps keys of different things apart.
type kind uint8

const (
	none    kind = iota // the zero Key: nobody, admitted by nothing
	ipv4                // a whole IPv4 address
	ipv6                // the first 64 bits of an IPv6 address
	ipv6x56             // the first 56
	ipv6x48             // the first 48
	named               // a user or another name
	named2              // the same in a second place
	named3              // and in a third
)

// Key is who is charged. Make it with IP or User; the zero Key is refused.
type Key struct {
	prefix uint64
	name   string
	kind   kind
}

// IP is the key of an address: all 32 bits of an IPv4 address, also of one mapped into IPv6
// (::ffff:a.b.c.d), and the first 64 of an IPv6 address, which is what one customer gets at least.
// Zones are ignored. The zero Addr gives the zero Key.
func IP(a netip.Addr) Key {
	a = a.Unmap()
	switch {
	case a.Is4():
		b := a.As4()
		return Key{kind: ipv4, prefix: uint64(binary.BigEndian.Uint32(b[:]))}
	case a.Is6():
		b := a.As16()
		return Key{kind: ipv6, prefix: binary.BigEndian.Uint64(b[:8])}
	}
	return Key{}
}

// User is the key of a user. The Key holds the name, a table only its hash.
func User(name string) Key { return Key{kind: named, name: name} }

// wider is what is charged where there is no room for k: a wider prefix, or a user in another place of
// the table, so that users who do no more than they may are not refused while it is not full everywhere.
// ok is false where only the bucket of all is left.
func (k Key) wider() (_ Key, ok bool) {
	switch k.kind {
	case ipv6:
		return Key{kind: ipv6x56, prefix: k.prefix &^ 0xff}, true
	case ipv6x56:
		return Key{kind: ipv6x48, prefix: k.prefix &^ 0xffff}, true
	case named, named2:
		return Key{kind: k.kind + 1, name: k.name}, true
	}
	return Key{}, false
}

// hash chooses a key's set and tells it from others there. Peers choose keys, so the seed is
// secret: nobody can aim at the entry of another. It is XXH64 of the prefix, or of the name, with a
// seed of the kind's own; of a long name XXH64 of its SHA-256.
func (k Key) hash(seed uint64) uint64 {
	seed += uint64(k.kind)
	if k.kind < named {
		return hash64(k.prefix, seed)
	}
	return hashName(k.name, seed)
}

// longName is from how many bytes on XXH64 goes by stripes, of which two can be chosen so that names collide whatever the seed.
const longName = 32

func hashName(name string, seed uint64) uint64 {
	if len(name) >= longName {
		var b [256]byte
		sum := sha256.Sum256(append(b[:0], name...))
		return hash64(binary.LittleEndian.Uint64(sum[:]), seed)
	}
	var d xxhash.Digest
	d.ResetWithSeed(seed)
	_, _ = d.WriteString(name)
	return d.Sum64()
}

// hash64 is XXH64 of the 8 bytes of v in little-endian order: what xxhash.Digest says in a third of
// the time, for it must be ready for input of any length.
func hash64(v, seed uint64) uint64 {
	const (
		prime1 = 11400714785074694791
		prime2 = 14029467366897019727
		prime3 = 1609587929392839161
		prime4 = 9650029242287828579
		prime5 = 2870177450012600261
	)
	h := seed + prime5 + 8
	h ^= bits.RotateLeft64(v*prime2, 31) * prime1
	h = bits.RotateLeft64(h, 27)*prime1 + prime4
	h = (h ^ h>>33) * prime2
	h = (h ^ h>>29) * prime3
	return h ^ h>>32
}
