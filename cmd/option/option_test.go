package option

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSecret(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(" kept blanks \r\n\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ value, file, want, wrong string }{
		{value: "a", want: "a"}, {}, {file: file, want: " kept blanks "},
		{value: "a", file: file, wrong: "keep one"}, {file: empty, wrong: "is empty"}, {file: empty + "x", wrong: "--key-file"},
	} {
		b, err := Secret("key", c.value, c.file)
		if string(b) != c.want || (err != nil) != (c.wrong != "") || err != nil && !strings.Contains(err.Error(), c.wrong) {
			t.Errorf("%+v: %q, %v", c, b, err)
		}
	}
	if _, err := ReadBounded(file, 3); err == nil {
		t.Error("a file over the bound was read")
	}
	for value, good := range map[string]bool{"a b": true, " a": false, "a\t": false, "a\nb": false, "a\x7fb": false} {
		if err := HeaderValue("key", "", []byte(value)); (err == nil) != good {
			t.Errorf("%q: %v", value, err)
		}
	}
}

func TestTarget(t *testing.T) {
	for s, want := range map[string]bool{
		"wss://localhost:1": true, "wss://127.9.9.9/": true, "wss://[::1]": true, "wss://[::ffff:127.0.0.1]": true,
		"wss://localhost.example.com": false, "wss://10.0.0.1": false, "wss://127.0.0.1.example.com": false,
	} {
		u, err := URL("url", s, "wss")
		if err != nil || Loopback(u) != want {
			t.Errorf("%s: %v", s, err)
		}
	}
	for _, s := range []string{"", "ws://localhost", "wss:", "wss://a@localhost", "%"} {
		if u, err := URL("url", s, "wss"); err == nil {
			t.Errorf("%s: %v", s, u)
		}
	}
	if Loopback(&url.URL{}) {
		t.Error("nothing is this machine")
	}
	pins, err := Pins([]string{"sha256/" + strings.Repeat("A", 43) + "="})
	if err != nil || len(pins) != 1 {
		t.Errorf("%v %v", pins, err)
	}
	for _, s := range []string{"", "sha256/", "sha256/AAAA", strings.Repeat("A", 43) + "=", "sha1/" + strings.Repeat("A", 43) + "="} {
		if _, err := Pins([]string{s}); err == nil {
			t.Errorf("%q is a pin", s)
		}
	}
}
