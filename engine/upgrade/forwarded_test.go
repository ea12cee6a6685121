package upgrade

import (
	"strings"
	"testing"
)

// fromProxy are the limits for heads that a trusted proxy wrote.
var fromProxy = Limits{HeadBytes: usual.HeadBytes, Headers: usual.Headers, Proxied: true}

const proxyHead = "GET /feed HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 127.0.0.1\r\nx-forwarded-for: 192.0.2.1, 10.0.0.1 \r\n" +
	"X-Forwarded-Proto: https\r\nX-Request-ID: theirs\r\nX-REQUEST-ID: ours\r\nX-Weir-Proxy-Secret: s3cret\r\n\r\n"

func TestForwardedFields(t *testing.T) {
	r, n, f := Parse([]byte(proxyHead), fromProxy)
	if f != nil || n != len(proxyHead) {
		t.Fatalf("%d of %d bytes, %v", n, len(proxyHead), f)
	}
	if string(r.ForwardedFor) != "127.0.0.1, 192.0.2.1, 10.0.0.1" || string(r.ForwardedProto) != "https" ||
		string(r.RequestID) != "ours" || string(r.ProxySecret) != "s3cret" {
		t.Errorf("%q %q %q %q", r.ForwardedFor, r.ForwardedProto, r.RequestID, r.ProxySecret)
	}
	for _, c := range []struct {
		name string
		in   string
		want *Refusal
		r    Request
	}{
		{"nothing", head("GET / HTTP/1.1", "Host: a"), nil, Request{}},
		{"empty ones", head("GET / HTTP/1.1", "Host: a", "X-Forwarded-For:", "X-Weir-Proxy-Secret:"), nil, Request{ForwardedFor: []byte{}, ProxySecret: []byte{}}},
		{"names of the same length", head("GET / HTTP/1.1", "Host: a", "X-Forwarded-Fo_: b", "X_Forwarded_Proto: https", "X-Request-IX: c", "X-Weir-Proxy_Secret: d"), nil, Request{}},
		{"two schemes", head("GET / HTTP/1.1", "Host: a", "X-Forwarded-Proto: https", "X-Forwarded-Proto: http"), nil, Request{ForwardedProto: []byte("https, http")}},
		{"two secrets", head("GET / HTTP/1.1", "Host: a", "X-Weir-Proxy-Secret: a", "X-Weir-Proxy-Secret: b"), ErrDuplicate, Request{}},
		{"Host twice", head("GET / HTTP/1.1", "Host: a", "Host: a"), ErrDuplicate, Request{}},
	} {
		r, _, f := Parse([]byte(c.in), fromProxy)
		if f != c.want || f == nil && (string(r.ForwardedFor) != string(c.r.ForwardedFor) || string(r.ForwardedProto) != string(c.r.ForwardedProto) ||
			r.RequestID != nil || (r.ProxySecret == nil) != (c.r.ProxySecret == nil)) {
			t.Errorf("%s: %+v, %v", c.name, r, f)
		}
	}
}

// TestForwardedFieldsOfAnybody: on a connection that no trusted proxy made they
// are not there, whatever they say.
func TestForwardedFieldsOfAnybody(t *testing.T) {
	for _, in := range []string{proxyHead, head("GET / HTTP/1.1", "Host: a", "X-Weir-Proxy-Secret: a", "X-Weir-Proxy-Secret: b")} {
		r, n, f := Parse([]byte(in), usual)
		if n != len(in) || f != nil || r.ForwardedFor != nil || r.ForwardedProto != nil || r.RequestID != nil || r.ProxySecret != nil {
			t.Errorf("%+v, %d, %v", r, n, f)
		}
	}
}

func TestForwardedFieldsEveryPrefix(t *testing.T) {
	for i := range proxyHead {
		if _, n, f := Parse([]byte(proxyHead[:i]), fromProxy); n != 0 || f != nil {
			t.Fatalf("cut at %d: %d, %v", i, n, f)
		}
	}
}

// TestTestimonyWithARefusal: what a proxy says of its client comes with the refusal of a head that is whole and plain to
// read, and with no other.
func TestTestimonyWithARefusal(t *testing.T) {
	const start, fields = "GET / HTTP/1.1\r\n", "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\nX-Weir-Proxy-Secret: s\r\n"
	many := strings.Repeat("A: b\r\n", 30)
	for _, c := range []struct {
		head  string
		want  *Refusal
		known bool
	}{
		{"POST / HTTP/1.1\r\nHost: h\r\n" + fields + "\r\n", MethodNotAllowed, true},
		{"GET / HTTP/1.0\r\nHost: h\r\n" + fields + "\r\n", ErrHTTPVersion, true},
		{"GET http://h/ HTTP/1.1\r\nHost: h\r\n" + fields + "\r\n", ErrTarget, true},
		{"GET  / HTTP/1.1\r\nHost: h\r\n" + fields + "\r\n", ErrRequestLine, true},
		{start + "Host: h\r\nContent-Length: 1\r\n" + fields + "\r\nx", ErrBody, true},
		{start + "Host: h\r\nHost: h\r\n" + fields + "\r\n", ErrDuplicate, true},
		{start + fields + "\r\n", ErrHost, true},
		{start + "Host: h\r\n" + many + fields + "\r\n", ErrTooManyHeaders, true},

		{"POST / HTTP/1.1\r\nHost: h\r\n" + fields, MethodNotAllowed, false}, // the end is not here
		{start + "Host: h\r\nA: b\n" + fields + "\r\n", ErrBareLF, false},
		{start + "Host: h\r\n" + fields + " b\r\n\r\n", ErrFolding, false},
		{start + "Host: h\r\nA : b\r\n" + fields + "\r\n", ErrHeaderName, false},
		{start + "Host: h\r\nA: \x00\r\n" + fields + "\r\n", ErrHeaderValue, false},
		{start + "Host: h\r\nX-Weir-Proxy-Secret: t\r\n" + fields + "Host: h\r\n\r\n", ErrDuplicate, false},
		{"POST / HTTP/1.1\r\nHost: h\r\nA: b\rX\r\n" + fields + "\r\n", MethodNotAllowed, false},
		{start + "Host: h\r\n" + strings.Repeat("A: b\r\n", 200) + fields + "\r\n", ErrHeadTooLong, false},
		{"\r\n" + fields + "\r\n", ErrRequestLine, false},
		{"\n", ErrRequestLine, false},
	} {
		for _, proxied := range []bool{true, false} {
			lim := Limits{HeadBytes: 1000, Headers: 20, Proxied: proxied}
			if c.want == ErrHeadTooLong {
				lim.Headers = 1000
			}
			r, n, f := Parse([]byte(c.head), lim)
			if f != c.want || n != 0 {
				t.Errorf("%.60q: %d, %v, want %v", c.head, n, f, c.want)
			}
			got := string(r.ForwardedFor) + " " + string(r.ForwardedProto) + " " + string(r.ProxySecret)
			if known := got == "192.0.2.1 https s"; known != (c.known && proxied) || !known && got != "  " || r.Path != nil || r.Host != nil {
				t.Errorf("%.60q, proxied %v: %+v", c.head, proxied, r)
			}
		}
		for i := range len(c.head) { // what is known of a part is what is known of it all, or nothing
			r, _, f := Parse([]byte(c.head[:i]), Limits{HeadBytes: 1000, Headers: 20, Proxied: true})
			if f != nil && r.ForwardedFor != nil && (!c.known || string(r.ForwardedFor) != "192.0.2.1") {
				t.Errorf("%.60q to %d: %+v", c.head, i, r)
			}
		}
	}
}
