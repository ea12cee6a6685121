package token

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

func pemOf(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func jwk(t *testing.T, key any, kid, alg, use string) string {
	t.Helper()
	b, err := json.Marshal(jose.JSONWebKey{Key: key, KeyID: kid, Algorithm: alg, Use: use})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestParseKeys(t *testing.T) {
	k := pairs()
	spki := func(pub any) string {
		der, err := x509.MarshalPKIXPublicKey(pub)
		if err != nil {
			t.Fatal(err)
		}
		return pemOf("PUBLIC KEY", der)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "issuer"}, NotAfter: time.Unix(1<<31, 0)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, k.ec.Public(), k.ec)
	if err != nil {
		t.Fatal(err)
	}
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	oct := base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat("s", 64)))
	for _, c := range []struct {
		name, content string
		want          string // kid:alg of each key
		err           string
	}{
		{"PEM", spki(k.ec.Public()), ":ES256", ""},
		{"PEM of three", "text before\n" + spki(k.rsa.Public()) + "\n" + spki(k.ec.Public()) + spki(k.ed.Public()), ":RS256 :ES256 :EdDSA", ""},
		{"PKCS #1", pemOf("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&k.rsa.PublicKey)), ":RS256", ""},
		{"certificate", pemOf("CERTIFICATE", cert), ":ES256", ""},
		{"JWK", " " + jwk(t, k.ec.Public(), "e", "", ""), "e:ES256", ""},
		{"JWK for PS256", jwk(t, k.rsa.Public(), "r", "PS256", "sig"), "r:PS256", ""},
		{"secret JWK", `{"kty":"oct","kid":"s","alg":"HS512","k":"` + oct + `"}`, "s:HS512", ""},
		{"set", `{"keys":[` + jwk(t, k.ec.Public(), "e", "ES256", "sig") + `,` + jwk(t, k.rsa.Public(), "r", "RSA-OAEP", "enc") + `,{"kty":"future","kid":"f"},` + jwk(t, k.ed.Public(), "d", "", "") + `]}`, "e:ES256 d:EdDSA", ""},
		{"set with keys for others", `{"keys":[` + jwk(t, p384.Public(), "p", "", "sig") + `,` + jwk(t, p384.Public(), "q", "ES384", "") + `,` + jwk(t, k.rsa.Public(), "r", "RS512", "sig") + `,` + jwk(t, k.rsa.Public(), "o", "RSA-OAEP", "") + `,` + jwk(t, k.ec.Public(), "e", "ES256", "sig") + `]}`, "e:ES256", ""},
		{"set with curves the library does not know", `{"keys":[{"kty":"EC","crv":"secp256k1","kid":"k","alg":"ES256K","use":"sig","x":"AA","y":"AA"},{"kty":"OKP","crv":"X25519","use":"enc","x":"AA"},{"kty":"OKP","crv":"Ed448","alg":"EdDSA","x":"AA"},{"kty":"AKP","alg":"ML-DSA-44","pub":"AA"},{"kty":"EC","crv":"BP-256","use":"enc","x":"AA","y":"AA"},` + jwk(t, k.ec.Public(), "e", "ES256", "sig") + `]}`, "e:ES256", ""},
		{"set with a private key for others", `{"keys":[` + jwk(t, k.ec.Public(), "e", "ES256", "sig") + `,{"kty":"EC","crv":"secp256k1","d":"AA"}]}`, "", "key 1 of the set: it is a private key"},
		{"set with a broken key of ours", `{"keys":[` + jwk(t, k.ec.Public(), "e", "ES256", "sig") + `,{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}]}`, "", "key 1 of the set: it does not parse"},
		{"empty", "", "", "neither a PEM public key nor a JSON Web Key"},
		{"text", "hello", "", "neither a PEM public key nor"},
		{"empty set", `{"keys":[]}`, "", "no key for signatures"},
		{"set of others", `{"keys":[{"kty":"future"}]}`, "", "no key for signatures"},
		{"broken JSON", `{"keys":[`, "", "not JSON"},
		{"broken JWK", `{"kty":"EC","crv":"P-256","x":"AA"}`, "", "key 0 of the set: it does not parse"},
		{"private PEM", pemOf("PRIVATE KEY", []byte("x")), "", "a private key"},
		{"private EC PEM", pemOf("EC PRIVATE KEY", []byte("x")), "", "a private key"},
		{"private JWK", jwk(t, k.ec, "e", "", ""), "", "key 0 of the set: it is a private key"},
		{"private in a set", `{"keys":[` + jwk(t, k.ed.Public(), "", "", "") + `,` + jwk(t, k.rsa, "", "", "") + `]}`, "", "key 1 of the set: it is a private key"},
		{"garbage in PEM", pemOf("PUBLIC KEY", []byte("x")), "", `block "PUBLIC KEY" does not parse`},
		{"other PEM", pemOf("X509 CRL", []byte("x")), "", "neither a public key nor a certificate"},
		{"P-384", spki(p384.Public()), "", "P-256"},
		{"secret without alg", `{"kty":"oct","k":"` + oct + `"}`, "", "shared secret"},
		{"secret for RS256", `{"kty":"oct","alg":"RS256","k":"` + oct + `"}`, "", "shared secret"},
		{"public for HS256", jwk(t, k.rsa.Public(), "r", "HS256", ""), "", "anybody could sign"},
		{"ES256 for RSA", jwk(t, k.rsa.Public(), "r", "ES256", ""), "", "RS256 or PS256"},
		{"too large", strings.Repeat("x", maxKeyFileBytes+1), "", "at most"},
	} {
		keys, err := ParseKeys([]byte(c.content))
		if c.err != "" {
			if err == nil || keys != nil || !strings.Contains(err.Error(), c.err) || !strings.Contains(err.Error(), "--token-key-file") {
				t.Errorf("%s: %v, want an error with %q", c.name, err, c.err)
			}
			continue
		}
		var got []string
		for _, key := range keys {
			got = append(got, key.ID+":"+key.Algorithm)
		}
		if err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("%s: %q, %v, want %q", c.name, got, err, c.want)
			continue
		}
		if _, err := New(Config{Keys: keys}); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestParseKeySet: what an issuer publishes is as good as its good keys; what nobody may publish spoils all of it.
func TestParseKeySet(t *testing.T) {
	k := pairs()
	good := jwk(t, k.ec.Public(), "e", "ES256", "sig")
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	set := func(keys ...string) string { return `{"keys":[` + strings.Join(keys, ",") + `]}` }
	const broken = `{"kty":"EC","crv":"P-256","kid":"b","x":"AA","y":"AA"}`
	for _, c := range []struct {
		name, content string
		want, skipped string // kids
		err           string
	}{
		{"one good", set(good), "e", "", ""},
		{"a bare one", good, "e", "", ""},
		{"a broken one", set(broken, good), "e", "b", ""},
		{"broken ones", set(broken, good, broken, `{"kty":"RSA","kid":"n","n":"","e":"AQAB"}`), "e", "b b n", ""},
		{"short RSA", set(jwk(t, small.Public(), "s", "RS256", "sig"), good), "e", "s", ""},
		{"another algorithm's", set(good, jwk(t, k.rsa.Public(), "h", "HS256", "sig"), jwk(t, k.rsa.Public(), "m", "ES256", "")), "e", "h m", ""},
		{"twice the same kid", set(good, jwk(t, k.rsa.Public(), "e", "RS256", "")), "e", "e", ""},
		{"twice none", set(jwk(t, k.rsa.Public(), "", "RS256", ""), jwk(t, k.ec.Public(), "", "", "")), " ", "", ""},
		{"no keys at all", set(`7`, `"x"`, `null`, `[]`, good), "e", "  ", ""},
		{"a kid that is none", set(`{"kty":"EC","crv":"P-256","kid":7}`, good), "e", "", ""},
		{"foreign ones", set(`{"kty":"future","kid":"f"}`, good, jwk(t, small.Public(), "x", "RSA-OAEP", "enc")), "e", "", ""},
		{"long kid", set(jwk(t, k.rsa.Public(), strings.Repeat("k", maxKeyIDBytes+1), "RS256", ""), good), "e", strings.Repeat("k", maxKeyIDBytes+1), ""},
		{"none that is good", set(broken), "", "b", "no key for signatures"},
		{"none", set(), "", "", "no key for signatures"},
		{"private", set(good, jwk(t, k.ec, "p", "", "")), "", "", "key 1 of the set: it is a private key"},
		{"private and broken", set(good, `{"kty":"EC","crv":"P-256","kid":"p","x":"AA","y":"AA","d":"AA"}`), "", "", "key 1 of the set: it is a private key"},
		{"private, of another kind", set(good, `{"kty":"EC","crv":"secp256k1","d":"AA"}`), "", "", "key 1 of the set: it is a private key"},
		{"secret", set(`{"kty":"oct","kid":"s","alg":"HS256","k":"`+strings.Repeat("A", 64)+`"}`, good), "", "", "shared secret"},
		{"short secret", set(`{"kty":"oct","kid":"s","alg":"HS256","k":"AA"}`, good), "", "", "shared secret"},
		{"broken secret", set(`{"kty":"oct","kid":"s","k":"!"}`, good), "", "", "shared secret"},
		{"PEM", pemOf("PUBLIC KEY", []byte("x")), "", "", "no JSON Web Key Set"},
		{"not JSON", `{"keys":[`, "", "", "not JSON"},
	} {
		keys, skipped, err := ParseKeySet([]byte(c.content))
		var got, passed []string
		for _, key := range keys {
			got = append(got, key.ID)
		}
		for _, s := range skipped {
			passed = append(passed, s.ID)
		}
		if (err == nil) != (c.err == "") || err != nil && (!strings.Contains(err.Error(), c.err) || keys != nil) {
			t.Errorf("%s: %v, %v, want an error with %q", c.name, keys, err, c.err)
		}
		if strings.Join(got, " ") != c.want || strings.Join(passed, " ") != c.skipped {
			t.Errorf("%s: keys %q, passed over %q; want %q and %q", c.name, got, passed, c.want, c.skipped)
		}
	}
}
