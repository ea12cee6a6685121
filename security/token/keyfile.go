package token

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// maxKeyFileBytes bounds a key file or key set.
const maxKeyFileBytes = 1 << 20

// What is wrong with a set, or a key of it.
var (
	errEmptySet = errors.New("the key set holds no key for signatures of a supported type")
	errSameID   = errors.New("a key before it has the same kid")
	errExposed  = errors.New("it is a private key or a shared secret, with which whoever reads the set can sign: take it out, and take it for known")
)

var errPrivateKey = errors.New("it is a private key, which this server must not have: give the public one")

// ParseKeys reads the public keys of a file: PEM ("PUBLIC KEY", "RSA PUBLIC KEY" or "CERTIFICATE",
// any number), or one JSON Web Key, or a set of them (RFC 7517). A PEM key has no kid and the
// algorithm of its type (RSA: RS256); a JWK has its own kid and alg. Keys of a set that are not for
// signatures, or of a type that Weir does not use, are passed over; a private key is an error. The
// error names --token-key-file and the mend.
func ParseKeys(content []byte) ([]Key, error) {
	keys, err := parseKeys(content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", keyFlag, err)
	}
	return keys, nil
}

// Skipped is a key of a set that is for us and cannot be used.
type Skipped struct {
	ID     string // kid, as the set has it
	Reason error
}

// ParseKeySet reads a JSON Web Key Set that was fetched, as ParseKeys does, which takes more. A key that ParseKeys would refuse is
// skipped here: one mistake of the issuer must not keep out whoever has a token by another key. A private key or a shared secret is an
// error as ever, and so is a set of which no key is left.
func ParseKeySet(content []byte) (keys []Key, skipped []Skipped, err error) {
	content = bytes.TrimSpace(content)
	if len(content) == 0 || content[0] != '{' {
		return nil, nil, errors.New("the answer is no JSON Web Key Set")
	}
	list, inSet, err := split(content)
	if err != nil {
		return nil, nil, err
	}
	known := make(map[string]bool)
	for i, raw := range list {
		k, use, err := parseJWK(raw, inSet)
		said := describe(raw)
		switch {
		case errors.Is(err, errPrivateKey) || k.Secret != nil || err != nil && said.exposed():
			return nil, nil, fmt.Errorf("key %d of the set: %w", i, errExposed)
		case err == nil && use && k.ID != "" && known[k.ID]:
			err = errSameID
		}
		switch {
		case err != nil:
			skipped = append(skipped, Skipped{ID: said.ID, Reason: err})
		case use:
			known[k.ID] = true
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return nil, skipped, errEmptySet
	}
	return keys, skipped, nil
}

func parseKeys(content []byte) ([]Key, error) {
	if len(content) > maxKeyFileBytes {
		return nil, fmt.Errorf("the file has %d bytes, at most %d are allowed", len(content), maxKeyFileBytes)
	}
	content = bytes.TrimSpace(content)
	if len(content) > 0 && content[0] == '{' {
		return parseJSON(content)
	}
	var keys []Key
	for {
		var block *pem.Block
		if block, content = pem.Decode(content); block == nil {
			break
		}
		k, err := parseBlock(block)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, errors.New("the file holds neither a PEM public key nor a JSON Web Key")
	}
	return keys, nil
}

func parseBlock(block *pem.Block) (k Key, err error) {
	switch {
	case block.Type == "PUBLIC KEY":
		k.Public, err = x509.ParsePKIXPublicKey(block.Bytes)
	case block.Type == "RSA PUBLIC KEY":
		k.Public, err = x509.ParsePKCS1PublicKey(block.Bytes)
	case block.Type == "CERTIFICATE":
		var cert *x509.Certificate
		if cert, err = x509.ParseCertificate(block.Bytes); err == nil {
			k.Public = cert.PublicKey
		}
	case strings.HasSuffix(block.Type, "PRIVATE KEY"):
		return k, errors.New("the file holds a private key, which this server must not have: give the public one (`openssl pkey -pubout`)")
	default:
		return k, errors.New("the file holds a PEM block that is neither a public key nor a certificate")
	}
	if err != nil {
		return k, fmt.Errorf("the PEM block %q does not parse: %w", block.Type, err)
	}
	k.Algorithm = algorithmOf(k.Public)
	return k, k.check()
}

// parseJSON reads a JWK or a JWK set.
func parseJSON(content []byte) ([]Key, error) {
	list, inSet, err := split(content)
	if err != nil {
		return nil, err
	}
	var keys []Key
	for i, raw := range list {
		k, use, err := parseJWK(raw, inSet)
		if err != nil {
			return nil, fmt.Errorf("key %d of the set: %w", i, err)
		}
		if use {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return nil, errEmptySet
	}
	return keys, nil
}

// split returns the keys of a JWK set, or the JWK that content is itself.
func split(content []byte) (keys []json.RawMessage, inSet bool, err error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(content, &set); err != nil {
		return nil, false, fmt.Errorf("the file is not JSON: %w", err)
	}
	if set.Keys == nil {
		return []json.RawMessage{content}, false, nil
	}
	return set.Keys, true, nil
}

// parseJWK reads one key; use is false for one that is not for us, such as issuers have in their sets (RFC 7517 §5).
func parseJWK(raw []byte, inSet bool) (k Key, use bool, err error) {
	var d described
	if inSet && json.Unmarshal(raw, &d) == nil && d.foreign() { // first: the library knows fewer curves than issuers do
		if d.private() {
			return k, false, errPrivateKey
		}
		return k, false, nil
	}
	var jwk jose.JSONWebKey
	if err := jwk.UnmarshalJSON(raw); errors.Is(err, jose.ErrUnsupportedKeyType) {
		return k, false, nil
	} else if err != nil {
		return k, false, fmt.Errorf("it does not parse as a JSON Web Key: %w", err)
	}
	if jwk.Use != "" && jwk.Use != "sig" {
		return k, false, nil
	}
	k = Key{ID: jwk.KeyID, Algorithm: jwk.Algorithm}
	if secret, ok := jwk.Key.([]byte); ok {
		k.Secret = secret
		return k, true, k.check()
	}
	if !jwk.IsPublic() {
		return k, false, errPrivateKey
	}
	k.Public = jwk.Key
	if k.Algorithm == "" {
		k.Algorithm = algorithmOf(k.Public)
	}
	return k, true, k.check()
}

// described is what a JWK says of itself. RFC 7517 §4, RFC 7518 §6.
type described struct {
	ID        string          `json:"kid"`
	Type      string          `json:"kty"`
	Curve     string          `json:"crv"`
	Use       string          `json:"use"`
	Algorithm string          `json:"alg"`
	Exponent  json.RawMessage `json:"d"` // of a private key
}

// describe returns what can be read of a key that may be no key.
func describe(raw []byte) (d described) {
	_ = json.Unmarshal(raw, &d) // what does not fit is left empty
	return d
}

// exposed tells that a key that does not parse was to be one that nobody may publish.
func (d *described) exposed() bool { return d.private() || d.Type == "oct" }

// foreign tells that the key is for a use, of a type or for an algorithm that Weir does not have.
func (d *described) foreign() bool {
	switch {
	case d.Use != "" && d.Use != "sig":
		return true
	case d.Algorithm != "" && !slices.Contains([]string{"RS256", "PS256", "ES256", "EdDSA", "HS256", "HS384", "HS512"}, d.Algorithm):
		return true
	}
	switch d.Type {
	case "EC":
		return d.Curve != "P-256"
	case "OKP":
		return d.Curve != "Ed25519"
	}
	return d.Type != "RSA" && d.Type != "oct"
}

// private tells that a key for signatures is no public one: who publishes it has lost it. Secrets are other keys' to refuse.
func (d *described) private() bool { return d.Exponent != nil && (d.Use == "" || d.Use == "sig") }
