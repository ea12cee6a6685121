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

// ParseKeySet reads a JSON Web Key Set that was fetched, as ParseKeys does, which takes more.
func ParseKeySet(content []byte) ([]Key, error) {
	content = bytes.TrimSpace(content)
	if len(content) == 0 || content[0] != '{' {
		return nil, errors.New("the answer is no JSON Web Key Set")
	}
	return parseKeys(content)
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
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(content, &set); err != nil {
		return nil, fmt.Errorf("the file is not JSON: %w", err)
	}
	inSet := set.Keys != nil
	if !inSet {
		set.Keys = []json.RawMessage{content}
	}
	var keys []Key
	for i, raw := range set.Keys {
		k, use, err := parseJWK(raw, inSet)
		if err != nil {
			return nil, fmt.Errorf("key %d of the set: %w", i, err)
		}
		if use {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("the key set holds no key for signatures of a supported type")
	}
	return keys, nil
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
	Type      string          `json:"kty"`
	Curve     string          `json:"crv"`
	Use       string          `json:"use"`
	Algorithm string          `json:"alg"`
	Exponent  json.RawMessage `json:"d"` // of a private key
}

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
