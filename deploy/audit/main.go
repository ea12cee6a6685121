// Command audit looks at what the project depends on: known vulnerabilities of Go modules and of the npm packages of the
// tests, licences, modules changed since go.sum, and modules without a release for long.
//
// What cannot be looked at, because a database cannot be reached, is said to be not run; with -strict that is a failure.
// GOVULNDB may name a local copy of Go's database (file:///...).
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// What a check may find.
type verdict int

const (
	ok verdict = iota
	notRun
	failed
)

func (v verdict) String() string { return [...]string{"ok", "not run", "FAILED"}[v] }

// result is what a check says of itself, and one line for each thing found.
type result struct {
	verdict verdict
	summary string
	lines   []string
}

// audit is one run over a repository.
type audit struct {
	root       string
	now        time.Time
	database   string // of Go's vulnerabilities, "" for the scanner's own
	exceptions []exception

	// run executes a program in a folder of the repository.
	run func(dir, name string, args ...string) (stdout, stderr []byte, err error)
}

func main() {
	root := flag.String("root", ".", "the repository")
	strict := flag.Bool("strict", false, "fail also for what was not run")
	flag.Parse()
	a := &audit{root: *root, now: time.Now(), database: os.Getenv("GOVULNDB")}
	a.run = a.execute
	os.Exit(a.report(os.Stdout, *strict))
}

// report runs every check and returns the exit status.
func (a *audit) report(w io.Writer, strict bool) int {
	checks := []struct {
		name string
		run  func() result
	}{
		{"exceptions", a.readExceptions},
		{"modules", a.modules},
		{"licences", a.licences},
		{"ages", a.ages},
		{"scanner", a.scanner},
		{"vulnerabilities", a.vulnerabilities},
		{"npm", a.npm},
	}
	status := 0
	for _, c := range checks {
		r := c.run()
		fmt.Fprintf(w, "%-16s %s: %s\n", c.name, r.verdict, r.summary)
		for _, line := range r.lines {
			fmt.Fprintf(w, "%-16s   %s\n", "", line)
		}
		if r.verdict == failed || r.verdict == notRun && strict {
			status = 1
		}
	}
	return status
}

func (a *audit) execute(dir, name string, args ...string) (stdout, stderr []byte, err error) {
	var out, said bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = filepath.Join(a.root, dir), &out, &said
	err = cmd.Run()
	return out.Bytes(), said.Bytes(), err
}

// absolute returns the path of a file of the repository.
func (a *audit) absolute(name string) string {
	path, err := filepath.Abs(filepath.Join(a.root, name))
	if err != nil {
		return name // there is no working directory; nothing else will work either
	}
	return path
}

// moduleFolders have a go.mod. What the second requires is in no binary: only its sums are looked at.
var moduleFolders = []string{".", "bench/peers"}

// modules: what was downloaded is what go.sum says.
func (a *audit) modules() (r result) {
	for _, dir := range moduleFolders {
		stdout, stderr, err := a.run(dir, "go", "mod", "verify")
		if err != nil {
			return result{failed, "go mod verify in " + dir, texts(stdout, stderr)}
		}
		r = result{ok, firstLine(stdout), nil}
	}
	return r
}

func failure(err error) result { return result{failed, err.Error(), nil} }

// texts are the lines of some output that is not empty.
func texts(outputs ...[]byte) (lines []string) {
	for _, o := range outputs {
		for line := range strings.Lines(string(o)) {
			if line = strings.TrimSpace(line); line != "" {
				lines = append(lines, line)
			}
		}
	}
	return lines
}

func firstLine(b []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(b)), "\n")
	return line
}

var errUnreachable = errors.New("the database cannot be reached")
