package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir/loadtest/report"
	"weir/loadtest/tally"
)

// kept writes a run of so many publications, each this late, as --json does.
func kept(t *testing.T, dir, protocol string, n int, late time.Duration, thresholds ...string) string {
	t.Helper()
	r := &tally.Run{Scenario: "fanout", Protocol: protocol, Thresholds: thresholds, Took: time.Second}
	in := tally.Interval{At: time.Second, For: time.Second}
	for range n {
		in.Latency.Record(late)
	}
	in.Received = uint64(n)
	r.Total.Add(in.Counters)
	r.Latency.Merge(&in.Latency)
	r.Intervals = []tally.Interval{in}
	r.Figures = report.Figures(r)
	name := filepath.Join(dir, protocol+".json")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := report.WriteJSON(f, r); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestReport: runs that were kept are shown, compared and judged without a server.
func TestReport(t *testing.T) {
	dir := t.TempDir()
	fast, slow := kept(t, dir, "weir", 10, time.Millisecond), kept(t, dir, "centrifugo", 10, time.Second, "p99>50ms")
	none := kept(t, dir, "echo", 0, 0)
	page := filepath.Join(dir, "page.html")
	for name, test := range map[string]struct {
		args   []string
		status int
		told   []string
	}{
		"one":                       {[]string{fast}, 0, []string{"p99", " 1 ms", "fanout, weir"}},
		"judged by itself":          {[]string{slow}, statusFailed, []string{"FAILED p99 is 1", "centrifugo.json: p99 is 1"}},
		"judged by another":         {[]string{slow, "--fail-if=p99>2s"}, 0, []string{"ok "}},
		"one of two is bad":         {[]string{fast, slow, "--fail-if=p99>50ms"}, statusFailed, []string{"ok     p99 is 1 ms", "FAILED p99 is 1"}},
		"what cannot be judged":     {[]string{none, "--fail-if=p99>50ms"}, statusFailed, []string{`no figure "p99"`}},
		"a threshold that is wrong": {[]string{fast, "--fail-if=p99"}, statusMistake, []string{"--fail-if"}},
		"no such file":              {[]string{filepath.Join(dir, "gone.json")}, statusFailed, []string{"gone.json"}},
		"no report":                 {[]string{page}, statusFailed, []string{"not a report"}},
		"nothing":                   {nil, statusMistake, []string{"expected"}},
	} {
		if err := os.WriteFile(page, []byte("<!doctype html>"), 0o600); err != nil {
			t.Fatal(err)
		}
		status, _, said := weirLoad(t, append([]string{"report"}, test.args...)...)
		for _, want := range test.told {
			if !strings.Contains(said, want) {
				t.Errorf("%s: no %q in %s", name, want, said)
			}
		}
		if status != test.status {
			t.Errorf("%s: status %d, wanted %d: %s", name, status, test.status, said)
		}
	}
	status, stdout, said := weirLoad(t, "report", fast, slow, none, "--html=-", "--quiet")
	if status != statusFailed || strings.Count(stdout, "<th class=\"value\">") < 3 || !strings.Contains(stdout, ">centrifugo</th>") || strings.Contains(said, "mean") {
		t.Errorf("status %d, %d bytes, said %s", status, len(stdout), said)
	}
}
