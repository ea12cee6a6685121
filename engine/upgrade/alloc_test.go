package upgrade

import (
	"strings"
	"testing"
)

func TestNoAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("allocations are counted without the race detector")
	}
	good, refused := []byte(browserHead), []byte(strings.Replace(browserHead, "Accept-Encoding:", "Accept-Encoding :", 1))
	partial := good[:len(good)-1]
	key, protocols := []byte("dGhlIHNhbXBsZSBub25jZQ=="), []byte("centrifuge-json, bearer.a.b.c")
	offers := []byte("x; y=1, permessage-deflate; client_max_window_bits")
	query, escape := []byte("a=b&ticket=a%20b"), []byte("a=b&ticket=a%2")
	value, response := make([]byte, 0, 64), make([]byte, 0, 1024)
	gates := []struct {
		name string
		run  func() bool
	}{
		{"accept a head", func() bool {
			r, n, f := Parse(good, usual)
			return n == len(good) && f == nil && r.WebSocket() == nil
		}},
		{"refuse a head", func() bool { _, _, f := Parse(refused, usual); return f == ErrHeaderName }},
		{"wait for a head", func() bool { _, n, f := Parse(partial, usual); return n == 0 && f == nil }},
		{"select a protocol", func() bool {
			selected, bearer, f := SelectProtocol(protocols, "weir-feed", "centrifuge-json")
			return selected == "centrifuge-json" && string(bearer) == "a.b.c" && f == nil
		}},
		{"refuse protocols", func() bool { _, _, f := SelectProtocol(protocols, "weir-feed"); return f == ErrBearerAlone }},
		{"negotiate deflate", func() bool { _, ok, f := NegotiateDeflate(offers); return ok && f == nil }},
		{"refuse extensions", func() bool { _, _, f := NegotiateDeflate(offers[:5]); return f == ErrExtensionList }},
		{"decode a query", func() bool { v, ok, _ := QueryValue(query, "ticket", value); return ok && string(v) == "a b" }},
		{"refuse a query", func() bool { _, _, f := QueryValue(escape, "ticket", value); return f == ErrQuery }},
		{"answer 101", func() bool { return len(AppendSwitching(response, key, "centrifuge-json", deflateResponse)) > 0 }},
		{"answer a refusal", func() bool { return len(AppendRefusal(response, TooManyRequests)) > 0 }},
	}
	for _, g := range gates {
		if n := testing.AllocsPerRun(100, func() {
			if !g.run() {
				t.Fatal(g.name + ": another outcome")
			}
		}); n != 0 {
			t.Errorf("%s allocates %v times", g.name, n)
		}
	}
}

func BenchmarkParseBrowser(b *testing.B) {
	head := []byte(browserHead)
	b.ReportAllocs()
	b.SetBytes(int64(len(head)))
	for b.Loop() {
		if _, _, f := Parse(head, usual); f != nil {
			b.Fatal(f.Reason)
		}
	}
}

// What each byte costs us of a peer that sends a long head byte by byte.
func BenchmarkParseDrip(b *testing.B) {
	head := []byte("GET / HTTP/1.1\r\n" + strings.Repeat("X: "+strings.Repeat("y", 120)+"\r\n", 60))
	b.ReportAllocs()
	for b.Loop() {
		if _, n, f := Parse(head, usual); n != 0 || f != nil {
			b.Fatal(n, f)
		}
	}
}

func BenchmarkAppendSwitching(b *testing.B) {
	dst, key := make([]byte, 0, 512), []byte("dGhlIHNhbXBsZSBub25jZQ==")
	b.ReportAllocs()
	for b.Loop() {
		AppendSwitching(dst, key, "centrifuge-json", "")
	}
}
