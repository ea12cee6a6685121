package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// capturedText is all that the files of a capture say. They and their folder must be their owner's only.
func capturedText(t *testing.T, dir string) (text string) {
	t.Helper()
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%s: %v, %v", dir, info, err)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if info, err := f.Info(); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: %v, %v", f.Name(), info, err)
		}
		b, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		text += string(b)
	}
	return text
}

func TestCaptureMistakes(t *testing.T) {
	open := t.TempDir()
	if err := os.Chmod(open, 0o755); err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(t.TempDir(), "captures")
	dir := "--capture-dir=" + folder
	for _, c := range []struct{ args, words []string }{
		{[]string{"--capture-dir=" + open, "--capture-users=a"}, []string{"--capture-dir", "chmod 700"}},
		{[]string{"--capture-dir=" + writeFile(t, "file", "") + "/x", "--capture-users=a"}, []string{"--capture-dir", "not a directory"}},
		{[]string{dir}, []string{"--capture-dir", "nothing is chosen", "--capture-users"}},
		{[]string{"--capture-users=a"}, []string{"--capture-dir", "no folder"}},
		{[]string{dir, "--capture-rule=started"}, []string{"--capture-rule", "started", "protocol-violation"}},
		{[]string{dir, "--capture-addresses=here"}, []string{"--capture-addresses", "CIDR"}},
		{[]string{dir, "--capture-users=a", "--capture-limit=1000"}, []string{"--capture-limit", "1MiB"}},
		{[]string{dir, "--capture-rule=anomaly", "--anomaly-scale=0"}, []string{"--capture-rule anomaly", "--anomaly-scale=0"}},
	} {
		for _, command := range []string{"serve", "check"} {
			wantRefusal(t, nil, append(good(t, command), c.args...), c.words...)
		}
	}
	status, stdout, stderr := weir(append(good(t, "check"), dir, "--capture-rule=anomaly")...)
	if status != 0 || !strings.Contains(stdout, "capture ") {
		t.Errorf("%d: %s%s", status, stdout, stderr)
	}
	if _, err := os.Stat(folder); err == nil {
		t.Error("a mistake, or a check, made the folder")
	}
}

// TestFullCaptureServesOn: the folder is full, and the server says so once and goes on.
func TestFullCaptureServesOn(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "captures")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "capture-old.jsonl"), make([]byte, 1<<20-8<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	r, _ := audited(t, "--capture-dir", dir, "--capture-limit=1MiB", "--capture-addresses=127.0.0.1")
	for range 2 {
		ws, refusal := r.dial("/connection/websocket", nil)
		if ws == nil {
			t.Fatal(refusal)
		}
		if said := ask(t, ws, `{"id":1,"connect":{"token":"`+signedFor(t, "alice")+`"}}`, `{"id":2,"publish":{"channel":"a","data":"`+strings.Repeat("x ", 8<<10)+`"}}`); !strings.Contains(said, `"publish"`) {
			t.Errorf("said %s", said)
		}
		_ = ws.CloseNow()
	}
	r.stop()
	if n := strings.Count(r.stderr.String(), "the capture has ended"); n != 1 {
		t.Errorf("said %d times: %s", n, r.stderr.String())
	}
	if text := capturedText(t, dir); strings.Count(text, "\"full\":true}\n") != 1 || len(text) > 1<<20 {
		t.Errorf("%d bytes, and no end", len(text))
	}
}

// TestAnomaliesAreCaptured: who comes from an address after an alert about it, and nobody before.
func TestAnomaliesAreCaptured(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "captures")
	r, _, alerts := alarmed(t, "--capture-dir", dir, "--capture-rule=anomaly")
	visit := func(path string) {
		if ws, _ := r.dial(path, nil); ws != nil {
			t.Errorf("%s was let in", path)
		}
	}
	visit("/before")
	r.storm(alerts)
	visit("/behind")
	r.stop()
	text := capturedText(t, dir)
	if strings.Contains(text, "/before") || strings.Count(text, `"why":"anomaly","path":{"text":"/behind"}`) != 1 {
		t.Errorf("captured %s", text)
	}
}
