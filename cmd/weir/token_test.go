package main

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/security/grant"
	"weir/security/token"
)

const testSecret = "0123456789abcdef0123456789abcdef"

func TestTokenIsWhatTheServerAccepts(t *testing.T) {
	file := writeFile(t, "secret", testSecret+"\n")
	for _, args := range [][]string{
		{"token", "--token-hmac-secret", testSecret},
		{"token", "--token-hmac-secret-file", file},
	} {
		status, stdout, stderr := weir(append(args, "--sub=alice", "--channels=feeds:*,bench*,room", "--allow=sub,hst", "--ttl=1h")...)
		if status != 0 || stderr != "" || strings.Count(stdout, "\n") != 1 {
			t.Fatalf("status %d, stdout %q, stderr %q", status, stdout, stderr)
		}
		payload, err := base64.RawURLEncoding.DecodeString(strings.Split(stdout, ".")[1])
		if want := `"caps":[{"channels":["feeds:*","bench*","room"],"match":"wildcard","allow":["sub","hst"]}]`; err != nil || !strings.Contains(string(payload), want) {
			t.Errorf("claims %s do not hold %s (%v)", payload, want, err)
		}
		verifier, err := token.New(token.Config{HMACSecrets: [][]byte{[]byte(testSecret)}})
		if err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		claims, err := verifier.Connection([]byte(strings.TrimSpace(stdout)), now)
		if err != nil {
			t.Fatal(err)
		}
		left := time.Unix(claims.ExpiresAt, 0).Sub(now)
		if claims.Subject != "alice" || len(claims.Channels) != 0 || claims.ID == "" || left < 59*time.Minute || left > 61*time.Minute {
			t.Errorf("claims %+v, %v left", claims, left)
		}
		for _, c := range []struct {
			verb    grant.Verb
			channel string
			want    bool
		}{
			{grant.Sub, "feeds:prices", true}, {grant.Hst, "feeds:prices", true}, {grant.Sub, "bench7", true}, {grant.Sub, "room", true},
			{grant.Pub, "feeds:prices", false}, {grant.Sub, "other", false}, {grant.Sub, "room2", false},
		} {
			if got := claims.Grant.Allows(c.verb, c.channel); got != c.want {
				t.Errorf("verb %v on %s: got %v", c.verb, c.channel, got)
			}
		}
	}
}

// TestSubscriptionToken: --channel makes a token for that channel alone, which no connection can be made with.
func TestSubscriptionToken(t *testing.T) {
	verifier, err := token.New(token.Config{HMACSecrets: [][]byte{[]byte(testSecret)}})
	if err != nil {
		t.Fatal(err)
	}
	status, stdout, stderr := weir("token", "--token-hmac-secret", testSecret, "--sub=alice", "--channel=$feeds:a,b", `--info={"role": "host"}`, "--ttl=1h")
	if status != 0 {
		t.Fatalf("status %d, %s", status, stderr)
	}
	now, jwt := time.Now(), []byte(strings.TrimSpace(stdout))
	c, err := verifier.Subscription(jwt, now)
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Unix(c.ExpiresAt, 0).Sub(now); c.Subject != "alice" || c.Channel != "$feeds:a,b" || string(c.Info) != `{"role":"host"}` || c.ID == "" || left < 59*time.Minute || left > 61*time.Minute {
		t.Errorf("claims %+v, %v left", c, left)
	}
	if _, err := verifier.Connection(jwt, now); err == nil {
		t.Error("it is taken for a connection's")
	}
	_, stdout, _ = weir("token", "--token-hmac-secret", testSecret, "--sub=alice", "--server-channels=feeds:a,feeds:b", "--roles=reader,editor", `--info="Alice"`)
	connection, err := verifier.Connection([]byte(strings.TrimSpace(stdout)), time.Now())
	if err != nil || !slices.Equal(connection.Roles, []string{"reader", "editor"}) || !slices.Equal(connection.ServerChannels(), []string{"feeds:a", "feeds:b"}) || string(connection.Info) != `"Alice"` || connection.Grant.Allows(grant.Sub, "feeds:a") {
		t.Errorf("claims %+v, %v", connection, err)
	}
}

func TestTwoTokensDiffer(t *testing.T) {
	_, a, _ := weir("token", "--token-hmac-secret", testSecret)
	_, b, _ := weir("token", "--token-hmac-secret", testSecret)
	if a == b {
		t.Error("the same identifier twice")
	}
}

func TestTokenMistakes(t *testing.T) {
	with := func(args ...string) []string {
		return append([]string{"token", "--token-hmac-secret", testSecret}, args...)
	}
	for _, c := range []struct{ args, words []string }{
		{[]string{"token"}, []string{"--token-hmac-secret", "WEIR_TOKEN_HMAC_SECRET"}},
		{[]string{"token", "--token-hmac-secret=short"}, []string{"--token-hmac-secret", "32"}},
		{with("--allow=sub,write"), []string{"--allow", "write", "prs"}},
		{with("--channels=a\tb"), []string{"--channels"}},
		{with("--channels=" + strings.Repeat("c", 256)), []string{"--channels"}},
		{with("--ttl=0s"), []string{"--ttl"}},
		{with("--channel=a\tb"), []string{"--channel"}},
		{with("--server-channels=a\tb"), []string{"--server-channels"}},
		{with("--channel=a", "--channels=b"), []string{"--channel", "--channels", "leave out"}},
		{with("--channel=a", "--server-channels=b"), []string{"--channel", "--server-channels", "leave out"}},
		{with("--info={"), []string{"--info", "JSON"}},
		{with(`--info={"a":1,"a":2}`), []string{"claims"}},
		{with("--token-hmac-secret-file=x"), []string{"both"}},
	} {
		wantRefusal(t, nil, c.args, c.words...)
	}
}
