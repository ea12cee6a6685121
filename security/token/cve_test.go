package token

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// Attacks that were found in other libraries. docs/security.md lists all of them;
// attack_test.go has many more forms of these.

// TestCVE_2015_9235_NoneAlgorithm (jsonwebtoken): a token that says that it has
// no signature, with none, an empty one, or one of another kind.
func TestCVE_2015_9235_NoneAlgorithm(t *testing.T) {
	k := pairs()
	for name, v := range map[string]*Verifier{
		"secret": hmacVerifier(t), "RSA": verifier(t, Config{Keys: []Key{{Algorithm: "RS256", Public: &k.rsa.PublicKey}}}),
	} {
		for _, none := range []string{"none", "None", "NONE", "nOnE"} {
			text := b64(fmt.Sprintf(`{"alg":%q,"typ":"JWT"}`, none)) + "." + b64(good)
			refused(t, v, name+" unsigned", text+".", errShape)
			refused(t, v, name+" without the dot", text, errShape)
			refused(t, v, name+" with any signature", text+".AA", errAlgorithm)
			refused(t, v, name+" with a good signature", hs256(fmt.Sprintf(`{"alg":%q}`, none), good), errAlgorithm)
		}
	}
}

// TestCVE_2016_10555_PublicKeyAsSecret (jwt-simple): what everybody knows of an
// RSA key signs nothing.
func TestCVE_2016_10555_PublicKeyAsSecret(t *testing.T) {
	k := pairs()
	v := verifier(t, Config{Keys: []Key{{Algorithm: "RS256", Public: &k.rsa.PublicKey}}})
	if _, err := v.Connection([]byte(sign(t, jose.RS256, k.rsa, "", good)), now); err != nil {
		t.Fatalf("the owner's own: %v", err)
	}
	der, err := x509.MarshalPKIXPublicKey(&k.rsa.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	text := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	for _, key := range []string{text, strings.TrimSpace(text), string(der), base64.StdEncoding.EncodeToString(der)} {
		refused(t, v, "HS256 of the public key", forge(sha256.New, key, head, good), errAlgorithm)
		refused(t, v, "the same, as RS256", forge(sha256.New, key, `{"alg":"RS256"}`, good), errSignature)
	}
}

// TestCVE_2018_0114_KeyInTheHeader (node-jose): a token that brings the key which
// it is to be verified with, or says where to fetch it.
func TestCVE_2018_0114_KeyInTheHeader(t *testing.T) {
	k := pairs()
	own := jose.JSONWebKey{Key: &k.rsa2.PublicKey, Algorithm: "RS256", KeyID: "mine"}
	jwk, err := own.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	v := verifier(t, Config{Keys: []Key{{Algorithm: "RS256", Public: &k.rsa.PublicKey}}})
	for _, field := range []string{`"jwk":` + string(jwk), `"jku":"https://evil.example/keys"`, `"x5u":"https://evil.example/cert"`, `"x5c":["MIIB"]`} {
		refused(t, v, field, b64(`{"alg":"RS256",`+field+`}`)+"."+b64(good)+".AA", errForbidden)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: k.rsa2}, &jose.SignerOptions{EmbedJWK: true})
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	whole, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	refused(t, v, "signed with the key that it brings", whole, errForbidden)
}

// TestCVE_2025_30204_Dots (golang-jwt): a long run of dots is not taken apart.
func TestCVE_2025_30204_Dots(t *testing.T) {
	v := hmacVerifier(t)
	for _, n := range []int{3, 100, MaxBytes, MaxBytes + 1, 1 << 20} {
		dots := []byte(strings.Repeat(".", n))
		want := errShape
		if n > MaxBytes {
			want = errSize
		}
		refused(t, v, fmt.Sprint(n, " dots"), string(dots), want)
		if allocations := testing.AllocsPerRun(10, func() { _, _ = v.Connection(dots, now) }); allocations > 2 {
			t.Errorf("%d dots cost %v allocations", n, allocations)
		}
	}
}
