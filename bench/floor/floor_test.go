package main

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

// TestMain is a child process when the test runs this binary once more.
func TestMain(m *testing.M) {
	if os.Getenv(roleVariable) != "" {
		main()
	}
	os.Exit(m.Run())
}

// TestMeasureAFew runs everything against a real server; the figures of so few say nothing, but every connection must be
// made, and every publication reach each subscriber, on both sides.
func TestMeasureAFew(t *testing.T) {
	var out, log strings.Builder
	err := run(t.Context(), []string{
		"-subscribers", "20", "-rounds", "1", "-publications", "8", "-rate", "100", "-accepts", "30", "-dials", "4",
		"-parts", "accept,fanout,storm,halfload", "-half", "50ms",
		"--", "--handshake-timeout=2m", "--head-timeout=2m",
	}, &out, &log)
	if err != nil {
		t.Fatalf("%v\n%s%s", err, &out, &log)
	}
	for _, want := range []string{"a connection costs ", "weir  ", "floor ", "weir, batch ", "weir, storm ", "while 4 clients connect and leave", " times its p99", "deliveries a second to 20 subscribers", "half load: ", "half load while 4 clients", "a delivery costs ", " collections of garbage in 8 publications one by one, "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, &out)
		}
	}
}

func TestPlan(t *testing.T) {
	for _, args := range []string{"-subscribers 0", "-publications 3", "-rate 0", "-dials 0", "-nothing", "-parts none", "-parts storm", "-half 0s"} {
		if _, err := parse(strings.Fields(args), new(strings.Builder)); err == nil {
			t.Errorf("%s: no error", args)
		}
	}
}

func TestStamp(t *testing.T) {
	made := time.Unix(1700000000, 123)
	data := publication(77, made)
	if len(data) != dataBytes {
		t.Errorf("%d bytes", len(data))
	}
	line := envelopes([][]byte{data})[0]
	if number, at, ok := stamp(line); !ok || number != 77 || at != made.UnixNano() {
		t.Errorf("stamp(%s) = %d, %d, %t", line, number, at, ok)
	}
	for _, line := range []string{"", "{}", `{"id":1,"connect":{}}`, `{"n":1`, `{"n":1,"at":2`, `{"n":x,"at":2,`, `{"n":1,"at":y,`} {
		if _, _, ok := stamp([]byte(line)); ok {
			t.Errorf("stamp(%s) is ok", line)
		}
	}
}

func TestBounds(t *testing.T) {
	sides := func() []*side {
		took := []time.Duration{time.Millisecond}
		return []*side{{spent: []float64{6000}, took: took}, {spent: []float64{5000}, took: took}, {spent: []float64{1000}, took: took}, {spent: []float64{1}, took: took}}
	}
	for _, c := range []struct {
		p     plan
		fails string
	}{
		{plan{}, ""},
		{plan{maxDelivery: 1.2, minBatch: 6, maxAccept: 1.5}, ""},
		{plan{maxDelivery: 1.19}, "a delivery is over 1.19"},
		{plan{minBatch: 6.1}, "a batch is below 6.1"},
		{plan{maxAccept: 1.49}, "a connection is over 1.49"},
	} {
		var out strings.Builder
		err := errors.Join(c.p.judge(sides(), &out), c.p.judgeAccept([]float64{300}, []float64{200}, &out))
		if c.fails == "" && err != nil || c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails)) {
			t.Errorf("%+v: %v", c.p, err)
		}
	}
}

// TestRatio compares turn with turn, so that what disturbed two of them does not count.
func TestRatio(t *testing.T) {
	if got := ratio([]float64{2, 20, 6, 30, 3}, []float64{1, 10, 4, 10, 2}); got != 2 {
		t.Errorf("%v", got)
	}
}

func TestQuantile(t *testing.T) {
	times := []time.Duration{5, 3, 1, 2, 4}
	if a, b := quantile(times, 0.5), quantile(times, 0.99); a != 3 || b != 5 || times[0] != 5 {
		t.Errorf("%d and %d of %d", a, b, times)
	}
}
