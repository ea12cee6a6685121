package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/coder/websocket"

	"weir/security/audit"
	"weir/security/certs"
	"weir/security/certs/certstest"
)

// audited starts a server with an audit log in a file; its certificate is trusted.
func audited(t *testing.T, args ...string) (r *running, file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "logs", "audit.log")
	all := good(t, "serve")
	roots := x509.NewCertPool()
	for i := range all {
		if all[i] == "--tls-cert" {
			pem, err := os.ReadFile(all[i+1])
			if err != nil {
				t.Fatal(err)
			}
			roots.AppendCertsFromPEM(pem)
		}
	}
	i := &invocation{args: append(append(all, "--audit-file", file, "--drain-period=1s"), args...), signals: make(chan os.Signal, 1)}
	r = &running{invocation: i, t: t, status: make(chan int, 1), roots: roots}
	go func() { r.status <- run(r.process()) }()
	r.stderr.Await(t, `"msg":"serving"`)
	return r, file
}

// stop drains the server and waits for its end, when the log is closed.
func (r *running) stop() {
	r.t.Helper()
	r.signals <- syscall.SIGTERM
	if got := <-r.status; got != 0 {
		r.t.Errorf("status %d: %s", got, r.stderr.String())
	}
}

// dial opens a WebSocket with these header fields; what a refusal says is returned.
func (r *running) dial(path string, header http.Header, protocols ...string) (ws *websocket.Conn, refusal string) {
	r.t.Helper()
	if header == nil {
		header = http.Header{}
	}
	header.Set("Origin", "https://app.example.com")
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: r.clientConfig(), DisableKeepAlives: true}}
	ws, resp, err := websocket.Dial(r.t.Context(), "wss://"+r.address("listen")+path,
		&websocket.DialOptions{HTTPClient: client, HTTPHeader: header, Subprotocols: protocols})
	if err == nil {
		return ws, ""
	}
	if resp == nil {
		return nil, ""
	}
	b, _ := io.ReadAll(resp.Body) // the library keeps the beginning
	return nil, fmt.Sprint(resp.Status, resp.Header, string(b))
}

// ask sends commands and returns all that comes back until the server closes or
// has answered them.
func ask(t *testing.T, ws *websocket.Conn, commands ...string) (said string) {
	t.Helper()
	for _, c := range commands {
		if err := ws.Write(t.Context(), websocket.MessageText, []byte(c)); err != nil {
			return said + err.Error()
		}
		_, b, err := ws.Read(t.Context())
		if err != nil {
			return said + err.Error()
		}
		said += string(b)
	}
	return said
}

func (r *running) call(key, method, body string) string {
	r.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "http://"+r.address("api")+"/api/"+method, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("X-API-Key", key)
	return r.fetch(req)
}

func (r *running) fetch(req *http.Request) string {
	r.t.Helper()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return string(b)
}

func signedFor(t *testing.T, user string, more ...string) string {
	t.Helper()
	status, stdout, stderr := weir(append([]string{"token", "--token-hmac-secret", testSecret, "--sub", user, "--channels", "*", "--allow", "sub,pub,hst,prs"}, more...)...)
	if status != 0 {
		t.Fatal(stderr)
	}
	return strings.TrimSpace(stdout)
}

// TestAuditFileEndToEnd: a server with real clients, whose log is verified, searched
// and counted by the commands that operators have; a changed one is found out.
func TestAuditFileEndToEnd(t *testing.T) {
	r, file := audited(t)
	for _, user := range []string{"alice", "bob"} {
		ws, refusal := r.dial("/connection/websocket", nil)
		if ws == nil {
			t.Fatal(refusal)
		}
		ask(t, ws, `{"id":1,"connect":{"token":"`+signedFor(t, user)+`"}}`)
		_ = ws.Close(websocket.StatusNormalClosure, "")
	}
	if ws, _ := r.dial("/feed?channel=a", http.Header{"Authorization": {"Bearer x.y.z"}}); ws != nil {
		t.Error("a bad token was let in")
	}
	r.call("wrong", "info", "{}")
	r.stop()

	status, stdout, stderr := weir("audit", "verify", file)
	if status != 0 || !strings.Contains(stdout, "good: records 1 to ") || strings.Contains(stdout, "note:") {
		t.Errorf("verify: %d %s%s", status, stdout, stderr)
	}
	for _, c := range []struct {
		args  string
		lines int
	}{
		{"--event=connection-accepted", 2}, {"--event=104,upgrade-refused", 3}, {"--user=alice", 2}, {"--reason=by_peer", 2},
		{"--event=authentication-failed", 1}, {"--event=api-refused", 1}, {"--address=127.0.0.0/8 --event=authenticated", 2},
		{"--address=192.0.2.0/24", 0}, {"--since=2h --event=started", 1}, {"--until=2h", 0}, {"--event=stopped", 1},
	} {
		status, stdout, stderr := weir(append([]string{"audit", "query", file}, strings.Fields(c.args)...)...)
		if status != 0 || strings.Count(stdout, "\n") != c.lines {
			t.Errorf("%s: %d, want %d lines: %s%s", c.args, status, c.lines, stdout, stderr)
		}
		for line := range strings.Lines(stdout) {
			if !json.Valid([]byte(line)) {
				t.Errorf("%s: %s", c.args, line)
			}
		}
	}
	if _, stdout, _ := weir("audit", "query", "--count-by=event", "--address=127.0.0.1", file); !strings.Contains(stdout, "2  authenticated") {
		t.Errorf("counts: %s", stdout)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, bytes.Replace(b, []byte(`"user.id":"bob"`), []byte(`"user.id":"eve"`), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if status, _, stderr := weir("audit", "verify", file); status != statusFailed || !strings.Contains(stderr, "was changed") {
		t.Errorf("a changed log: %d %s", status, stderr)
	}
}

func TestAuditMistakes(t *testing.T) {
	open := t.TempDir()
	if err := os.Chmod(open, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ args, words []string }{
		{[]string{"--audit-file", filepath.Join(open, "a.log")}, []string{"--audit-file", "chmod 700"}},
		{[]string{"--audit-key-file=/nowhere", "--audit-file", filepath.Join(t.TempDir(), "x", "a.log")}, []string{"--audit-key-file", "no such file"}},
		{[]string{"--audit-syslog=collector:514"}, []string{"--audit-syslog", "tls://"}},
		{[]string{"--audit-syslog=tls://collector"}, []string{"--audit-syslog", "host:port"}},
		{[]string{"--audit-format=xml"}, []string{"--audit-format"}},
	} {
		wantRefusal(t, nil, append(good(t, "serve"), c.args...), c.words...)
	}
	wantRefusal(t, nil, append(good(t, "check"), "--audit-file", filepath.Join(open, "a.log")), "--audit-file", "chmod 700")
	wantRefusal(t, nil, []string{"audit", "query", "f", "--event=nothing"}, "--event", "nothing")
	wantRefusal(t, nil, []string{"audit", "query", "f", "--since=yesterday"}, "--since", "yesterday")
	wantRefusal(t, nil, []string{"audit", "query", "f", "--count-by=colour"}, "--count-by", "colour")
	wantRefusal(t, nil, []string{"audit", "query", "f", "--connection=x"}, "--connection")
}

// TestAuditFileHasOneWriter: a second server on the same file is refused at its start,
// and takes nothing from the first. One after the other they may have it.
func TestAuditFileHasOneWriter(t *testing.T) {
	r, file := audited(t)
	wantRefusal(t, nil, append(good(t, "serve"), "--audit-file", file), "--audit-file", "another process", "a file of its own")
	if status, _, stderr := weir(append(good(t, "check"), "--audit-file", file)...); status != 0 {
		t.Errorf("check beside a server: %d %s", status, stderr)
	}
	r.call("wrong", "info", "{}")
	r.stop()
	again := serving(t, nil, append(good(t, "serve"), "--audit-file", file)...)
	again.call("wrong", "info", "{}")
	status, stdout, stderr := weir("audit", "query", "--event=api-refused", file)
	if status != 0 {
		t.Fatal(stderr)
	}
	if n := strings.Count(stdout, "\n"); n < 1 {
		t.Errorf("%d refusals of the first server: %s", n, stdout)
	}
	if status, stdout, stderr := weir("audit", "verify", file); status != 0 {
		t.Errorf("verify: %d %s%s", status, stdout, stderr)
	}
}

// TestAuditOnStandardErrorDoesNotDrown: many connections are few lines there, with
// their number.
func TestAuditOnStandardErrorDoesNotDrown(t *testing.T) {
	r, _ := audited(t, "--audit-file=stderr", "--ip-connect-rate=0")
	const attempts = 200
	for range attempts {
		r.handshake(r.clientConfig())
	}
	r.stop()
	var n uint64
	lines := 0
	for line := range strings.Lines(r.stderr.String()) {
		e, err := audit.ParseLine([]byte(strings.TrimSuffix(line, "\n")))
		if err != nil {
			continue // of the other log
		}
		lines++
		if e.Event.Attempt() {
			n += e.N()
		}
	}
	if n != attempts || lines > 60 {
		t.Errorf("%d attempts on %d lines", n, lines)
	}
}

// TestFullAuditDiskServesOn is row D2: the log cannot be written, and the server
// goes on, and says so.
func TestFullAuditDiskServesOn(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("no /dev/full here")
	}
	key := writeFile(t, "key", strings.Repeat("k", 32))
	r, _ := audited(t, "--audit-file=/dev/full", "--audit-key-file", key)
	ws, refusal := r.dial("/connection/websocket", nil)
	if ws == nil {
		t.Fatal(refusal)
	}
	if said := ask(t, ws, `{"id":1,"connect":{"token":"`+signedFor(t, "alice")+`"}}`); !strings.Contains(said, `"client"`) {
		t.Errorf("said %s", said)
	}
	_ = ws.CloseNow()
	r.stderr.Await(t, "the audit log cannot be written")
	r.stop()
}

// TestCanariesAppearNowhere: no secret, token, ticket, key or payload stands in a log,
// an audit record, a metric, an error, a close reason or a profile; nor, but for payloads, in a capture.
func TestCanariesAppearNowhere(t *testing.T) {
	canaries := map[string]string{"HMAC secret": testSecret, "API key": "canary-api-key", "wrong API key": "canary-wrong-key",
		"payload": "canary-payload", "query": "canary-query", "ticket": "canary-ticket", "bad token": "canary-bad-token", "method": "canary-method"}
	captures := filepath.Join(t.TempDir(), "captures")
	r, file := audited(t, "--api-key=canary-api-key", "--log-level=debug", "--audit-format=logfmt", "--allow-token-in-url",
		"--capture-dir", captures, "--capture-addresses=127.0.0.0/8,::1")
	var seen bytes.Buffer // all that anybody was told
	see := func(s string) { seen.WriteString(s + "\n") }
	for i, user := range []string{"u0", "u1", "u2", "u3", "u4"} {
		canaries["token of "+user] = signedFor(t, user)
		path, header, token, protocols := "/connection/websocket", http.Header{}, canaries["token of "+user], []string(nil)
		connect := `{"id":1,"connect":{"data":{"x":"canary-payload"}}}`
		switch i {
		case 0:
			connect = `{"id":1,"connect":{"token":"` + token + `"}}`
		case 1:
			header.Set("Authorization", "Bearer "+token)
		case 2:
			protocols = []string{"centrifuge-json", "bearer." + token}
		case 3:
			path += "?x=canary-query&token=" + token
		case 4:
			var answer struct{ Result struct{ Ticket string } }
			if err := json.Unmarshal([]byte(r.call("canary-api-key", "issue_ticket", `{"sub":"u4","channels":["a"]}`)), &answer); err != nil || answer.Result.Ticket == "" {
				t.Fatalf("%+v, %v", answer, err)
			}
			canaries["issued ticket"] = answer.Result.Ticket
			path += "?ticket=" + answer.Result.Ticket
		}
		ws, refusal := r.dial(path, header, protocols...)
		if ws == nil {
			t.Fatalf("%d: %s", i, refusal)
		}
		see(ask(t, ws, connect, `{"id":2,"publish":{"channel":"a","data":"canary-payload"}}`, `{"id":3,"rpc":{"method":"canary-method","data":"canary-payload"}}`,
			`{"id":4,"subscribe":{"channel":"$p","token":"canary-bad-token"}}`, `{"id":5,"publish":{"channel":"nowhere:a","data":{"canary-payload":1,"canary-payload":2}}}`,
			`{"id":6,"refresh":{"token":"canary-bad-token"}}`))
		_ = ws.CloseNow()
	}
	for _, c := range []struct {
		path   string
		header http.Header
	}{
		{"/connection/websocket?ticket=canary-ticket", nil}, {"/connection/websocket?token=canary-bad-token&x=canary-query", nil},
		{"/feed?channel=a", http.Header{"Authorization": {"Bearer canary-bad-token"}}}, {"/feed?channel=canary-query&channel=canary-query&token=a", nil},
		{"/nowhere?canary-query", http.Header{"Authorization": {"Basic canary-bad-token"}}},
	} {
		ws, refusal := r.dial(c.path, c.header)
		if ws != nil {
			t.Errorf("%s was let in", c.path)
		}
		see(refusal)
	}
	see(r.call("canary-wrong-key", "publish", `{"channel":"a","data":"canary-payload"}`))
	see(r.call("canary-api-key", "publish", `{"channel":"a","data":{"canary-payload":tru}}`))
	see(r.call("canary-api-key", "publish", `{"channel":"a","data":"canary-payload"}`))
	see(r.call("canary-api-key", "nothing", `{"canary-payload":1}`))
	r.signals <- syscall.SIGHUP
	r.stderr.Await(t, `"msg":"reloaded"`)
	for _, path := range []string{"/metrics", "/health", "/ready"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+r.address("api")+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		see(r.fetch(req))
	}
	for name, debug := range map[string]int{"goroutine": 2, "heap": 1, "allocs": 1, "mutex": 1, "block": 1} {
		if err := pprof.Lookup(name).WriteTo(&seen, debug); err != nil {
			t.Fatal(err)
		}
	}
	r.stop()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, told := range []struct{ where, text, must string }{
		{"what clients, callers and scrapers are told", seen.String(), "weir_connections_accepted_total"},
		{"the log", r.stderr.String(), "stopped"}, {"the audit log", string(b), "authentication-failed"},
		{"the capture", capturedText(t, captures), "canary-payload"},
	} {
		if !strings.Contains(told.text, told.must) {
			t.Errorf("%s is not what this test is about: %.2000s", told.where, told.text)
		}
		for what, canary := range canaries {
			if told.where == "the capture" && slices.Contains([]string{"payload", "method", "query"}, what) {
				continue // what it is for: the query is that of a channel
			}
			if at := strings.Index(told.text, canary); at >= 0 {
				t.Errorf("%s has the %s: …%s…", told.where, what, told.text[max(0, at-100):min(len(told.text), at+100)])
			}
			parts := strings.Split(canary, ".")
			if len(parts) == 3 && strings.Contains(told.text, parts[2]) { // a signature
				t.Errorf("%s has the signature of the %s", told.where, what)
			}
		}
	}
}

// TestAuditOfReloads: what was taken and what was refused, and a new certificate.
func TestAuditOfReloads(t *testing.T) {
	r, file := audited(t)
	r.signals <- syscall.SIGHUP
	r.stderr.Await(t, `"msg":"reloaded"`)
	cert := r.args[4]
	if err := os.WriteFile(cert, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.signals <- syscall.SIGHUP
	r.stderr.Await(t, "not reloaded")
	r.stop()
	for event, n := range map[string]int{"policy-reloaded": 1, "policy-rejected": 1} {
		if _, stdout, _ := weir("audit", "query", file, "--event", event); strings.Count(stdout, "\n") != n {
			b, _ := os.ReadFile(file)
			t.Errorf("%s: %s in %s; %s", event, stdout, b, r.stderr.String())
		}
	}
	trail := audit.New(audit.Config{Destinations: []audit.Destination{audit.Writer(&r.stdout, audit.Logfmt)}})
	noteCertificate(trail, &certs.Notice{ID: certs.CertificateExpires, Level: slog.LevelWarn, Text: "soon"})
	noteCertificate(trail, &certs.Notice{ID: certs.CertificateReplaced, Level: slog.LevelInfo, Text: "done"})
	trail.Close()
	if said := r.stdout.String(); !strings.Contains(said, "certificate-alert id=506 reason=certificate_expires message=soon") || !strings.Contains(said, "certificate-loaded id=507") {
		t.Errorf("said %s", said)
	}
}

// TestAuditSyslogEndToEnd: a server sends its log to a collector over TLS, which is
// verified, beside its file.
func TestAuditSyslogEndToEnd(t *testing.T) {
	pair := certstest.NewServer(t)
	collector, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair.TLS}})
	if err != nil {
		t.Fatal(err)
	}
	defer collector.Close()
	got := make(chan string, 1)
	go func() {
		conn, err := collector.Accept()
		if err != nil {
			got <- err.Error()
			return
		}
		defer conn.Close()
		b, _ := io.ReadAll(conn) // until the server stops
		got <- string(b)
	}()
	r, file := audited(t, "--audit-format=cef", "--audit-syslog=tls://"+collector.Addr().String(), "--audit-syslog-ca-file", pair.CertFile)
	ws, refusal := r.dial("/connection/websocket", nil)
	if ws == nil {
		t.Fatal(refusal)
	}
	ask(t, ws, `{"id":1,"connect":{"token":"`+signedFor(t, "alice")+`"}}`)
	_ = ws.CloseNow()
	r.stop()
	sent := <-got
	for _, word := range []string{" weir ", "authenticated - CEF:0|Weir|Weir|1|201|authenticated|", "suser=alice", "log-closed - CEF:0|"} {
		if !strings.Contains(sent, word) {
			t.Errorf("the collector was not sent %q: %s", word, sent)
		}
	}
	if status, stdout, stderr := weir("audit", "verify", file); status != 0 {
		t.Errorf("verify: %s%s", stdout, stderr)
	}
}
