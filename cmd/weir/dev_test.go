package main

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
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
