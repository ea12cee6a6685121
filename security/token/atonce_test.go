package token

import (
	"crypto"
	"errors"
	"reflect"
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
