package token

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"

	"weir/security/grant"
)

func vouched(t *testing.T, said string) (*Claims, error) {
	t.Helper()
	var members map[string]json.RawMessage
	if err := json.Unmarshal([]byte(said), &members); err != nil {
		t.Fatal(err)
	}
	return Vouched(members)
}

func TestVouched(t *testing.T) {
	c, err := vouched(t, `{"user":"alice","expire_at":1800000060,"info":{"a": 1},"meta":{"m":[]},"channels":["feeds:a"],
		"subs":{"feeds:b":{"info":1,"data":"d"}},"caps":[{"channels":["feeds:*"],"match":"wildcard","allow":["sub"]}],"roles":["editor"],
		"sub":"mallory","exp":1,"iat":5,"data":{"x":1},"b64info":"","channel":"feeds:x"}`)
	if err != nil {
		t.Fatal(err)
	}
	if c.Subject != "alice" || *c.ExpireAt != 1800000060 || c.ExpiresAt != 0 || c.IssuedAt != 0 || string(c.Info) != `{"a":1}` || string(c.Meta) != `{"m":[]}` ||
		!slices.Equal(c.ServerChannels(), []string{"feeds:a", "feeds:b"}) || string(c.Subs["feeds:b"].Data) != `"d"` ||
		!slices.Equal(c.Roles, []string{"editor"}) || !c.Grant.Allows(grant.Sub, "feeds:x") || c.Grant.Allows(grant.Pub, "feeds:x") {
		t.Errorf("claims %+v", c)
	}
	for said, user := range map[string]string{`{"user":"u"}`: "u", `{"user":"","info":null,"expire_at":null,"channels":null,"subs":null,"caps":null}`: ""} {
		c, err := vouched(t, said)
		if err != nil || c.Subject != user || *c.ExpireAt != 0 || c.Info != nil || c.Grant.Allows(grant.Sub, "a") || c.ServerChannels() != nil {
			t.Errorf("%s: %+v, %v", said, c, err)
		}
	}
	for _, said := range []string{
		`{}`, `{"user":null}`, `{"user":1}`, `{"User":"u"}`, `{"user":["u"]}`,
		`{"user":"u","expire_at":-1}`, `{"user":"u","expire_at":"1"}`, `{"user":"u","expire_at":1e300}`,
		`{"user":"u","channels":"a"}`, `{"user":"u","channels":[1]}`, `{"user":"u","channels":["a\n"]}`, `{"user":"u","channels":[""]}`,
		`{"user":"u","subs":["a"]}`, `{"user":"u","subs":{"a":1}}`, `{"user":"u","caps":{}}`, `{"user":"u","caps":[1]}`, `{"user":"u","roles":1}`,
		`{"user":"u","caps":[{"channels":["a"],"allow":["all"]}]}`, `{"user":"u","caps":[{"channels":["a"],"allow":["sub"],"deny":["b"]}]}`,
	} {
		if c, err := vouched(t, said); !errors.Is(err, ErrInvalid) || c != nil {
			t.Errorf("%s is taken for %+v, %v", said, c, err)
		}
	}
}
