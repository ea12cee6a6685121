package token

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"hash"

	"github.com/go-jose/go-jose/v4"
)

// Bounds of a key ring.
const (
	maxKeys      = 64   // in all: current and previous keys of several issuers
	maxAnonymous = 4    // without a kid, of one algorithm: each costs one verification of a forged token
	minRSABits   = 2048 // RFC 7518 §3.3
	maxRSABits   = 8192 // a verification grows with the square
	secretFlag   = "--token-hmac-secret"
	keyFlag      = "--token-key-file"
)

// Key is one verification key, bound to one algorithm (RFC 8725 §3.1): HS256, HS384 or HS512 with a
// Secret; RS256, PS256, ES256 or EdDSA with a Public key. A token with the key's ID (kid) is
// checked with this key only; keys without ID serve tokens whose kid names no key.
type Key struct {
	ID        string
	Algorithm string
	Secret    []byte
	Public    crypto.PublicKey
}

func (k *Key) algorithm() jose.SignatureAlgorithm { return jose.SignatureAlgorithm(k.Algorithm) }

// hash is that of a key with a Secret.
func (k *Key) hash() func() hash.Hash {
	switch k.Algorithm {
	case "HS384":
		return sha512.New384
	case "HS512":
		return sha512.New
	}
	return sha256.New
}

// check tells what is wrong with a key.
func (k *Key) check() error {
	if len(k.ID) > maxKeyIDBytes {
		return fmt.Errorf("kid has %d bytes, at most %d are allowed", len(k.ID), maxKeyIDBytes)
	}
	switch k.Algorithm {
	case "HS256":
		return k.checkSecret(32)
	case "HS384":
		return k.checkSecret(48)
	case "HS512":
		return k.checkSecret(64)
	}
	if k.Secret != nil {
		return fmt.Errorf("a shared secret cannot be a key for %q: use HS256, HS384 or HS512", k.Algorithm)
	}
	switch pub := k.Public.(type) {
	case *rsa.PublicKey:
		return k.checkRSA(pub)
	case *ecdsa.PublicKey:
		if k.Algorithm != "ES256" || pub.Curve != elliptic.P256() {
			return fmt.Errorf("an ECDSA key must be on P-256 and for ES256, not %q", k.Algorithm)
		}
		if _, err := pub.ECDH(); err != nil {
			return errors.New("the ECDSA key is not a point of its curve: make a new one")
		}
		return nil
	case ed25519.PublicKey:
		if k.Algorithm != "EdDSA" || len(pub) != ed25519.PublicKeySize {
			return fmt.Errorf("an Ed25519 key must be for EdDSA, not %q", k.Algorithm)
		}
		return nil
	}
	return fmt.Errorf("a key of type %T is not supported: use RSA, ECDSA P-256 or Ed25519", k.Public)
}

// checkSecret wants a secret as long as the hash. RFC 7518 §3.2.
func (k *Key) checkSecret(bytesLeast int) error {
	switch {
	case k.Public != nil:
		return fmt.Errorf("a public key cannot be a key for %s: anybody could sign with it", k.Algorithm)
	case bytes.Contains(k.Secret, []byte("-----BEGIN ")):
		return fmt.Errorf("the secret is a PEM file: give that to %s, and here random bytes", keyFlag)
	case len(k.Secret) < bytesLeast:
		return fmt.Errorf("the secret has %d bytes and %s needs %d or more: make one with `openssl rand -hex %d`",
			len(k.Secret), k.Algorithm, bytesLeast, bytesLeast)
	}
	return nil
}

func (k *Key) checkRSA(pub *rsa.PublicKey) error {
	if k.Algorithm != "RS256" && k.Algorithm != "PS256" {
		return fmt.Errorf("an RSA key must be for RS256 or PS256, not %q", k.Algorithm)
	}
	if bits := pub.N.BitLen(); bits < minRSABits || bits > maxRSABits {
		return fmt.Errorf("the RSA key has %d bits: use %d to %d", bits, minRSABits, maxRSABits)
	}
	return nil
}

// algorithmOf is the algorithm that a bare public key is bound to.
func algorithmOf(pub crypto.PublicKey) string {
	switch pub.(type) {
	case *rsa.PublicKey:
		return "RS256"
	case *ecdsa.PublicKey:
		return "ES256"
	case ed25519.PublicKey:
		return "EdDSA"
	}
	return ""
}

// ring holds the keys of one configuration. Immutable.
type ring struct {
	byID      map[string]*Key
	anonymous map[string][]*Key // by algorithm
}

func newRing(cfg Config) (ring, error) {
	r := ring{byID: make(map[string]*Key), anonymous: make(map[string][]*Key)}
	for _, secret := range cfg.HMACSecrets {
		if err := r.add(Key{Algorithm: "HS256", Secret: bytes.Clone(secret)}); err != nil {
			return r, fmt.Errorf("%s: %w", secretFlag, err)
		}
	}
	for _, pub := range cfg.PublicKeys {
		if err := r.add(Key{Algorithm: algorithmOf(pub), Public: pub}); err != nil {
			return r, fmt.Errorf("%s: %w", keyFlag, err)
		}
	}
	for _, k := range cfg.Keys {
		if err := r.add(k); err != nil {
			return r, fmt.Errorf("%s: %w", keyFlag, err)
		}
	}
	n := len(r.byID)
	for _, keys := range r.anonymous {
		n += len(keys)
	}
	switch {
	case n == 0 && cfg.KeySet == nil:
		return r, fmt.Errorf("no key to check tokens with: set %s, %s or --jwks-url", secretFlag, keyFlag)
	case n > maxKeys:
		return r, fmt.Errorf("%s: %d keys, at most %d are allowed: remove old ones", keyFlag, n, maxKeys)
	}
	return r, nil
}

func (r *ring) add(k Key) error {
	if err := k.check(); err != nil {
		return err
	}
	if k.ID != "" {
		if r.byID[k.ID] != nil {
			return errors.New("two keys have the same kid: give each its own")
		}
		r.byID[k.ID] = &k
		return nil
	}
	if len(r.anonymous[k.Algorithm]) == maxAnonymous {
		return fmt.Errorf("more than %d keys for %s without kid: remove old ones or give each a kid", maxAnonymous, k.Algorithm)
	}
	r.anonymous[k.Algorithm] = append(r.anonymous[k.Algorithm], &k)
	return nil
}

// candidates appends the keys that the header may mean, all for its algorithm. "none" has none. A key of
// the configuration goes before one of later (nil: none) with the same kid.
func (r *rules) candidates(h header, later *ring, dst []*Key) []*Key {
	k := r.keys.byID[h.keyID]
	if k == nil && later != nil {
		k = later.byID[h.keyID]
	}
	if k != nil && h.keyID != "" {
		if k.Algorithm != h.algorithm {
			return dst
		}
		return append(dst, k)
	}
	dst = append(dst, r.keys.anonymous[h.algorithm]...)
	if later != nil {
		dst = append(dst, later.anonymous[h.algorithm]...)
	}
	return dst
}
