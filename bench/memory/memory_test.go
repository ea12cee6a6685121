package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"weir/bench/internal/node"
)

// TestMain is the client process when the test runs this binary once more.
func TestMain(m *testing.M) {
	if os.Getenv(fleetVariable) != "" {
		main()
	}
	os.Exit(m.Run())
}

// unhurried are flags of a server whose clients are on a loaded machine.
func unhurried() []string { return []string{"--handshake-timeout=2m", "--head-timeout=2m"} }

// TestMeasureAFew runs the whole program against a real server; a slope of so
// few connections says nothing, but everything else must hold.
func TestMeasureAFew(t *testing.T) {
	var out, log strings.Builder
	if err := run(t.Context(), append([]string{"-from", "20", "-to", "60", "-settle", "10ms", "--"}, unhurried()...), &out, &log); err != nil {
		t.Fatalf("%v\n%s%s", err, &out, &log)
	}
	for _, want := range []string{"20 connections", "60 connections", "slope ", "60 of 60 connections live; one publication reached 60 of them"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, &out)
		}
	}
}

// cutter is the output of a run that loses its connections before the last check.
type cutter struct {
	strings.Builder
	cut func()
}

func (c *cutter) Write(b []byte) (int, error) {
	if bytes.HasPrefix(b, []byte("slope ")) {
		c.cut()
	}
	return c.Builder.Write(b)
}

func TestLostConnectionFails(t *testing.T) {
	var log strings.Builder
	server, err := node.Start(t.Context(), node.Options{Flags: unhurried(), Log: &log})
	if err != nil {
		t.Fatal(err)
	}
	out := &cutter{cut: func() {
		if err := server.Order(t.Context(), "disconnect", []byte(`{"user":"bench"}`)); err != nil {
			t.Error(err)
		}
	}}
	p := &plan{from: 5, to: 10, atOnce: 5, settle: time.Millisecond}
	err = p.measure(t.Context(), server, out, &log)
	if err == nil || !strings.Contains(err.Error(), "not every connection lives") {
		t.Errorf("%v\n%s%s", err, out, &log)
	}
	if err := server.Stop(); err != nil {
		t.Error(err)
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
