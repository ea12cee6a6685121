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
