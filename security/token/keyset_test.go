package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// keySet returns a set with these keys, asked for at that time.
func keySet(t *testing.T, asked time.Time, keys ...Key) *KeySet {
	t.Helper()
	s := NewKeySet()
	if err := s.Replace(keys, asked); err != nil {
		t.Fatal(err)
	}
	return s
}

// wanted reports whether somebody asked for newer keys, and forgets it.
func wanted(s *KeySet) bool {
	select {
	case <-s.Asked():
		return true
	default:
		return false
	}
}

// TestKeySetUnknownKeys: what may be signed by a key that is to come is not refused for good, and only that.
func TestKeySetUnknownKeys(t *testing.T) {
	k := pairs()
	claims := func(iat time.Duration) string {
		return fmt.Sprintf(`{"sub":"alice","exp":1800000060,"iat":%d}`, now.Add(iat).Unix())
	}
	es := func(kid, payload string) string { return sign(t, jose.ES256, k.ec, kid, payload) }
	set := keySet(t, now, Key{ID: "known", Algorithm: "ES256", Public: k.ec.Public()})
	empty := NewKeySet()
	for _, c := range []struct {
		name  string
		set   *KeySet
		token string
		want  error // nil: good
		asks  bool
	}{
		{"known", set, es("known", claims(0)), nil, false},
		{"unknown, new", set, es("next", claims(0)), ErrUnknownKey, true},
		{"unknown, without iat", set, es("next", good), ErrUnknownKey, true},
		{"unknown, of just before", set, es("next", claims(-keyLag+time.Second)), ErrUnknownKey, true},
		{"unknown, old: its key is gone", set, es("gone", claims(-keyLag-2*time.Second)), errAlgorithm, false},
		{"known, by another", set, sign(t, jose.ES256, otherEC(t), "known", claims(0)), errSignature, false},
		{"known, for another algorithm", set, sign(t, jose.RS256, k.rsa, "known", claims(0)), errAlgorithm, false},
		{"without kid", set, es("", claims(0)), errAlgorithm, false},
		{"HS256 by an unknown kid", set, hs256(`{"alg":"HS256","kid":"next"}`, claims(0)), errAlgorithm, false},
		{"none", set, b64(`{"alg":"none","kid":"next"}`) + "." + b64(claims(0)) + "." + b64("x"), errAlgorithm, false},
		{"no keys yet", empty, es("known", claims(-time.Hour)), ErrUnknownKey, true},
		{"no keys yet, without kid", empty, es("", claims(0)), ErrUnknownKey, true},
		{"no keys yet, HS256", empty, hs256(head, good), errAlgorithm, false},
		{"no set", nil, hs256(`{"alg":"HS256","kid":"next"}`, good), nil, false},
		{"no set, unknown", nil, es("next", claims(0)), errAlgorithm, false},
		{"claims that are none", set, es("next", `[1]`), ErrUnknownKey, true},
	} {
		cfg := Config{KeySet: c.set}
		if c.set == nil {
			cfg.HMACSecrets = [][]byte{[]byte(secret)}
		}
		_, err := verifier(t, cfg).Connection([]byte(c.token), now)
		if err != c.want {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if c.set != nil && wanted(c.set) != c.asks {
			t.Errorf("%s: asked for newer keys is not %v", c.name, c.asks)
		}
	}
	if errors.Is(ErrUnknownKey, ErrInvalid) {
		t.Error("a key that may come is told apart by nobody")
	}
}

func otherEC(t *testing.T) crypto.Signer {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestKeySetBesideConfiguration: keys of the configuration count first, a rotation of those leaves the set, and keys without
// kid of both are tried.
func TestKeySetBesideConfiguration(t *testing.T) {
	k := pairs()
	other := otherEC(t)
	set := keySet(t, now, Key{ID: "a", Algorithm: "ES256", Public: other.Public()}, Key{ID: "b", Algorithm: "ES256", Public: other.Public()}, Key{Algorithm: "RS256", Public: k.rsa2.Public()})
	v := verifier(t, Config{KeySet: set, Keys: []Key{{ID: "a", Algorithm: "ES256", Public: k.ec.Public()}, {Algorithm: "RS256", Public: k.rsa.Public()}}})
	if _, err := v.Connection([]byte(sign(t, jose.ES256, k.ec, "a", good)), now); err != nil {
		t.Errorf("a of the configuration: %v", err)
	}
	refused(t, v, "a of the set", sign(t, jose.ES256, other, "a", good), errSignature)
	for name, jwt := range map[string]string{
		"b": sign(t, jose.ES256, other, "b", good), "no kid": sign(t, jose.RS256, k.rsa, "", good), "no kid, of the set": sign(t, jose.RS256, k.rsa2, "", good),
	} {
		if _, err := v.Connection([]byte(jwt), now); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	v.Adopt(verifier(t, Config{HMACSecrets: [][]byte{[]byte(secret)}}))
	if _, err := v.Connection([]byte(sign(t, jose.ES256, other, "b", good)), now); err != nil || v.KeySet() != set {
		t.Errorf("after a reload: %v", err)
	}
	if _, err := v.Connection([]byte(sign(t, jose.ES256, other, "a", good)), now); err != nil {
		t.Errorf("a of the set, which the configuration has no longer: %v", err)
	}
}

// TestKeySetReplace: what is no good set leaves the one that is there.
func TestKeySetReplace(t *testing.T) {
	k := pairs()
	s := keySet(t, now, Key{ID: "a", Algorithm: "ES256", Public: k.ec.Public()})
	many := make([]Key, maxKeys+1)
	for i := range many {
		many[i] = Key{ID: fmt.Sprint(i), Algorithm: "ES256", Public: k.ec.Public()}
	}
	for name, keys := range map[string][]Key{
		"none": nil, "too many": many, "twice": {many[0], many[0]}, "wrong algorithm": {{ID: "x", Algorithm: "RS256", Public: k.ec.Public()}},
		"a secret": {many[0], {ID: "s", Algorithm: "HS256", Secret: []byte(secret)}},
		"five without kid": {{Algorithm: "ES256", Public: k.ec.Public()}, {Algorithm: "ES256", Public: k.ec.Public()}, {Algorithm: "ES256", Public: k.ec.Public()},
			{Algorithm: "ES256", Public: k.ec.Public()}, {Algorithm: "ES256", Public: k.ec.Public()}},
	} {
		if err := s.Replace(keys, now.Add(time.Hour)); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	s.Failed()
	if f := s.Figures(); f.Keys != 1 || !f.Asked.Equal(now) || f.Replaced != 1 || f.Failed != 1 {
		t.Errorf("%+v", f)
	}
	if err := s.Replace(many[:maxKeys], now); err != nil || s.Figures().Keys != maxKeys {
		t.Errorf("%d keys: %v", maxKeys, err)
	}
}
