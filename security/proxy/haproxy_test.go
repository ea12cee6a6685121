package proxy

import (
	"net/netip"
	"testing"
)

// What HAProxy 2.6 sent: with send-proxy-v2-ssl, with every option of
// proxy-v2-options, and for a health check.
var haproxyHeaders = []struct {
	name, in string
	want     Header
}{
	{"IPv4 over TLS", signature + "\x21\x11\x00\x1e\x7f\x00\x00\x01\x7f\x00\x00\x01\x9b\x94\xe9\x9d\x20\x00\x0f\x01\x00\x00\x00\x00\x21\x00\x07TLSv1.3",
		Header{Client: netip.MustParseAddrPort("127.0.0.1:39828"), TLS: true}},
	{"IPv6 over TLS", signature + "\x21\x21\x00\x36" +
		"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\xab\x72\xbe\x49" +
		"\x20\x00\x0f\x01\x00\x00\x00\x00\x21\x00\x07TLSv1.3",
		Header{Client: netip.MustParseAddrPort("[::1]:43890"), TLS: true}},
	{"every option", signature + "\x21\x11\x00\x8d\x7f\x00\x00\x01\x7f\x00\x00\x01\x95\x2a\xbd\xbb\x03\x00\x04\x0e\xe4\x46\x00\x02\x00\x09localhost" +
		"\x05\x00\x248f408244-37aa-4609-a727-6b436104469c\x20\x00\x44\x01\x00\x00\x00\x00\x21\x00\x07TLSv1.3\x25\x00\x05EC256" +
		"\x24\x00\x11ecdsa-with-SHA256\x23\x00\x16TLS_AES_256_GCM_SHA384",
		Header{Client: netip.MustParseAddrPort("127.0.0.1:38186"), TLS: true}},
	{"a health check", signature + "\x20\x00\x00\x08\x20\x00\x05\x00\x00\x00\x00\x00", Header{Local: true}},
}

func TestHeadersOfHAProxy(t *testing.T) {
	for _, c := range haproxyHeaders {
		h, n, f := ParseHeader([]byte(c.in + "GET / HTTP/1.1\r\n"))
		if h != c.want || n != len(c.in) || f != nil {
			t.Errorf("%s: %+v, %d of %d, %v", c.name, h, n, len(c.in), f)
		}
		for i := range len(c.in) {
			if h, n, f := ParseHeader([]byte(c.in[:i])); n != 0 || h != (Header{}) || f != nil {
				t.Errorf("%s, %d bytes of it: %+v, %d, %v", c.name, i, h, n, f)
			}
		}
	}
}
