package token

import (
	"crypto"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// TestConnectionAtOnce: it says what Connection says of a token by a shared secret, and leaves the others alone.
func TestConnectionAtOnce(t *testing.T) {
	k := pairs()
	v := verifier(t, Config{HMACSecrets: [][]byte{[]byte(secret)}, PublicKeys: []crypto.PublicKey{&k.ec.PublicKey}})
	for name, token := range map[string]string{
		"good": hs256(head, good), "forged": hs256(head, good) + "A", "no token": "a", "no key": hs256(`{"alg":"none"}`, good),
	} {
		want, wantErr := v.Connection([]byte(token), now)
		got, err := v.ConnectionAtOnce([]byte(token), now)
		if !reflect.DeepEqual(got, want) || !errors.Is(err, wantErr) {
			t.Errorf("%s: %+v, %v; want %+v, %v", name, got, err, want, wantErr)
		}
	}
	token := []byte(sign(t, jose.ES256, k.ec, "", good))
	if _, err := v.Connection(token, now); err != nil {
		t.Fatal(err)
	}
	if c, err := v.ConnectionAtOnce(token, now); c != nil || !errors.Is(err, ErrCostly) {
		t.Errorf("by a public key: %+v, %v", c, err)
	}
}

// TestCostlyTokensAreLeftAlone: nothing of a token that could take long is looked at, be it good or not.
func TestCostlyTokensAreLeftAlone(t *testing.T) {
	v := verifier(t, Config{HMACSecrets: [][]byte{[]byte(secret)}, KeySet: NewKeySet()})
	long := func(bytes int) string {
		token := hs256(head, good)
		for n := 1; len(token) < bytes; n++ {
			token = hs256(head, strings.Replace(good, "{", `{"pad":"`+strings.Repeat("x", n)+`",`, 1))
		}
		return token
	}
	for name, token := range map[string]string{
		"long":        long(atOnceBytes + 1),
		"unknown key": strings.Join([]string{b64(`{"alg":"ES256","kid":"unknown"}`), b64(good), b64(strings.Repeat("s", 64))}, "."),
	} {
		if c, err := v.ConnectionAtOnce([]byte(token), now); c != nil || !errors.Is(err, ErrCostly) {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
	if c, err := v.ConnectionAtOnce([]byte(long(atOnceBytes-4)), now); c == nil || err != nil {
		t.Errorf("as long as it may be: %v", err)
	}
	if _, err := v.ConnectionAtOnce([]byte(strings.Repeat("x", MaxBytes+1)), now); err == nil || errors.Is(err, ErrCostly) {
		t.Errorf("longer than a token: %v", err)
	}
}
