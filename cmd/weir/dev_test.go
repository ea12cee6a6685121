package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"weir/cmd/weir/demo"
)

// Servers that start at once for the first time do not mix their certificates and keys.
func TestDevStartsAtOnce(t *testing.T) {
	for range 5 {
		env := []string{"XDG_CACHE_HOME=" + t.TempDir()}
		var wg sync.WaitGroup
		for range 6 {
			wg.Go(func() {
				if status, _, stderr := weirEnv(env, "check", "--dev"); status != 0 {
					t.Errorf("status %d: %s", status, stderr)
				}
			})
		}
		wg.Wait()
	}
}

// Whoever follows the slow reader learns that it lacks what was superseded, and has the newest price of each symbol.
func TestDevSlowReader(t *testing.T) {
	dev := &invocation{
		args: unhurried("serve", "--dev", "--listen=127.0.0.1:0", "--api-listen=127.0.0.1:0"),
		env:  []string{"XDG_CACHE_HOME=" + t.TempDir()}, signals: make(chan os.Signal, 1),
	}
	status := make(chan int, 1)
	go func() { status <- run(dev.process()) }()
	text := dev.stdout.Await(t, "curl ", "\n\n")
	follow := pasted(t, text, "sub")
	follow[slices.Index(follow, demo.Channel)] = demo.SlowReader
	code, stdout, stderr := weir(append(follow, "--count=1", "--url", "wss://127.0.0.1:"+port(t, text))...)
	var report struct {
		Data struct {
			From, To, Received uint64
			LeftOut            uint64 `json:"left_out"`
			Prices             map[string]float64
		}
	}
	err := json.Unmarshal([]byte(stdout), &report)
	if r := report.Data; code != 0 || err != nil || r.Received == 0 || r.LeftOut == 0 || r.Received+r.LeftOut != r.To-r.From || len(r.Prices) != 8 {
		t.Errorf("status %d, stdout %q, stderr %q: %v", code, stdout, stderr, err)
	}
	dev.signals <- os.Interrupt
	if got := <-status; got != 0 {
		t.Errorf("status %d: %s", got, dev.stderr.String())
	}
}

// A folder that takes no files is a message that names it, and nothing is left behind.
func TestDevWithoutRoomForItsFiles(t *testing.T) {
	wantRefusal(t, []string{"XDG_CACHE_HOME=" + writeFile(t, "file", "")}, []string{"check", "--dev"}, "--dev", "XDG_CACHE_HOME")

	for _, name := range []string{"cert.pem", "api-key"} {
		cache := t.TempDir()
		dir := filepath.Join(cache, "weir-dev")
		if err := os.MkdirAll(filepath.Join(dir, name, "in the way"), 0o700); err != nil {
			t.Fatal(err)
		}
		status, _, stderr := weirEnv([]string{"XDG_CACHE_HOME=" + cache}, "check", "--dev")
		if status == 0 || !strings.Contains(stderr, "--dev") || !strings.Contains(stderr, name) || !strings.Contains(stderr, "XDG_CACHE_HOME") {
			t.Errorf("%s: status %d: %s", name, status, stderr)
		}
		left, err := filepath.Glob(filepath.Join(dir, ".new-*"))
		if err != nil || len(left) > 0 {
			t.Errorf("%s: left behind: %v, %v", name, left, err)
		}
	}
}

// What --dev keeps is its user's alone, also where the folder was open before.
func TestDevFilesArePrivate(t *testing.T) {
	cache := t.TempDir()
	dir := filepath.Join(cache, "weir-dev")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if status, _, stderr := weirEnv([]string{"XDG_CACHE_HOME=" + cache}, "check", "--dev"); status != 0 {
		t.Fatal(stderr)
	}
	for name, want := range map[string]os.FileMode{"": 0o700, "cert.pem": 0o600, "key.pem": 0o600, "api-key": 0o600, "token-secret": 0o600} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%q: mode %v, %v; want %v", name, info.Mode(), err, want)
		}
	}
}
