// Package peers holds the servers that Weir is compared with; README.md says how each is tuned.
//
// This test starts every one of them and subscribes to it with a plain client.
package peers

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"weir/bench/peers/internal/feed"
	"weir/bench/peers/internal/socket"
)

// patience is how long anything may take on a busy machine.
const patience = 2 * time.Minute

// publications to each channel.
const publications = 100

// programs is where the servers are built, and their certificate.
type programs struct{ folder string }

// all builds every server once, and lists the command line of each.
func all(t *testing.T) (programs, map[string][]string) {
	t.Helper()
	var commands map[string][]string
	text, err := os.ReadFile("peers.json")
	if err == nil {
		err = json.Unmarshal(text, &commands)
	}
	if err != nil {
		t.Fatal(err)
	}
	p := programs{t.TempDir()}
	if out, err := exec.Command("go", "build", "-o", p.folder+"/", "./...").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	p.certificate(t)
	return p, commands
}

// running is a server that serves.
type running struct {
	feed.Line
	process *exec.Cmd
	stdin   io.Closer
}

func (p programs) start(t *testing.T, command []string) *running {
	t.Helper()
	if command[0] == "node" {
		needNode(t)
	}
	process := exec.CommandContext(t.Context(), filepath.Join(p.folder, command[0]), append(command[1:],
		"-listen", "127.0.0.1:0", "-api", "127.0.0.1:0", "-cert", p.cert(), "-key", p.key(), "-congestion", "cubic")...)
	process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	process.Stderr = os.Stderr
	stdin, err := process.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	s := &running{process: process, stdin: stdin}
	text, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(text, &s.Line)
	}
	if err != nil {
		t.Fatalf("the line is %q: %v", text, err)
	}
	return s
}

// needNode skips where Node.js or its packages are missing, but not in CI.
func needNode(t *testing.T) {
	t.Helper()
	_, err := exec.LookPath("node")
	if err == nil {
		_, err = os.Stat("node/node_modules")
	}
	if err != nil && os.Getenv("CI") == "true" {
		t.Fatal(err)
	} else if err != nil {
		t.Skipf("skipped: %v (install Node.js 20, then npm ci --prefix bench/peers/node)", err)
	}
}

// gone waits for the end of a server.
func (s *running) gone(t *testing.T) {
	t.Helper()
	if err := s.process.Wait(); err != nil {
		t.Errorf("%s ended with %v", s.Name, err)
	}
	if err := syscall.Kill(s.PID, 0); err == nil {
		t.Errorf("process %d of %s is still there", s.PID, s.Name)
	}
}

func (s *running) publish(t *testing.T, channel, data string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.API+"/api/publish",
		strings.NewReader(fmt.Sprintf(`{"channel":%q,"data":%s}`, channel, data)))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-API-Key", "anything")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var answer struct{ Result *struct{ Offset uint64 } }
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || response.StatusCode != http.StatusOK || answer.Result == nil {
		t.Fatalf("publishing to %s: %s, %+v, %v", channel, response.Status, answer, err)
	}
}

// TestEachPeer: a subscriber gets what is published to its channels, all of it and in order, over TLS 1.3 and the congestion
// control that was asked for; and the server ends with its input.
func TestEachPeer(t *testing.T) {
	p, commands := all(t)
	for _, name := range slices.Sorted(maps.Keys(commands)) {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			s := p.start(t, commands[name])
			if s.Name != name {
				t.Errorf("the line is %+v", s.Line)
			}
			checkVersion(t, s.Line)
			var subscribers []*subscriber
			for _, channels := range [][]string{{"a"}, {"b"}, {"c"}, {"a", "b"}} {
				subscribers = append(subscribers, p.subscribe(ctx, t, s.Line, channels))
			}
			for i := range publications {
				for _, channel := range []string{"a", "b", "c"} {
					s.publish(t, channel, fmt.Sprintf(`{"n":%d,"to":%q,"text":"ä <&> \u2028 %s"}`, i, channel, strings.Repeat("x", i)))
				}
			}
			for _, one := range subscribers {
				one.expect(t, publications*len(one.channels))
			}
			checkCongestion(t, s.Line, len(subscribers))
			_ = subscribers[0].conn.CloseNow()
			s.publish(t, "a", fmt.Sprintf(`{"n":%d,"to":"a"}`, publications))
			subscribers[3].expect(t, 1)
			if s.Protocol == feed.Plain {
				p.echo(ctx, t, s.Line)
			}
			if err := s.stdin.Close(); err != nil {
				t.Error(err)
			}
			s.gone(t)
		})
	}
}

// TestTerm: SIGTERM ends a server, with connections that are open.
func TestTerm(t *testing.T) {
	p, commands := all(t)
	for name, command := range commands {
		t.Run(name, func(t *testing.T) {
			s := p.start(t, command)
			p.subscribe(t.Context(), t, s.Line, []string{"a"})
			if err := s.process.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			s.gone(t)
		})
	}
}

// checkCongestion looks at the accepted sockets themselves.
func checkCongestion(t *testing.T, line feed.Line, connections int) {
	t.Helper()
	at, err := url.Parse(line.URL)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(at.Port())
	if err != nil {
		t.Fatal(err)
	}
	found, err := socket.Accepted(line.PID, port)
	if err != nil || found["cubic"] != connections || len(found) != 1 {
		t.Errorf("congestion control of the accepted connections: %v, %v; want cubic %d times", found, err, connections)
	}
}

// checkVersion: the line says the version that go.mod or package.json asks for.
func checkVersion(t *testing.T, line feed.Line) {
	t.Helper()
	var asked []byte
	for _, file := range []string{"go.mod", "node/package.json"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		asked = append(asked, text...)
	}
	if !bytes.Contains(asked, []byte(" v"+line.Version+"\n")) && !bytes.Contains(asked, []byte(`: "`+line.Version+`"`)) {
		t.Errorf("version %q", line.Version)
	}
}

func (p programs) clientTLS() *tls.Config {
	return &tls.Config{RootCAs: p.roots(), ServerName: "localhost", MinVersion: tls.VersionTLS13}
}
