package upgrade

import (
	"bufio"
	"bytes"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// FuzzParse: what Parse takes, net/http takes too and reads the same from; and Parse never looks past what it took.
func FuzzParse(f *testing.F) {
	f.Add([]byte(browserHead))
	for _, c := range parseCases {
		if len(c.in) < 2000 {
			f.Add([]byte(c.in))
		}
	}
	f.Add([]byte(proxyHead))
	for _, rest := range []string{
		"// HTTP/1.1\r\nHost: a\r\n", "/%41?%zz HTTP/1.1\r\nhOST: [::1%25en0]:80\r\n", "/a:b@c HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\ncontent-length:0\r\nTrailer: Content-Length\r\nExpect: 100-continue\r\nPragma: no-cache\r\n",
		"/ HTTP/1.1\r\nHost:\ta\t \r\nConnection: ,\tkeep-alive,, uPgrade\r\nConnection: close\r\nUpgrade:\r\nUpgrade: x,WebSocket\r\nOrigin:\r\nSec-WebSocket-Protocol:\r\nsec-websocket-protocol: a\r\nAuthorization: \xff\r\n",
		"/ HTTP/1.1\r\nHost: a\r\nUpgrade: websoc\u212aet\r\nConnection: up\u017frade\r\nX-Request-Id: 1\r\nx-request-id: 2\r\nX-Forwarded-For: , \r\nX-Forwarded-Proto: a\r\nX-FORWARDED-PROTO: b\r\nX-Weir-Proxy-Secret:\r\n",
	} {
		f.Add([]byte("GET " + rest + "\r\nbehind"))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, n, refusal := Parse(b, usual)
		if n == 0 || refusal != nil {
			if n != 0 {
				t.Fatalf("refused and %d bytes taken", n)
			}
			return
		}
		again, m, _ := Parse(b[:n:n], usual)
		if m != n || !bytes.Equal(again.Path, r.Path) || !bytes.Equal(again.Key, r.Key) {
			t.Fatalf("%q alone is read otherwise", b[:n])
		}
		proxied, m, refusal := Parse(b, fromProxy)
		if refusal != ErrDuplicate && m != n {
			t.Fatalf("%q from a proxy: %d, %v", b[:n], m, refusal)
		}
		h, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(b[:n])))
		if err != nil {
			// net/http parses the target as a URL and knows its own rules for Host; neither is looked into here.
			if strings.Contains(err.Error(), "invalid URI") || strings.Contains(err.Error(), "parse ") {
				return
			}
			t.Fatalf("net/http refuses %q: %v", b[:n], err)
		}
		compareRequests(t, &r, h)
		if m > 0 {
			compareForwarded(t, &proxied, h)
		}
	})
}

func compareRequests(t *testing.T, r *Request, h *http.Request) {
	t.Helper()
	target := string(r.Path)
	if r.RawQuery != nil {
		target += "?" + string(r.RawQuery)
	}
	fields := []struct{ name, got, want string }{
		{"target", target, h.RequestURI},
		{"Origin", string(r.Origin), h.Header.Get("Origin")},
		{"Key", string(r.Key), h.Header.Get("Sec-WebSocket-Key")},
		{"Version", string(r.Version), h.Header.Get("Sec-WebSocket-Version")},
		{"Authorization", string(r.Authorization), h.Header.Get("Authorization")},
		{"User-Agent", string(r.UserAgent), h.Header.Get("User-Agent")},
		{"Protocols", string(r.Protocols), strings.Join(h.Header.Values("Sec-WebSocket-Protocol"), ", ")},
		{"Extensions", string(r.Extensions), strings.Join(h.Header.Values("Sec-WebSocket-Extensions"), ", ")},
	}
	if !strings.HasPrefix(target, "//") { // there net/http looks for a host in the target
		fields = append(fields, struct{ name, got, want string }{"Host", string(r.Host), h.Host})
	}
	for _, c := range fields {
		if c.got != c.want {
			t.Fatalf("%s %q, net/http %q", c.name, c.got, c.want)
		}
	}
	if len(h.Header.Values("Origin")) > 1 || len(h.TransferEncoding) > 0 || h.ContentLength > 0 || h.Method != "GET" {
		t.Fatalf("let through: %+v", h)
	}
	upgrade := naiveListHas(h.Header.Values("Upgrade"), "websocket")
	if connection := naiveListHas(h.Header.Values("Connection"), "upgrade"); upgrade != r.Upgrade || connection != r.Connection {
		t.Fatalf("Upgrade %v %v, Connection %v %v", r.Upgrade, upgrade, r.Connection, connection)
	}
}

func compareForwarded(t *testing.T, r *Request, h *http.Request) {
	t.Helper()
	ids := append([]string{""}, h.Header.Values("X-Request-Id")...)
	for _, c := range []struct{ name, got, want string }{
		{"For", string(r.ForwardedFor), strings.Join(h.Header.Values("X-Forwarded-For"), ", ")},
		{"Proto", string(r.ForwardedProto), strings.Join(h.Header.Values("X-Forwarded-Proto"), ", ")},
		{"ID", string(r.RequestID), ids[len(ids)-1]},
		{"Secret", string(r.ProxySecret), h.Header.Get("X-Weir-Proxy-Secret")},
	} {
		if c.got != c.want {
			t.Fatalf("%s %q, net/http %q", c.name, c.got, c.want)
		}
	}
}

func naiveListHas(values []string, want string) bool {
	for _, element := range strings.Split(strings.Join(values, ","), ",") {
		element = strings.Trim(element, " \t")
		if len(element) == len(want) && strings.EqualFold(element, want) && !strings.Contains(element, "\u212a") {
			return true
		}
	}
	return false
}

var tokenPattern = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")

// FuzzSelectProtocol: against a reading by strings.Split.
func FuzzSelectProtocol(f *testing.F) {
	for _, c := range protocolCases {
		f.Add([]byte(c.header))
	}
	supported := []string{"centrifuge-json", "weir-feed"}
	f.Fuzz(func(t *testing.T, header []byte) {
		selected, bearer, refusal := SelectProtocol(header, supported...)
		wantSelected, wantBearers, bad := "", 0, false
		for _, e := range strings.Split(string(header), ",") {
			e = strings.Trim(e, " \t")
			switch {
			case e == "":
			case !tokenPattern.MatchString(e), e == "bearer", e == "bearer.":
				bad = true
			case strings.HasPrefix(e, "bearer."):
				wantBearers++
			case slices.Contains(supported, e) && wantSelected == "":
				wantSelected = e
			}
		}
		bad = bad || wantBearers > 1 || wantBearers == 1 && wantSelected == ""
		if bad != (refusal != nil) || refusal == nil && (selected != wantSelected || (bearer != nil) != (wantBearers == 1)) {
			t.Fatalf("%q: %q %q %v, want %q, %d bearers, bad %v", header, selected, bearer, refusal, wantSelected, wantBearers, bad)
		}
	})
}

const (
	tokenExpression = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
	valueExpression = `(?:` + tokenExpression + `|"(?:\\?[!#$%&'*+.^_` + "`" + `|~0-9A-Za-z-])+")`
	paramExpression = `[ \t]*;[ \t]*` + tokenExpression + `[ \t]*(?:=[ \t]*` + valueExpression + `[ \t]*)?`
)

var (
	offerPattern  = regexp.MustCompile(`^` + tokenExpression + `(?:` + paramExpression + `)*$`)
	acceptPattern = regexp.MustCompile(`^(?:(?:server|client)_no_context_takeover|server_max_window_bits="?15"?|client_max_window_bits(?:="?(?:[89]|1[0-5])"?)?)$`)
	blankPattern  = regexp.MustCompile(`[ \t]+`)
)

// FuzzNegotiateDeflate: against a reading by regular expressions.
func FuzzNegotiateDeflate(f *testing.F) {
	for _, c := range deflateCases {
		f.Add([]byte(c.header))
	}
	f.Fuzz(func(t *testing.T, header []byte) {
		response, ok, refusal := NegotiateDeflate(header)
		want, bad := "", false
		for _, offer := range strings.Split(string(header), ",") {
			if offer = strings.Trim(offer, " \t"); offer == "" {
				continue
			}
			if !offerPattern.MatchString(offer) {
				bad = true
			} else if want == "" {
				want = naiveAnswer(offer)
			}
		}
		if bad {
			want = ""
		}
		if bad != (refusal != nil) || response != want || ok != (want != "") {
			t.Fatalf("%q: %q %v %v, want %q, bad %v", header, response, ok, refusal, want, bad)
		}
	})
}

// naiveAnswer reads one well-formed offer.
func naiveAnswer(offer string) string {
	parts := strings.Split(blankPattern.ReplaceAllString(offer, ""), ";")
	if parts[0] != "permessage-deflate" {
		return ""
	}
	answer, seen := deflateResponse, make(map[string]bool)
	for _, p := range parts[1:] {
		name, _, _ := strings.Cut(p, "=")
		if !acceptPattern.MatchString(p) || seen[name] {
			return ""
		}
		seen[name] = true
	}
	if seen["server_max_window_bits"] {
		answer = deflateWindowResponse
	}
	return answer
}

// FuzzQueryValue: against net/url, except that a semicolon is an ordinary byte, names are not decoded, and controls are refused.
func FuzzQueryValue(f *testing.F) {
	for _, c := range queryCases {
		f.Add([]byte(c.query))
	}
	f.Fuzz(func(t *testing.T, query []byte) {
		value, ok, refusal := QueryValue(query, "ticket", nil)
		var values []string
		bad := false
		for _, pair := range strings.Split(string(query), "&") {
			name, raw, _ := strings.Cut(pair, "=")
			if name != "ticket" {
				continue
			}
			v, err := url.QueryUnescape(raw)
			bad = bad || err != nil || strings.ContainsFunc(v, func(c rune) bool { return c < ' ' || c == 0x7f })
			values = append(values, v)
		}
		bad = bad || len(values) > 1
		if bad != (refusal != nil) || !bad && (ok != (len(values) == 1) || ok && string(value) != values[0]) {
			t.Fatalf("%q: %q %v %v, want %q, bad %v", query, value, ok, refusal, values, bad)
		}
	})
}
