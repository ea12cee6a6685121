package record

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"fmt"
	"hash"

	"golang.org/x/crypto/chacha20poly1305"
)

// The cipher suites of RFC 8446 §B.4 that crypto/tls negotiates.
const (
	suiteAES128GCMSHA256        uint16 = 0x1301
	suiteAES256GCMSHA384        uint16 = 0x1302
	suiteChaCha20Poly1305SHA256 uint16 = 0x1303
)

const (
	maxSecret = sha512.Size384 // the longest hash of a TLS 1.3 suite
	maxKey    = 32
	nearBytes = sha256.Size // of a secret that stand in the Key itself: those of TLS_AES_128_GCM_SHA256
	nearKey   = 16          // and of a write key
	ivLen     = 12
	tagLen    = 16
)

// Records under one sealing key. RFC 8446 §5.5 allows 2^24.5 full records under AES-GCM; with ChaCha20-Poly1305 the
// sequence number is the limit, and the figure here only keeps well away from its end.
const (
	limitAESGCM = 1 << 24
	limitChaCha = 1 << 48
)

// Key is one direction of one connection: traffic secret, write key, IV and sequence number (RFC 8446 §7.3). It is
// embedded by value. Owned by one goroutine. A copy is a second Key with the same sequence numbers, and may share
// memory with the first: use one of them only. The zero Key opens and seals nothing.
type Key struct {
	seq    uint64
	far    *far // nil for TLS_AES_128_GCM_SHA256, which nearly everybody negotiates
	secret [nearBytes]byte
	key    [nearKey]byte
	iv     [ivLen]byte
	suite  uint16
}

// far is what the other suites have behind Key.secret and Key.key.
type far struct {
	secret [maxSecret - nearBytes]byte
	key    [maxKey - nearKey]byte
}

// NewKey derives key and IV from an application traffic secret. seq is the number of records already sealed under
// it: for a server that hands over after the handshake, the number of session tickets sent; else 0. The error says
// which argument does not fit the suite. secret is copied.
func NewKey(suite uint16, secret []byte, seq uint64) (Key, error) {
	k := Key{suite: suite, seq: seq}
	_, hashLen, keyLen := k.parameters()
	if keyLen == 0 {
		return Key{}, fmt.Errorf("record: cipher suite %#04x is not a TLS 1.3 suite known here", suite)
	}
	if len(secret) != hashLen {
		return Key{}, fmt.Errorf("record: traffic secret of %d bytes, cipher suite %#04x has %d", len(secret), suite, hashLen)
	}
	if hashLen > nearBytes || keyLen > nearKey {
		k.far = new(far)
	}
	k.set(secret)
	return k, nil
}

// parameters answers the suite's hash, its length and the length of the write key; key length 0: unknown suite.
func (k *Key) parameters() (newHash func() hash.Hash, hashLen, keyLen int) {
	switch k.suite {
	case suiteAES128GCMSHA256:
		return sha256.New, sha256.Size, 16
	case suiteAES256GCMSHA384:
		return sha512.New384, sha512.Size384, 32
	case suiteChaCha20Poly1305SHA256:
		return sha256.New, sha256.Size, 32
	}
	return nil, 0, 0
}

// set takes a secret and derives key and IV from it: RFC 8446 §7.3.
func (k *Key) set(secret []byte) {
	_, _, keyLen := k.parameters()
	var key [maxKey]byte
	k.expand(key[:keyLen], secret, "key")
	k.expand(k.iv[:], secret, "iv")
	n := copy(k.secret[:], secret)
	copy(k.key[:], key[:])
	if k.far != nil {
		copy(k.far.secret[:], secret[n:])
		copy(k.far.key[:], key[nearKey:])
	}
	clear(key[:])
}

// whole puts near and far together in room.
func whole(room, near, far []byte) []byte { return append(append(room[:0], near...), far...) }

// expand is HKDF-Expand-Label(secret, label, "", len(dst)): RFC 8446 §7.1.
func (k *Key) expand(dst, secret []byte, label string) {
	newHash, _, _ := k.parameters()
	const prefix = "tls13 "
	info := make([]byte, 0, 32)
	info = binary.BigEndian.AppendUint16(info, uint16(len(dst)))
	info = append(info, byte(len(prefix)+len(label)))
	info = append(info, prefix...)
	info = append(info, label...)
	info = append(info, 0)
	out, err := hkdf.Expand(newHash, secret, string(info), len(dst))
	if err != nil {
		panic("record: HKDF-Expand of at most 48 bytes failed: " + err.Error())
	}
	copy(dst, out)
	clear(out)
}

// AEAD makes the cipher of the key as it is now. It allocates 0.5 to 1.5 KB; the caller decides how long to keep it,
// and drops it after Update and Wipe. It panics for a zero or wiped Key.
func (k *Key) AEAD() cipher.AEAD {
	key := k.key[:]
	if k.far != nil {
		var room [maxKey]byte
		defer clear(room[:])
		key = whole(room[:], key, k.far.key[:])
	}
	switch k.suite {
	case suiteAES128GCMSHA256, suiteAES256GCMSHA384:
		block, err := aes.NewCipher(key)
		if err != nil {
			panic("record: AES refused a key of its own length: " + err.Error())
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			panic("record: GCM refused AES: " + err.Error())
		}
		return aead
	case suiteChaCha20Poly1305SHA256:
		aead, err := chacha20poly1305.New(key)
		if err != nil {
			panic("record: ChaCha20-Poly1305 refused a key of its own length: " + err.Error())
		}
		return aead
	}
	panic("record: AEAD of a zero or wiped Key")
}

// Seq is the sequence number of the next record: the number of records sealed or opened under this key.
func (k *Key) Seq() uint64 { return k.seq }

// Suite is the cipher suite's number, 0 for a zero or wiped Key.
func (k *Key) Suite() uint16 { return k.suite }

// Update rolls to the next traffic secret (RFC 8446 §7.2): new key and IV, sequence number 0. The old ones are
// overwritten. AEADs made before belong to the old key. It panics for a zero or wiped Key.
func (k *Key) Update() {
	_, hashLen, _ := k.parameters()
	if hashLen == 0 {
		panic("record: Update of a zero or wiped Key")
	}
	var room, next [maxSecret]byte
	secret := k.secret[:]
	if k.far != nil {
		secret = whole(room[:], secret, k.far.secret[:])[:hashLen]
	}
	k.expand(next[:hashLen], secret, "traffic upd")
	k.set(next[:hashLen])
	k.seq = 0
	clear(room[:])
	clear(next[:])
}

// NeedsUpdate reports that a sealing key has reached its number of records (RFC 8446 §5.5): the caller sends a
// KeyUpdate under it and calls Update before it seals anything else.
func (k *Key) NeedsUpdate() bool {
	if k.suite == suiteChaCha20Poly1305SHA256 {
		return k.seq >= limitChaCha
	}
	return k.seq >= limitAESGCM
}

// Wipe overwrites all secrets; the Key is then the zero Key. AEADs made from it are the caller's to drop.
func (k *Key) Wipe() {
	if k.far != nil {
		*k.far = far{}
	}
	*k = Key{}
}

// Move returns the Key and leaves the zero Key: nothing of it stays behind.
func (k *Key) Move() Key {
	moved := *k
	*k = Key{}
	return moved
}
