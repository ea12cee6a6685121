package upgrade

import (
	"strings"
	"testing"
)

func TestWebSocket(t *testing.T) {
	base := map[string]string{"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
		"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
	cases := []struct {
		name, field, value string // value "-": the field is left out
		f                  *Refusal
	}{
		{"as it should be", "X", "y", nil},
		{"no Upgrade", "Upgrade", "-", ErrNotUpgrade},
		{"h2c", "Upgrade", "h2c", ErrNotUpgrade},
		{"another word", "Upgrade", "websockets", ErrNotUpgrade},
		{"mixed case", "Upgrade", "WebSocket", nil},
		{"in a list", "Upgrade", "h2c, websocket", nil},
		{"no Connection", "Connection", "-", ErrNotUpgrade},
		{"keep-alive", "Connection", "keep-alive", ErrNotUpgrade},
		{"Firefox", "Connection", "keep-alive, Upgrade", nil},
		{"no version", "Sec-WebSocket-Version", "-", ErrMissingVersion},
		{"version 8", "Sec-WebSocket-Version", "8", UpgradeRequired},
		{"version 130", "Sec-WebSocket-Version", "130", UpgradeRequired},
		{"version 013", "Sec-WebSocket-Version", "013", UpgradeRequired},
		{"two versions", "Sec-WebSocket-Version", "13, 8", UpgradeRequired},
		{"empty version", "Sec-WebSocket-Version", "", UpgradeRequired},
		{"no key", "Sec-WebSocket-Key", "-", ErrKey},
		{"empty key", "Sec-WebSocket-Key", "", ErrKey},
		{"15 bytes", "Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAA", ErrKey},
		{"17 bytes", "Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAAA=", ErrKey},
		{"18 bytes", "Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAAAA", ErrKey},
		{"no padding", "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ", ErrKey},
		{"URL alphabet", "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub2-jZQ==", ErrKey},
		{"padding inside", "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25j====", ErrKey},
		{"space inside", "Sec-WebSocket-Key", "dGhlIHNhbXBs SBub25jZQ==", ErrKey},
		{"RFC 6455 §4.1's own key", "Sec-WebSocket-Key", "AQIDBAUGBwgJCgsMDQ4PEC==", nil},
	}
	for _, c := range cases {
		lines := []string{"GET / HTTP/1.1", "Host: a"}
		for name, value := range base {
			if name != c.field {
				lines = append(lines, name+": "+value)
			}
		}
		if c.value != "-" {
			lines = append(lines, c.field+": "+c.value)
		}
		r, _, f := Parse([]byte(head(lines...)), usual)
		if f != nil {
			t.Fatalf("%s: %v", c.name, f)
		}
		if f := r.WebSocket(); f != c.f {
			t.Errorf("%s: %v, want %v", c.name, f, c.f)
		}
	}
}

var protocolCases = []struct {
	name, header     string
	selected, bearer string
	f                *Refusal
}{
	{"one", "centrifuge-json", "centrifuge-json", "", nil},
	{"client's order", "weir-feed, centrifuge-json", "weir-feed", "", nil},
	{"first is unknown", "centrifuge-protobuf, centrifuge-json", "centrifuge-json", "", nil},
	{"only unknown", "centrifuge-protobuf", "", "", nil},
	{"case matters", "Centrifuge-JSON", "", "", nil},
	{"bearer behind", "centrifuge-json, bearer.a.b.c", "centrifuge-json", "a.b.c", nil},
	{"bearer before", "bearer.a.b-_c,\tcentrifuge-json", "centrifuge-json", "a.b-_c", nil},
	{"empty elements", " , ,centrifuge-json,, bearer.x ,", "centrifuge-json", "x", nil},
	{"nothing in it", "", "", "", nil},
	{"a prefix of a known one", "centrifuge", "", "", nil},
	{"bearer alone", "bearer.a.b.c", "", "", ErrBearerAlone},
	{"bearer beside an unknown one", "foo, bearer.a.b.c", "", "", ErrBearerAlone},
	{"bearer without token", "centrifuge-json, bearer.", "", "", ErrBearerProtocol},
	{"bearer as a name", "centrifuge-json, bearer, abc", "", "", ErrBearerProtocol},
	{"two bearers", "centrifuge-json, bearer.a, bearer.b", "", "", ErrBearerProtocol},
	{"the same bearer twice", "centrifuge-json, bearer.a, bearer.a", "", "", ErrBearerProtocol},
	{"a space inside", "centrifuge json", "", "", ErrProtocolList},
	{"base64 padding is no token byte", "centrifuge-json, bearer.abc=", "", "", ErrProtocolList},
	{"quoted", `"centrifuge-json"`, "", "", ErrProtocolList},
	{"semicolon", "centrifuge-json;v=1", "", "", ErrProtocolList},
}

func TestSelectProtocol(t *testing.T) {
	for _, c := range protocolCases {
		selected, bearer, f := SelectProtocol([]byte(c.header), "centrifuge-json", "weir-feed")
		if selected != c.selected || string(bearer) != c.bearer || f != c.f {
			t.Errorf("%s: %q %q %v", c.name, selected, bearer, f)
		}
	}
	if selected, bearer, f := SelectProtocol(nil, "centrifuge-json"); selected != "" || bearer != nil || f != nil {
		t.Errorf("nothing offered: %q %q %v", selected, bearer, f)
	}
	if !strings.Contains(ErrBearerAlone.Reason, "alone") {
		t.Error("the refusal does not say that bearer stands alone")
	}
}

func TestBearer(t *testing.T) {
	cases := []struct {
		in, token string
		f         *Refusal
	}{
		{"Bearer a.b.c", "a.b.c", nil},
		{"bearer  a.b.c", "a.b.c", nil},
		{"BEARER x", "x", nil},
		{"Basic dXNlcjpwYXNz", "", ErrAuthorization},
		{"Bearer", "", ErrAuthorization},
		{"Bearer ", "", ErrAuthorization},
		{"Bearera.b.c", "", ErrAuthorization},
		{"Bearer a b", "", ErrAuthorization},
		{"Bearer a, Bearer b", "", ErrAuthorization},
		{"a.b.c", "", ErrAuthorization},
		{"", "", ErrAuthorization},
	}
	for _, c := range cases {
		if token, f := Bearer([]byte(c.in)); string(token) != c.token || f != c.f {
			t.Errorf("%q: %q %v", c.in, token, f)
		}
	}
	if token, f := Bearer(nil); token != nil || f != nil {
		t.Errorf("absent: %q %v", token, f)
	}
}

var deflateCases = []struct {
	name, header, response string
	f                      *Refusal
}{
	{"bare", "permessage-deflate", deflateResponse, nil},
	{"Chromium", "permessage-deflate; client_max_window_bits", deflateResponse, nil},
	{"every parameter", "permessage-deflate;server_no_context_takeover;client_no_context_takeover;server_max_window_bits=15;client_max_window_bits=9", deflateWindowResponse, nil},
	{"quoted", `permessage-deflate; client_max_window_bits="10"`, deflateResponse, nil},
	{"white space", "\tpermessage-deflate ;\tclient_max_window_bits = 15 ", deflateResponse, nil},
	{"others before", "x-webkit-deflate-frame, permessage-deflate", deflateResponse, nil},
	{"fall-back offer", "permessage-deflate; server_max_window_bits=10, permessage-deflate", deflateResponse, nil},
	{"first acceptable one", "permessage-deflate; server_max_window_bits=15, permessage-deflate", deflateWindowResponse, nil},
	{"empty elements", ",permessage-deflate,,", deflateResponse, nil},
	{"another extension", "permessage-bzip2; level=9", "", nil},
	{"another case", "PerMessage-Deflate", "", nil},
	{"a smaller window for us", "permessage-deflate; server_max_window_bits=8", "", nil},
	{"server window without value", "permessage-deflate; server_max_window_bits", "", nil},
	{"window 7", "permessage-deflate; client_max_window_bits=7", "", nil},
	{"window 16", "permessage-deflate; client_max_window_bits=16", "", nil},
	{"window 08", "permessage-deflate; client_max_window_bits=08", "", nil},
	{"window 1000…", "permessage-deflate; client_max_window_bits=10000000000000000000000000000", "", nil},
	{"window is no number", "permessage-deflate; client_max_window_bits=1x", "", nil},
	{"escaped digit", `permessage-deflate; client_max_window_bits="1\0"`, "", nil},
	{"takeover with a value", "permessage-deflate; server_no_context_takeover=1", "", nil},
	{"takeover with a value 2", "permessage-deflate; client_no_context_takeover=1", "", nil},
	{"unknown parameter", "permessage-deflate; foo", "", nil},
	{"parameter twice", "permessage-deflate; client_max_window_bits; client_max_window_bits=10", "", nil},
	{"takeover twice", "permessage-deflate; server_no_context_takeover; server_no_context_takeover", "", nil},
	{"empty field", "", "", nil},
	{"empty parameter", "permessage-deflate;", "", ErrExtensionList},
	{"two semicolons", "permessage-deflate;;x", "", ErrExtensionList},
	{"no name", "; x=1", "", ErrExtensionList},
	{"empty value", "permessage-deflate; client_max_window_bits=", "", ErrExtensionList},
	{"empty quotes", `permessage-deflate; client_max_window_bits=""`, "", ErrExtensionList},
	{"open quote", `permessage-deflate; client_max_window_bits="10`, "", ErrExtensionList},
	{"a quote alone", `permessage-deflate; client_max_window_bits="`, "", ErrExtensionList},
	{"escape at the end", `x; y="a\"`, "", ErrExtensionList},
	{"comma in quotes", `x; y="a,b"`, "", ErrExtensionList},
	{"two equals", "x; y=1=2", "", ErrExtensionList},
	{"no semicolon", "permessage-deflate client_max_window_bits", "", ErrExtensionList},
	{"malformed behind a good one", "permessage-deflate, ;", "", ErrExtensionList},
}

func TestNegotiateDeflate(t *testing.T) {
	for _, c := range deflateCases {
		response, ok, f := NegotiateDeflate([]byte(c.header))
		if response != c.response || ok != (c.response != "") || f != c.f {
			t.Errorf("%s: %q %v %v", c.name, response, ok, f)
		}
	}
	if response, ok, f := NegotiateDeflate(nil); response != "" || ok || f != nil {
		t.Errorf("nothing offered: %q %v %v", response, ok, f)
	}
}

var queryCases = []struct {
	query, value string
	ok           bool
	f            *Refusal
}{
	{"", "", false, nil},
	{"ticket=abc", "abc", true, nil},
	{"a=b&ticket=abc&c=d", "abc", true, nil},
	{"ticket", "", true, nil},
	{"ticket=", "", true, nil},
	{"ticket=a=b", "a=b", true, nil},
	{"ticket=a%2Bb+c%20d%26", "a+b c d&", true, nil},
	{"ticket=%C3%A9", "é", true, nil},
	{"&&ticket=x&", "x", true, nil},
	{"tickets=x&xticket=y&Ticket=z", "", false, nil},
	{"%74icket=x", "", false, nil},
	{"ticket=x;ticket=y", "x;ticket=y", true, nil},
	{"ticket=x&ticket=x", "", false, ErrQueryDuplicate},
	{"ticket=x&ticket", "", false, ErrQueryDuplicate},
	{"ticket=%", "", false, ErrQuery},
	{"ticket=%4", "", false, ErrQuery},
	{"ticket=%4g", "", false, ErrQuery},
	{"ticket=%g4", "", false, ErrQuery},
	{"ticket=a%4", "", false, ErrQuery},
	{"ticket=a%00", "", false, ErrQuery},
	{"ticket=a%0d%0ab", "", false, ErrQuery},
	{"ticket=a%7f", "", false, ErrQuery},
	{"other=%&ticket=x", "x", true, nil},
}

func TestQueryValue(t *testing.T) {
	for _, c := range queryCases {
		value, ok, f := QueryValue([]byte(c.query), "ticket", []byte("before"))
		if string(value) != c.value || ok != c.ok || f != c.f {
			t.Errorf("%q: %q %v %v", c.query, value, ok, f)
		}
	}
}

func TestNextParameter(t *testing.T) {
	var got []string
	for rest := []byte("channel=a&channel=b%20c&x"); len(rest) > 0; {
		var name, raw []byte
		name, raw, rest = NextParameter(rest)
		value, f := Unescape(nil, raw)
		if f != nil {
			t.Fatal(f.Reason)
		}
		got = append(got, string(name)+":"+string(value))
	}
	if s := strings.Join(got, " | "); s != "channel:a | channel:b c | x:" {
		t.Error(s)
	}
}
