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
