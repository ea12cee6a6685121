package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestVerdict(t *testing.T) {
	atMost, atLeast := goal{ship: 10, reach: 5}, goal{ship: 5, reach: 10, least: true}
	needed, wished := goal{ship: 0, reach: none}, goal{ship: none, reach: 2}
	for _, c := range []struct {
		g      goal
		figure float64
		want   string
	}{
		{atMost, 4, reached}, {atMost, 5, reached}, {atMost, 6, shipped}, {atMost, 10, shipped}, {atMost, 10.1, miss},
		{atLeast, 11, reached}, {atLeast, 10, reached}, {atLeast, 6, shipped}, {atLeast, 5, shipped}, {atLeast, 4.9, miss},
		{needed, 0, shipped}, {needed, 1, miss}, {wished, 2, reached}, {wished, 3, short},
	} {
		if got := c.g.verdict(c.figure); got != c.want {
			t.Errorf("%v of %+v: %s, wanted %s", c.figure, c.g, got, c.want)
		}
	}
}

func TestFigures(t *testing.T) {
	g := goal{what: "x", pattern: regexp.MustCompile(`took ([0-9.,]+) B`), unit: "B"}
	if got, err := g.find("took 7 B\ntook 1,771.5 B\ntook 2,000 B\n"); err != nil || got != 1771.5 {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := g.find("nothing"); err == nil {
		t.Error("a figure was found in nothing")
	}
	for _, c := range []struct {
		g    goal
		want float64
	}{{goal{pattern: g.pattern}, 15}, {goal{pattern: g.pattern, worst: true}, 20}} {
		if got, err := c.g.find("took 20 B\ntook 10 B\n"); err != nil || got != c.want {
			t.Errorf("%+v: %v, %v", c.g, got, err)
		}
	}
	if got := g.bound(none); got != "–" {
		t.Errorf("no bound is written %q", got)
	}
	for figure, want := range map[float64]string{1771: "1,771 B", 12345678: "12,345,678 B", 1.4876: "1.49 B", 25: "25 B", 0: "0 B"} {
		if got := g.format(figure); got != want {
			t.Errorf("%v: %q, wanted %q", figure, got, want)
		}
	}
}

// TestPage: a step runs, its figure is judged, a miss is on the page as a miss, and what stands
// around the marks stays.
func TestPage(t *testing.T) {
	s := step{
		name: "echo", command: []string{"echo", "cost 12 ms"},
		goals: []goal{{what: "the cost", pattern: regexp.MustCompile(`cost ([0-9]+)`), unit: "ms", ship: 10, reach: 5}},
	}
	var log bytes.Buffer
	r, err := s.run(t.Context(), &log)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "page.md")
	for range 2 { // the second time what was written is replaced
		if err := os.WriteFile(file, []byte("before\n"+from+"old\n"+to+"after\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := replace(file, write("a machine", time.Unix(0, 0), []result{r})); err != nil {
			t.Fatal(err)
		}
	}
	page, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text := string(page)
	for _, want := range []string{
		"before\n" + from, to + "after\n", "1970-01-01, on a machine", "| the cost | 12 ms | ≤ 10 ms | ≤ 5 ms | **missed** |",
		"`echo cost 12 ms`", "```\ncost 12 ms\n```",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "old") || missed([]result{r}) == nil {
		t.Errorf("%s", text)
	}
}

func TestMistakes(t *testing.T) {
	if _, err := choose(steps, "memory,nothing"); err == nil || !strings.Contains(err.Error(), "validator") {
		t.Error(err)
	}
	if err := replace(os.DevNull, "x"); err == nil {
		t.Error("a page without marks was written")
	}
	s := step{name: "false", command: []string{"false"}}
	if _, err := s.run(t.Context(), &bytes.Buffer{}); err == nil {
		t.Error("a benchmark that fails passes")
	}
}

// TestAgainst: the figures of a row are found, and not those of another server.
func TestAgainst(t *testing.T) {
	const table = "| weir | – | – | 4.00 µs | – | 900,000 | – |\n| uws 20.3-x | – | – | 5.00 µs | 0.80× | 300,000 | 3.00× |\n" +
		"| ws 8.23.0 | 30,000 B | 0.02× | 10.00 µs | 0.40× | 100,000 | 9.00× |\n"
	goals := against("ws", "it", 0.4, 0.32, 1, 2)
	for i, want := range []float64{0.4, 9} {
		if got, err := goals[i].find(table); err != nil || got != want {
			t.Errorf("%s: %v, %v; want %v", goals[i].what, got, err, want)
		}
	}
	if _, err := against("gws", "it", 1, 1, 1, 1)[0].find(table); err == nil {
		t.Error("a figure of a server that is not there")
	}
}

// TestOutputs: the figures are found in what the commands print.
func TestOutputs(t *testing.T) {
	outputs := map[string]struct {
		text string
		want []float64
	}{
		"over-admissions": {"    table_test.go:213: 20000000 takes by 64 at once, 6054416 admitted, 0 over-admitted\n", []float64{0}},
		"allocations": {"BenchmarkDelivery-2   \t 2000\t 468875 ns/op\t 0 B/op\t 0 allocs/op\nBenchmarkMessage/pong-2 \t 2000\t 221.7 ns/op\t 0 B/op\t 1 allocs/op\n" +
			"BenchmarkParse/64_KiB-2 \t 2000\t 136709 ns/op\t 377.82 MB/s\t 87 B/op\t 2 allocs/op\nBenchmarkValidate/tick-2 \t 2000\t 1088 ns/op\t 1.497 x-gjson\t 0 B/op\t 3 allocs/op\n" +
			"BenchmarkValidate/tick,_all_left_out-2 \t 2000\t 10 ns/op\t 0 B/op\t 0 allocs/op\n", []float64{0, 2, 3}},
		"floor": {"a connection costs 355 µs of CPU, its handshake and token alone 230 µs: 1.50 times (goal: at most 1.4)\n" +
			"a delivery costs 1.21 times the floor (goal: at most 1.4); in batches of 8 there are 7.7 times as many for the same CPU (goal: at least 5)\n" +
			"59 collections of garbage in 120 publications one by one, 118 a minute\n", []float64{1.21, 7.7, 118, 1.5}},
		"half load": {"66571 deliveries a second to 2000 subscribers of publications one by one; the floor reaches the last of them after 21.28ms at the median\n" +
			"half load: 367 publications a second: to the last subscriber p50 105.7ms, p99 363.5ms (goal: p99 at most 40ms), 17.1 times the floor's\n" +
			"half load while 16 clients connect and leave all the time: p50 146.5ms, p99 645.4ms, 30.3 times the floor's\n", []float64{363.5, 17.1, 30.3}},
		"goodput": {"capacity: 581 handshakes a second with 32 clients at once, 2176 for a second of the server's processor time\n" +
			"overload: 5895 hellos a second, each from another address, 8.5 times what the server's processor time then is enough for: 226 handshakes a second, 754 for a second of its time\n" +
			"goodput: 32.0 % of the capacity for the same processor time (goal: at least 85 %), 31.9 % of it by the clock\n" +
			"3 of 500 subscribers who were connected all the while were lost or missed anything\n", []float64{8.5, 32, 3}},
		"floods": {"churn               2.6 MiB more  16 attackers, 1453 connections tried: connect and close\n" +
			"16 floods of 2s beside 500 subscribers: memory 37.9 MiB before, 27.3 MiB more at most (bad-tokens; goal: at most 64)\n", []float64{27.3}},
	}
	for name, o := range outputs {
		chosen, err := choose(steps, name)
		if err != nil {
			t.Fatal(err)
		}
		for i, g := range chosen[0].goals {
			if got, err := g.find(o.text); err != nil || i >= len(o.want) || got != o.want[i] {
				t.Errorf("%s: %q is %v, %v; want it of %v", name, g.what, got, err, o.want)
			}
		}
	}
}
