package engine

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"weir/security/audit"
	"weir/security/token"
)

// signES is a token by a key of a set.
func signES(t testing.TB, key *ecdsa.PrivateKey, kid, more string) string {
	t.Helper()
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", kid))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	j, err := s.Sign(fmt.Appendf(nil, `{"sub":"alice","iat":%d,"exp":%d%s}`, now.Unix()-30, now.Add(time.Hour).Unix(), more))
	if err != nil {
		t.Fatal(err)
	}
	text, err := j.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestKeysThatCome: a token by a key that is not here yet is no reason to give up: each place that takes one says so, and takes it once
// the key has come. A reload leaves the keys that came.
func TestKeysThatCome(t *testing.T) {
	keys := token.NewKeySet()
	tokens, err := token.New(token.Config{HMACSecrets: [][]byte{testSecret}, KeySet: keys})
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, func(c *Config) { c.Tokens, c.AllowAnonymous = tokens, true })
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	jwt := signES(t, key, "k", `,"caps":[{"channels":["feeds:*"],"match":"wildcard","allow":["sub"]}]`)
	sub := signES(t, key, "k", `,"channel":"feeds:a"`)

	for _, path := range []string{pathProtocol, pathFeed + "?channel=feeds:a"} {
		if _, res, err := s.dial(path, bearer(jwt)); err == nil || res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") != "1" {
			t.Errorf("%s: %v, %v, want 503", path, res, err)
		}
	}
	pending := func(what, reply string) {
		t.Helper()
		if !strings.Contains(reply, `"code":100`) || !strings.Contains(reply, `"temporary":true`) {
			t.Errorf("%s: %s, want a temporary error", what, reply)
		}
	}
	waiting := s.client(t)
	pending("connect", waiting.do(`"connect":{"token":"`+jwt+`"}`))
	hmac := s.connected(t, signClaims(t, token.SignClaims{Subject: "alice", ExpiresAt: time.Now().Add(time.Hour).Unix(), IssuedAt: time.Now().Unix() - 60}))
	pending("refresh", hmac.do(`"refresh":{"token":"`+jwt+`"}`))
	pending("subscribe", hmac.do(`"subscribe":{"channel":"feeds:a","token":"`+sub+`"}`))
	select {
	case <-keys.Asked():
	default:
		t.Error("nobody asked for the key")
	}

	if err := keys.Replace([]token.Key{{ID: "k", Algorithm: "ES256", Public: key.Public()}}, time.Now()); err != nil {
		t.Fatal(err)
	}
	waiting.mustDo(`"connect":{"token":"` + jwt + `"}`)
	hmac.mustDo(`"subscribe":{"channel":"feeds:a","token":"` + sub + `"}`)
	hmac.mustDo(`"refresh":{"token":"` + jwt + `"}`)
	s.reload(func(cfg *Config) {
		if cfg.Tokens, err = token.New(token.Config{HMACSecrets: [][]byte{testSecret}}); err != nil {
			t.Fatal(err)
		}
	})
	s.connected(t, jwt)
	if m := s.metrics(t); m["weir_token_keys"] != "1" || m[`weir_token_key_fetches_total{result="ok"}`] != "1" {
		t.Errorf("metrics: %q keys, %q fetched", m["weir_token_keys"], m[`weir_token_key_fetches_total{result="ok"}`])
	}
}

// TestKeysThatNeverCome: tokens by keys that nobody has are in the audit log, and more of them than a rotation brings are failures.
func TestKeysThatNeverCome(t *testing.T) {
	tokens, err := token.New(token.Config{HMACSecrets: [][]byte{testSecret}, KeySet: token.NewKeySet()})
	if err != nil {
		t.Fatal(err)
	}
	var trail *auditTrail
	s := start(t, func(c *Config) {
		c.Tokens, c.Limits.MessageRate = tokens, 0
		trail = audited(t, c, audit.Flood{Each: 1000})
	})
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	jwt := signES(t, key, "k", "")
	if _, res, err := s.dial(pathProtocol, bearer(jwt)); err == nil || res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("%v, %v, want 503", res, err)
	}
	c := s.client(t)
	send := func(n int) {
		for range n {
			if reply := c.do(`"connect":{"token":"` + jwt + `"}`); !strings.Contains(reply, `"temporary":true`) {
				t.Fatal(reply)
			}
		}
	}
	send(int(pendingRate.Burst) - 1)
	if n := s.shared.fails.Noted(); n != 0 {
		t.Errorf("%d failures before there are too many", n)
	}
	send(int(failureRate.Burst))
	c.send(`{"id":9,"connect":{"token":"` + jwt + `"}}`)
	c.wantClose(3013)
	if n := s.shared.fails.Noted(); n != uint64(failureRate.Burst) {
		t.Errorf("%d failures, want %d", n, int(failureRate.Burst))
	}
	told := map[audit.Event]int{}
	for _, e := range trail.entries(t) {
		if e.Reason == "unknown_key" || e.Reason == "key_pending" {
			told[e.Event] += int(e.N())
		}
	}
	if told[audit.UpgradeRefused] != 1 || told[audit.CommandRefused] != int(pendingRate.Burst)-1 || told[audit.AuthenticationFailed] != int(failureRate.Burst) {
		t.Errorf("the audit log has %v", told)
	}
}
