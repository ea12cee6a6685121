package engine

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"weir/security/token"
)

// signRaw signs claims that no tool of ours writes.
func signRaw(t testing.TB, claims map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: testSecret}, nil)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	jwt, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return jwt
}

// TestSubsClaim: the data of a server-side subscription comes with it, its info with what its user publishes there.
func TestSubsClaim(t *testing.T) {
	s := start(t, nil)
	c := s.client(t)
	reply := c.mustDo(`"connect":{"token":"` + signRaw(t, map[string]any{"sub": "alice", "exp": time.Now().Add(time.Hour).Unix(),
		"channels": []string{"open:b"}, "subs": map[string]any{"open:a": map[string]any{"data": []int{1}, "info": "host"}}}) + `"}`)
	if want := `"subs":{"open:b":{"positioned":true,"offset":0,"epoch":`; !strings.Contains(reply, want) {
		t.Errorf("%s is not in %s", want, reply)
	}
	if strings.Count(reply, `"data":[1]`) != 1 {
		t.Errorf("the data is not in %s", reply)
	}
	c.send(`{"id":8,"publish":{"channel":"open:a","data":1}}` + "\n" + `{"id":9,"publish":{"channel":"open:b","data":1}}`)
	var pushes []string
	for len(pushes) < 2 {
		if line := c.mustNext(); strings.HasPrefix(line, `{"push"`) {
			pushes = append(pushes, line)
		}
	}
	if !strings.Contains(pushes[0], `"chan_info":"host"`) || strings.Contains(pushes[1], "chan_info") {
		t.Errorf("the pushes are %s", pushes)
	}
}

// TestSubscriptionInfo: the info of a subscription token, and of the one that renews it.
func TestSubscriptionInfo(t *testing.T) {
	s := start(t, nil)
	c := s.connected(t, sign(t, "alice", "open:*"))
	signed := func(info string) string {
		return signClaims(t, token.SignClaims{Subject: "alice", Channel: "open:a", ExpiresAt: time.Now().Add(time.Hour).Unix(), Info: json.RawMessage(info)})
	}
	for _, x := range []struct{ method, info string }{{"subscribe", `{"seat":1}`}, {"sub_refresh", `{"seat":2}`}} {
		c.mustDo(withToken(x.method, "open:a", signed(x.info)))
		c.send(`{"id":99,"publish":{"channel":"open:a","data":1}}`)
		for line := ""; !strings.HasPrefix(line, `{"push"`); {
			if line = c.mustNext(); strings.HasPrefix(line, `{"push"`) && !strings.Contains(line, `"chan_info":`+x.info) {
				t.Errorf("after %s: %s", x.method, line)
			}
		}
	}
}
