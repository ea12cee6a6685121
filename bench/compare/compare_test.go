package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir/loadtest/tally"
)

// TestTable: figures are medians, ratios medians of those within rounds against the Weir of the same protocol, and who failed
// has a note and no figures.
func TestTable(t *testing.T) {
	p := plan{idle: 9000, subscribers: 5000, rounds: 3, memoryRounds: 1}
	all := []*contestant{
		{name: "weir", protocol: "centrifugo", rounds: map[*metric][]float64{slope: {500}, cpu: {4e-6, 8e-6, 6e-6}}},
		{name: "weir-feed", protocol: "feed", rounds: map[*metric][]float64{slope: {400}, cpu: {3e-6, 5e-6, 4e-6}, deliveries: {1e6, 9e5, 8e5}}},
		{name: "one", version: "1.0", protocol: "feed", rounds: map[*metric][]float64{slope: {40_000}, cpu: {30e-6, 10e-6, 8e-6}, deliveries: {1e5, 1e5, 1e5}}},
		{name: "two", version: "2.0", protocol: "centrifugo", rounds: map[*metric][]float64{slope: {1000}, cpu: {8e-6, 8e-6, 8e-6}}},
		{name: "three", version: "3.0", protocol: "feed", rounds: map[*metric][]float64{slope: {1}}, failure: "7 deliveries never came"},
	}
	var out strings.Builder
	if err := p.write(&out, all); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| weir | 500 B | – | 6.00 µs | – | – | – |\n",
		"| weir-feed | 400 B | – | 4.00 µs | – | 900,000 | – |\n",
		"| one 1.0 | 40,000 B | 0.01× | 10.00 µs | 0.50× | 100,000 | 9.00× |\n",
		"| two 2.0 | 1,000 B | 0.50× | 8.00 µs | 0.75× | – | – |\n",
		"| three 3.0 | – | – | – | – | – | – |\n",
		"\nthree: 7 deliveries never came\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
	if err := blame(all); err != nil {
		t.Error(err)
	}
	all[1].failure = "1 connections were lost"
	if err := blame(all); err == nil || !strings.Contains(err.Error(), "weir-feed: 1 connections") {
		t.Errorf("Weir's failure: %v", err)
	}
	if rival(all[2:], all[2]) != nil {
		t.Error("a rival that is not there")
	}
}

// TestTake: a figure is noted, a failure instead of it, and a figure that is not there is an error.
func TestTake(t *testing.T) {
	c := &contestant{name: "one", rounds: map[*metric][]float64{}}
	r := &tally.Run{Scenario: "idle", Figures: []tally.Figure{{Name: "slope", Value: 7}}, Failures: []string{"lost", "late"}}
	if err := c.take(r, slope); err != nil || c.failure != "lost; late" || len(c.rounds[slope]) != 0 {
		t.Errorf("%+v, %v", c, err)
	}
	r.Failures = nil
	if err := c.take(r, slope); err != nil || len(c.rounds[slope]) != 1 || c.rounds[slope][0] != 7 {
		t.Errorf("%+v, %v", c, err)
	}
	if err := c.take(r, cpu); err == nil {
		t.Error("a figure that nobody measured")
	}
	burst := &tally.Run{Total: tally.Counters{Received: 500_000}}
	burst.Latency.Record(4900 * time.Millisecond)
	if v, ok := speed(burst); !ok || v < 95_000 || v > 105_000 {
		t.Errorf("%f, %t", v, ok)
	}
}

func TestMistakes(t *testing.T) {
	for _, args := range []string{"-rounds 0 -memory-rounds 0", "-idle 1", "-rate 0", "-burst 0", "-nothing", "-subscribers 0"} {
		if _, err := parse(strings.Fields(args), &strings.Builder{}); err == nil {
			t.Errorf("%s is accepted", args)
		}
	}
	if err := run(t.Context(), []string{"-servers", "nobody"}, os.Stdout, os.Stderr); err == nil || !strings.Contains(err.Error(), `"nobody"`) {
		t.Errorf("a server that is not there: %v", err)
	}
}

// TestCompare is a run in small: Weir against itself by another protocol.
func TestCompare(t *testing.T) {
	load := filepath.Join(t.TempDir(), "weir-load")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", load, "weir/cmd/weir-load").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var out, log strings.Builder
	err := run(t.Context(), strings.Fields("-servers weir,weir-feed -rounds 1 -idle 60 -subscribers 30 -burst 20 -for 1s -rest 1ms -weir-load "+load), &out, &log)
	if err != nil {
		t.Fatalf("%v\n%s", err, &log)
	}
	for _, line := range strings.Split(out.String(), "\n")[2:4] {
		if cells := strings.Split(line, "|"); len(cells) != 9 || !strings.HasPrefix(line, "| weir") || strings.TrimSpace(cells[6]) == "–" {
			t.Errorf("%q in\n%s", line, &out)
		}
	}
}
