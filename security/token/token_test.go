package token

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"weir/security/grant"
)

func TestConnectionClaims(t *testing.T) {
	payload := `{"sub":"alice","exp":1800000060.9,"iat":1799999990,"nbf":1799999990,"jti":"t1","aud":["x","weir"],"iss":"auth",
		"info":{"name": "Al\nice",
		"n":[1, 2]},"meta": null,"expire_at":0,"unknown":{"a":[true]},
		"channels":["news","feeds:prices","news"],"subs":{"zoo":{},"feeds:prices":{"info":{"a" : 1},"data": [ ],"override":{"presence":{"value":true}}}},
		"caps":[{"channels":["feeds:*"],"match":"wildcard","allow":["sub","hst"]},{"channels":["chat"],"allow":["pub"]}]}`
	payload = strings.ReplaceAll(payload, "Al\nice", `Al\nice`)
	v := verifier(t, Config{HMACSecrets: [][]byte{[]byte(secret)}, Audiences: []string{"weir0", "weir"}, Issuer: "auth"})
	token := []byte(hs256(head, payload))
	c, err := v.Connection(token, now)
	if err != nil {
		t.Fatal(err)
	}
	clear(token) // the claims must not borrow from it
	if c.Subject != "alice" || c.ID != "t1" || c.ExpiresAt != 1800000060 || c.IssuedAt != 1799999990 {
		t.Errorf("got %+v", c)
	}
	if c.ExpireAt == nil || *c.ExpireAt != 0 || c.Meta != nil {
		t.Errorf("expire_at %v, meta %s", c.ExpireAt, c.Meta)
	}
	if string(c.Info) != `{"name":"Al\nice","n":[1,2]}` {
		t.Errorf("info is %s", c.Info)
	}
	if got, want := c.ServerChannels(), []string{"news", "feeds:prices", "zoo"}; !reflect.DeepEqual(got, want) {
		t.Errorf("server-side channels %q", got)
	}
	if sub := c.Subs["feeds:prices"]; string(sub.Info) != `{"a":1}` || string(sub.Data) != `[]` {
		t.Errorf("subs %+v", c.Subs)
	}
	for _, g := range []struct {
		verb    grant.Verb
		channel string
		want    bool
	}{{grant.Sub, "feeds:a", true}, {grant.Hst, "feeds:a", true}, {grant.Pub, "feeds:a", false}, {grant.Pub, "chat", true}, {grant.Sub, "chat", false}} {
		if c.Grant.Allows(g.verb, g.channel) != g.want {
			t.Errorf("grant %v %s is not %v", g.verb, g.channel, g.want)
		}
	}
}

// TestGrantsAreShared: tokens of several users with the same caps are one Set in memory.
func TestGrantsAreShared(t *testing.T) {
	v := verifier(t, Config{HMACSecrets: [][]byte{[]byte(secret)}})
	grants := func(user, channel string) *grant.Set {
		c, err := v.Connection([]byte(hs256(head, fmt.Sprintf(`{"sub":%q,"exp":1800000060,"caps":[{"channels":[%q],"allow":["sub"]}]}`, user, channel))), now)
		if err != nil {
			t.Fatal(err)
		}
		return c.Grant
	}
	a, b, other := grants("a", "feeds:*"), grants("b", "feeds:*"), grants("a", "news:*")
	if a != b {
		t.Error("two Sets for the same caps")
	}
	if other.Allows(grant.Sub, "feeds:x") || !other.Allows(grant.Sub, "news:x") {
		t.Error("a token has another's grants")
	}
}

func TestLeastClaims(t *testing.T) {
	c, err := hmacVerifier(t).Connection([]byte(hs256(head, `{"sub":"","exp":1800000001}`)), now)
	if err != nil {
		t.Fatal(err)
	}
	if c.Subject != "" || c.ExpireAt != nil || c.ServerChannels() != nil || c.Grant.Allows(grant.Sub, "a") {
		t.Errorf("got %+v", c)
	}
}

func TestClaimsRefused(t *testing.T) {
	v := verifier(t, Config{HMACSecrets: [][]byte{[]byte(secret)}, Audiences: []string{"weir0", "weir"}, Issuer: "auth", Leeway: MaxLeeway})
	const rest = `,"aud":"weir","iss":"auth"}`
	if _, err := v.Connection([]byte(hs256(head, `{"sub":"a","exp":1800000060`+rest)), now); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		claims string
		want   *Fault
	}{
		{`{"sub":"a"` + rest, errNoExpiry}, {`{"exp":1800000060` + rest, errNoSubject},
		// types
		{`{"sub":"a","exp":"1800000060"` + rest, errClaims}, {`{"sub":"a","exp":null` + rest, errClaims}, {`{"sub":"a","exp":true` + rest, errClaims},
		{`{"sub":"a","exp":[1800000060]` + rest, errClaims}, {`{"sub":"a","exp":-1` + rest, errClaims}, {`{"sub":"a","exp":-0` + rest, errClaims},
		{`{"sub":"a","exp":1e400` + rest, errClaims}, {`{"sub":"a","exp":1e18` + rest, errClaims}, {`{"sub":"a","exp":253402300800` + rest, errClaims},
		{`{"sub":"a","exp":9223372036854775808` + rest, errClaims}, {`{"sub":"a","exp":NaN` + rest, errClaims}, {`{"sub":"a","exp":0x7fffffff` + rest, errClaims},
		{`{"sub":1,"exp":1800000060` + rest, errClaims}, {`{"sub":null,"exp":1800000060` + rest, errClaims}, {`{"sub":["a"],"exp":1800000060` + rest, errClaims},
		{`{"sub":"a","exp":1800000060,"nbf":"0"` + rest, errClaims}, {`{"sub":"a","exp":1800000060,"nbf":null` + rest, errClaims},
		{`{"sub":"a","exp":1800000060,"iat":"0"` + rest, errClaims}, {`{"sub":"a","exp":1800000060,"jti":7` + rest, errClaims},
		{`{"sub":"a","exp":1800000060,"expire_at":"never"` + rest, errClaims}, {`{"sub":"a","exp":1800000060,"expire_at":null` + rest, errClaims},
		{`{"sub":"a","exp":1800000060,"channels":"a"` + rest, errClaims}, {`{"sub":"a","exp":1800000060,"channels":[1]` + rest, errClaims},
		{`{"sub":"a","exp":1800000060,"channels":[null]` + rest, errClaims}, {`{"sub":"a","exp":1800000060,"channels":null` + rest, errClaims},
		{`{"sub":"a","exp":1800000060,"subs":[]` + rest, errClaims}, {`{"sub":"a","exp":1800000060,"subs":{"c":[]}` + rest, errClaims},
		{`{"sub":"a","exp":1800000060,"subs":null` + rest, errClaims}, {`{"sub":"a","exp":1800000060,"caps":{}` + rest, errClaims},
		{`{"sub":"a","exp":1800000060,"caps":null` + rest, errClaims}, {`{"sub":"a","exp":1800000060,"caps":[null]` + rest, errClaims},
		{`{"sub":"a","exp":1800000060,"caps":["sub"]` + rest, errClaims}, {`{"sub":"a","exp":1800000060,"caps":[{"channels":"a"}]` + rest, errClaims},
		{`{"sub":"a","exp":1800000060,"caps":[{"allow":"sub"}]` + rest, errClaims}, {`{"sub":"a","exp":1800000060,"caps":[{"channels":["a"],"allow":["sub"],"until":5}]` + rest, errClaims},
		{`{"sub":"a","exp":1800000060,"caps":[{"Channels":["*"],"allow":["sub"]}]` + rest, errClaims},
		// duplicates, also deep, also escaped, also in what nobody reads
		{`{"sub":"a","sub":"admin","exp":1800000060` + rest, errClaims}, {`{"sub":"a","exp":1,"exp":1800000060` + rest, errClaims},
		{`{"sub":"a","\u0073ub":"admin","exp":1800000060` + rest, errClaims}, {`{"sub":"a","exp":1800000060,"x":[{"y":1,"y":1}]` + rest, errClaims},
		{`{"sub":"a","exp":1800000060,"caps":[{"channels":["a"],"channels":["*"],"allow":["sub"]}]` + rest, errClaims},
		{`{"sub":"a","exp":1800000060,"subs":{"c":{},"c":{"data":1}}` + rest, errClaims},
		// half of a surrogate pair: encoding/json would read two such subjects as one
		{`{"sub":"a\ud800","exp":1800000060` + rest, errClaims}, {`{"sub":"a\udfff","exp":1800000060` + rest, errClaims},
		{`{"sub":"a","exp":1800000060,"info":{"name":"\ud800\u0041"}` + rest, errClaims},
		// not an object
		{`"sub"`, errClaims}, {`[]`, errClaims}, {`null`, errClaims}, {`1`, errClaims}, {`{"sub":"a","exp":1800000060`, errClaims}, {" ", errClaims},
		{`{"sub":"a","exp":1800000060` + rest + `{}`, errClaims}, {"{\"sub\":\"\xff\",\"exp\":1800000060" + rest, errClaims}, {"{\"sub\":\"a\nb\",\"exp\":1800000060" + rest, errClaims},
		{`{"sub":"a","exp":1800000060,"x":` + strings.Repeat("[", 500) + strings.Repeat("]", 500) + rest, errClaims},
		// names
		{`{"sub":"a","exp":1800000060,"channels":["a b","c\u0000"]` + rest, errChannel}, {`{"sub":"a","exp":1800000060,"channels":["feeds:*","\u00e9*"]` + rest, errChannel},
		{`{"sub":"a","exp":1800000060,"subs":{"":{}}` + rest, errChannel}, {`{"sub":"a","exp":1800000060,"channel":""` + rest, errChannel},
		{`{"sub":"a","exp":1800000060,"caps":[{"channels":["a"],"allow":["everything"]}]` + rest, errGrant},
		{`{"sub":"a","exp":1800000060,"caps":[{"channels":["a"],"match":"regex","allow":["sub"]}]` + rest, errGrant},
		// roles
		{`{"sub":"a","exp":1800000060,"roles":{"a":1}` + rest, errClaims}, {`{"sub":"a","exp":1800000060,"roles":null` + rest, errClaims},
		{`{"sub":"a","exp":1800000060,"roles":["a",1]` + rest, errClaims}, {`{"sub":"a","exp":1800000060,"roles":["a",["b"]]` + rest, errClaims},
		{`{"sub":"a","exp":1800000060,"roles":true` + rest, errClaims}, {`{"sub":"a","exp":1800000060,"roles":["a"],"role\u0073":["admin"]` + rest, errClaims},
		{`{"sub":"a","exp":1800000060,"roles":[` + manyRoles(65) + `]` + rest, errRoles},
		// dates, with 60 s of leeway
		{`{"sub":"a","exp":1800000060,"nbf":1800000061` + rest, errNotYet}, {`{"sub":"a","exp":1800000060,"iat":1800000061` + rest, errNotYet},
		// audience, issuer
		{`{"sub":"a","exp":1800000060,"iss":"auth"}`, errAudience}, {`{"sub":"a","exp":1800000060,"iss":"auth","aud":[]}`, errAudience},
		{`{"sub":"a","exp":1800000060,"iss":"auth","aud":"Weir"}`, errAudience}, {`{"sub":"a","exp":1800000060,"iss":"auth","aud":["a","weir2"]}`, errAudience},
		{`{"sub":"a","exp":1800000060,"iss":"auth","aud":"weir0,weir"}`, errAudience}, {`{"sub":"a","exp":1800000060,"iss":"auth","aud":""}`, errAudience},
		{`{"sub":"a","exp":1800000060,"iss":"auth","aud":{"weir":1}}`, errClaims}, {`{"sub":"a","exp":1800000060,"iss":"auth","aud":null}`, errClaims},
		{`{"sub":"a","exp":1800000060,"iss":"auth","aud":["weir",1]}`, errClaims}, {`{"sub":"a","exp":1800000060,"iss":"auth","aud":["weir",["weir"]]}`, errClaims},
		{`{"sub":"a","exp":1800000060,"aud":"weir"}`, errIssuer}, {`{"sub":"a","exp":1800000060,"aud":"weir","iss":"auth2"}`, errIssuer},
		{`{"sub":"a","exp":1800000060,"aud":"weir","iss":["auth"]}`, errClaims}, {`{"sub":"a","exp":1800000060,"aud":"weir","iss":null}`, errClaims},
		// an expired token that is not good otherwise is not "expired"
		{`{"sub":"a","exp":5,"aud":"weir"}`, errIssuer}, {`{"exp":5` + rest, errNoSubject},
		// one kind of token for the other
		{`{"sub":"a","exp":1800000060,"channel":"news"` + rest, errPurpose},
	} {
		refused(t, v, c.claims, hs256(head, c.claims), c.want)
	}
}

// manyRoles are n names, quoted, with commas.
func manyRoles(n int) string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf(`"r%d"`, i)
	}
	return strings.Join(names, ",")
}

// TestRoles: a list or one name, each once; what cannot be a role's name is in no policy.
func TestRoles(t *testing.T) {
	v := hmacVerifier(t)
	for claim, want := range map[string][]string{
		`"editor"`: {"editor"}, `["a","b","a"]`: {"a", "b"}, `[]`: nil, `["","r\u00f4le","a\nb","ok"]`: {"ok"}, `""`: nil,
		`["` + strings.Repeat("x", 65) + `","` + strings.Repeat("x", 64) + `"]`: {strings.Repeat("x", 64)}, `["*"]`: {"*"},
	} {
		c, err := v.Connection([]byte(hs256(head, `{"sub":"a","exp":1800000060,"roles":`+claim+`}`)), now)
		if err != nil || !slices.Equal(c.Roles, want) {
			t.Errorf("%s: %v, %v, want %q", claim, c, err, want)
		}
	}
	if c, err := v.Connection([]byte(hs256(head, `{"sub":"a","exp":1800000060,"roles":[`+manyRoles(64)+`,"r0"]}`)), now); err != nil || len(c.Roles) != 64 {
		t.Errorf("64 roles: %v", err)
	}
}

func TestDates(t *testing.T) {
	for _, c := range []struct {
		leeway          time.Duration
		exp, nbf        int64 // seconds after now
		expired, notYet bool
	}{
		{0, 1, 0, false, false}, {0, 0, 0, true, false}, {0, -1, 0, true, false}, {0, 10, 1, false, true},
		{time.Minute, -59, 60, false, false}, {time.Minute, -60, 0, true, false}, {time.Minute, 10, 61, false, true},
	} {
		v := verifier(t, Config{HMACSecrets: [][]byte{[]byte(secret)}, Leeway: c.leeway})
		payload := fmt.Sprintf(`{"sub":"a","exp":%d,"nbf":%d,"iat":%d}`, now.Unix()+c.exp, now.Unix()+c.nbf, now.Unix()+c.nbf)
		for kind, check := range map[string]func(string) error{
			"connection": func(p string) error { _, err := v.Connection([]byte(hs256(head, p)), now); return err },
			"subscription": func(p string) error {
				_, err := v.Subscription([]byte(hs256(head, p[:len(p)-1]+`,"channel":"c"}`)), now)
				return err
			},
		} {
			err := check(payload)
			if errors.Is(err, ErrExpired) != c.expired || errors.Is(err, ErrInvalid) != c.notYet || (err == nil) != !(c.expired || c.notYet) {
				t.Errorf("%s, %+v: %v", kind, c, err)
			}
		}
	}
	for _, leeway := range []time.Duration{-1, MaxLeeway + 1} {
		if _, err := New(Config{HMACSecrets: [][]byte{[]byte(secret)}, Leeway: leeway}); err == nil {
			t.Errorf("leeway %v is accepted", leeway)
		}
	}
}

func TestSubscription(t *testing.T) {
	v := hmacVerifier(t)
	c, err := v.Subscription([]byte(hs256(head, `{"sub":"alice","channel":"$room","exp":1800000060,"iat":5,"jti":"j","expire_at":7,"info":{"a": 1}}`)), now)
	if err != nil {
		t.Fatal(err)
	}
	if c.Subject != "alice" || c.Channel != "$room" || c.ExpiresAt != 1800000060 || c.IssuedAt != 5 || c.ID != "j" || *c.ExpireAt != 7 || string(c.Info) != `{"a":1}` {
		t.Errorf("got %+v", c)
	}
	for claims, want := range map[string]*Fault{
		good: errPurpose, `{"sub":"alice","channel":"$room"}`: errNoExpiry, `{"channel":"$room","exp":1800000060}`: errNoSubject,
		`{"sub":"alice","channel":"feeds:\t*","exp":1800000060}`: errChannel, `{"sub":"alice","channel":null,"exp":1800000060}`: errClaims,
	} {
		if c, err := v.Subscription([]byte(hs256(head, claims)), now); c != nil || err != error(want) {
			t.Errorf("%s: %v, %v", claims, c, err)
		}
	}
}

// TestPatternsForNames: wildcard subscriptions stand where names of channels do.
func TestPatternsForNames(t *testing.T) {
	v := hmacVerifier(t)
	sub, err := v.Subscription([]byte(hs256(head, `{"sub":"alice","channel":"$feeds:*","exp":1800000060}`)), now)
	if err != nil || sub.Channel != "$feeds:*" {
		t.Errorf("of a subscription: %+v, %v", sub, err)
	}
	c, err := v.Connection([]byte(hs256(head, `{"sub":"alice","exp":1800000060,"channels":["feeds:*"],"subs":{"*":{}}}`)), now)
	if err != nil || !slices.Equal(c.ServerChannels(), []string{"feeds:*", "*"}) {
		t.Errorf("of a connection: %+v, %v", c, err)
	}
}

func TestEveryAlgorithm(t *testing.T) {
	k := pairs()
	long := []byte(strings.Repeat("k", 64))
	for _, c := range []struct {
		alg     jose.SignatureAlgorithm
		private any
		public  Key
	}{
		{jose.HS256, long[:32], Key{Secret: long[:32]}}, {jose.HS384, long[:48], Key{Secret: long[:48]}}, {jose.HS512, long, Key{Secret: long}},
		{jose.RS256, k.rsa, Key{Public: &k.rsa.PublicKey}}, {jose.PS256, k.rsa, Key{Public: &k.rsa.PublicKey}},
		{jose.ES256, k.ec, Key{Public: &k.ec.PublicKey}}, {jose.EdDSA, k.ed, Key{Public: k.ed.Public()}},
	} {
		for _, kid := range []string{"", "k1"} {
			c.public.ID, c.public.Algorithm = kid, string(c.alg)
			v := verifier(t, Config{Keys: []Key{c.public}})
			token := sign(t, c.alg, c.private, kid, good)
			if got, err := v.Connection([]byte(token), now); err != nil || got.Subject != "alice" {
				t.Errorf("%s, kid %q: %v", c.alg, kid, err)
			}
			at := strings.LastIndexByte(token, '.') + 8
			bad := []byte(token)
			bad[at] = "AB"[bad[at]&1] // of the other parity, so another character
			refused(t, v, string(c.alg)+" with a bit flipped", string(bad), errSignature)
		}
	}
}

// Every prefix of a token, and every token with one byte changed, is refused.
func TestEveryPrefixAndEveryByte(t *testing.T) {
	v := hmacVerifier(t)
	token := []byte(hs256(head, good))
	for n := range token {
		if c, err := v.Connection(token[:n], now); c != nil || !errors.Is(err, ErrInvalid) {
			t.Errorf("the first %d bytes: %v, %v", n, c, err)
		}
	}
	for i := range token {
		for bit := range 8 {
			bad := bytes.Clone(token)
			bad[i] ^= 1 << bit
			if c, err := v.Connection(bad, now); c != nil || !errors.Is(err, ErrInvalid) {
				t.Errorf("byte %d, bit %d: %v, %v", i, bit, c, err)
			}
		}
	}
	// every split of the two dots over the same text
	text := bytes.ReplaceAll(token, []byte("."), nil)
	first := bytes.IndexByte(token, '.')
	second := bytes.LastIndexByte(token, '.') - 1
	for i := range len(text) {
		for j := i; j <= len(text); j += 7 {
			if i == first && j == second {
				continue
			}
			split := fmt.Appendf(nil, "%s.%s.%s", text[:i], text[i:j], text[j:])
			if c, err := v.Connection(split, now); c != nil || !errors.Is(err, ErrInvalid) {
				t.Errorf("dots at %d and %d: %v, %v", i, j, c, err)
			}
		}
	}
}

func TestReplaceRotates(t *testing.T) {
	older, newer := []byte(strings.Repeat("o", 32)), []byte(strings.Repeat("n", 32))
	tokens := [][]byte{[]byte(sign(t, jose.HS256, older, "", good)), []byte(sign(t, jose.HS256, newer, "", good))}
	v := verifier(t, Config{HMACSecrets: [][]byte{older}})
	expect := func(step string, want ...bool) {
		t.Helper()
		for i, token := range tokens {
			if _, err := v.Connection(token, now); (err == nil) != want[i] {
				t.Errorf("%s: token %d: %v", step, i, err)
			}
		}
	}
	expect("before", true, false)
	if err := v.Replace(Config{HMACSecrets: [][]byte{newer, older}}); err != nil {
		t.Fatal(err)
	}
	expect("both", true, true)
	if err := v.Replace(Config{HMACSecrets: [][]byte{[]byte("short")}}); err == nil {
		t.Error("a short secret replaces a good one")
	}
	expect("after a bad replacement", true, true)
	if err := v.Replace(Config{HMACSecrets: [][]byte{newer}}); err != nil {
		t.Fatal(err)
	}
	expect("after", false, true)
	clear(newer) // the verifier has its own copy
	expect("cleared by the caller", false, true)
}

func TestOperatorsMistakes(t *testing.T) {
	k := pairs()
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	//lint:ignore SA1019 a point off the curve can only be made by hand
	off := &ecdsa.PublicKey{Curve: elliptic.P256(), X: big.NewInt(1), Y: big.NewInt(1)}
	many := make([]Key, maxKeys+1)
	for i := range many {
		many[i] = Key{ID: fmt.Sprint(i), Algorithm: "EdDSA", Public: k.ed.Public()}
	}
	keys := func(keys ...Key) Config { return Config{Keys: keys} }
	texts := make(map[string]string)
	for _, c := range []struct {
		name string
		cfg  Config
		want []string
	}{
		{"nothing", Config{}, []string{"--token-hmac-secret", "--token-key-file", "no key"}},
		{"short secret", Config{HMACSecrets: [][]byte{[]byte(strings.Repeat("x", 31))}}, []string{"--token-hmac-secret", "31 bytes", "openssl rand"}},
		{"PEM as a secret", Config{HMACSecrets: [][]byte{[]byte("-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYI")}}, []string{"--token-hmac-secret", "PEM", "--token-key-file"}},
		{"short HS512", keys(Key{Algorithm: "HS512", Secret: []byte(strings.Repeat("x", 63))}), []string{"--token-key-file", "63 bytes", "HS512"}},
		{"public key for HMAC", keys(Key{Algorithm: "HS256", Public: &k.rsa.PublicKey}), []string{"anybody could sign"}},
		{"secret for RSA", keys(Key{Algorithm: "RS256", Secret: []byte(secret)}), []string{"shared secret", "RS256"}},
		{"none", keys(Key{Algorithm: "none", Secret: []byte(secret)}), []string{"none"}},
		{"RSA of 1024 bits", Config{PublicKeys: []crypto.PublicKey{&small.PublicKey}}, []string{"--token-key-file", "1024 bits"}},
		{"RSA for ES256", keys(Key{Algorithm: "ES256", Public: &k.rsa.PublicKey}), []string{"RSA", "ES256"}},
		{"P-384", Config{PublicKeys: []crypto.PublicKey{&p384.PublicKey}}, []string{"P-256"}},
		{"EC for RS256", keys(Key{Algorithm: "RS256", Public: &k.ec.PublicKey}), []string{"ECDSA", "RS256"}},
		{"not on the curve", Config{PublicKeys: []crypto.PublicKey{off}}, []string{"not a point"}},
		{"Ed25519 for ES256", keys(Key{Algorithm: "ES256", Public: k.ed.Public()}), []string{"Ed25519", "ES256"}},
		{"Ed25519 cut short", keys(Key{Algorithm: "EdDSA", Public: ed25519.PublicKey("x")}), []string{"Ed25519"}},
		{"private key", Config{PublicKeys: []crypto.PublicKey{k.ec}}, []string{"*ecdsa.PrivateKey", "not supported"}},
		{"long kid", keys(Key{ID: strings.Repeat("k", 257), Algorithm: "HS256", Secret: []byte(secret)}), []string{"kid", "257"}},
		{"same kid", keys(many[0], Key{ID: "0", Algorithm: "HS256", Secret: []byte(secret)}), []string{"same kid"}},
		{"five without kid", Config{HMACSecrets: [][]byte{[]byte(secret), []byte(secret), []byte(secret), []byte(secret), []byte(secret)}}, []string{"--token-hmac-secret", "more than 4"}},
		{"too many", Config{Keys: many}, []string{"65 keys", "remove"}},
	} {
		v, err := New(c.cfg)
		if err == nil || v != nil {
			t.Errorf("%s: accepted", c.name)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q lacks %q", c.name, err, want)
			}
		}
		if other, twice := texts[err.Error()]; twice {
			t.Errorf("%s and %s have the same error %q", c.name, other, err)
		}
		texts[err.Error()] = c.name
		if strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "MFkw") {
			t.Errorf("%s: the error holds the secret: %q", c.name, err)
		}
	}
}

func TestFaultsAreStaticAndSilent(t *testing.T) {
	labels := make(map[string]bool)
	for _, f := range []*Fault{errNoKeys, errSize, errShape, errHeader, errForbidden, errType, errAlgorithm, errSignature, errClaims,
		errNoExpiry, errNoSubject, errNotYet, errAudience, errIssuer, errPurpose, errChannel, errGrant} {
		if labels[f.Label] || f.Label == "" || f.Reason == "" {
			t.Errorf("label %q is empty or used twice", f.Label)
		}
		labels[f.Label] = true
	}
}

func TestSign(t *testing.T) {
	v := hmacVerifier(t)
	caps := []grant.Capability{{Channels: []string{"feeds:*", "bench*"}, Match: "wildcard", Allow: []string{"sub", "hst"}}}
	text, err := Sign([]byte(secret), SignClaims{Subject: "alice", ID: "j", ExpiresAt: now.Unix() + 5, IssuedAt: now.Unix(), Caps: caps,
		Channels: []string{"news"}, Info: json.RawMessage(`{"a":1}`), Audience: []string{"weir"}, Issuer: "me"})
	if err != nil {
		t.Fatal(err)
	}
	c, err := v.Connection([]byte(text), now)
	if err != nil {
		t.Fatal(err)
	}
	if c.Subject != "alice" || c.ID != "j" || c.ExpiresAt != now.Unix()+5 || c.IssuedAt != now.Unix() || string(c.Info) != `{"a":1}` ||
		len(c.Channels) != 1 || !c.Grant.Allows(grant.Sub|grant.Hst, "bench1") || c.Grant.Allows(grant.Pub, "bench1") {
		t.Errorf("got %+v", c)
	}
	text, err = Sign([]byte(secret), SignClaims{Subject: "alice", ExpiresAt: now.Unix() + 5, Channel: "$room"})
	if err != nil {
		t.Fatal(err)
	}
	if c, err := v.Subscription([]byte(text), now); err != nil || c.Channel != "$room" {
		t.Errorf("subscription token: %v, %v", c, err)
	}
	for want, bad := range map[string]SignClaims{
		"--ttl":                           {Subject: "a"},
		"--channels, --allow":             {Subject: "a", ExpiresAt: 5, Caps: []grant.Capability{{Channels: []string{"a"}, Allow: []string{"all"}}}},
		"--channel, --server-channels":    {Subject: "a", ExpiresAt: 5, Channels: []string{"a\n"}},
		"at most 4096":                    {Subject: strings.Repeat("a", MaxBytes), ExpiresAt: 5},
		"claims of the token: ":           {Subject: "a", ExpiresAt: 5, Info: json.RawMessage(`{`)},
		"claims of the token: c":          {Subject: "a", ExpiresAt: 5, Info: json.RawMessage(`{"a":1,"a":2}`)},
		"claims of the token: claims are": {Subject: "a", ExpiresAt: 5, IssuedAt: -1},
	} {
		if text, err := Sign([]byte(secret), bad); err == nil || text != "" || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q: %v", want, err)
		}
	}
	if _, err := Sign([]byte("short"), SignClaims{Subject: "a", ExpiresAt: 5}); err == nil || !strings.Contains(err.Error(), "--token-hmac-secret") {
		t.Errorf("short secret: %v", err)
	}
}
