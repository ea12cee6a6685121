package main

import (
	"bytes"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"weir/security/certs/certstest"
)

// clientFlags are the arguments by which a command shows a certificate of this name.
func clientFlags(a *certstest.Authority, name string) []string {
	cert, key := a.ClientFiles(name)
	return []string{"--client-cert", cert, "--client-key", key}
}

// TestAPIBeyondLoopback is row T5: an API that others can reach is TLS and takes who shows a certificate of the named
// authority and has the key; the authority changes with SIGHUP.
func TestAPIBeyondLoopback(t *testing.T) {
	ours, theirs := certstest.NewAuthority(t), certstest.NewAuthority(t)
	args := append(good(t, "serve"), "--api-listen=0.0.0.0:0", "--api-client-ca-file", ours.File)
	r := serving(t, nil, args...)
	_, port, err := net.SplitHostPort(r.address("api"))
	if err != nil {
		t.Fatal(err)
	}
	publish := func(scheme, key string, more ...string) (int, string) {
		status, stdout, stderr := weir(append([]string{"pub", "a", "1", "--api", scheme + "://127.0.0.1:" + port, "--api-key", key}, more...)...)
		return status, stdout + stderr
	}
	trust := []string{"--ca-file", args[4]}
	mine, foreign := append(clientFlags(ours, "app:1"), trust...), append(clientFlags(theirs, "app:1"), trust...)
	if status, text := publish("https", "k", mine...); status != 0 {
		t.Fatalf("with a certificate: %s", text)
	}
	if status, text := publish("https", "other", mine...); status == 0 || !strings.Contains(text, "401") {
		t.Errorf("with a certificate and another key: %s", text)
	}
	for name, more := range map[string][]string{"no certificate": trust, "another authority's": foreign} {
		if status, text := publish("https", "k", more...); status == 0 || !strings.Contains(text, "certificate") {
			t.Errorf("%s: %s", name, text)
		}
	}
	r.stderr.Await(t, "TLS handshake at --api-listen failed")
	if status, text := publish("http", "k"); status == 0 {
		t.Errorf("without TLS: %s", text)
	}
	if status, text := publish("https", "k", clientFlags(ours, "app:1")...); status == 0 || !strings.Contains(text, "--ca-file") {
		t.Errorf("the server's own certificate is taken on trust: %s", text)
	}

	theirCA, err := os.ReadFile(theirs.File)
	if err != nil {
		t.Fatal(err)
	}
	replaceFile(t, ours.File, theirCA)
	r.signals <- syscall.SIGHUP
	r.stderr.Await(t, `"msg":"reloaded"`)
	if status, text := publish("https", "k", foreign...); status != 0 {
		t.Errorf("the new authority's: %s", text)
	}
	if status, _ := publish("https", "k", mine...); status == 0 {
		t.Error("the old authority's is taken")
	}
	if bytes.Contains([]byte(r.stderr.String()), []byte("didn't provide")) {
		t.Error("the log quotes crypto/tls, which quotes peers")
	}
}

// TestAPICertificateOfItsOwn: the API's pair is another than the public one, on loopback also without client certificates.
func TestAPICertificateOfItsOwn(t *testing.T) {
	cert, key := pair(t)
	r := serving(t, nil, append(good(t, "serve"), "--api-tls-cert", cert, "--api-tls-key", key)...)
	if status, _, stderr := weir("pub", "a", "1", "--api", "https://"+r.address("api"), "--api-key=k", "--ca-file", cert); status != 0 {
		t.Error(stderr)
	}
}

// TestSubShowsACertificate: a client certificate in the place of a token.
func TestSubShowsACertificate(t *testing.T) {
	pki := certstest.NewAuthority(t)
	config := writeFile(t, "weir.yaml", "namespaces:\n  - name: open\n    allow_subscribe_for_client: true\n    history_size: 1\n    history_ttl: 1h\n    force_recovery: true\n")
	args := append(without(good(t, "serve"), "--token-hmac-secret"), "--config", config, "--client-ca-file", pki.File)
	r := serving(t, nil, args...)
	sub := func(channel string, more ...string) (int, string) {
		status, stdout, stderr := weir(append([]string{"sub", channel, "--count=1", "--url", "wss://" + r.address("listen"),
			"--origin=https://app.example.com", "--ca-file", args[4]}, more...)...)
		return status, stdout + stderr
	}
	i := &invocation{args: append([]string{"sub", "open:a#spiffe://example.com/feeder", "--count=1", "--url", "wss://" + r.address("listen"),
		"--origin=https://app.example.com", "--ca-file", args[4]}, clientFlags(pki, "spiffe://example.com/feeder")...)}
	status := make(chan int, 1)
	go func() { status <- run(i.process()) }()
	for done := false; !done; { // until it has subscribed
		select {
		case got := <-status:
			if done = true; got != 0 || !strings.Contains(i.stdout.String(), `"data":7`) {
				t.Errorf("status %d: %s%s", got, i.stdout.String(), i.stderr.String())
			}
		default:
			if code, _, stderr := weir("pub", "open:a#spiffe://example.com/feeder", "7", "--api", "http://"+r.address("api"), "--api-key=k"); code != 0 {
				t.Fatal(stderr)
			}
		}
	}
	if status, text := sub("open:a#spiffe://example.com/feeder", clientFlags(pki, "spiffe://example.com/other")...); status == 0 || !strings.Contains(text, "103") {
		t.Errorf("another user's channel: %s", text)
	}
	if status, text := sub("open:a"); status == 0 || !strings.Contains(text, "--client-cert") {
		t.Errorf("no certificate: %s", text)
	}
	if status, text := sub("open:a", "--client-cert", args[4]); status != statusMistake || !strings.Contains(text, "--client-key") {
		t.Errorf("without the key: %s", text)
	}
}
