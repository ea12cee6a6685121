package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// TestKeysByURL: weir sub comes in with a token by a key that the server fetched.
func TestKeysByURL(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	issuer := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k", Algorithm: "ES256", Use: "sig"}}})
	}))
	defer issuer.Close()
	ca := writeFile(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: issuer.Certificate().Raw})))
	args := append(without(good(t, "serve"), "--token-hmac-secret"), "--jwks-url", issuer.URL+"/jwks?s=hunter2", "--jwks-ca-file", ca)
	i := &invocation{args: unhurried(args...), signals: make(chan os.Signal, 1)}
	status := make(chan int, 1)
	go func() { status <- run(i.process()) }()
	i.stderr.Await(t, `"msg":"serving"`, `"msg":"token keys fetched","keys":1`, "--jwks-url without --token-audience")
	i.signals <- syscall.SIGHUP // the keys that came stay
	i.stderr.Await(t, `"msg":"reloaded"`)

	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", "k"))
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(fmt.Appendf(nil, `{"sub":"alice","exp":%d,"caps":[{"channels":["a"],"allow":["sub"]}]}`, time.Now().Add(time.Hour).Unix()))
	if err != nil {
		t.Fatal(err)
	}
	jwt, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	find := func(what string) string {
		return regexp.MustCompile(`"` + what + `":"([^"]+)"`).FindStringSubmatch(i.stderr.String())[1]
	}
	sub := &invocation{args: []string{"sub", "a", "--url", "wss://" + find("listen") + "/connection/websocket", "--token", jwt, "--count=1",
		"--ca-file", args[slices.Index(args, "--tls-cert")+1], "--origin=https://app.example.com"}}
	done := make(chan int, 1)
	go func() { done <- run(sub.process()) }()
	sub.stderr.Await(t, "subscribed to a")
	if code, stdout, stderr := weir("pub", "a", "7", "--api", "http://"+find("api"), "--api-key=k"); code != 0 {
		t.Errorf("pub: %d, %s%s", code, stdout, stderr)
	}
	if code := <-done; code != 0 || !strings.Contains(sub.stdout.String(), `"data":7`) {
		t.Errorf("sub: %d, %s%s", code, sub.stdout.String(), sub.stderr.String())
	}
	i.signals <- syscall.SIGTERM
	if got := <-status; got != 0 || strings.Contains(i.stderr.String(), "hunter2") {
		t.Errorf("status %d: %s", got, i.stderr.String())
	}
}
