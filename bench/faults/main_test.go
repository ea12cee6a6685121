//go:build linux

package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"weir/bench/internal/node"
)

// patience is how long anything may take on a busy machine.
const patience = 5 * time.Minute

func TestMain(m *testing.M) {
	code := m.Run()
	if built != "" {
		_ = os.RemoveAll(filepath.Dir(built))
	}
	os.Exit(code)
}

// built is the server's binary, once it is; tests of this package do not run in parallel.
var built string

// weir builds the server, once.
func weir(t *testing.T) string {
	t.Helper()
	if built == "" {
		folder, err := os.MkdirTemp("", "weir-faults-")
		if err != nil {
			t.Fatal(err)
		}
		built = filepath.Join(folder, "weir")
		if err := node.Build(t.Context(), built); err != nil {
			t.Fatal(err)
		}
	}
	return built
}

// server is a process of weir.
type server struct {
	*node.Node
	key  string // of its API
	http *http.Client
}

// startServer starts one, on an address of its own of 127/8: nobody takes its port when it
// is gone. It is killed when the test ends.
func startServer(t *testing.T, o node.Options) *server {
	t.Helper()
	o.Binary = weir(t)
	if o.Log == nil {
		o.Log = io.Discard
	}
	if o.Listen == "" {
		o.Listen = "127.77.0.1:0"
	}
	n, err := node.Start(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(n.PID(), syscall.SIGKILL) // if the test has not
		_ = n.Stop()                               // removes its files; it says that it was killed
	})
	key, err := os.ReadFile(n.KeyFile())
	if err != nil {
		t.Fatal(err)
	}
	return &server{Node: n, key: string(key), http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}}
}

// kill ends it as the kernel does that has no memory left.
func (s *server) kill(t *testing.T) {
	t.Helper()
	s.signal(t, syscall.SIGKILL)
	<-s.Exited()
}

func (s *server) signal(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(s.PID(), sig); err != nil {
		t.Fatal(err)
	}
}

// publish returns what was acknowledged.
func (s *server) publish(ctx context.Context, channel string, data []byte) (offset uint64, epoch string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.API+"/api/publish",
		bytes.NewReader(fmt.Appendf(nil, `{"channel":%q,"data":%s}`, channel, data)))
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("X-API-Key", s.key)
	resp, err := s.http.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, "", err
	}
	var answer struct {
		Result *struct {
			Offset uint64
			Epoch  string
		}
	}
	if err := json.Unmarshal(b, &answer); err != nil || answer.Result == nil || answer.Result.Offset == 0 {
		return 0, "", fmt.Errorf("publish was answered %s %s", resp.Status, b)
	}
	return answer.Result.Offset, answer.Result.Epoch, nil
}

// configured writes a configuration file with these namespaces and returns its flag.
func configured(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "weir.yaml")
	text := fmt.Sprintf(`namespaces:
  - name: deep
    history_size: 100000
    history_ttl: 1h
    force_recovery: true
  - name: thin
    history_size: %d
    history_ttl: 1h
    force_recovery: true
`, thinHistory)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return "--config=" + file
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); {
		if time.Now().After(deadline) {
			t.Fatal("never came: ", what)
		}
		<-time.After(5 * time.Millisecond)
	}
}
