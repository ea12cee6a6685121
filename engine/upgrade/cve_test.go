package upgrade

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// Attacks that were found in other servers. docs/security.md lists all of them.

// TestCVE_2024_37890_HeaderCount (ws): more fields than are looked at, the ones
// that matter behind the limit or before it. They are refused, and not read
// half.
func TestCVE_2024_37890_HeaderCount(t *testing.T) {
	const needed = "Host: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	lim := Limits{HeadBytes: 1 << 20, Headers: 64}
	for _, more := range []int{60, 64, 65, 2000, 100_000} {
		rest := strings.Repeat("X: y\r\n", more)
		for place, fields := range map[string]string{"before": needed + rest, "behind": rest + needed} {
			if _, n, f := Parse([]byte("GET / HTTP/1.1\r\n"+fields+"\r\n"), lim); f != ErrTooManyHeaders || n != 0 {
				t.Errorf("%d more %s: %d, %v", more, place, n, f)
			}
		}
	}
	req, n, f := Parse([]byte("GET / HTTP/1.1\r\n"+strings.Repeat("X: y\r\n", 59)+needed+"\r\n"), lim)
	if f != nil || n == 0 || req.WebSocket() != nil {
		t.Errorf("64 fields: %d, %v", n, f)
	}
}

// TestCVE_2021_32640_ListFieldReDoS (ws): spaces, commas and quotes in a list
// take time in proportion to their number. Eight times as many may take three
// times as long as that: what is quadratic takes eight times.
func TestCVE_2021_32640_ListFieldReDoS(t *testing.T) {
	protocols := func(b []byte) { _, _, _ = SelectProtocol(b, "centrifuge-json") }
	extensions := func(b []byte) { _, _, _ = NegotiateDeflate(b) }
	const short, long = 16 << 10, 128 << 10
	for _, c := range []struct {
		name   string
		parse  func([]byte)
		before string
		piece  string
		behind string
	}{
		{"spaces before a comma", protocols, "a", " ", ",b"},
		{"spaces in a name", protocols, "a", " ", "b"},
		{"spaces to the end", protocols, "a,b", " ", ""},
		{"tabs and commas", protocols, "", "\t,", ""},
		{"names", protocols, "", "a,", "a"},
		{"spaces before a comma", extensions, "permessage-deflate", " ", ",b"},
		{"spaces in a parameter", extensions, "permessage-deflate; a", " ", "b"},
		{"parameters", extensions, "permessage-deflate", ";a", ""},
		{"offers", extensions, "", "permessage-deflate;x,", "a"},
		{"a quote without end", extensions, `permessage-deflate; a="`, "a", ""},
		{"backslashes", extensions, `permessage-deflate; a="`, `\\`, `"`},
		{"quotes", extensions, `permessage-deflate; a=`, `"`, ""},
	} {
		least := func(n int) time.Duration {
			text, least := []byte(c.before+strings.Repeat(c.piece, n/len(c.piece))+c.behind), time.Hour
			for range 10 {
				begun := time.Now()
				c.parse(text)
				least = min(least, time.Since(begun))
			}
			return least
		}
		var s, l time.Duration
		linear := false
		for round := 0; round < 6 && !linear; round++ { // a machine with other work is not the parser's fault
			s, l = least(short), least(long)
			linear = l <= 3*(long/short)*s+200*time.Microsecond
		}
		if !linear {
			t.Errorf("%s: %d bytes take %v, %d bytes %v", c.name, short, s, long, l)
		}
	}
}

// TestCVE_2026_2229_WindowBits: what is no window is not agreed to, and nothing
// of it comes back.
func TestCVE_2026_2229_WindowBits(t *testing.T) {
	for _, side := range []string{"server_max_window_bits", "client_max_window_bits"} {
		for _, bits := range []string{"=7", "=16", "=0", "=1000", "=-8", "=08", "=015", "=8.0", "=1e1", "=0x0f", "=99999999999999999999", `="16"`, `=" 15"`, "=15a", "=NaN", "=15; " + side + "=15"} {
			response, ok, f := NegotiateDeflate([]byte("permessage-deflate; " + side + bits))
			if ok || response != "" || f != nil && f != ErrExtensionList {
				t.Errorf("%s%s: %q %v", side, bits, response, f)
			}
		}
		response, ok, f := NegotiateDeflate(fmt.Appendf(nil, "permessage-deflate; %s=15", side))
		if !ok || f != nil || strings.Contains(response, "client_max_window_bits") {
			t.Errorf("%s=15: %q %v %v", side, response, ok, f)
		}
	}
}
