package upgrade

import (
	"strings"
	"testing"
)

// browserHead is what Chromium sends, a token beside a protocol included.
// usual are the limits that the engine sets (SECURITY.md H1).
var usual = Limits{HeadBytes: 8192, Headers: 64}

const browserHead = "GET /connection/websocket?cf_ws_frame_ping_pong=true HTTP/1.1\r\n" +
	"Host: feeds.example.com:8443\r\n" +
	"Connection: Upgrade\r\n" +
	"Pragma: no-cache\r\n" +
	"Cache-Control: no-cache\r\n" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Safari/537.36\r\n" +
	"Upgrade: websocket\r\n" +
	"Origin: https://app.example.com\r\n" +
	"Sec-WebSocket-Version: 13\r\n" +
	"Accept-Encoding: gzip, deflate, br, zstd\r\n" +
	"Accept-Language: en-GB,en;q=0.9\r\n" +
	"Cookie: a=b; c=d\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
	"Sec-WebSocket-Protocol: centrifuge-json, bearer.eyJhbGciOiJIUzI1NiJ9.e30.c2ln\r\n" +
	"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n" +
	"\r\n"

// head makes a request head of lines; the first is the request line.
func head(lines ...string) string { return strings.Join(lines, "\r\n") + "\r\n\r\n" }

func TestParseBrowser(t *testing.T) {
	const behind = "\x81\x85bytes of the first frame"
	r, n, f := Parse([]byte(browserHead+behind), usual)
	if f != nil || n != len(browserHead) {
		t.Fatalf("%d of %d bytes, %v", n, len(browserHead), f)
	}
	for _, c := range []struct{ name, got, want string }{
		{"path", string(r.Path), "/connection/websocket"},
		{"query", string(r.RawQuery), "cf_ws_frame_ping_pong=true"},
		{"Host", string(r.Host), "feeds.example.com:8443"},
		{"Origin", string(r.Origin), "https://app.example.com"},
		{"Key", string(r.Key), "dGhlIHNhbXBsZSBub25jZQ=="},
		{"Version", string(r.Version), "13"},
		{"Protocols", string(r.Protocols), "centrifuge-json, bearer.eyJhbGciOiJIUzI1NiJ9.e30.c2ln"},
		{"Extensions", string(r.Extensions), "permessage-deflate; client_max_window_bits"},
		{"User-Agent", string(r.UserAgent)[:11], "Mozilla/5.0"},
	} {
		if c.got != c.want {
			t.Errorf("%s %q, want %q", c.name, c.got, c.want)
		}
	}
	if !r.HasOrigin || r.Authorization != nil {
		t.Errorf("HasOrigin %v, Authorization %q", r.HasOrigin, r.Authorization)
	}
	if f := r.WebSocket(); f != nil {
		t.Error(f.Reason)
	}
}

var parseCases = []struct {
	name string
	in   string
	f    *Refusal // nil: accepted whole
}{
	{"the least", head("GET / HTTP/1.1", "Host: a"), nil},
	{"browsers leave these in a query", head("GET /?q=[^`]{|}'$,;:@!~* HTTP/1.1", "Host: a"), nil},
	{"two slashes are a path", head("GET //evil.example/ HTTP/1.1", "Host: a"), nil},
	{"optional white space", head("GET / HTTP/1.1", "Host:a", "Origin: \t https://b \t "), nil},
	{"obs-text in a value", head("GET / HTTP/1.1", "Host: a", "X: caf\xe9"), nil},
	{"empty value", head("GET / HTTP/1.1", "Host: a", "X:"), nil},
	{"length 0 is no body", head("GET / HTTP/1.1", "Host: a", "Content-Length: 0"), nil},

	{"empty line first", "\r\n" + head("GET / HTTP/1.1", "Host: a"), ErrRequestLine},
	{"TLS to a plain parser", "\x16\x03\x01\x02\x00", ErrRequestLine},
	{"two spaces", head("GET  / HTTP/1.1", "Host: a"), ErrRequestLine},
	{"no target", head("GET  HTTP/1.1", "Host: a"), ErrRequestLine},
	{"a tab", head("GET\t/ HTTP/1.1", "Host: a"), ErrRequestLine},
	{"space at the end", head("GET / HTTP/1.1 ", "Host: a"), ErrRequestLine},
	{"space in the target", head("GET /a b HTTP/1.1", "Host: a"), ErrRequestLine},
	{"HTTP/0.9", "GET /\r\n", ErrRequestLine},
	{"method is no token", head("G(T / HTTP/1.1", "Host: a"), ErrRequestLine},
	{"HTTP/1.0", head("GET / HTTP/1.0", "Host: a"), ErrHTTPVersion},
	{"HTTP/1.10", head("GET / HTTP/1.10", "Host: a"), ErrHTTPVersion},
	{"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ErrHTTPVersion},
	{"lower-case protocol", head("GET / http/1.1", "Host: a"), ErrRequestLine},
	{"POST", head("POST /connection/websocket HTTP/1.1", "Host: a", "Content-Length: 5") + "hello", MethodNotAllowed},
	{"HEAD", head("HEAD / HTTP/1.1", "Host: a"), MethodNotAllowed},
	{"lower-case method", head("get / HTTP/1.1", "Host: a"), MethodNotAllowed},
	{"CONNECT", head("CONNECT a:443 HTTP/1.1", "Host: a:443"), MethodNotAllowed},
	{"TRACE", head("TRACE / HTTP/1.1", "Host: a"), MethodNotAllowed},
	{"OPTIONS *", head("OPTIONS * HTTP/1.1", "Host: a"), MethodNotAllowed},
	{"absolute form", head("GET https://a/ HTTP/1.1", "Host: a"), ErrTarget},
	{"authority form", head("GET a:443 HTTP/1.1", "Host: a"), ErrTarget},
	{"asterisk form", head("GET * HTTP/1.1", "Host: a"), ErrTarget},
	{"fragment", head("GET /#a HTTP/1.1", "Host: a"), ErrTarget},
	{"NUL in the target", head("GET /\x00 HTTP/1.1", "Host: a"), ErrTarget},
	{"raw UTF-8 in the target", head("GET /é HTTP/1.1", "Host: a"), ErrTarget},

	{"bare LF after the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n", ErrBareLF},
	{"bare LF after a field", "GET / HTTP/1.1\r\nHost: a\n\r\n", ErrBareLF},
	{"bare LF at the end", "GET / HTTP/1.1\r\nHost: a\r\n\n", ErrBareLF},
	{"bare CR in a field", head("GET / HTTP/1.1", "Host: a\rX: b"), ErrHeaderValue},
	{"CR CR LF", "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", ErrHeaderValue},
	{"folding by space", head("GET / HTTP/1.1", "Host: a", " b"), ErrFolding},
	{"folding by tab", head("GET / HTTP/1.1", "Host: a", "\tb"), ErrFolding},
	{"space before the first field", head("GET / HTTP/1.1", " Host: a"), ErrFolding},
	{"space before the colon", head("GET / HTTP/1.1", "Host : a"), ErrHeaderName},
	{"no colon", head("GET / HTTP/1.1", "Host: a", "nonsense"), ErrHeaderName},
	{"no name", head("GET / HTTP/1.1", "Host: a", ": b"), ErrHeaderName},
	{"name is no token", head("GET / HTTP/1.1", "Host: a", "X(: b"), ErrHeaderName},
	{"NUL in a name", head("GET / HTTP/1.1", "Host: a", "X\x00: b"), ErrHeaderName},
	{"NUL in a value", head("GET / HTTP/1.1", "Host: a", "X: \x00"), ErrHeaderValue},
	{"DEL in a value", head("GET / HTTP/1.1", "Host: a", "X: \x7f"), ErrHeaderValue},

	{"no Host", head("GET / HTTP/1.1", "X: a"), ErrHost},
	{"empty Host", head("GET / HTTP/1.1", "Host: "), ErrHost},
	{"only a port", head("GET / HTTP/1.1", "Host: :80"), ErrHost},
	{"Host with a path", head("GET / HTTP/1.1", "Host: a/b"), ErrHost},
	{"Host with a user", head("GET / HTTP/1.1", "Host: u@a"), ErrHost},
	{"Host is a list", head("GET / HTTP/1.1", "Host: a b"), ErrHost},
	{"Host twice", head("GET / HTTP/1.1", "Host: a", "host: a"), ErrDuplicate},
	{"empty Host, then another", head("GET / HTTP/1.1", "Host:", "Host: a"), ErrDuplicate},
	{"Origin twice", head("GET / HTTP/1.1", "Host: a", "Origin: b", "ORIGIN: b"), ErrDuplicate},
	{"empty Origin, then another", head("GET / HTTP/1.1", "Host: a", "Origin:", "Origin: b"), ErrDuplicate},
	{"Key twice", head("GET / HTTP/1.1", "Host: a", "Sec-WebSocket-Key: b", "sec-websocket-key: b"), ErrDuplicate},
	{"Version twice", head("GET / HTTP/1.1", "Host: a", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 13"), ErrDuplicate},
	{"Authorization twice", head("GET / HTTP/1.1", "Host: a", "Authorization: b", "Authorization: b"), ErrDuplicate},
	{"a body", head("GET / HTTP/1.1", "Host: a", "Content-Length: 5") + "hello", ErrBody},
	{"length that is no number", head("GET / HTTP/1.1", "Host: a", "Content-Length: 0, 5"), ErrBody},
	{"length of many zeros", head("GET / HTTP/1.1", "Host: a", "Content-Length: 00"), ErrBody},
	{"second length", head("GET / HTTP/1.1", "Host: a", "Content-Length: 0", "Content-Length: 1"), ErrBody},
	{"chunked", head("GET / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked"), ErrBody},
	{"identity", head("GET / HTTP/1.1", "Host: a", "transfer-encoding: identity"), ErrBody},

	{"64 fields", head(append([]string{"GET / HTTP/1.1", "Host: a"}, repeat("X: y", 63)...)...), nil},
	{"65 fields", head(append([]string{"GET / HTTP/1.1", "Host: a"}, repeat("X: y", 64)...)...), ErrTooManyHeaders},
	{"a long field", head("GET / HTTP/1.1", "Host: a", "X: "+strings.Repeat("y", 9000)), ErrHeadTooLong},
	{"a long target", head("GET /"+strings.Repeat("y", 9000)+" HTTP/1.1", "Host: a"), ErrHeadTooLong},
}

func repeat(line string, n int) []string {
	lines := make([]string, n)
	for i := range lines {
		lines[i] = line
	}
	return lines
}

func TestParse(t *testing.T) {
	for _, c := range parseCases {
		_, n, f := Parse([]byte(c.in), usual)
		switch {
		case f != c.f:
			t.Errorf("%s: %v, want %v", c.name, f, c.f)
		case f == nil && n != len(c.in), f != nil && n != 0:
			t.Errorf("%s: %d of %d bytes", c.name, n, len(c.in))
		}
	}
}

// A prefix needs more, or is refused for what the whole is refused for; a refusal does not go away; nothing is accepted
// before the last byte. This is also every cut of the input in two: Parse keeps nothing between calls.
func TestParseEveryPrefix(t *testing.T) {
	inputs := []string{browserHead}
	for _, c := range parseCases {
		inputs = append(inputs, c.in)
	}
	for _, in := range inputs {
		_, whole, want := Parse([]byte(in), usual)
		refused := false
		for i := range in {
			_, n, f := Parse([]byte(in[:i]), usual)
			switch {
			case want == nil && i < whole && (n != 0 || f != nil):
				t.Fatalf("%.40q cut at %d: %d %v", in, i, n, f)
			case f != nil && f != want, refused && f == nil:
				t.Fatalf("%.40q cut at %d: %v, whole input %v", in, i, f, want)
			}
			refused = f != nil
		}
	}
}

// A peer that never ends its lines is refused at the limit, and one whose fields are already too many before that.
func TestParseRefusesEarly(t *testing.T) {
	cases := []struct {
		name string
		in   string
		f    *Refusal
	}{
		{"a line without end", strings.Repeat("G", 8192), ErrHeadTooLong},
		{"one byte less", strings.Repeat("G", 8191), nil},
		{"65 fields, no end", "GET / HTTP/1.1\r\n" + strings.Repeat("X: y\r\n", 65), ErrTooManyHeaders},
		{"64 fields, no end", "GET / HTTP/1.1\r\n" + strings.Repeat("X: y\r\n", 64), nil},
		{"not HTTP", "\x00", ErrRequestLine},
	}
	for _, c := range cases {
		if _, n, f := Parse([]byte(c.in), usual); n != 0 || f != c.f {
			t.Errorf("%s: %d %v, want %v", c.name, n, f, c.f)
		}
	}
	exact := head("GET / HTTP/1.1", "Host: a", "X: "+strings.Repeat("y", 8192-len("GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n")))
	if _, n, f := Parse([]byte(exact), usual); n != 8192 || f != nil {
		t.Errorf("a head of exactly the limit: %d %v", n, f)
	}
	if _, _, f := Parse(nil, Limits{}); f != ErrHeadTooLong {
		t.Errorf("no limits: %v", f)
	}
}

func TestParseJoinsListFields(t *testing.T) {
	r, _, f := Parse([]byte(head("GET / HTTP/1.1", "Host: a", "Connection: keep-alive", "Upgrade: h2c", "Sec-WebSocket-Protocol: one",
		"Sec-WebSocket-Extensions: x", "connection: foo,\tUPGRADE", "upgrade: foo , WebSocket", "sec-websocket-protocol: two",
		"Sec-WebSocket-Protocol: three \t ", "Sec-WebSocket-Extensions: y; z", "Connection: close", "Upgrade: bar")), usual)
	if f != nil || string(r.Protocols) != "one, two, three" || string(r.Extensions) != "x, y; z" || !r.Connection || !r.Upgrade {
		t.Errorf("%q %q %v %v %v", r.Protocols, r.Extensions, r.Connection, r.Upgrade, f)
	}
}

// Names that have the length of known ones and are others.
func TestParseIgnoresOtherFields(t *testing.T) {
	r, _, f := Parse([]byte(head("GET / HTTP/1.1", "Host: a", "Hose: b", "Orisin: c", "Upgrada: websocket", "Connectiom: upgrade", "User-Agemt: d",
		"Authorizatiom: e", "Content-Lemgth: 5", "Transfer-Encodimg: chunked", "Sec-WebSocket-Kez: f", "Sec-WebSocket-Versiom: 13",
		"Sec-WebSocket-Protocom: g", "Sec-WebSocket-Extensiomz: h", "User-Agent: first", "User-Agent: second")), usual)
	if f != nil || r.HasOrigin || r.Upgrade || r.Connection || r.Authorization != nil || r.Key != nil || r.Version != nil ||
		r.Protocols != nil || r.Extensions != nil || string(r.Host) != "a" || string(r.UserAgent) != "first" {
		t.Errorf("%+v %v", r, f)
	}
}

// Who appends to a borrowed slice must not write into the rest of the head.
func TestParsedSlicesHaveNoRoomBehind(t *testing.T) {
	r, _, f := Parse([]byte(head("GET /a?b HTTP/1.1", "Host: a \t", "Origin: b ", "Sec-WebSocket-Key: c ", "Sec-WebSocket-Version: d ",
		"Sec-WebSocket-Protocol: e ", "Sec-WebSocket-Extensions: f ", "Authorization: g ", "User-Agent: h ")), usual)
	if f != nil {
		t.Fatal(f.Reason)
	}
	plain, _, f := Parse([]byte(head("GET /a HTTP/1.1", "Host: a")), usual)
	if f != nil {
		t.Fatal(f.Reason)
	}
	for i, b := range [][]byte{plain.Path, r.Path, r.RawQuery, r.Host, r.Origin, r.Key, r.Version, r.Protocols, r.Extensions, r.Authorization, r.UserAgent} {
		if len(b) == 0 || cap(b) != len(b) {
			t.Errorf("slice %d: %q has room for %d", i, b, cap(b))
		}
	}
}

func TestParseOriginPresence(t *testing.T) {
	for _, c := range []struct {
		line string
		has  bool
	}{{"X: y", false}, {"Origin:", true}, {"Origin: null", true}} {
		r, _, f := Parse([]byte(head("GET / HTTP/1.1", "Host: a", c.line)), usual)
		if f != nil || r.HasOrigin != c.has {
			t.Errorf("%s: %v %v", c.line, r.HasOrigin, f)
		}
	}
}
