package deploy

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"weir/security/certs"
)

// patience is how long a test waits for what must come; one that passes does not wait.
const patience = 5 * time.Minute

const secret = "a-secret-of-32-bytes-or-more-for-tests"

// node is a machine as rollout sees one: a prefix, a configuration, and what systemd does.
type node struct {
	t                   *testing.T
	dir, address, ready string // address is of clients, ready of the API
	supervisor          net.Listener

	mu      sync.Mutex
	process *exec.Cmd // guarded by mu
	exits   []int     // guarded by mu; statuses of processes that were asked to end
}

func newNode(t *testing.T) *node {
	n := &node{t: t, dir: t.TempDir()}
	host := fmt.Sprintf("127.%d.%d.2", 1+os.Getpid()%250, 1+os.Getpid()/250%250) // nobody else listens there
	n.address, n.ready = free(t, host), free(t, host)
	cert, key, err := certs.SelfSigned([]string{host}, time.Now().Add(-time.Hour), 30*24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	n.write("cert.pem", string(cert))
	n.write("key.pem", string(key))
	n.write("weir.yaml", fmt.Sprintf(`
listen: %s
api_listen: %s
tls_cert: cert.pem
tls_key: key.pem
allow_self_signed: true
api_key: k
token_hmac_secret: %s
allowed_origins: https://app.example.com
drain_period: 1s
handshake_timeout: 2m
head_timeout: 2m
stale_close_delay: 5m
namespaces:
  - name: feeds
    history_size: 100
    history_ttl: 1h
`, n.address, n.ready, secret))
	if n.supervisor, err = net.Listen("tcp", host+":0"); err != nil {
		t.Fatal(err)
	}
	at := n.supervisor.Addr().(*net.TCPAddr)
	n.write("restart", fmt.Sprintf("#!/bin/bash\nexec 3<>/dev/tcp/%s/%d\nread -r answer <&3\n[ \"$answer\" = started ]\n", at.IP, at.Port))
	done := make(chan struct{})
	go func() { defer close(done); n.supervise() }()
	t.Cleanup(func() {
		_ = n.supervisor.Close()
		<-done
		n.stop()
	})
	return n
}

// free returns an address with a port that was free a moment ago.
func free(t *testing.T, host string) string {
	l, err := net.Listen("tcp", host+":0")
	if err != nil {
		t.Skipf("skipped: no loopback addresses beside 127.0.0.1 (%v)", err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (n *node) write(name, text string) string {
	file := filepath.Join(n.dir, name)
	mode := os.FileMode(0o600)
	if strings.HasPrefix(text, "#!") {
		mode = 0o700
	}
	if err := os.WriteFile(file, []byte(text), mode); err != nil {
		n.t.Fatal(err)
	}
	return file
}

// supervise does what systemd would: each connection asks for a restart, and is answered when the old process is gone and
// a new one was started.
func (n *node) supervise() {
	for {
		c, err := n.supervisor.Accept()
		if err != nil {
			return
		}
		n.stop()
		cmd := exec.Command(filepath.Join(n.dir, "prefix", "current", "weir"), "serve", "--config", filepath.Join(n.dir, "weir.yaml"))
		answer := "started\n"
		if err := cmd.Start(); err != nil {
			answer = err.Error() + "\n"
		} else {
			n.mu.Lock()
			n.process = cmd
			n.mu.Unlock()
		}
		_, _ = io.WriteString(c, answer)
		_ = c.Close()
	}
}

// stop drains the process and waits for its end.
func (n *node) stop() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.process == nil {
		return
	}
	_ = n.process.Process.Signal(syscall.SIGTERM)
	_ = n.process.Wait() // the status says it
	n.exits = append(n.exits, n.process.ProcessState.ExitCode())
	n.process = nil
}

// drained tells how the last process ended that was asked to.
func (n *node) drained() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.exits[len(n.exits)-1]
}

// rollout runs the script and returns its exit status and what it said.
func (n *node) rollout(args ...string) (int, string) {
	n.t.Helper()
	cmd := exec.Command("./rollout", args...)
	within := "240"
	if len(args) > 1 && strings.Contains(args[1], "broken") {
		within = "1" // it never will
	}
	cmd.Env = append(os.Environ(), "PREFIX="+filepath.Join(n.dir, "prefix"), "CONFIG="+filepath.Join(n.dir, "weir.yaml"),
		"RESTART="+filepath.Join(n.dir, "restart"), "READY="+n.ready, "READY_WITHIN="+within, "BACK_WITHIN=240")
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		n.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// must runs the script, which has to succeed and to say the words.
func (n *node) must(words string, args ...string) {
	n.t.Helper()
	if status, out := n.rollout(args...); status != 0 || !strings.Contains(out, words) {
		n.t.Fatalf("rollout %s: status %d, want %q in\n%s", strings.Join(args, " "), status, words, out)
	}
}

// mustFail runs the script, which has to fail and to say the words.
func (n *node) mustFail(words string, args ...string) {
	n.t.Helper()
	if status, out := n.rollout(args...); status == 0 || !strings.Contains(out, words) {
		n.t.Fatalf("rollout %s: status %d, want a failure and %q in\n%s", strings.Join(args, " "), status, words, out)
	}
}

// runs checks which binary the process is.
func (n *node) runs(binary string) {
	n.t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	got, err := os.ReadFile(fmt.Sprintf("/proc/%d/exe", n.process.Process.Pid))
	if err != nil {
		n.t.Fatal(err)
	}
	want, err := os.ReadFile(binary)
	if err != nil {
		n.t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		n.t.Errorf("what runs is not %s", binary)
	}
}

// publish publishes one value through the running server.
func (n *node) publish(weir, value string) {
	n.t.Helper()
	out, err := exec.Command(weir, "pub", "feeds:a", value, "--api", "http://"+n.ready, "--api-key", "k").CombinedOutput()
	if err != nil {
		n.t.Fatalf("publish %s: %v, %s", value, err, out)
	}
}

// follow starts a subscriber that stays through all restarts; next returns what it prints.
func (n *node) follow(weir string) (next func() string) {
	token, err := exec.Command(weir, "token", "--token-hmac-secret", secret, "--sub", "alice", "--channels", "feeds:*", "--allow", "sub", "--ttl", "1h").Output()
	if err != nil {
		n.t.Fatal(err)
	}
	cmd := exec.Command(weir, "sub", "feeds:a", "--url", "wss://"+n.address, "--token-file", n.write("token", string(token)),
		"--ca-file", filepath.Join(n.dir, "cert.pem"), "--origin", "https://app.example.com")
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		n.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	lines := make(chan string, 100)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			lines <- s.Text()
		}
	}()
	n.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		for range lines { // until it has closed its output
		}
		_ = cmd.Wait()
		if n.t.Failed() {
			n.t.Logf("the subscriber said: %s", said.String())
		}
	})
	return func() string {
		n.t.Helper()
		select {
		case line := <-lines:
			return line
		case <-time.After(patience):
			n.t.Fatal("the subscriber prints nothing")
			return ""
		}
	}
}

// build makes the server from this tree.
func build(t *testing.T, args ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "weir")
	cmd := exec.Command("go", append([]string{"build", "-trimpath", "-o", file}, append(args, "weir/cmd/weir")...)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return file
}

// TestRollout goes through the life of a node with two real versions, and a subscriber that is there all the time: install,
// upgrade, one that does not become ready, one that does not take the configuration, rollback.
func TestRollout(t *testing.T) {
	if raceEnabled {
		t.Skip("skipped: nothing that the race detector sees")
	}
	if runtime.GOOS != "linux" {
		t.Skip("skipped: the script is for Linux")
	}
	first, second := build(t), build(t, "-tags=second")
	n := newNode(t)

	n.mustFail("nothing is installed", "upgrade", first)
	n.mustFail("no version before", "rollback")
	n.mustFail("has SHA-256", "install", first, strings.Repeat("0", 64))
	n.must("runs", "install", first)
	n.mustFail("say upgrade", "install", second)
	n.runs(first)

	next := n.follow(first)
	seen := 0
	published := func() { // one more comes to the subscriber, none before it is missing
		t.Helper()
		seen++
		n.publish(first, fmt.Sprint(seen))
		if line := next(); !strings.Contains(line, fmt.Sprintf(`"data":%d`, seen)) {
			t.Fatalf("publication %d: %s", seen, line)
		}
	}
	waitForSubscriber(t, n, first)
	published()

	interrupted, err := os.Readlink(filepath.Join(n.dir, "prefix", "current"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(interrupted, filepath.Join(n.dir, "prefix", ".current.new")); err != nil {
		t.Fatal(err)
	}
	n.must("runs", "upgrade", second)
	n.runs(second)
	if status := n.drained(); status != 0 {
		t.Errorf("the old process ended with %d, not drained", status)
	}
	waitForSubscriber(t, n, first)
	published()
	n.must("runs already", "upgrade", second)

	broken := n.write("broken", "#!/bin/sh\n[ \"$1\" = serve ] || exec "+first+" \"$@\"\nexit 1\n")
	n.mustFail("runs again", "upgrade", broken)
	n.runs(second)
	waitForSubscriber(t, n, first)
	published()

	refusing := n.write("refusing", "#!/bin/sh\n[ \"$1\" != check ] || exit 2\nexec "+first+" \"$@\"\n")
	n.mustFail("nothing was changed", "upgrade", refusing)
	n.runs(second)
	published()

	n.must("runs", "rollback")
	n.runs(first)
	waitForSubscriber(t, n, first)
	published()
	if _, out := n.rollout("status"); strings.Count(out, " current\n") != 1 || strings.Count(out, " previous\n") != 1 {
		t.Errorf("status: %s", out)
	}

	// What was changed in its place is not started.
	changed := filepath.Join(n.dir, "prefix", "previous", "weir")
	b, err := os.ReadFile(changed)
	if err != nil {
		t.Fatal(err)
	}
	n.mustFail("is not what was put there", "upgrade", func() string {
		if err := errors.Join(os.Remove(changed), os.WriteFile(changed, append(b, '#'), 0o755)); err != nil {
			t.Fatal(err)
		}
		return second
	}())
	n.runs(first)

	// One version everywhere, and then not.
	n.must("the same: weir", "same", n.report(first))
	n.mustFail(`setting "-tags": not here, there "second"`, "same", n.report(first), n.report(second))
}

// report writes what another node with the binary would say of itself.
func (n *node) report(binary string) string {
	out, err := exec.Command(binary, "version", "--json").Output()
	if err != nil || !json.Valid(out) {
		n.t.Fatalf("%v, %s", err, out)
	}
	return n.write(filepath.Base(filepath.Dir(binary))+".json", string(out))
}

// waitForSubscriber waits until somebody is subscribed.
func waitForSubscriber(t *testing.T, n *node, weir string) {
	t.Helper()
	request := "POST /api/channels HTTP/1.0\r\nX-API-Key: k\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-time.After(50 * time.Millisecond) {
		c, err := net.Dial("tcp", n.ready)
		if err != nil {
			continue
		}
		_, _ = io.WriteString(c, request)
		answer, _ := io.ReadAll(c)
		_ = c.Close()
		if bytes.Contains(answer, []byte(`"feeds:a"`)) {
			return
		}
	}
	t.Fatal("nobody subscribes")
}
