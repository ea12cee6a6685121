package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"weir/security/oplog/logtest"
)

// TestTokensForOthers: iss and aud count, wherever the options stand; what weir token makes with them is taken.
func TestTokensForOthers(t *testing.T) {
	sign := func(args ...string) []byte {
		t.Helper()
		status, stdout, stderr := weir(append([]string{"token", "--token-hmac-secret", testSecret, "--sub=alice"}, args...)...)
		if status != 0 {
			t.Fatal(stderr)
		}
		return []byte(strings.TrimSpace(stdout))
	}
	file := writeFile(t, "weir.yaml", "token_issuer: me\ntoken_audience: [weir, push]\n")
	for name, i := range map[string]*invocation{
		"flags":       {args: append(good(t, "check"), "--token-issuer=me", "--token-audience=weir,push")},
		"environment": {args: good(t, "check"), env: []string{"WEIR_TOKEN_ISSUER=me", "WEIR_TOKEN_AUDIENCE=weir,push"}},
		"file":        {args: append(good(t, "check"), "--config", file)},
	} {
		c, err := parse(i.process())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		s, err := newSetup(i.process(), c.Check.serverOptions, nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, k := range []struct {
			args []string
			good bool
		}{
			{nil, false}, {[]string{"--token-issuer=me"}, false}, {[]string{"--token-audience=push"}, false},
			{[]string{"--token-issuer=me", "--token-audience=Push"}, false}, {[]string{"--token-issuer=me2", "--token-audience=push"}, false},
			{[]string{"--token-issuer=me", "--token-audience=push"}, true}, {[]string{"--token-issuer=me", "--token-audience=x,weir"}, true},
			{[]string{"--config", file}, true},
		} {
			if _, err := s.config.Tokens.Connection(sign(k.args...), time.Now()); (err == nil) != k.good {
				t.Errorf("%s: a token by %q: %v", name, k.args, err)
			}
		}
	}
}

// TestAudienceChanges: the server asks for another audience after SIGHUP, and whoever has a token for the old one is refused.
func TestAudienceChanges(t *testing.T) {
	file := writeFile(t, "weir.yaml", "token_audience: old\n")
	args := unhurried(append(good(t, "serve"), "--config", file)...)
	i := &invocation{args: args, signals: make(chan os.Signal, 1)}
	status := make(chan int, 1)
	go func() { status <- run(i.process()) }()
	i.stderr.Await(t, `"msg":"serving"`)
	url := "wss://" + regexp.MustCompile(`"listen":"([^"]+)"`).FindStringSubmatch(i.stderr.String())[1] + "/connection/websocket"
	sub := func(audience string) (*invocation, chan int) {
		_, jwt, _ := weir("token", "--token-hmac-secret", testSecret, "--channels=a", "--sub=alice", "--token-audience", audience)
		s := &invocation{args: []string{"sub", "a", "--url", url, "--token", strings.TrimSpace(jwt), "--count=1",
			"--ca-file", args[slices.Index(args, "--tls-cert")+1], "--origin=https://app.example.com"}, signals: make(chan os.Signal, 1)}
		done := make(chan int, 1)
		go func() { done <- run(s.process()) }()
		return s, done
	}
	in := func(audience string) {
		t.Helper()
		s, done := sub(audience)
		s.stderr.Await(t, "subscribed to a")
		s.signals <- syscall.SIGTERM
		<-done
	}
	in("old")
	if err := os.WriteFile(file, []byte("token_audience: new\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	i.signals <- syscall.SIGHUP
	i.stderr.Await(t, `"msg":"reloaded"`)
	in("new")
	if s, done := sub("old"); <-done == 0 {
		t.Errorf("a token for the old audience: %s", s.stderr.String())
	}
	i.signals <- syscall.SIGTERM
	if got := <-status; got != 0 || strings.Contains(i.stderr.String(), `"options"`) {
		t.Errorf("status %d: %s", got, i.stderr.String())
	}
}

// TestOpenAudienceIsTold: check and the log of serve say when tokens for others are taken.
func TestOpenAudienceIsTold(t *testing.T) {
	args := append(good(t, "check"), "--jwks-url=https://issuer.example.com/jwks")
	const warning = "--jwks-url without --token-audience"
	if status, stdout, stderr := weir(args...); status != 0 || !strings.Contains(stdout, "Warning: "+warning) {
		t.Errorf("status %d: %s%s", status, stdout, stderr)
	}
	if status, stdout, stderr := weir(append(args, "--token-audience=weir")...); status != 0 || strings.Contains(stdout+stderr, warning) {
		t.Errorf("status %d: %s%s", status, stdout, stderr)
	}
	var log logtest.Log
	o := serverOptions{LogLevel: "info"}
	s := &setup{warning: warning}
	s.config.Log, _ = newLog(&process{stderr: &log}, &o)
	s.warn()
	if !strings.Contains(log.String(), `"level":"WARN","msg":"`+warning) {
		t.Errorf("the log: %s", log.String())
	}
}
