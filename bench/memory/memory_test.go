package main

import (
	"os"
	"strings"
	"testing"
)

// TestMain is the client process when the test runs this binary once more.
func TestMain(m *testing.M) {
	if os.Getenv(fleetVariable) != "" {
		main()
	}
	os.Exit(m.Run())
}

// TestMeasureAFew runs the whole program against a real server; a slope of so
// few connections says nothing, but everything else must hold.
func TestMeasureAFew(t *testing.T) {
	var out, log strings.Builder
	if err := run(t.Context(), []string{"-from", "20", "-to", "60", "-settle", "10ms"}, &out, &log); err != nil {
		t.Fatalf("%v\n%s%s", err, &out, &log)
	}
	for _, want := range []string{"20 connections", "60 connections", "slope ", "60 of 60 connections live; one publication reached 60 of them"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, &out)
		}
	}
}

func TestLostConnectionFails(t *testing.T) {
	var out, log strings.Builder
	// The server closes every connection after a second: it is not live at the end.
	err := run(t.Context(), []string{"-from", "5", "-to", "10", "-settle", "1500ms", "--", "--session-max", "1s"}, &out, &log)
	if err == nil || !strings.Contains(err.Error(), "not every connection lives") {
		t.Errorf("%v\n%s%s", err, &out, &log)
	}
}

func TestJudge(t *testing.T) {
	p := &plan{from: 1000, to: 15000, maxSlope: 2560}
	few, many := sample{goroutines: 20}, sample{goroutines: 14020}
	for name, c := range map[string]struct {
		slope   float64
		samples []sample
		ok      bool
	}{
		"within the bound":           {2560, []sample{few, few}, true},
		"over it":                    {2561, []sample{few, few}, false},
		"a goroutine per connection": {10, []sample{few, many}, false},
	} {
		if err := p.judge(c.slope, c.samples); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMistakes(t *testing.T) {
	for _, args := range []string{"-from 0", "-from 10 -to 10", "-dials 0", "-what"} {
		if err := run(t.Context(), strings.Fields(args), &strings.Builder{}, &strings.Builder{}); err == nil {
			t.Errorf("%s was accepted", args)
		}
	}
}
