package main

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"weir/engine/ws"
)

// certificateOf is the file that clients of a server trust.
func (r *running) certificateOf() string {
	for i, arg := range r.args {
		if arg == "--tls-cert" {
			return r.args[i+1]
		}
	}
	return ""
}

// rawClient sends frames of any kind after the 101 and reads until the server ends the connection.
func (r *running) rawClient(frames ...[]byte) {
	r.t.Helper()
	c := r.rawHead("GET /connection/websocket HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nOrigin: https://app.example.com\r\n\r\n")
	in := bufio.NewReader(c)
	if answer, err := http.ReadResponse(in, nil); err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
		r.t.Fatal(answer, err)
	}
	for _, f := range frames {
		if _, err := c.Write(f); err != nil {
			r.t.Error(err)
		}
	}
	_, _ = io.Copy(io.Discard, in)
	_ = c.Close()
}

// rawHead sends a request head of any kind.
func (r *running) rawHead(head string) *tls.Conn {
	r.t.Helper()
	c, err := tls.Dial("tcp", r.address("listen"), r.clientConfig())
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := io.WriteString(c, head); err != nil {
		r.t.Fatal(err)
	}
	return c
}

func textFrame(s string) []byte {
	return ws.AppendMasked(nil, ws.OpText, [4]byte{1, 2, 3, 4}, []byte(s))
}

// traffic is what the clients of these tests do: honest sessions, refused ones, and those that break every rule
// they find.
func traffic(t *testing.T, r *running) {
	t.Helper()
	honest := func(token string, more ...string) {
		ws, refusal := r.dial("/connection/websocket", nil)
		if ws == nil {
			t.Fatal(refusal)
		}
		ask(t, ws, append([]string{`{"id":1,"connect":{"token":"` + token + `"}}`}, more...)...)
		_ = ws.Close(websocket.StatusNormalClosure, "")
	}
	_, subToken, _ := weir("token", "--token-hmac-secret", testSecret, "--sub=alice", "--channel=$p")
	token := signedFor(t, "alice")
	honest(token, `{"id":2,"subscribe":{"channel":"a"}}`, `{"id":3,"publish":{"channel":"b","data":{"x":1}}}`, `{"id":4,"history":{"channel":"a"}}`,
		`{"id":5,"subscribe":{"channel":"$p","token":"`+strings.TrimSpace(subToken)+`"}}`, `{"id":6,"unsubscribe":{"channel":"a"}}`)
	honest(signedFor(t, "bob", "--channels=b", "--server-channels=c"), `{"id":2,"subscribe":{"channel":"a"}}`, `{"id":3,"publish":{"channel":"nowhere:a","data":1}}`,
		`{"id":4,"rpc":{"method":"m"}}`, `{"id":5,"publish":{"channel":"b","data":{"x":1,"x":2}}}`)
	if feed, refusal := r.dial("/feed?channel=a", http.Header{"Authorization": {"Bearer " + signedFor(t, "carol")}}); feed == nil {
		t.Error(refusal)
	} else {
		_ = feed.Close(websocket.StatusNormalClosure, "")
	}
	for _, refused := range []string{"/nowhere", "/feed?channel=nowhere:a", "/feed", "/connection/websocket?ticket=" + strings.Repeat("x", 43), "/connection/websocket?token=" + token} {
		if ws, _ := r.dial(refused, nil); ws != nil {
			t.Errorf("%s was let in", refused)
		}
	}
	for _, head := range []string{
		"POST /feed HTTP/1.1\r\nHost: a\r\n\r\n", "GET /feed HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", "GET /feed HTTP/1.1\nHost: a\n\n",
		"GET /connection/websocket HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 8\r\n\r\n",
		"GET /connection/websocket HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: https://evil.example\r\n\r\n",
		"GET /feed HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 9000) + "\r\n\r\n", "GET /feed HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X: y\r\n", 100) + "\r\n",
	} {
		c := r.rawHead(head)
		_, _ = io.Copy(io.Discard, c)
		_ = c.Close()
	}
	open := textFrame(`{"id":1,"connect":{"token":"` + signedFor(t, "mallory") + `"}}`)
	for _, frames := range [][]byte{
		{0x81, 0x00}, {0xF1, 0x80, 0, 0, 0, 0}, {0x83, 0x80, 0, 0, 0, 0}, {0x80, 0x80, 0, 0, 0, 0}, {0x81, 0xFE, 0, 5, 0, 0, 0, 0},
		{0x81, 0xFF, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 0}, ws.AppendMasked(nil, ws.OpText, [4]byte{}, []byte("\xff")),
		ws.AppendMasked(nil, ws.OpClose, [4]byte{}, []byte{3}), ws.AppendMasked(nil, ws.OpBinary, [4]byte{}, []byte("{}")), textFrame(""),
		textFrame(`{"id":2,"subscribe":{"channel":"a"}}`), textFrame(`{"id":1,"connect":{"token":"abc.def.ghi"}}`), textFrame(`{"id":1,"connect":{"token":`), textFrame(`{}}`), textFrame(`[]`),
		slices.Concat(open, textFrame(`{"id":2,"connect":{}}`)), slices.Concat(open, textFrame(`{"id":0,"publish":{}}`)), slices.Concat(open, textFrame(`{"id":2,"refresh":{"token":"x"}}`)),
		slices.Concat(open, textFrame(strings.Repeat("{}\n", 20_000))),
	} {
		r.rawClient(frames)
	}
}

// captureOf runs traffic against a server that captures it, and returns the file.
func captureOf(t *testing.T, traffic func(*testing.T, *running)) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "captures")
	r, _ := audited(t, unhurried("--capture-dir", dir, "--capture-addresses=127.0.0.1")...)
	traffic(t, r)
	r.stop()
	files, _ := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if len(files) != 1 {
		t.Fatalf("%v", files)
	}
	return files[0]
}

// again replays a file against a server.
func (r *running) again(file string, args ...string) (status int, stdout, stderr string) {
	return weir(append([]string{"audit", "replay", file, "--url=wss://" + r.address("listen"), "--ca-file", r.certificateOf(), "--patience=2m"}, args...)...)
}

// TestReplayEndToEnd: honest and hostile sessions are captured, and replayed against a server of the same configuration and
// against one that differs.
func TestReplayEndToEnd(t *testing.T) {
	file := captureOf(t, traffic)
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	connections := strings.Count(string(b), `"request":{`)

	same, _ := audited(t, unhurried()...)
	status, stdout, stderr := same.again(file, "--token-hmac-secret", testSecret)
	if status != 0 || stderr != "" || !strings.Contains(stdout, fmt.Sprintf("%d of %d connections replayed", connections, connections)) || !strings.HasSuffix(stdout, " 0 differ\n") {
		t.Errorf("the same: %d\n%s%s", status, stdout, stderr)
	}
	same.stop()
	if got := same.stderr.String(); strings.Contains(got, "panic") {
		t.Error(got)
	}

	other, _ := audited(t, unhurried("--allowed-origins=https://evil.example", "--allow-token-in-url", "--message-size-limit=1KiB")...)
	status, stdout, stderr = other.again(file, "--token-hmac-secret", testSecret)
	other.stop()
	if status != statusFailed || stderr != "weir audit replay: the verdicts are not the same\n" {
		t.Errorf("another: %d\n%s%s", status, stdout, stderr)
	}
	lines := strings.Split(string(b), "\n")
	for found, expected := range map[string]string{ // what the other one does, and what stands in the line that is named
		`answer 101, not answer 403 "origin"`: `"reason":"origin"`, `answer 101, not answer 401 "unauthorized"`: `"reason":"unauthorized"`, "close 1009, not close 3013": `"code":3013`,
	} {
		line, text, _ := strings.Cut(strings.TrimPrefix(lineWith(stdout, found), file+":"), ": ")
		n, err := strconv.Atoi(line)
		if err != nil || n > len(lines) || !strings.Contains(lines[n-1], expected) || !strings.HasPrefix(text, `connection "`) {
			t.Errorf("%s: %s", found, stdout)
		}
	}
	if !strings.HasSuffix(stdout, " 3 differ\n") {
		t.Error(stdout)
	}
}

// lineWith is the line of a text that holds a word.
func lineWith(text, word string) string {
	for line := range strings.Lines(text) {
		if strings.Contains(line, word) {
			return line
		}
	}
	return ""
}

// TestReplayOfACutFile: the server was killed while it wrote. What is whole is compared, and what is missing is said.
func TestReplayOfACutFile(t *testing.T) {
	file := captureOf(t, func(t *testing.T, r *running) {
		for range 2 {
			r.rawClient(textFrame(`{"id":1,"connect":{"token":"abc.def.ghi"}}`))
		}
	})
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b[:len(b)-10], 0o600); err != nil {
		t.Fatal(err)
	}
	r, _ := audited(t, unhurried()...)
	status, stdout, stderr := r.again(file)
	r.stop()
	if status != 0 || !strings.Contains(stderr, "the last line is not whole") || !strings.Contains(stderr, "the end of the connection is not captured") ||
		!strings.Contains(stdout, "2 of 2 connections replayed") {
		t.Errorf("%d: %s%s", status, stdout, stderr)
	}
}

// TestReplayWithoutSecret: who needs one is not replayed, and nothing that was not compared is called the same.
func TestReplayWithoutSecret(t *testing.T) {
	file := captureOf(t, func(t *testing.T, r *running) {
		ws, refusal := r.dial("/feed?channel=a", http.Header{"Authorization": {"Bearer " + signedFor(t, "alice")}})
		if ws == nil {
			t.Fatal(refusal)
		}
		_ = ws.Close(websocket.StatusNormalClosure, "")
	})
	r, _ := audited(t, unhurried()...)
	status, stdout, stderr := r.again(file)
	if status != statusFailed || !strings.Contains(stderr, "give --token-hmac-secret") || !strings.Contains(stderr, "nothing was compared") {
		t.Errorf("%d: %s%s", status, stdout, stderr)
	}
	for _, how := range [][]string{{"--token", signedFor(t, "alice")}, {"--token-file", writeFile(t, "token", signedFor(t, "alice")+"\n")}, {"--token-hmac-secret", testSecret, "--speed=10"}} {
		if status, stdout, stderr := r.again(file, how...); status != 0 || stderr != "" {
			t.Errorf("%s: %d: %s%s", how[0], status, stdout, stderr)
		}
	}
	if status, stdout, _ := r.again(file, "--token-hmac-secret", strings.Repeat("other", 8)); status != statusFailed || !strings.Contains(stdout, `answer 401 "unauthorized", not answer 101`) {
		t.Errorf("another secret: %d: %s", status, stdout)
	}
	if status, stdout, _ := r.again(file, "--token-hmac-secret", testSecret, "--origin=https://evil.example"); status != statusFailed || !strings.Contains(stdout, `answer 403 "origin", not answer 101`) {
		t.Errorf("another origin: %d: %s", status, stdout)
	}
	r.stop()
}

// capturedBy writes a file with these lines behind the first.
func capturedBy(t *testing.T, lines ...string) string {
	t.Helper()
	return writeFile(t, "capture.jsonl", strings.Join(append([]string{`{"at":0,"begin":{"version":1,"run":"1","part":1,"time":"2026-01-31T12:00:00Z"}}`}, lines...), "\n")+"\n")
}

// TestReplayPrintsNothingRaw: a capture is anybody's words, and a terminal obeys some of them.
func TestReplayPrintsNothingRaw(t *testing.T) {
	const evil = `\u001b[2J\u009b2J\r\u202e`
	file := capturedBy(t,
		`{"at":0,"conn":"`+evil+`","request":{"peer":"`+evil+`","why":"`+evil+`","path":{"text":"/nowhere"}}}`,
		`{"at":0,"conn":"`+evil+`","answer":{"status":403,"reason":"`+evil+`"}}`,
		`{"at":0,"conn":"x","request":{"peer":"","why":"","path":{"text":"/connection/websocket"},"origin":{"text":"https://app.example.com"}}}`,
		`{"at":0,"conn":"x","answer":{"status":101}}`, `{"at":1,"conn":"x","broken":"`+evil+`"}`,
		`{"at":0,"conn":"`+evil+evil+`","cut":"`+evil+`"}`, `{"`+evil+`":1}`)
	r, _ := audited(t, unhurried()...)
	status, stdout, stderr := r.again(file)
	r.stop()
	if status != statusFailed || !strings.Contains(stdout, "1 differ") || !strings.Contains(stderr, "its beginning is not there") || !strings.Contains(stderr, "cannot be sent again") {
		t.Errorf("%d: %q %q", status, stdout, stderr)
	}
	if strings.ContainsFunc(stdout+stderr, func(r rune) bool { return r != '\n' && !strconv.IsPrint(r) }) {
		t.Errorf("%q %q", stdout, stderr)
	}
}

func TestReplayMistakes(t *testing.T) {
	file := capturedBy(t)
	for _, c := range []struct{ args, words []string }{
		{[]string{file, "--url=wss://192.0.2.1:8443"}, []string{"--url", "--allow-target"}},
		{[]string{file, "--url=wss://test.example:8443"}, []string{"--url", "--allow-target"}},
		{[]string{file, "--url=wss://test.example", "--allow-target=other.example"}, []string{"--allow-target", "other.example"}},
		{[]string{file, "--url=wss://test.example", "--allow-target=test.exampl"}, []string{"--allow-target"}},
		{[]string{file, "--url=ws://127.0.0.1"}, []string{"--url", "wss://"}},
		{[]string{file, "--url=wss://127.0.0.1/?token=x"}, []string{"--url", "host and port"}},
		{[]string{file, "--speed=0"}, []string{"--speed"}},
		{[]string{file, "--token=a b"}, []string{"--token"}},
		{[]string{file, "--token=a", "--token-file=b"}, []string{"--token-file", "both"}},
		{[]string{file, "--token-hmac-secret=short"}, []string{"--token-hmac-secret", "32"}},
		{[]string{file, "--ca-file=/nowhere.pem"}, []string{"--ca-file"}},
		{[]string{"/nowhere.jsonl"}, []string{"no such file"}},
		{[]string{writeFile(t, "a", "hello\n")}, []string{"is no capture"}},
		{[]string{writeFile(t, "a", "")}, []string{"is no capture", "empty"}},
		{[]string{file, file}, []string{"given twice"}},
		{[]string{file, capturedBy(t, `{"at":0,"begin":{"version":1,"run":"1","part":1,"time":"2026-01-31T12:00:00Z"}}`)}, []string{"begins within"}},
		{[]string{}, []string{"file"}},
	} {
		wantRefusal(t, nil, append([]string{"audit", "replay"}, c.args...), c.words...)
	}
	for _, target := range []string{"192.0.2.1:443", "[2001:db8::1]:443", "0.0.0.0:443", "10.0.0.1:443"} {
		if _, err := dialTarget(t.Context(), target, nil, true); !errors.Is(err, errElsewhere) {
			t.Errorf("%s: %v", target, err)
		}
	}
}

// TestReplayVerifiesTheServer: chain and host name, as weir sub does.
func TestReplayVerifiesTheServer(t *testing.T) {
	r, _ := audited(t, unhurried()...)
	file := capturedBy(t, `{"at":0,"conn":"x","request":{"peer":"","why":"","path":{"text":"/nowhere"}}}`, `{"at":0,"conn":"x","answer":{"status":404,"reason":"not_found"}}`)
	url := "--url=wss://" + r.address("listen")
	for _, c := range []struct {
		args []string
		word string // "": it is verified
	}{
		{[]string{"--ca-file", r.certificateOf()}, ""},
		{nil, "--ca-file"},
		{[]string{"--ca-file", r.certificateOf(), "--pin=sha256/" + strings.Repeat("A", 43) + "="}, "--pin"},
		{[]string{"--ca-file", r.certificateOf(), "--url=wss://127.0.0.2:" + strings.Split(r.address("listen"), ":")[1], "--patience=1ms"}, "127.0.0.2"},
	} {
		status, stdout, stderr := weir(append([]string{"audit", "replay", file, url}, c.args...)...)
		if (status == 0) != (c.word == "") || !strings.Contains(stderr, c.word) {
			t.Errorf("%v: %d: %s%s", c.args, status, stdout, stderr)
		}
	}
	r.stop()
}
