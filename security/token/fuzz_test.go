package token

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"weir/security/grant"
)

// FuzzToken feeds any bytes: nothing panics, and what is accepted is accepted by the library's own
// JWT package too, with the same subject.
func FuzzToken(f *testing.F) {
	f.Add([]byte(hs256(head, good)))
	f.Add([]byte(hs256(`{"alg":"none"}`, good)))
	f.Add([]byte("a.b.c"))
	f.Add([]byte(strings.Repeat(".", 100)))
	v := hmacVerifier(f)
	f.Fuzz(func(t *testing.T, token []byte) {
		kept := bytes.Clone(token)
		c, err := v.Connection(token, now)
		if !bytes.Equal(kept, token) {
			t.Fatal("the token was changed")
		}
		if err != nil {
			if c != nil || !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrExpired) {
				t.Fatalf("%v, %v", c, err)
			}
			return
		}
		parsed, err := jwt.ParseSigned(string(token), []jose.SignatureAlgorithm{jose.HS256})
		if err != nil {
			t.Fatalf("the library refuses it: %v", err)
		}
		var claims jwt.Claims
		if err := parsed.Claims([]byte(secret), &claims); err != nil || claims.Subject != c.Subject {
			t.Fatalf("the library reads subject %q: %v", claims.Subject, err)
		}
	})
}

// FuzzSigned signs whatever header and payload it is given, and compares with encoding/json.
func FuzzSigned(f *testing.F) {
	f.Add(head, good)
	f.Add(`{"alg":"HS256","kid":"a"}`, `{"sub":"a","exp":1800000060,"caps":[{"channels":["a*"],"allow":["sub"]}],"channels":["x"],"subs":{"y":{"info":{}}}}`)
	f.Add(`{"\u0061lg":"HS256","ALG":"none","typ":"application/AT+jwt","kid":"\u0000","Crit":[]}`, `{"s\u0075b":"\ud83d\ude00\u0000","exp":1800000000.999,"EXP":0,"nbf":1.7e9,"aud":[],"info":null,"roles":"a"}`)
	f.Add(head, `{"sub":"","exp":253402300799,"iat":0e5,"expire_at":0.5,"info":{"a" : [ "\u2028" ]},"meta":" ","channels":["$a:b#c"],"subs":{"\u0061":{"info":1,"data":null,"x":[]}},"roles":["a","a",""]}`)
	f.Add(head, `{"sub":"a","exp":1e300}`)
	f.Add(head, `{"sub":"a","exp":9007199254740993,"caps":[{"channels":["*"],"match":"exact","allow":[]},{"allow":["sub","pub","hst","prs"],"channels":["feeds:*","*#*"]}]}`)
	f.Add(`{"alg":"HS256","jwk":null}`, ` { "exp" : 1800000001 , "sub" : "\"" } `)
	f.Add(`{"alg":"HS256","alg":"none"}`, `{"sub":"a","sub":"b","exp":1.8e9,"aud":["a"],"iss":"b","nbf":0,"iat":0,"info":[{}]}`)
	v := hmacVerifier(f)
	f.Fuzz(func(t *testing.T, header, payload string) {
		token := hs256(header, payload)
		c, err := v.Connection([]byte(token), now)
		if err != nil {
			if !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrExpired) {
				t.Fatal(err)
			}
			return
		}
		var h, p map[string]any
		if json.Unmarshal([]byte(header), &h) != nil || json.Unmarshal([]byte(payload), &p) != nil {
			t.Fatal("accepted what is not JSON")
		}
		if h["alg"] != "HS256" || h["jwk"] != nil || h["crit"] != nil || len(token) > MaxBytes {
			t.Fatalf("accepted header %v", h)
		}
		exp, _ := p["exp"].(float64)
		if p["sub"] != c.Subject || exp <= float64(now.Unix()) || int64(exp) != c.ExpiresAt {
			t.Fatalf("read subject %q and expiry %d from %v", c.Subject, c.ExpiresAt, p)
		}
		if p["caps"] == nil && c.Grant.Allows(grant.Sub, "a") {
			t.Fatal("a grant out of nothing")
		}
		for _, raw := range []json.RawMessage{c.Info, c.Meta} {
			if raw != nil && (!json.Valid(raw) || bytes.IndexByte(raw, '\n') >= 0) {
				t.Fatalf("raw JSON %q", raw)
			}
		}
		for _, name := range c.ServerChannels() {
			if grant.CheckPattern(name) != nil {
				t.Fatalf("channel %q", name)
			}
		}
	})
}

func FuzzParseKeys(f *testing.F) {
	f.Add([]byte(`{"keys":[{"kty":"oct","alg":"HS256","k":"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"}]}`))
	f.Add([]byte("-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n"))
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-256","kid":"b","x":"AA","y":"AA"},{"kty":"OKP","crv":"Ed25519","kid":"e","x":"Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE"}]}`))
	const ec = `"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"` // RFC 7517 appendix A.1
	for _, keys := range []string{
		`{` + ec + `,"use":"sig","kid":"a"}`, `{"keys":[{` + ec + `},{` + ec + `,"kid":"a"},{` + ec + `,"kid":"a","alg":"ES256"},{` + ec + `,"d":"AA"}]}`, `{"KEYS":[{` + ec + `,"use":"enc","D":"AA"}]}`, `{"keys":[]}`, `{"keys":null,` + ec + `}`,
		`{"keys":[{"kty":"RSA","n":"` + strings.Repeat("q", 342) + `","e":"AQAB","alg":"PS256"},{"kty":"RSA","n":"AQ","e":"AQAB"}],"keys":[{` + ec + `}]}`, `{"keys":[{"kty":"oct","k":""},{"kty":"OKP","crv":"X25519","x":"AA"},null,1,{}]}`,
		"\u00a0{" + ec + "}\u2003", "text\n-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n-----BEGIN X-----\n-----END X-----\n",
	} {
		f.Add([]byte(keys))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		keys, err := ParseKeys(content)
		if (err == nil) != (len(keys) > 0) {
			t.Fatalf("%d keys, %v", len(keys), err)
		}
		for _, k := range keys {
			if err := k.check(); err != nil {
				t.Fatal(err)
			}
		}
		secret := slices.ContainsFunc(keys, func(k Key) bool { return k.Secret != nil })
		set, _, setErr := ParseKeySet(content)
		if err == nil && !secret && bytes.HasPrefix(bytes.TrimSpace(content), []byte("{")) != (setErr == nil) {
			t.Fatalf("%d keys of a file, and %d of a set: %v", len(keys), len(set), setErr)
		}
		for _, k := range set {
			if err := k.check(); err != nil || k.Secret != nil {
				t.Fatalf("%+v: %v", k, err)
			}
		}
	})
}

func BenchmarkConnection(b *testing.B) {
	k := pairs()
	payload := `{"sub":"alice","exp":1800000060,"iat":1799999990,"caps":[{"channels":["feeds:*","bench*"],"match":"wildcard","allow":["sub","hst"]}]}`
	for name, c := range map[string]struct {
		cfg   Config
		token string
	}{
		"HS256": {Config{HMACSecrets: [][]byte{[]byte(secret)}}, hs256(head, payload)},
		"ES256": {Config{Keys: []Key{{Algorithm: "ES256", Public: &k.ec.PublicKey}}}, sign(b, jose.ES256, k.ec, "", payload)},
	} {
		v := verifier(b, c.cfg)
		for kind, token := range map[string][]byte{"accepted": []byte(c.token), "no key": []byte(hs256(`{"alg":"none"}`, payload)), "forged": append([]byte(c.token[:len(c.token)-4]), "AAAA"...)} {
			b.Run(name+"/"+kind, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					_, _ = v.Connection(token, now)
				}
			})
		}
	}
}
