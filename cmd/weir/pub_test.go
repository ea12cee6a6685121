package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// apiServer answers every call with body and status and keeps what was sent.
func apiServer(t *testing.T, status int, body string) (url string, sent *http.Request, sentBody *string) {
	t.Helper()
	sent, sentBody = &http.Request{}, new(string)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		*sent, *sentBody = *r, string(b)
		w.WriteHeader(status)
		io.WriteString(w, body)
	}))
	t.Cleanup(server.Close)
	return server.URL, sent, sentBody
}

func TestPub(t *testing.T) {
	url, sent, body := apiServer(t, 200, `{"result": {"offset": 7, "epoch": "x<y"}}`)
	key := writeFile(t, "key", "secret\n")
	status, stdout, stderr := weir("pub", "feeds:prices", `{"a": "<b>"}`, "--api", url, "--api-key-file", key)
	if status != 0 || stdout != `{"offset":7,"epoch":"x<y"}`+"\n" || stderr != "" {
		t.Errorf("status %d, stdout %q, stderr %q", status, stdout, stderr)
	}
	if sent.Method != "POST" || sent.URL.Path != "/api/publish" || sent.URL.RawQuery != "" || sent.Header.Get("X-API-Key") != "secret" {
		t.Errorf("sent %s %s with key %q", sent.Method, sent.URL, sent.Header.Get("X-API-Key"))
	}
	if want := `{"channel":"feeds:prices","data":{"a":"\u003cb\u003e"}}`; *body != want {
		t.Errorf("sent %s", *body)
	}
	if want := "https://" + strings.TrimPrefix(url, "http://"); sent.Header.Get("Origin") != want {
		t.Errorf("origin %q, want %q", sent.Header.Get("Origin"), want)
	}
}

func TestPubFailures(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		words  []string
	}{
		{200, `{"error":{"code":102,"message":"unknown channel"}}`, []string{"102", "unknown channel", "$nowhere:c", `no namespace "nowhere"`}},
		{400, `{"error":{"code":107,"message":"bad request"}}`, []string{"107"}},
		{401, ``, []string{"401", "API key"}},
		{404, `not here`, []string{"404", "--api"}},
		{200, `{}`, []string{"no result"}},
		{302, `{"result":{}}`, []string{"302"}},
	} {
		url, _, _ := apiServer(t, c.status, c.body)
		status, stdout, stderr := weir("pub", "$nowhere:c", "1", "--api", url, "--api-key=k")
		if status != statusFailed || stdout != "" {
			t.Errorf("%d %s: status %d, stdout %q", c.status, c.body, status, stdout)
		}
		for _, w := range c.words {
			if !strings.Contains(stderr, w) {
				t.Errorf("%d %s: the message does not say %q: %s", c.status, c.body, w, stderr)
			}
		}
	}
	if status, _, stderr := weir("pub", "c", "1", "--api", "http://127.0.0.1:1", "--api-key=k"); status != statusFailed || !strings.Contains(stderr, "--api 127.0.0.1:1") || !strings.Contains(stderr, "--api-listen") {
		t.Errorf("nobody listens: status %d, stderr %q", status, stderr)
	}
}

// A redirect would carry the key to wherever it points.
func TestPubFollowsNoRedirect(t *testing.T) {
	elsewhere, sent, _ := apiServer(t, 200, `{"result":{}}`)
	server := httptest.NewServer(http.RedirectHandler(elsewhere, http.StatusTemporaryRedirect))
	defer server.Close()
	if status, _, stderr := weir("pub", "c", "1", "--api", server.URL, "--api-key=k"); status != statusFailed {
		t.Errorf("status %d: %s", status, stderr)
	}
	if sent.Method != "" {
		t.Error("the request went on to where the redirect points")
	}
}

func TestPubMistakes(t *testing.T) {
	for _, c := range []struct{ args, words []string }{
		{[]string{"pub", "c", "1"}, []string{"--api-key", "WEIR_API_KEY"}},
		{[]string{"pub", "c", "hello", "--api-key=k"}, []string{"not JSON", "quotes"}},
		{[]string{"pub", "c", "1", "--api-key=k", "--api=http://example.com"}, []string{"--api", "in the clear", "https://"}},
		{[]string{"pub", "c", "1", "--api-key=k", "--api=localhost:9000"}, []string{"--api", "not a URL"}},
		{[]string{"pub", "c"}, []string{"json"}},
		{[]string{"pub", "c", "1", "--api-key=k", "--pin=sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}, []string{"--pin", "no certificate", "--api"}},
		{[]string{"pub", "c", "1", "--api-key=k\nl"}, []string{"--api-key", "line break"}},
	} {
		wantRefusal(t, nil, c.args, c.words...)
	}
}

func TestPubTakesTheKeyFromTheEnvironment(t *testing.T) {
	url, sent, _ := apiServer(t, 200, `{"result":{}}`)
	if status, _, stderr := weirEnv([]string{"WEIR_API_KEY=from-env"}, "pub", "c", "1", "--api", url); status != 0 {
		t.Errorf("status %d: %s", status, stderr)
	}
	if got := sent.Header.Get("X-API-Key"); got != "from-env" {
		t.Errorf("key %q", got)
	}
}
