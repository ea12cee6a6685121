package attack

import (
	"bytes"
	"compress/flate"
	"crypto/tls"
	"encoding/hex"
	"io"
	"net/netip"
	"testing"
	"unicode/utf8"

	"weir/engine/tlsconn"
)

// What the attackers do is seen by bench/floods, in a server's own counters.
// Here is what can be seen without one.

func TestKinds(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range Kinds() {
		if k.Name == "" || k.What == "" || k.Attackers < 1 || k.live == nil || seen[k.Name] {
			t.Errorf("%+v", k)
		}
		seen[k.Name] = true
		if again, ok := Named(k.Name); !ok || again.Name != k.Name {
			t.Errorf("%s is not found", k.Name)
		}
	}
	if _, ok := Named("kindness"); ok || len(seen) != 16 {
		t.Errorf("%d kinds; SECURITY.md F4 lists 16", len(seen))
	}
}

func TestAddresses(t *testing.T) {
	const n = 1 << 16
	for _, text := range []string{"127.2.0.0/15", "2001:db8::/32", "2001:db8:5::/48"} {
		prefix, limited := netip.MustParsePrefix(text), map[netip.Prefix]bool{}
		for i := range uint64(n) {
			a := nth(prefix, i)
			bits := 32
			if a.Is6() {
				bits = 64
			}
			p, _ := a.Prefix(bits)
			limited[p] = true
			if !prefix.Contains(a) {
				t.Fatalf("%s is not of %s", a, prefix)
			}
		}
		if len(limited) < n*98/100 {
			t.Errorf("%s: %d different ones of %d", text, len(limited), n)
		}
	}
}

func TestClientHello(t *testing.T) {
	hello, err := clientHello(t.Context(), &tls.Config{ServerName: "localhost", MinVersion: tls.VersionTLS13})
	if err != nil {
		t.Fatal(err)
	}
	if whole, v := tlsconn.Hello(hello); !whole || v != nil {
		t.Errorf("% x is no whole hello: %v", hello, v)
	}
	if whole, v := tlsconn.Hello(hello[:len(hello)/2]); whole || v != nil {
		t.Errorf("half of it: %v %v", whole, v)
	}
}

func TestForgedToken(t *testing.T) {
	a := &attacker{&run{target: Target{Token: "aGVhZA.Ym9keQ.c2lnbmF0dXJl"}}, 3}
	if got := a.forged(); got != "aGVhZA.Ym9keQ.DEFGHIJKLMNO" {
		t.Errorf("%s", got)
	}
}

func TestSecretOfKeyLog(t *testing.T) {
	var k keyLog
	if _, err := k.secret(); err == nil {
		t.Error("one that was not told")
	}
	k.WriteString("SERVER_TRAFFIC_SECRET_0 00ff 0102\nCLIENT_TRAFFIC_SECRET_0 00ff a1b2c3\n")
	if secret, err := k.secret(); err != nil || hex.EncodeToString(secret) != "a1b2c3" {
		t.Errorf("%x %v", secret, err)
	}
}

// A bomb is within every limit until it is inflated.
func TestBomb(t *testing.T) {
	load, err := bomb()
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, flate.NewReader(io.MultiReader(bytes.NewReader(load), bytes.NewReader([]byte{0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff}))))
	if err != nil || n != bombBytes || len(load) > 64<<10 {
		t.Errorf("%d bytes inflate to %d: %v", len(load), n, err)
	}
}

// A bad text reaches the parser: it is no longer than a message may be, and
// only one kind is stopped for its characters.
func TestBadTexts(t *testing.T) {
	bad := 0
	for i, text := range badTexts() {
		if len(text) > 64<<10 {
			t.Errorf("text %d has %d bytes", i, len(text))
		}
		if !utf8.Valid(text) {
			bad++
		}
	}
	if bad != 1 {
		t.Errorf("%d texts are not UTF-8", bad)
	}
}
