package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"weir/loadtest/fleet"
	"weir/loadtest/report"
	"weir/loadtest/tally"
	"weir/security/certs/certstest"
	"weir/security/oplog/logtest"
)

// TestMain is a worker where the coordinator under test asks for one.
func TestMain(m *testing.M) {
	if os.Getenv(workerVariable) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

const (
	testSecret = "0123456789abcdef0123456789abcdef-canary"
	testKey    = "api-key-canary"
)

// server is a real weir serve, a process of its own.
type server struct {
	*certstest.Server
	folder, url, api string
	pid              int
}

func (s *server) file(name string) string { return filepath.Join(s.folder, name) }

// serve builds and starts it.
func serve(t *testing.T) *server {
	t.Helper()
	s := &server{Server: certstest.NewServer(t), folder: t.TempDir()}
	if err := os.Chmod(s.folder, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"secret": testSecret, "api-key": testKey + "\n",
		"weir.yaml": "namespaces:\n  - name: kept\n    history_size: 1000\n    history_ttl: 1h\n    force_recovery: true\n",
	} {
		if err := os.WriteFile(s.file(name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("go", "build", "-o", s.file("weir"), "weir/cmd/weir").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.Command(s.file("weir"), "serve", "--listen=127.0.0.1:0", "--api-listen=127.0.0.1:0", "--config="+s.file("weir.yaml"),
		"--tls-cert="+s.CertFile, "--tls-key="+s.KeyFile, "--allow-self-signed", "--api-key-file="+s.file("api-key"),
		"--token-hmac-secret-file="+s.file("secret"), "--allow-no-origin", "--allowed-origins=https://app.example.com", "--limit-exempt=127.0.0.0/8,::1/128",
		"--enable-echo", "--audit-file="+s.file("audit.log"), "--handshake-timeout=2m", "--head-timeout=2m", "--pong-timeout=2m", "--stale-close-delay=2m", "--drain-period=1s")
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(log)
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_, _ = io.Copy(io.Discard, lines)
		_ = cmd.Wait()
	})
	said := ""
	for s.url == "" {
		line, err := lines.ReadString('\n')
		if said += line; err != nil {
			t.Fatalf("the server ended: %s", said)
		}
		var entry struct{ Msg, Listen, API string }
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == "serving" {
			s.url, s.api = "wss://"+entry.Listen, "http://"+entry.API
		}
	}
	go func() { _, _ = io.Copy(io.Discard, lines) }()
	s.pid = cmd.Process.Pid
	return s
}

// load runs a command line against the server.
func (s *server) load(t *testing.T, args ...string) (status int, r *tally.Run, said string) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "run.json")
	status, stdout, stderr := weirLoad(t, slices.Concat([]string{
		"--url", s.url, "--ca-file", s.CertFile, "--origin", "https://app.example.com", "--token-hmac-secret-file", s.file("secret"),
		"--api-key-file", s.file("api-key"), "--timeout", "1h", "--settle", "1h", "--interval", "50ms", "--json", out, "--html", out + ".html",
	}, args)...)
	said = stdout + stderr
	f, err := os.Open(out)
	if err != nil {
		t.Fatalf("%s: status %d: %s", args, status, said)
	}
	defer f.Close()
	if r, err = report.ReadJSON(f); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(out + ".html")
	if err != nil || !strings.Contains(string(page), "</html>") {
		t.Errorf("%s: a page of %d bytes, %v", args, len(page), err)
	}
	for _, canary := range []string{testSecret, testKey, "eyJ"} { // a token begins so
		if strings.Contains(said+string(text)+string(page), canary) {
			t.Errorf("%s: %s is told", args, canary)
		}
	}
	return status, r, said
}

func weirLoad(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var out, log logtest.Log
	status = run(t.Context(), &process{args: args, stdout: &out, stderr: &log, self: self})
	return status, out.String(), log.String()
}

// TestScenarios runs each against a real server, and nothing may be missing.
func TestScenarios(t *testing.T) {
	s := serve(t)
	pid := strconv.Itoa(s.pid)
	for name, test := range map[string]struct {
		args            []string
		opened, expects uint64
		figures         []string
	}{
		"fanout": {[]string{"fanout", "--connections=40", "--channels=10", "--channels-per-connection=2", "--rate=50", "--duration=1s", "--api", s.api, "--pid", pid},
			40, 400, []string{"p99", "cpu_per_delivery", "deliveries_per_second"}},
		"fanout by two processes": {[]string{"fanout", "--processes=2", "--connections=31", "--rate=20", "--duration=1s", "--api", s.api}, 31, 620, []string{"p99"}},
		"fanout by feed":          {[]string{"fanout", "--protocol=feed", "--connections=20", "--rate=20", "--duration=1s", "--api", s.api}, 20, 400, nil},
		"fanout by echo":          {[]string{"fanout", "--protocol=echo", "--connections=10", "--rate=50", "--duration=1s"}, 10, 50, nil},
		"fanout by clients":       {[]string{"fanout", "--protocol=centrifugo", "--connections=10", "--channels=5", "--rate=50", "--duration=1s"}, 10, 100, nil},
		"publish":                 {[]string{"publish", "--connections=10", "--channels=5", "--publishers=5", "--rate=50", "--duration=1s", "--api", s.api}, 20, 200, []string{"api_ack_p99", "client_ack_p99"}},
		"recover":                 {[]string{"recover", "--channel=kept:", "--connections=20", "--rate=20", "--duration=3s", "--away=500ms", "--api", s.api}, 40, 1200, []string{"return"}},
		"recover by feed":         {[]string{"recover", "--protocol=feed", "--channel=kept:", "--connections=20", "--rate=20", "--duration=3s", "--away=500ms", "--api", s.api}, 40, 1200, []string{"return"}},
		"mixed":                   {[]string{"mixed", "--channel=kept:", "--connections=20", "--rate=20", "--duration=2s", "--churn=5", "--api", s.api}, 0, 800, nil},
		"storm":                   {[]string{"storm", "--duration=500ms", "--resume=1", "--pid", pid}, 0, 0, []string{"connects_per_second", "handshake_p99", "resumed_share", "cpu_per_connect"}},
		"idle":                    {[]string{"idle", "--connections=200", "--duration=100ms", "--rest=100ms", "--pid", pid}, 200, 0, []string{"slope", "growth", "rss"}},
		"attack":                  {[]string{"attack", "churn", "--connections=20", "--duration=500ms", "--calm=500ms", "--api", s.api}, 20, 0, []string{"calm_p99", "churn_p99", "back"}},
	} {
		t.Run(name, func(t *testing.T) {
			status, r, said := s.load(t, test.args...)
			if status != 0 || len(r.Failures) > 0 {
				t.Errorf("status %d: %s\n%s", status, r.Failures, said)
			}
			c := &r.Total
			if c.Opened == 0 || test.opened > 0 && c.Opened != test.opened || test.expects > 0 && c.Expected != test.expects || c.Received != c.Expected {
				t.Errorf("%+v", c)
			}
			documented(t, r)
			for _, figure := range test.figures {
				if !strings.Contains(said, "  "+figure+" ") {
					t.Errorf("%s is not told:\n%s", figure, said)
				}
			}
		})
	}
	t.Run("slow readers", func(t *testing.T) { s.slowReaders(t) })
	t.Run("thresholds", func(t *testing.T) {
		status, _, said := s.load(t, "fanout", "--connections=2", "--rate=5", "--duration=1s", "--api", s.api, "--fail-if=p99>1ns", "--fail-if=lost>0")
		if status != statusFailed || !strings.Contains(said, "p99>1ns must not be") {
			t.Errorf("status %d: %s", status, said)
		}
	})
	t.Run("not verified", func(t *testing.T) {
		status, _, stderr := weirLoad(t, "fanout", "--url", s.url, "--connections=2", "--duration=1s", "--rate=2", "--settle=1ms")
		if status != statusFailed || !strings.Contains(stderr, "2 connections could not be opened") {
			t.Errorf("status %d: %s", status, stderr)
		}
	})
}

// slowReaders opens two beside one that is not slow, and publishes until the server
// has closed both.
func (s *server) slowReaders(t *testing.T) {
	c, _, err := parse(&process{args: []string{
		"fanout", "--url", s.url, "--ca-file", s.CertFile, "--origin=https://app.example.com", "--token-hmac-secret-file", s.file("secret"),
		"--api", s.api, "--api-key-file", s.file("api-key"), "--timeout=1h", "--connections=1",
	}})
	if err != nil {
		t.Fatal(err)
	}
	plan, err := c.plan()
	if err != nil {
		t.Fatal(err)
	}
	f, err := fleet.Start(t.Context(), plan.Fleet)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}()
	publisher, err := fleet.NewPublisher(plan.API, plan.Fleet.Plan)
	if err != nil {
		t.Fatal(err)
	}
	defer publisher.Close()
	if err := errors.Join(f.Open(fleet.Wave{N: 1, First: true}), f.Open(fleet.Wave{N: 2, Slow: 50 * time.Millisecond})); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(5 * time.Minute)
	for {
		r, err := f.Count()
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("%v: %+v", err, r)
		}
		if closed := r.SlowClosed; closed != nil && r.Slow == 0 {
			if r.Connections != 1 || r.Counters.Lost > 0 {
				t.Errorf("%+v", r)
			}
			return
		}
		if r.Pending == 0 {
			err = publisher.Run(t.Context(), fleet.Pace{Rate: 100, Size: 50_000, For: 200 * time.Millisecond})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// documented checks that docs/load.md has every figure of a run.
func documented(t *testing.T, r *tally.Run) {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "load.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range slices.Concat(r.Figures, report.Figures(r)) {
		name := strings.TrimPrefix(strings.TrimPrefix(f.Name, "api_"), "client_")
		name = strings.Replace(name, "churn_", "<flood>_", 1)
		if !strings.Contains(string(page), "`"+name+"`") {
			t.Errorf("docs/load.md does not have the figure %s", f.Name)
		}
	}
}

// TestMistakes: what cannot be is said with its option, and nothing is begun.
func TestMistakes(t *testing.T) {
	for _, test := range []struct {
		args  string
		words string
	}{
		{"fanout --url wss://push.example.com", "--allow-target push.example.com"},
		{"fanout --url wss://push.example.com --allow-target example.com", "--allow-target push.example.com"},
		{"fanout --api http://10.0.0.1:9000 --api-key k", "--allow-target 10.0.0.1"},
		{"fanout --api http://10.0.0.1:9000 --api-key k --allow-target 10.0.0.1", "https://"},
		{"fanout --url ws://localhost", "wss://"},
		{"fanout --url wss://a:b@localhost", "user name"},
		{"fanout --url wss://localhost#a", "only host"},
		{"fanout --api http://localhost:9000", "--api-key"},
		{"fanout --size 5", "--size"},
		{"fanout --connections 0", "--connections"},
		{"fanout --channels 2 --channels-per-connection 3", "--channels-per-connection"},
		{"fanout --rate 0", "--rate"},
		{"fanout --resume 2", "--resume"},
		{"storm --groups X25519,secp256k1", `--groups: "secp256k1" is none of P-256, P-384, P-521, X25519, X25519MLKEM768`},
		{"fanout --pin sha256/short", "--pin"},
		{"fanout --fail-if p99", "--fail-if"},
		{"fanout --token a --token-hmac-secret 0123456789abcdef0123456789abcdef", "keep one"},
		{"fanout --ca-file /nowhere", "--ca-file"},
		{"attack nothing --ca-file main.go", "--list"},
		{"attack", "--ca-file"},
		{"idle", "--pid"},
		{"elsewhere", "elsewhere"},
	} {
		status, stdout, stderr := weirLoad(t, strings.Fields(test.args)...)
		if status != statusMistake || !strings.Contains(stderr, test.words) || stdout != "" {
			t.Errorf("%s: status %d: %s%s", test.args, status, stdout, stderr)
		}
	}
	status, stdout, stderr := weirLoad(t, "attack", "--list")
	if status != 0 || !strings.Contains(stdout, "deflate-bombs") {
		t.Errorf("%d %s %s", status, stdout, stderr)
	}
}

// TestInterrupted: a run that is interrupted still tells what it saw.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, log bytes.Buffer
	status := run(ctx, &process{args: []string{"storm", "--url=wss://127.0.0.1:1"}, stdout: &out, stderr: &log})
	if status != statusFailed || !strings.Contains(log.String(), "interrupted") || !strings.Contains(log.String(), "connections_max") {
		t.Errorf("status %d: %s", status, log.String())
	}
}
