package proxy

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/pires/go-proxyproto"
	"github.com/pires/go-proxyproto/tlvparse"
)

func prefixes(t testing.TB, list ...string) (out []netip.Prefix) {
	t.Helper()
	for _, text := range list {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

func TestTrusts(t *testing.T) {
	trust := NewTrust(prefixes(t, "10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32", "::ffff:198.51.100.0/120", "fe80::/10"), "")
	for addr, want := range map[string]bool{
		"10.1.2.3": true, "::ffff:10.1.2.3": true, "11.0.0.1": false, "192.0.2.7": true, "192.0.2.8": false,
		"2001:db8::1": true, "2001:db9::1": false, "198.51.100.9": true, "198.51.101.9": false, "fe80::1%eth0": true, "::1": false,
	} {
		if got := trust.Trusts(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %v, want %v", addr, got, want)
		}
	}
	if new(Trust).Trusts(netip.MustParseAddr("127.0.0.1")) || trust.Trusts(netip.Addr{}) {
		t.Error("the zero value trusts somebody, or somebody trusts the zero address")
	}
}

func TestProven(t *testing.T) {
	open, secured := NewTrust(nil, ""), NewTrust(nil, "s3cret")
	for shown, want := range map[string]bool{"s3cret": true, "": false, "s3cre": false, "s3cret ": false, "S3cret": false} {
		if !open.Proven([]byte(shown)) || secured.Proven([]byte(shown)) != want {
			t.Errorf("%q: want %v", shown, want)
		}
	}
	if secured.Proven(nil) {
		t.Error("no header is a proof")
	}
}

func TestClient(t *testing.T) {
	trust := NewTrust(prefixes(t, "10.0.0.0/8", "2001:db8:1::/48"), "")
	for _, c := range []struct {
		name   string
		fields []string
		want   string // "" is a fault
	}{
		{"one", []string{"192.0.2.1"}, "192.0.2.1"},
		{"the client's lie before", []string{"127.0.0.1, 192.0.2.1"}, "192.0.2.1"},
		{"garbage before", []string{"<script>, 192.0.2.1"}, "192.0.2.1"},
		{"a trusted one behind", []string{"192.0.2.1, 10.0.0.2"}, "192.0.2.1"},
		{"two trusted ones, two fields", []string{"evil, 192.0.2.1", "10.0.0.2,10.0.0.3"}, "192.0.2.1"},
		{"a lie in a field of its own", []string{"127.0.0.1", "192.0.2.1"}, "192.0.2.1"},
		{"a lie that is a trusted address", []string{"10.0.0.9, 192.0.2.1"}, "192.0.2.1"},
		{"with a port", []string{"192.0.2.1:4711"}, "192.0.2.1"},
		{"IPv6", []string{"2001:db8:2::1"}, "2001:db8:2::1"},
		{"IPv6 in brackets", []string{"[2001:db8:2::1]"}, "2001:db8:2::1"},
		{"IPv6 with a port", []string{"[2001:db8:2::1]:443, 2001:db8:1::1"}, "2001:db8:2::1"},
		{"mapped", []string{"::ffff:192.0.2.1"}, "192.0.2.1"},
		{"tabs and spaces", []string{"\t 192.0.2.1 \t"}, "192.0.2.1"},
		{"nothing", nil, ""},
		{"an empty field", []string{""}, ""},
		{"an empty entry last", []string{"192.0.2.1,"}, ""},
		{"an empty entry first", []string{",10.0.0.2"}, ""},
		{"only proxies", []string{"10.0.0.2, 10.0.0.3"}, ""},
		{"garbage last", []string{"192.0.2.1, unknown"}, ""},
		{"a name", []string{"localhost"}, ""},
		{"a zone", []string{"fe80::1%eth0"}, ""},
		{"IPv4 in brackets", []string{"[192.0.2.1]"}, ""},
		{"half a bracket", []string{"[2001:db8:2::1"}, ""},
		{"octal", []string{"192.0.02.1"}, ""},
		{"very long", []string{strings.Repeat("1", 1<<16)}, ""},
		{"too many proxies", []string{"192.0.2.1," + strings.Repeat("10.0.0.1,", 40) + "10.0.0.1"}, ""},
		{"a newline", []string{"192.0.2.1\n"}, ""},
	} {
		var fields [][]byte
		for _, f := range c.fields {
			fields = append(fields, []byte(f))
		}
		got, fault := trust.Client(netip.MustParseAddr("10.0.0.1"), fields)
		if c.want == "" && (fault != ErrForwarded || got.IsValid()) || c.want != "" && (fault != nil || got.String() != c.want) {
			t.Errorf("%s: %v, %v; want %q", c.name, got, fault, c.want)
		}
	}
	if got, fault := trust.Client(netip.MustParseAddr("192.0.2.66"), [][]byte{[]byte("127.0.0.1")}); fault != ErrUntrusted || got.IsValid() {
		t.Errorf("from a stranger: %v, %v", got, fault)
	}
}

func TestVia(t *testing.T) {
	trust := NewTrust(prefixes(t, "10.0.0.0/8", "2001:db8:1::/48"), "")
	for list, want := range map[string]string{
		"192.0.2.1": "10.0.0.1", "": "10.0.0.1",
		"10.0.0.9, 192.0.2.1, 10.0.0.2:80, [2001:db8:1::1]": "10.0.0.2,2001:db8:1::1,10.0.0.1",
		"10.0.0.3,unknown,::ffff:10.0.0.2":                  "10.0.0.2,10.0.0.1",
	} {
		if got := trust.Via(netip.MustParseAddr("10.0.0.1"), [][]byte{[]byte(list)}); got != want {
			t.Errorf("%q: by %q, want %q", list, got, want)
		}
	}
	if got := trust.Via(netip.MustParseAddr("::ffff:10.0.0.1"), nil); got != "10.0.0.1" {
		t.Errorf("peer alone: %q", got)
	}
	if got := trust.Via(netip.MustParseAddr("10.0.0.1"), [][]byte{[]byte(strings.Repeat("10.0.0.2,", 1000) + "10.0.0.2")}); len(got) > 600 {
		t.Errorf("%d bytes of a chain", len(got))
	}
}

func TestSecure(t *testing.T) {
	for value, want := range map[string]*Fault{
		"https": nil, "HTTPS": nil, " wss ": nil, "http": ErrPlain, "ws": ErrPlain, "": ErrForwarded, "https,http": ErrForwarded, "ftp": ErrForwarded, "https\n": ErrForwarded,
	} {
		if got := Secure([][]byte{[]byte(value)}); got != want {
			t.Errorf("%q: %v, want %v", value, got, want)
		}
	}
	if Secure(nil) != ErrForwarded || Secure([][]byte{[]byte("https"), []byte("https")}) != ErrForwarded {
		t.Error("none or two pass")
	}
}

// header makes a v2 header as HAProxy does.
func header(t testing.TB, source, destination net.Addr, local bool, tlvs ...proxyproto.TLV) []byte {
	t.Helper()
	h := proxyproto.HeaderProxyFromAddrs(2, source, destination)
	if local {
		h.Command = proxyproto.LOCAL
	}
	if err := h.SetTLVs(tlvs); err != nil {
		t.Fatal(err)
	}
	b, err := h.Format()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func sslField(t testing.TB, client uint8) proxyproto.TLV {
	t.Helper()
	field, err := tlvparse.PP2SSL{Client: client, Verify: 1, TLV: []proxyproto.TLV{{Type: proxyproto.PP2_SUBTYPE_SSL_VERSION, Value: []byte("TLSv1.3")}}}.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return field
}

func tcp(text string) *net.TCPAddr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(text)) }

type headerCase struct {
	name string
	in   []byte
	want Header
	f    *Fault
}

func headers(t testing.TB) []headerCase {
	v4 := header(t, tcp("192.0.2.1:4711"), tcp("192.0.2.9:443"), false, sslField(t, 1))
	overlong := bytes.Clone(v4)
	binary.BigEndian.PutUint16(overlong[14:], 0xffff)
	badTLV := bytes.Clone(v4)
	binary.BigEndian.PutUint16(badTLV[16+12+1:], 0x7fff)
	udp := header(t, &net.UDPAddr{IP: net.IPv4(1, 2, 3, 4), Port: 1}, &net.UDPAddr{IP: net.IPv4(1, 2, 3, 5), Port: 2}, false)
	return []headerCase{
		{"IPv4 over TLS", v4, Header{Client: netip.MustParseAddrPort("192.0.2.1:4711"), TLS: true}, nil},
		{"IPv4 in the clear", header(t, tcp("192.0.2.1:4711"), tcp("192.0.2.9:80"), false), Header{Client: netip.MustParseAddrPort("192.0.2.1:4711")}, nil},
		{"an SSL field that says no", header(t, tcp("192.0.2.1:1"), tcp("192.0.2.9:80"), false, sslField(t, 0)), Header{Client: netip.MustParseAddrPort("192.0.2.1:1")}, nil},
		{"IPv6", header(t, tcp("[2001:db8::1]:5"), tcp("[2001:db8::2]:443"), false, sslField(t, 1)), Header{Client: netip.MustParseAddrPort("[2001:db8::1]:5"), TLS: true}, nil},
		{"a health check", header(t, tcp("192.0.2.1:1"), tcp("192.0.2.9:80"), true), Header{Local: true}, nil},
		{"UDP", udp, Header{}, ErrFamily},
		{"longer than may be", overlong, Header{}, ErrTooLong},
		{"a field that leaves the header", badTLV, Header{}, ErrHeader},
		{"version 1", []byte("PROXY TCP4 192.0.2.1 192.0.2.9 4711 443\r\n"), Header{}, ErrHeader},
		{"a TLS hello", []byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03rest"), Header{}, ErrHeader},
		{"HTTP", []byte("GET / HTTP/1.1\r\n"), Header{}, ErrHeader},
		{"another version", append([]byte(signature), 0x31, 0x11, 0, 0), Header{}, ErrHeader},
		{"another command", append([]byte(signature), 0x22, 0x11, 0, 0), Header{}, ErrHeader},
		{"no addresses", append([]byte(signature), 0x21, 0x11, 0, 0), Header{}, ErrHeader},
		{"no family", append([]byte(signature), 0x21, 0x00, 0, 0), Header{}, ErrHeader},
	}
}

func TestParseHeader(t *testing.T) {
	for _, c := range headers(t) {
		more := append(bytes.Clone(c.in), "GET / HTTP/1.1\r\n"...)
		h, n, f := ParseHeader(more)
		if h != c.want || f != c.f || f == nil && n != len(c.in) || f != nil && n != 0 {
			t.Errorf("%s: %+v, %d of %d, %v; want %+v, %v", c.name, h, n, len(c.in), f, c.want, c.f)
		}
	}
}

// TestParseHeaderCutShort: every prefix of a good header needs more; of a bad
// one it needs more or is refused as the whole is.
func TestParseHeaderCutShort(t *testing.T) {
	for _, c := range headers(t) {
		for i := range len(c.in) {
			h, n, f := ParseHeader(c.in[:i])
			if n != 0 || h != (Header{}) || f != nil && f != c.f {
				t.Errorf("%s, %d bytes of it: %+v, %d, %v", c.name, i, h, n, f)
			}
		}
	}
}

func FuzzHeader(f *testing.F) {
	for _, c := range headers(f) {
		f.Add(c.in)
	}
	for _, c := range haproxyHeaders {
		f.Add([]byte(c.in))
	}
	for _, rest := range []string{
		"\x20\x00\x00\x00", "\x20\x11\x00\x0d123456789012\x20", "\x21\x11\x00\x14\x01\x02\x03\x04\x05\x06\x07\x08\x00\x01\x01\xbb\x20\x00\x05\x01\x00\x00\x00\x00",
		"\x21\x11\x00\x14\x01\x02\x03\x04\x05\x06\x07\x08\x00\x01\x01\xbb\x20\x00\x08\x07\x00\x00\x00\x00\x21\x00\x09", "\x21\x21\x00\x24" + strings.Repeat("\x00", 10) + "\xff\xff\x01\x02\x03\x04" + strings.Repeat("\x00", 20),
		"\x21\x31\x00\xd8" + strings.Repeat("/", 216), "\x21\x11\x10\x00" + strings.Repeat("\x04\x00\x00", 1360), "\x21\x11\x00\x13\x01\x02\x03\x04\x05\x06\x07\x08\x00\x01\x01\xbb\x03\x00\x04\x00\x00\x00\x00",
	} {
		f.Add([]byte(signature + rest))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		h, n, fault := ParseHeader(b)
		if !bytes.Equal(b, before) {
			t.Fatal("the input was changed")
		}
		if n < 0 || n > len(b) || n > MaxHeaderBytes || fault != nil && (n != 0 || h != (Header{})) {
			t.Fatalf("%+v, %d of %d, %v", h, n, len(b), fault)
		}
		if n > 0 && h.Local == h.Client.IsValid() {
			t.Fatalf("%+v", h)
		}
		if n == 0 && fault == nil && len(b) >= MaxHeaderBytes {
			t.Fatal("needs more than a header may have")
		}
		// What follows changes nothing.
		if again, m, _ := ParseHeader(append(before, 'x')); n > 0 && (again != h || m != n) {
			t.Fatalf("with a byte more: %+v, %d", again, m)
		}
	})
}

func FuzzClient(f *testing.F) {
	for _, s := range []string{"192.0.2.1", "10.0.0.1, 192.0.2.1", "[2001:db8::1]:80", ",", "a\x00b", "fe80::1%x", "::ffff:10.0.0.9, ::ffff:192.0.2.1, [::ffff:10.1.2.3]:65535", "192.0.2.1:0,\t10.0.0.1:65536", "[192.0.2.1]", " , 10.0.0.1", "010.0.0.1", strings.Repeat("10.0.0.1,", 40)} {
		f.Add([]byte(s), []byte("10.0.0.2"))
	}
	trust := NewTrust([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, "")
	f.Fuzz(func(t *testing.T, first, second []byte) {
		got, fault := trust.Client(netip.MustParseAddr("10.0.0.1"), [][]byte{first, second})
		if (fault == nil) != got.IsValid() || got.IsValid() && (trust.Trusts(got) || got.Zone() != "" || got.Is4In6()) {
			t.Fatalf("%v, %v", got, fault)
		}
		for hop := range strings.SplitSeq(trust.Via(netip.MustParseAddr("10.0.0.1"), [][]byte{first, second}), ",") {
			if a, err := netip.ParseAddr(hop); err != nil || !trust.Trusts(a) {
				t.Fatalf("by %q", hop)
			}
		}
		// Whatever stands left of a client's address does not change it.
		if again, _ := trust.Client(netip.MustParseAddr("10.0.0.1"), [][]byte{[]byte("127.0.0.1"), first, second}); got.IsValid() && again != got {
			t.Fatalf("%v, with more before it %v", got, again)
		}
	})
}
