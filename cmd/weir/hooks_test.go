package main

import (
	"strings"
	"testing"

	"weir/engine/backend"
)

func TestHooks(t *testing.T) {
	file := writeFile(t, "header", "X-Key: hunter2\n")
	config := writeFile(t, "weir.yaml", "connect_hook: https://app.example.com/connect\nhook_timeout: 2s\nnamespaces:\n- {name: a, subscribe_hook: true, publish_hook: true}\n")
	args := append(without(good(t, "check"), "--token-hmac-secret"), "--config", config, "--rpc-hook=http://127.0.0.1:3000/rpc?key=hunter2", "--subscribe-hook=http://localhost/s", "--publish-hook=http://[::1]/p", "--hook-concurrency=2", "--hook-header-file", file)
	status, stdout, stderr := weir(args...)
	if status != 0 || !strings.Contains(stdout, "hooks       connect, rpc, subscribe, publish\n") || !strings.Contains(stdout, "8 asked, 32 waiting") {
		t.Errorf("status %d, %s, %s", status, stdout, stderr)
	}
	for _, secret := range []string{"hunter2", "app.example.com", "/rpc"} {
		if strings.Contains(stdout+stderr, secret) {
			t.Errorf("%s is told", secret)
		}
	}
	s, err := newSetup(&process{}, parsed(t, nil, args...).Check.serverOptions, parsed(t, nil, args...).namespaces)
	if err != nil {
		t.Fatal(err)
	}
	h := s.config.Hooks
	if h.URLs != [backend.Kinds]string{"https://app.example.com/connect", "http://127.0.0.1:3000/rpc?key=hunter2", "", "http://localhost/s", "http://[::1]/p"} ||
		h.Timeout.String() != "2s" || h.Concurrency != 2 || h.HeaderName != "X-Key" || h.HeaderValue != "hunter2" {
		t.Errorf("%+v", h)
	}
	if n := s.config.Namespaces; len(n) != 1 || !n[0].SubscribeHook || !n[0].PublishHook {
		t.Errorf("%+v", n)
	}
	if status, stdout, _ := weir(good(t, "check")...); status != 0 || strings.Contains(stdout, "hooks") {
		t.Errorf("without hooks: status %d, %s", status, stdout)
	}
}

func TestHookMistakes(t *testing.T) {
	bad := func(args ...string) []string { return append(good(t, "check"), args...) }
	hooked := func(key string) []string {
		return bad("--config", writeFile(t, "weir.yaml", "namespaces:\n- {name: a, "+key+": true}\n"))
	}
	for _, c := range []struct{ args, words []string }{
		{bad("--rpc-hook=http://app.example.com/x"), []string{"--rpc-hook", "https://"}},
		{bad("--connect-hook=app.example.com"), []string{"--connect-hook", "URL"}},
		{bad("--send-hook=https://u:hunter2@app.example.com"), []string{"--send-hook", "--hook-header-file"}},
		{bad("--publish-hook=grpc://localhost"), []string{"--publish-hook", "https"}},
		{bad("--hook-timeout=0s"), []string{"--hook-timeout", "1ms"}},
		{bad("--hook-timeout=31s"), []string{"--hook-timeout", "30s"}},
		{bad("--hook-concurrency=0"), []string{"--hook-concurrency", "between 1"}},
		{bad("--hook-concurrency=4097"), []string{"--hook-concurrency", "4096"}},
		{bad("--hook-header=hunter2"), []string{"--hook-header", "NAME: VALUE"}},
		{bad("--hook-header-file", writeFile(t, "header", "Host: hunter2")), []string{"--hook-header-file", "Host"}},
		{bad("--hook-header-file", writeFile(t, "header", "A: hunter2\nB: c")), []string{"--hook-header-file", "line break"}},
		{bad("--hook-header=A: b", "--hook-header-file=x"), []string{"--hook-header", "both"}},
		{hooked("subscribe_hook"), []string{`"a"`, "subscribe_hook", "--subscribe-hook"}},
		{hooked("publish_hook"), []string{`"a"`, "publish_hook", "--publish-hook"}},
		{without(good(t, "check"), "--token-hmac-secret"), []string{"--token-hmac-secret", "--connect-hook"}},
	} {
		wantRefusal(t, nil, c.args, c.words...)
		if _, stdout, stderr := weir(c.args...); strings.Contains(stdout+stderr, "hunter2") {
			t.Errorf("%v: the message tells the secret: %s", c.args, stderr)
		}
	}
}
