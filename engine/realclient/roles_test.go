package realclient

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"weir/engine"
	"weir/security/grant"
	"weir/security/token"
)

// TestSDKRoles: an SDK may what its role grants, and when the policy no longer grants it the subscription ends for good
// while the connection stays.
func TestSDKRoles(t *testing.T) {
	t.Parallel()
	policy := func(patterns ...string) *grant.Policy {
		p, err := grant.NewPolicy(map[string][]grant.Capability{"reader": {{Channels: patterns, Match: "wildcard", Allow: []string{"sub"}}}})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	var cfg engine.Config
	s := serve(t, func(c *engine.Config) { c.Roles, cfg = policy("feeds:*"), *c })
	jwt, err := token.Sign(secret, token.SignClaims{Subject: "alice", ExpiresAt: time.Now().Add(time.Hour).Unix(), Roles: []string{"reader"}})
	if err != nil {
		t.Fatal(err)
	}
	n := s.connected(t, order{"token": jwt}, "feeds:a", "feeds:b")
	s.mustReceive(n, "feeds:a", `1`)
	cfg.Roles = policy("feeds:b")
	if err := s.Reload(context.Background(), cfg); err != nil {
		t.Fatal(err)
	}
	if e := n.next("unsubscribed", chatter...); e.Channel != "feeds:a" || e.Code != 2003 {
		t.Errorf("what ended is %+v, want feeds:a and 2003", e)
	}
	s.publish("feeds:a", `"unseen"`)
	s.mustReceive(n, "feeds:b", `"seen"`)
	n.do(order{"do": "subscribe", "channel": "feeds:c"})
	if e := n.next("unsubscribed", append(chatter, "subscribing")...); e.Channel != "feeds:c" || e.Code != 103 {
		t.Errorf("another channel: %+v, want 103", e)
	}
}

// TestSDKTicketOfARole: a ticket may name roles as a token does.
func TestSDKTicketOfARole(t *testing.T) {
	t.Parallel()
	s := serve(t, func(c *engine.Config) {
		var err error
		if c.Roles, err = grant.NewPolicy(map[string][]grant.Capability{"reader": {{Channels: []string{"feeds:*"}, Match: "wildcard", Allow: []string{"sub"}}}}); err != nil {
			t.Fatal(err)
		}
	})
	var issued struct{ Ticket string }
	if err := json.Unmarshal(s.api("issue_ticket", `{"sub":"alice","roles":["reader","nobody"]}`), &issued); err != nil {
		t.Fatal(err)
	}
	n := s.sdk(t, order{"url": s.url(wsPath) + "?ticket=" + issued.Ticket})
	n.do(order{"do": "connect"})
	n.next("connected", append(chatter, "connecting")...)
	n.do(order{"do": "subscribe", "channel": "feeds:a"})
	n.next("subscribed", append(chatter, "subscribing")...)
	s.mustReceive(n, "feeds:a", `1`)
	n.do(order{"do": "publish", "channel": "feeds:a", "data": 2})
	if e := n.next("publish error", chatter...); e.Code != 103 {
		t.Errorf("a publication, which the role does not grant: %+v, want 103", e)
	}
}

// TestSDKKeyThatComes: an SDK whose token is by a key that the server has not got yet tries again by itself, and is let in
// when the key has come.
func TestSDKKeyThatComes(t *testing.T) {
	t.Parallel()
	keys := token.NewKeySet()
	s := serve(t, func(c *engine.Config) {
		var err error
		if c.Tokens, err = token.New(token.Config{KeySet: keys}); err != nil {
			t.Fatal(err)
		}
	})
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", "k"))
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(fmt.Appendf(nil, `{"sub":"alice","exp":%d,"caps":[{"channels":["feeds:*"],"match":"wildcard","allow":["sub","pub"]}]}`, time.Now().Add(time.Hour).Unix()))
	if err != nil {
		t.Fatal(err)
	}
	jwt, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	n := s.sdk(t, order{"token": jwt})
	n.do(order{"do": "connect"})
	select {
	case <-keys.Asked():
	case <-time.After(longest):
		t.Fatal("nobody asked for the key")
	}
	if err := keys.Replace([]token.Key{{ID: "k", Algorithm: "ES256", Public: key.Public()}}, time.Now()); err != nil {
		t.Fatal(err)
	}
	n.next("connected", append(chatter, "connecting", "error")...)
	n.do(order{"do": "subscribe", "channel": "feeds:a"})
	n.next("subscribed", append(chatter, "subscribing")...)
	s.mustReceive(n, "feeds:a", `1`)
}
