package upgrade

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// The key and the answer of RFC 6455 §1.3.
func TestAppendSwitching(t *testing.T) {
	const begin = "before|HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
	for _, c := range []struct{ protocol, extension, want string }{
		{"", "", begin + "\r\n\r\n"},
		{"centrifuge-json", "", begin + "\r\nSec-WebSocket-Protocol: centrifuge-json\r\n\r\n"},
		{"", deflateResponse, begin + "\r\nSec-WebSocket-Extensions: " + deflateResponse + "\r\n\r\n"},
		{"a", "b", begin + "\r\nSec-WebSocket-Protocol: a\r\nSec-WebSocket-Extensions: b\r\n\r\n"},
	} {
		if got := AppendSwitching([]byte("before|"), []byte("dGhlIHNhbXBsZSBub25jZQ=="), c.protocol, c.extension); string(got) != c.want {
			t.Errorf("%q", got)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("a key that was not checked did not panic")
		}
	}()
	AppendSwitching(nil, []byte("short"), "", "")
}

// read lets net/http read a response, which must have been used up to the last byte.
func read(t *testing.T, response []byte) (*http.Response, string) {
	t.Helper()
	from := bufio.NewReader(bytes.NewReader(response))
	r, err := http.ReadResponse(from, nil)
	if err != nil {
		t.Fatalf("%v: %q", err, response)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	if from.Buffered() != 0 || !r.Close || r.ContentLength != int64(len(body)) {
		t.Errorf("%d bytes left, close %v, length %d of %d", from.Buffered(), r.Close, r.ContentLength, len(body))
	}
	return r, string(body)
}

func TestAppendRefusal(t *testing.T) {
	labels := make(map[string]bool)
	for _, f := range Refusals() {
		r, body := read(t, AppendRefusal(nil, f))
		h := r.Header
		if r.StatusCode != f.Status || r.Status != strconv.Itoa(f.Status)+" "+http.StatusText(f.Status) {
			t.Errorf("%s: status %q", f.Label, r.Status)
		}
		if body != f.Reason+"\n" || h.Get("Content-Type") != "text/plain; charset=utf-8" || h.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: body %q, fields %v", f.Label, body, h)
		}
		if (h.Get("Retry-After") != "") != (f.Status == 429 || f.Status == 503) || h.Get("Retry-After") == "0" {
			t.Errorf("%s: Retry-After %q", f.Label, h.Get("Retry-After"))
		}
		if (h.Get("Sec-WebSocket-Version") == "13" && h.Get("Upgrade") == "websocket") != (f.Status == 426) {
			t.Errorf("%s: version %q, upgrade %q", f.Label, h.Get("Sec-WebSocket-Version"), h.Get("Upgrade"))
		}
		if (h.Get("Allow") == "GET") != (f.Status == 405) || (h.Get("WWW-Authenticate") == "Bearer") != (f.Status == 401) {
			t.Errorf("%s: fields %v", f.Label, h)
		}
		if labels[f.Label] || f.Label == "" || strings.ContainsAny(f.Reason, "\r\n") || len(f.Reason) > 200 {
			t.Errorf("label %q, reason %q", f.Label, f.Reason)
		}
		labels[f.Label] = true
	}
}

func TestAppendPage(t *testing.T) {
	r, body := read(t, AppendPage(nil, "text/html; charset=utf-8", []byte("<!doctype html>"), "default-src 'none'"))
	if r.StatusCode != 200 || body != "<!doctype html>" || r.Header.Get("Content-Security-Policy") != "default-src 'none'" ||
		r.Header.Get("Content-Type") != "text/html; charset=utf-8" || r.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%v %v %q", r.Status, r.Header, body)
	}
}
