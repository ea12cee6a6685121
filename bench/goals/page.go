package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// The marks stand on lines of their own.
const (
	from = "<!-- what follows is written by make bench -->\n"
	to   = "<!-- what was written by make bench ends here -->\n"
)

// machine is what the figures were taken on, in one line.
func machine(ctx context.Context) string {
	cpu := "unknown processor"
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(info)) {
			if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
				cpu = strings.TrimSpace(value)
				break
			}
		}
	}
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease") // of another system there is none to tell
	commit, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty").Output()
	if err != nil {
		commit = []byte("unknown")
	}
	return fmt.Sprintf("%s/%s %s, %d cores (%s), %s, Weir %s", runtime.GOOS, runtime.GOARCH, bytes.TrimSpace(kernel),
		runtime.NumCPU(), cpu, runtime.Version(), bytes.TrimSpace(commit))
}

// write makes the part of the page.
func write(machine string, at time.Time, results []result) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n## Goals and figures\n\n%s, on %s. Clients and server shared the machine.\n\n", from, at.UTC().Format(time.DateOnly), machine)
	b.WriteString("| what | here | release needs | the best would have | |\n|---|---|---|---|---|\n")
	for _, r := range results {
		for i := range r.goals {
			g := &r.goals[i]
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", g.what, g.format(r.figures[i]), g.bound(g.ship), g.bound(g.reach), g.verdict(r.figures[i]))
		}
	}
	b.WriteString("\n## What the commands printed\n")
	for _, r := range results {
		fmt.Fprintf(&b, "\n`%s` (%.0f s):\n\n```\n%s```\n", r.line(), r.took.Seconds(), r.output)
	}
	return b.String() + "\n" + to
}

// replace puts text in the place of what stands between the marks of a file.
func replace(file, text string) error {
	page, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, begins := strings.Cut(string(page), from)
	_, after, ends := strings.Cut(rest, to)
	if !begins || !ends {
		return fmt.Errorf("%s lacks the marks %q and %q", file, strings.TrimSpace(from), strings.TrimSpace(to))
	}
	return os.WriteFile(file, []byte(before+text+after), 0o644)
}
