package upgrade

import "testing"

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
