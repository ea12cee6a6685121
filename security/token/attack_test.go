package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"hash"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

var now = time.Unix(1_800_000_000, 0)

const (
	secret = "0123456789abcdef0123456789abcdef"
	good   = `{"sub":"alice","exp":1800000060}`
	head   = `{"alg":"HS256","typ":"JWT"}`
)

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// forge signs any header and payload with an HMAC, by hand: what no library would make.
func forge(h func() hash.Hash, key, header, payload string) string {
	text := b64(header) + "." + b64(payload)
	mac := hmac.New(h, []byte(key))
	mac.Write([]byte(text))
	return text + "." + b64(string(mac.Sum(nil)))
}

func hs256(header, payload string) string { return forge(sha256.New, secret, header, payload) }

// pairs are the keys of the tests, made once: RSA is slow.
var pairs = sync.OnceValue(func() (k struct {
	rsa, rsa2 *rsa.PrivateKey
	ec        *ecdsa.PrivateKey
	ed        ed25519.PrivateKey
}) {
	k.rsa, _ = rsa.GenerateKey(rand.Reader, 2048)
	k.rsa2, _ = rsa.GenerateKey(rand.Reader, 2048)
	k.ec, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	_, k.ed, _ = ed25519.GenerateKey(rand.Reader)
	return k
})

// sign makes a token with the library.
func sign(t testing.TB, alg jose.SignatureAlgorithm, key any, kid, payload string) string {
	t.Helper()
	options := (&jose.SignerOptions{}).WithType("JWT")
	if kid != "" {
		options.WithHeader("kid", kid)
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, options)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := s.Sign([]byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func verifier(t testing.TB, cfg Config) *Verifier {
	t.Helper()
	v, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func hmacVerifier(t testing.TB) *Verifier {
	return verifier(t, Config{HMACSecrets: [][]byte{[]byte(secret)}})
}

// refused checks that a token is refused as what.
func refused(t *testing.T, v *Verifier, name, token string, what *Fault) {
	t.Helper()
	c, err := v.Connection([]byte(token), now)
	if c != nil || !errors.Is(err, ErrInvalid) || errors.Is(err, ErrExpired) {
		t.Errorf("%s: got %v, %v", name, c, err)
		return
	}
	if fault, ok := err.(*Fault); !ok || fault != what {
		t.Errorf("%s: refused as %v, want %v", name, err, what)
	}
}

func TestAttackHeaders(t *testing.T) {
	v := hmacVerifier(t)
	if _, err := v.Connection([]byte(hs256(head, good)), now); err != nil {
		t.Fatalf("the model of all attacks is itself refused: %v", err)
	}
	for _, c := range []struct {
		header string
		want   *Fault
	}{
		// CVE-2015-9235: no signature at all
		{`{"alg":"none"}`, errAlgorithm}, {`{"alg":"None"}`, errAlgorithm}, {`{"alg":"NONE"}`, errAlgorithm},
		{`{"alg":"nOnE","typ":"JWT"}`, errAlgorithm}, {`{"alg":""}`, errHeader}, {`{}`, errHeader}, {`{"typ":"JWT"}`, errHeader},
		{`{"alg":null}`, errHeader}, {`{"alg":["HS256"]}`, errHeader}, {`{"alg":256}`, errHeader}, {`{"alg":{}}`, errHeader},
		// algorithms that the key is not for
		{`{"alg":"HS384"}`, errAlgorithm}, {`{"alg":"HS512"}`, errAlgorithm}, {`{"alg":"RS256"}`, errAlgorithm},
		{`{"alg":"ES256"}`, errAlgorithm}, {`{"alg":"hs256"}`, errAlgorithm}, {`{"alg":"HS256 "}`, errAlgorithm},
		{`{"alg":"dir"}`, errAlgorithm}, {`{"alg":"HS1"}`, errAlgorithm}, {"{\"alg\":\"HS256\\u0000\"}", errAlgorithm},
		// CVE-2018-0114: a key of the peer's own
		{`{"alg":"HS256","jwk":{"kty":"oct","k":"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"}}`, errForbidden},
		{`{"alg":"HS256","jwk":null}`, errForbidden}, {`{"alg":"HS256","jku":"https://evil.example/keys"}`, errForbidden},
		{`{"alg":"HS256","x5u":"https://evil.example/cert"}`, errForbidden}, {`{"alg":"HS256","x5c":["MIIB"]}`, errForbidden},
		// rules of the peer's own, compression, encryption, a token in a token
		{`{"alg":"HS256","crit":["exp"]}`, errForbidden}, {`{"alg":"HS256","crit":[]}`, errForbidden},
		{`{"alg":"HS256","crit":["b64"],"b64":false}`, errForbidden}, {`{"alg":"HS256","b64":false}`, errForbidden},
		{`{"alg":"HS256","zip":"DEF"}`, errForbidden}, {`{"alg":"HS256","enc":"A128GCM"}`, errForbidden},
		{`{"alg":"HS256","cty":"JWT"}`, errForbidden},
		// tokens for another purpose
		{`{"alg":"HS256","typ":"logout+jwt"}`, errType}, {`{"alg":"HS256","typ":"dpop+jwt"}`, errType},
		{`{"alg":"HS256","typ":"JWE"}`, errType}, {`{"alg":"HS256","typ":7}`, errHeader}, {`{"alg":"HS256","typ":null}`, errHeader},
		// duplicates: two readers, two truths
		{`{"alg":"HS256","alg":"none"}`, errHeader}, {`{"alg":"none","alg":"HS256"}`, errHeader},
		{`{"alg":"HS256","\u0061lg":"HS256"}`, errHeader}, {`{"alg":"HS256","kid":"a","kid":"b"}`, errHeader},
		{`{"alg":"HS256","x":{"a":1,"a":2}}`, errHeader},
		// names are exact
		{`{"Alg":"HS256"}`, errHeader}, {`{"ALG":"HS256"}`, errHeader}, {`{"alg ":"HS256"}`, errHeader},
		// kid is a map key, not a path, a query or a number
		{`{"alg":"HS256","kid":"\ud800"}`, errHeader}, {`{"alg":"HS256","kid":1}`, errHeader}, {`{"alg":"HS256","kid":null}`, errHeader}, {`{"alg":"HS256","kid":["a"]}`, errHeader},
		{`{"alg":"HS256","kid":"` + strings.Repeat("k", maxKeyIDBytes+1) + `"}`, errHeader},
		// not JSON, or not only
		{`{"alg":"HS256"}{}`, errHeader}, {`{"alg":"HS256"} x`, errHeader}, {`{"alg":"HS256",}`, errHeader}, {`{"alg":"HS256"`, errHeader},
		{`["HS256"]`, errHeader}, {`"HS256"`, errHeader}, {`null`, errHeader}, {`HS256`, errHeader}, {"{\"alg\":\"HS256\",\"x\":\"\xff\"}", errHeader},
		{`{'alg':'HS256'}`, errHeader}, {`{"alg":"HS256","x":NaN}`, errHeader}, {"\xef\xbb\xbf" + `{"alg":"HS256"}`, errHeader},
		{`{"alg":"HS256","x":` + strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1) + `}`, errHeader},
		{`{"alg":"HS256","x":` + strings.Repeat(`{"a":`, 300) + "1" + strings.Repeat("}", 300) + `}`, errHeader},
	} {
		refused(t, v, c.header, hs256(c.header, good), c.want)
		refused(t, v, c.header+" unsigned", b64(c.header)+"."+b64(good)+".AA", c.want)
	}
	for _, header := range []string{ // what stays allowed
		head, `{"alg":"HS256"}`, `{"alg":"HS256","typ":"at+jwt"}`, `{"alg":"HS256","typ":"application/JWT"}`,
		`{"typ":"jwt","alg":"HS256","x5t":"abc","unknown":[1,{"a":null}]}`, "\t{\r\n\"alg\" : \"HS256\" } ",
		`{"alg":"HS256","kid":"../../../../dev/null"}`, `{"alg":"HS256","kid":"' OR 1=1 --"}`, // an unknown kid is only unknown
	} {
		if _, err := v.Connection([]byte(hs256(header, good)), now); err != nil {
			t.Errorf("%s: %v", header, err)
		}
	}
}

func TestAttackShapes(t *testing.T) {
	v := hmacVerifier(t)
	token := hs256(head, good)
	part := strings.Split(token, ".")
	fill := MaxBytes - len(hs256(head, `{"sub":"","exp":1800000060}`))
	fits := hs256(head, `{"sub":"`+strings.Repeat("a", fill*3/4)+`","exp":1800000060}`)
	if len(fits) > MaxBytes || len(fits) < MaxBytes-4 {
		t.Fatalf("the long token has %d bytes", len(fits))
	}
	if _, err := v.Connection([]byte(fits), now); err != nil {
		t.Errorf("a token of %d bytes: %v", len(fits), err)
	}
	for _, c := range []struct {
		name, token string
		want        *Fault
	}{
		{"empty", "", errShape}, {"dots", "..", errShape}, {"one dot", "a.b", errShape}, {"no dot", "abc", errShape},
		{"no signature", part[0] + "." + part[1] + ".", errShape}, {"signature cut off", part[0] + "." + part[1], errShape},
		{"no payload", part[0] + ".." + part[2], errShape}, {"no header", "." + part[1] + "." + part[2], errShape},
		{"four parts", token + ".AA", errShape}, {"five parts, a JWE", token + ".AA.AA", errShape},
		{"dot at the end", token + ".", errShape}, {"dot before", "." + token, errShape},
		{"CVE-2025-30204: dots", strings.Repeat(".", MaxBytes), errShape}, {"more dots", strings.Repeat(".", 1<<20), errSize},
		{"long", strings.Repeat("a", MaxBytes+1), errSize}, {"long and signed", hs256(head, `{"sub":"`+strings.Repeat("a", MaxBytes)+`","exp":1800000060}`), errSize},
		{"space before", " " + token, errShape}, {"line break after", token + "\n", errShape}, {"line break inside", token[:9] + "\n" + token[9:], errShape},
		{"line break in signature", token[:len(token)-4] + "\r\n" + token[len(token)-4:], errShape},
		{"padding", part[0] + "=." + part[1] + "." + part[2], errShape}, {"padded signature", token + "=", errShape},
		{"standard base64", part[0] + "." + part[1] + "." + part[2][:41] + "+/", errShape},
		{"JSON serialization", `{"payload":"` + part[1] + `","protected":"` + part[0] + `","signature":"` + part[2] + `"}`, errShape},
		{"JSON in disguise", `{"a":".` + part[1] + "." + part[2], errShape},
		{"NUL", "\x00" + token[1:], errShape}, {"NUL after", token + "\x00", errShape},
		{"Bearer", "Bearer " + token, errShape}, {"lone base64 digit", part[0] + "." + part[1] + "AA." + part[2], errShape},
		{"trailing bits", lastBits(token), errShape},
		{"payload of another", part[0] + "." + b64(`{"sub":"admin","exp":1800000060}`) + "." + part[2], errSignature},
		{"signature shortened", part[0] + "." + part[1] + "." + part[2][:40], errSignature},
		{"signature longer than any", part[0] + "." + part[1] + "." + strings.Repeat("A", 200), errSignature},
		{"signature doubled", part[0] + "." + part[1] + "." + b64(strings.Repeat("s", 64)), errSignature},
		{"signature of zeros", part[0] + "." + part[1] + "." + b64(strings.Repeat("\x00", 32)), errSignature},
		{"CVE-2022-21449 in HMAC", part[0] + "." + part[1] + ".AA", errSignature},
		{"another secret", forge(sha256.New, strings.Repeat("x", 32), head, good), errSignature},
		{"empty secret", forge(sha256.New, "", head, good), errSignature},
		{"HS512 called HS256", forge(sha512.New, secret, head, good), errSignature},
	} {
		refused(t, v, c.name, c.token, c.want)
	}
}

// lastBits sets the two unused bits of the last character: the same 32 bytes in a sloppy decoder.
func lastBits(token string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, token[len(token)-1])
	return token[:len(token)-1] + string(alphabet[last|1])
}

// CVE-2016-10555: an asymmetric key used as an HMAC secret, in every form that the peer could have.
func TestAttackKeyConfusion(t *testing.T) {
	k := pairs()
	public := map[string]any{"RS256": &k.rsa.PublicKey, "PS256": &k.rsa.PublicKey, "ES256": &k.ec.PublicKey, "EdDSA": k.ed.Public().(ed25519.PublicKey)}
	for alg, pub := range public {
		v := verifier(t, Config{Keys: []Key{{Algorithm: alg, Public: pub}}})
		der, err := x509.MarshalPKIXPublicKey(pub)
		if err != nil {
			t.Fatal(err)
		}
		text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
		for form, key := range map[string]string{"PEM": string(text), "PEM without line end": strings.TrimSpace(string(text)), "DER": string(der), "empty": ""} {
			refused(t, v, alg+" as HS256, "+form, forge(sha256.New, key, head, good), errAlgorithm)
			refused(t, v, alg+" kept, "+form, forge(sha256.New, key, fmt.Sprintf(`{"alg":%q}`, alg), good), errSignature)
		}
		for other, name := range map[jose.SignatureAlgorithm]string{jose.RS256: "RS256", jose.PS256: "PS256", jose.RS384: "RS384", jose.RS512: "RS512", jose.PS512: "PS512"} {
			if name == alg {
				continue
			}
			refused(t, v, alg+" asked for "+name, sign(t, other, k.rsa, "", good), errAlgorithm)
		}
		refused(t, v, alg+" asked for none", b64(`{"alg":"none"}`)+"."+b64(good)+".AA", errAlgorithm)
	}
}

// A key set with every kind of key: a kid leads to one key with one algorithm, whatever else fits.
func TestAttackKeyID(t *testing.T) {
	k := pairs()
	v := verifier(t, Config{
		HMACSecrets: [][]byte{[]byte(secret)},
		Keys: []Key{
			{ID: "rsa", Algorithm: "RS256", Public: &k.rsa.PublicKey},
			{ID: "ec", Algorithm: "ES256", Public: &k.ec.PublicKey},
			{ID: "hmac", Algorithm: "HS512", Secret: []byte(strings.Repeat("s", 64))},
		},
	})
	for name, token := range map[string]string{
		"rsa":          sign(t, jose.RS256, k.rsa, "rsa", good),
		"ec":           sign(t, jose.ES256, k.ec, "ec", good),
		"hmac":         sign(t, jose.HS512, []byte(strings.Repeat("s", 64)), "hmac", good),
		"unknown kid":  sign(t, jose.HS256, []byte(secret), "other", good),
		"without kid":  sign(t, jose.HS256, []byte(secret), "", good),
		"escaped kid":  hs256(`{"alg":"HS256","kid":"\u006fther"}`, good),
		"empty string": hs256(`{"alg":"HS256","kid":""}`, good),
	} {
		if _, err := v.Connection([]byte(token), now); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	refused(t, v, "kid of RSA, HS256 of the secret", hs256(`{"alg":"HS256","kid":"rsa"}`, good), errAlgorithm)
	refused(t, v, "kid of ECDSA, signed by RSA", sign(t, jose.RS256, k.rsa, "ec", good), errAlgorithm)
	refused(t, v, "kid of RSA, other algorithm of it", sign(t, jose.PS256, k.rsa, "rsa", good), errAlgorithm)
	refused(t, v, "kid of RSA, another RSA key", sign(t, jose.RS256, k.rsa2, "rsa", good), errSignature)
	refused(t, v, "kid left out", sign(t, jose.RS256, k.rsa, "", good), errAlgorithm)
	refused(t, v, "kid unknown", sign(t, jose.ES256, k.ec, "ec2", good), errAlgorithm)
	refused(t, v, "kid of HS512, HS256 with its secret", forge(sha256.New, strings.Repeat("s", 64), `{"alg":"HS256","kid":"hmac"}`, good), errAlgorithm)
	refused(t, v, "kid of HS512, other secret", forge(sha512.New, secret, `{"alg":"HS512","kid":"hmac"}`, good), errSignature)
}

// CVE-2022-21449 and its kind: ECDSA signatures that are not two numbers in range, or not of this form.
func TestAttackECDSASignatures(t *testing.T) {
	k := pairs()
	v := verifier(t, Config{PublicKeys: []crypto.PublicKey{&k.ec.PublicKey}})
	text := b64(`{"alg":"ES256"}`) + "." + b64(good)
	digest := sha256.Sum256([]byte(text))
	der, err := ecdsa.SignASN1(rand.Reader, k.ec, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	order := string(elliptic.P256().Params().N.Bytes())
	for name, signature := range map[string]string{
		"zeros": strings.Repeat("\x00", 64), "ASN.1": string(der), "one byte": "\x00", "63 bytes": strings.Repeat("\x01", 63),
		"65 bytes": strings.Repeat("\x01", 65), "order": order + order, "order and one": order + strings.Repeat("\x00", 31) + "\x01",
		"r zero": strings.Repeat("\x00", 32) + strings.Repeat("\x01", 32),
	} {
		refused(t, v, name, text+"."+b64(signature), errSignature)
	}
}

func TestNilAndEmptyVerifiersRefuse(t *testing.T) {
	var none *Verifier
	refused(t, none, "nil", hs256(head, good), errNoKeys)
	refused(t, &Verifier{}, "zero", hs256(head, good), errNoKeys)
	if _, err := none.Subscription([]byte(hs256(head, good)), now); !errors.Is(err, ErrInvalid) {
		t.Errorf("nil: %v", err)
	}
}
