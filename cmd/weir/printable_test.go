package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
)

// commands are what a terminal obeys: it clears, names the window, returns to the
// left, turns what follows around, and begins a line that is none of ours.
const commands = "\x1b[2J\x1b]0;x\x07\rz\u009bJ\u202e\x9b\nweir sub: all is well"

// wantQuiet checks that nothing in text is obeyed, and that it has so many lines.
func wantQuiet(t *testing.T, text string, lines int) {
	t.Helper()
	if at := strings.IndexFunc(text, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }); at >= 0 {
		t.Errorf("%q stands in %q", text[at:], text)
	}
	if n := strings.Count(text, "\n"); n != lines {
		t.Errorf("%d lines, want %d: %q", n, lines, text)
	}
}

func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "plain é 漢\n": "plain é 漢\n", "a\x1bb": `a\u001bb`, "\x7f\u0080\u009f\u00a0": `\u007f\u0080\u009f` + "\u00a0",
		"\u202e\u2066\u200f\u061c\u2028": `\u202e\u2066\u200f\u061c\u2028`, "a\x9bb": "a\ufffdb", "\t\r": `\u0009\u000d`,
	} {
		if got := string(printable([]byte(text))); got != want {
			t.Errorf("%q is printed as %q, want %q", text, got, want)
		}
	}
	if got := oneLine("a\nb"); got != `a\nb` {
		t.Errorf("one line: %q", got)
	}
}

// TestNamesInCertificatesAreNotObeyed: whoever is on the way can answer in the server's place, with
// any names in a certificate that nobody has signed, and the refusal names them.
func TestNamesInCertificatesAreNotObeyed(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{strings.Map(func(r rune) rune {
			if r > unicode.MaxASCII { // which no name may have
				return -1
			}
			return r
		}, commands)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	server.StartTLS()
	defer server.Close()
	at := strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	for _, args := range [][]string{
		{"sub", "--token=T", "--url", "wss" + strings.TrimPrefix(at, "https"), "a"},
		{"pub", "--api-key=K", "--api", at, "a", "1"},
	} {
		status, _, stderr := weir(args...)
		if status == 0 || !strings.Contains(stderr, `\u001b[2J`) {
			t.Errorf("%s: %d %q", args[0], status, stderr)
		}
		wantQuiet(t, stderr, 1)
	}
}

// TestQueryPrintsNothingRaw: users choose their names, and whoever sends a log for a look its lines.
func TestQueryPrintsNothingRaw(t *testing.T) {
	user, err := json.Marshal(commands)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "audit.log")
	content := `{"@timestamp":"2026-01-01T00:00:00.000Z","event.code":"201","user.id":` + string(user) + "}\n" +
		"time=2026-01-01T00:00:00.000Z event=x id=201 user=" + strings.NewReplacer("\n", "\u0085", " ", "_").Replace(commands) + "\n"
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{nil, {"--count-by=user"}} {
		status, stdout, stderr := weir(append([]string{"audit", "query", file}, args...)...)
		if status != 0 {
			t.Errorf("%v: %d %s", args, status, stderr)
		}
		wantQuiet(t, stdout, 2+len(args)) // counts end with their sum
	}
}
