package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir/security/oplog/logtest"
)

// invocation runs one command line in this process.
type invocation struct {
	args    []string
	env     []string
	signals chan os.Signal // what notify delivers; nil delivers nothing

	stdout, stderr logtest.Log
}

func (i *invocation) process() *process {
	return &process{
		program: "weir", args: i.args, env: i.env, stdout: &i.stdout, stderr: &i.stderr,
		notify: func(...os.Signal) (<-chan os.Signal, func()) { return i.signals, func() {} },
	}
}

// weir runs a command line without environment and returns what it printed.
func weir(args ...string) (status int, stdout, stderr string) {
	return weirEnv(nil, args...)
}

func weirEnv(env []string, args ...string) (status int, stdout, stderr string) {
	i := &invocation{args: args, env: env}
	status = run(i.process())
	return status, i.stdout.String(), i.stderr.String()
}

// awaitTime is how long a test waits for what must come; one that passes does not wait.
const awaitTime = 2 * time.Minute

// unhurried are the arguments of a server whose clients are on a loaded machine.
func unhurried(args ...string) []string {
	return append(args, "--handshake-timeout=2m", "--head-timeout=2m")
}

// writeFile puts a file into a new folder and returns its path.
func writeFile(t *testing.T, name, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// wantRefusal checks that a command line is refused as the operator's mistake,
// with a message that holds every one of the words.
func wantRefusal(t *testing.T, env, args []string, words ...string) {
	t.Helper()
	status, stdout, stderr := weirEnv(env, args...)
	if status != statusMistake {
		t.Errorf("weir %s: status %d, want %d", strings.Join(args, " "), status, statusMistake)
	}
	if stdout != "" {
		t.Errorf("weir %s: a refusal on stdout: %s", strings.Join(args, " "), stdout)
	}
	for _, w := range words {
		if !strings.Contains(stderr, w) {
			t.Errorf("weir %s: the message does not say %q: %s", strings.Join(args, " "), w, stderr)
		}
	}
}
