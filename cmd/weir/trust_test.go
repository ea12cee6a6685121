package main

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// caFile writes the certificate of a test server where --ca-file can read it.
func caFile(t *testing.T, s *httptest.Server) string {
	t.Helper()
	return writeFile(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})))
}

func pinOf(cert *x509.Certificate) string {
	digest := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return "sha256/" + base64.StdEncoding.EncodeToString(digest[:])
}

func TestPinsAreCheckedAfterTheChain(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	right, wrong := pinOf(server.Certificate()), "sha256/"+base64.StdEncoding.EncodeToString(make([]byte, sha256.Size))
	ca := path(caFile(t, server))

	dial := func(o chainOptions, name string) error {
		cfg, err := o.tlsConfig()
		if err != nil {
			t.Fatal(err)
		}
		cfg.ServerName = name
		conn, err := tls.Dial("tcp", server.Listener.Addr().String(), cfg)
		if err == nil {
			conn.Close()
		}
		return err
	}
	for _, c := range []struct {
		name    string
		options chainOptions
		host    string
		failure string // "" is success
	}{
		{"no root", chainOptions{}, "example.com", "unknown authority"},
		{"root", chainOptions{CAFile: ca}, "example.com", ""},
		{"root and pin", chainOptions{CAFile: ca, Pins: list{right}}, "example.com", ""},
		{"one pin of two", chainOptions{CAFile: ca, Pins: list{wrong, right}}, "example.com", ""},
		{"root and foreign pin", chainOptions{CAFile: ca, Pins: list{wrong}}, "example.com", "--pin"},
		{"the pin alone does not replace the chain", chainOptions{Pins: list{right}}, "example.com", "unknown authority"},
		{"the pin does not replace the host name", chainOptions{CAFile: ca, Pins: list{right}}, "other.test", "other.test"},
	} {
		err := dial(c.options, c.host)
		switch {
		case c.failure == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.failure != "" && (err == nil || !strings.Contains(err.Error(), c.failure)):
			t.Errorf("%s: got %v, want %q", c.name, err, c.failure)
		}
	}
}

// TestNothingSkipsVerification is row T4: no option of any command sounds like it.
func TestNothingSkipsVerification(t *testing.T) {
	parser, err := newParser(&process{stdout: &bytes.Buffer{}, stderr: &bytes.Buffer{}}, &cli{}, &settings{})
	if err != nil {
		t.Fatal(err)
	}
	names := optionNames(parser.Model.Node)
	if !names["pin"] || !names["ca-file"] {
		t.Fatalf("these are not the options: %v", names)
	}
	for name := range names {
		for _, word := range []string{"insecure", "skip", "verify", "unsafe", "trust", "ignore"} {
			if strings.Contains(name, word) && name != "trusted-proxies" {
				t.Errorf("--%s", name)
			}
		}
	}
}

func TestTrustMistakes(t *testing.T) {
	sub := func(args ...string) []string { return append([]string{"sub", "c"}, args...) }
	for _, c := range []struct{ args, words []string }{
		{sub("--ca-file=/nowhere.pem"), []string{"--ca-file", "no such file"}},
		{sub("--ca-file=" + writeFile(t, "ca.pem", "hello")), []string{"--ca-file", "no certificate"}},
		{sub("--pin=abc"), []string{"--pin", "abc", "sha256/"}},
		{sub("--pin=sha256/AAAA"), []string{"--pin", "44 characters"}},
		{sub("--pin=sha1/AAAA"), []string{"--pin", "sha256/"}},
		{sub("--url=ws://localhost/"), []string{"--url", "wss://"}},
		{sub("--url=wss://"), []string{"--url"}},
		{sub("--url=wss://localhost/feed"), []string{"--url", "/feed", "leave"}},
		{sub("--url=wss://user:secret@localhost/"), []string{"--url", "user name"}},
		{sub("--token=a", "--token-file=b"), []string{"--token", "--token-file", "both"}},
		{sub("--token-file=/nowhere"), []string{"--token-file", "no such file"}},
		{sub("--token-file=" + writeFile(t, "token", "\n")), []string{"--token-file", "is empty"}},
		{sub("--token-file=" + writeFile(t, "token", strings.Repeat("x", maxSecretBytes+1))), []string{"--token-file", "over"}},
		{sub("c"), []string{"c is named twice"}},
		{[]string{"sub"}, []string{"channel"}},
	} {
		wantRefusal(t, nil, c.args, c.words...)
	}
}
