package backend

import (
	"strings"
	"testing"
)

func TestCheckURL(t *testing.T) {
	for url, word := range map[string]string{
		"https://app.example.com/rpc": "", "https://app.example.com:8443/rpc?a=b": "", "https://10.0.0.1": "", "http://127.0.0.1:3000/x": "",
		"http://127.9.9.9": "", "http://[::1]:3000": "", "http://localhost:3000/x": "", "http://[::ffff:127.0.0.1]/": "",
		"":                                    "no URL",
		"app.example.com/rpc":                 "no URL",
		"https://":                            "no URL",
		"https:rpc":                           "no URL",
		"https://a b/":                        "no URL",
		"https://a\n/":                        "no URL",
		"https://" + strings.Repeat("a", 3e3): "no URL",
		"http://app.example.com/rpc":          "https://",
		"http://127.0.0.1.example.com/":       "https://",
		"http://localhost.example.com/":       "https://",
		"http://10.0.0.1/":                    "https://",
		"http://0.0.0.0/":                     "https://",
		"http://127.1/":                       "https://",
		"grpc://localhost:9000":               "neither",
		"unix://localhost/run/x":              "neither",
		"https://user:secret@app.example.com": "--hook-header-file",
		"http://secret@127.0.0.1/":            "--hook-header-file",
		"https://app.example.com/#secret":     "fragment",
	} {
		err := CheckURL(url)
		if (err == nil) != (word == "") || err != nil && !strings.Contains(err.Error(), word) {
			t.Errorf("%q: %v, want %q", url, err, word)
		}
		if err != nil && strings.Contains(err.Error(), "secret") && word != "--hook-header-file" {
			t.Errorf("%q: the error tells it: %v", url, err)
		}
	}
}

func TestParseHeader(t *testing.T) {
	for line, want := range map[string][2]string{
		"Authorization: Bearer x:y ": {"Authorization", "Bearer x:y"}, "X-Key:k": {"X-Key", "k"}, "x_1:\tä": {"x_1", "ä"},
	} {
		if name, value, err := ParseHeader(line); name != want[0] || value != want[1] || err != nil {
			t.Errorf("%q: %q, %q, %v", line, name, value, err)
		}
	}
	for line, word := range map[string]string{
		"": "NAME: VALUE", "hunter2": "NAME: VALUE", ": hunter2": "NAME: VALUE", "X Y: hunter2": "NAME: VALUE", "X-Key : hunter2": "NAME: VALUE", "X-Käy: hunter2": "NAME: VALUE",
		"X-Key:": "no value", "X-Key: \t": "no value", "X-Key: hunter2\r\nX: y": "line break", "X-Key: hunter2\x00": "line break",
		"X-Key: hunter2" + strings.Repeat("x", headerBytes): "4096", "host: hunter2": "another header", "Content-Length: hunter2": "another header", "Transfer-Encoding: hunter2": "another header",
	} {
		if _, _, err := ParseHeader(line); err == nil || !strings.Contains(err.Error(), word) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v, want %q", line, err, word)
		}
	}
}
