package deploy

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestReproducibleBuild: the same sources in two folders give the same bytes, also if nothing was built before (that, which
// takes minutes, in CI only).
func TestReproducibleBuild(t *testing.T) {
	if raceEnabled {
		t.Skip("skipped: nothing that the race detector sees")
	}
	var binaries [2][]byte
	for i, name := range []string{"one", "elsewhere/two"} {
		dir := filepath.Join(t.TempDir(), name)
		sources(t, dir)
		cmd := exec.Command("make", "-s", "-C", dir, "build")
		cmd.Env = os.Environ()
		if i == 1 && os.Getenv("CI") == "true" {
			cmd.Env = append(cmd.Env, "GOCACHE="+t.TempDir())
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		b, err := os.ReadFile(filepath.Join(dir, "bin", "weir"))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b, []byte(dir)) {
			t.Errorf("the binary holds the name of the folder it was built in")
		}
		binaries[i] = b
		if i == 0 {
			checkSettings(t, filepath.Join(dir, "bin", "weir"))
		}
	}
	if !bytes.Equal(binaries[0], binaries[1]) {
		t.Error("two builds of the same sources differ")
	}
}

// checkSettings: the binary needs no library of the machine, and says what it was built with.
func checkSettings(t *testing.T, binary string) {
	t.Helper()
	out, err := exec.Command(binary, "version", "--json").Output()
	var r struct{ Settings map[string]string }
	if err != nil || json.Unmarshal(out, &r) != nil || r.Settings["-trimpath"] != "true" || r.Settings["CGO_ENABLED"] != "0" {
		t.Errorf("%v: %s", err, out)
	}
	mod, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`(?m)^toolchain go1\.\d+\.\d+$`).Match(mod) {
		t.Error("go.mod pins no toolchain")
	}
}

// sources copies what the binary is built from.
func sources(t *testing.T, to string) {
	t.Helper()
	list := exec.Command("git", "ls-files", "-co", "--exclude-standard", "--", "go.mod", "go.sum", "Makefile", "cmd", "engine", "loadtest", "security")
	list.Dir = ".."
	out, err := list.Output()
	if err != nil {
		t.Fatalf("git ls-files: %v", err)
	}
	for name := range strings.Lines(string(out)) {
		name = strings.TrimSuffix(name, "\n")
		if strings.HasSuffix(name, "_test.go") || strings.Contains(name, "testdata/") {
			continue
		}
		b, err := os.ReadFile(filepath.Join("..", name))
		if os.IsNotExist(err) {
			continue // taken out, and not committed yet
		}
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(to, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestUnit: what the unit must not lose, and that systemd understands it.
func TestUnit(t *testing.T) {
	b, err := os.ReadFile("weir.service")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"DynamicUser=yes", "NoNewPrivileges=yes", "ProtectSystem=strict", "ProtectHome=yes", "PrivateDevices=yes",
		"PrivateTmp=yes", "CapabilityBoundingSet=", "MemoryDenyWriteExecute=yes", "RestrictNamespaces=yes", "SystemCallFilter=@system-service",
		"MemoryMax=85%", "LimitCORE=0", "UMask=0077", "StateDirectory=weir", "StateDirectoryMode=0700", "KillSignal=SIGTERM", "ExecReload=/bin/kill -HUP $MAINPID"} {
		if !strings.Contains(string(b), "\n"+line+"\n") {
			t.Errorf("weir.service has no %s", line)
		}
	}
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("skipped: systemd's own opinion of the unit (no systemd-analyze)")
	}
	out, err := exec.Command("systemd-analyze", "security", "--offline=true", "--threshold=20", "weir.service").CombinedOutput()
	switch {
	case !strings.Contains(string(out), "Overall exposure level"): // before systemd 250
		t.Skipf("skipped: systemd's own opinion of the unit: %v, %s", err, lastLine(out))
	case err != nil:
		t.Errorf("systemd-analyze security: %s", lastLine(out))
	}
}

func lastLine(b []byte) string {
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return lines[len(lines)-1]
}

// TestDockerfile: nothing but the binary, and not as root.
func TestDockerfile(t *testing.T) {
	b, err := os.ReadFile("Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	var steps []string
	for line := range strings.Lines(string(b)) {
		if word, _, _ := strings.Cut(line, " "); word != "#" && strings.TrimSpace(line) != "" && !strings.HasPrefix(line, "#") {
			steps = append(steps, strings.TrimSpace(line))
		}
	}
	want := []string{"FROM scratch", "COPY --chmod=0755 bin/weir /weir", "USER 65532:65532", "EXPOSE 8443", "STOPSIGNAL SIGTERM",
		`ENTRYPOINT ["/weir"]`, `CMD ["serve", "--config", "/etc/weir/weir.yaml"]`}
	if strings.Join(steps, "\n") != strings.Join(want, "\n") {
		t.Errorf("the Dockerfile's steps are\n%s\nwant\n%s", strings.Join(steps, "\n"), strings.Join(want, "\n"))
	}
}
