package record

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"hash"
	"testing"

	"golang.org/x/crypto/chacha20poly1305"
)

// naive is the record protection of RFC 8446 §5 and §7 written down word by word, with nothing of the package's code.
type naive struct {
	suite  uint16
	secret []byte
	seq    uint64
}

func (n *naive) hash() func() hash.Hash {
	if n.suite == 0x1302 {
		return sha512.New384
	}
	return sha256.New
}

// expand is HKDF-Expand with one or more rounds of HMAC (RFC 5869 §2.3) over an HkdfLabel.
func (n *naive) expand(label string, length int) []byte {
	info := []byte{byte(length >> 8), byte(length), byte(len("tls13 " + label))}
	info = append(append(info, "tls13 "+label...), 0)
	var out, last []byte
	for round := byte(1); len(out) < length; round++ {
		m := hmac.New(n.hash(), n.secret)
		m.Write(last)
		m.Write(info)
		m.Write([]byte{round})
		last = m.Sum(nil)
		out = append(out, last...)
	}
	return out[:length]
}

func (n *naive) update() { n.secret, n.seq = n.expand("traffic upd", n.hash()().Size()), 0 }

// seal protects an inner plaintext that is given whole: content, type, padding.
func (n *naive) seal(inner []byte) []byte {
	nonce := n.expand("iv", 12)
	for i := range 8 {
		nonce[11-i] ^= byte(n.seq >> (8 * i))
	}
	n.seq++
	header := []byte{23, 3, 3, byte((len(inner) + 16) >> 8), byte(len(inner) + 16)}
	return append(header, n.aead().Seal(nil, nonce, inner, header)...)
}

func (n *naive) aead() cipher.AEAD {
	if n.suite == 0x1303 {
		a, err := chacha20poly1305.New(n.expand("key", 32))
		if err != nil {
			panic(err)
		}
		return a
	}
	block, err := aes.NewCipher(n.expand("key", map[uint16]int{0x1301: 16, 0x1302: 32}[n.suite]))
	if err != nil {
		panic(err)
	}
	a, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return a
}

var suites = []uint16{suiteAES128GCMSHA256, suiteAES256GCMSHA384, suiteChaCha20Poly1305SHA256}

// testSecret is a traffic secret of the suite's length with unlike bytes.
func testSecret(suite uint16) []byte {
	secret := make([]byte, 32)
	if suite == suiteAES256GCMSHA384 {
		secret = make([]byte, 48)
	}
	for i := range secret {
		secret[i] = byte(3*i + 1)
	}
	return secret
}

// pair is a Key and the naive peer that holds the same secret.
func pair(t testing.TB, suite uint16) (Key, *naive) {
	t.Helper()
	k, err := NewKey(suite, testSecret(suite), 0)
	if err != nil {
		t.Fatal(err)
	}
	return k, &naive{suite: suite, secret: testSecret(suite)}
}
