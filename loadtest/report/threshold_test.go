package report

import (
	"strings"
	"testing"

	"weir/loadtest/tally"
)

func TestThresholds(t *testing.T) {
	r := &tally.Run{Figures: []tally.Figure{
		{Name: "p99", Value: 0.060, Unit: tally.Seconds}, {Name: "slope", Value: 1500, Unit: tally.Bytes}, {Name: "lost", Value: 3},
		{Name: "delivered", Value: 0.999, Unit: tally.Share}, {Name: "drift", Value: -10, Unit: tally.Bytes},
		{Name: "connects_per_second", Value: 800, Unit: tally.PerSecond}, {Name: "bytes_per_second", Value: 2e6, Unit: tally.BytesPerSecond},
	}}
	for text, want := range map[string]bool{
		"p99>50ms": true, "p99>60ms": false, "p99>=60ms": true, "p99 > 0.05s": true, " p99>60000us ": false, "p99>59999µs": true, "p99>1m": false,
		"p99<50ms": false, "p99>0": true, "p99>60000000ns": false, "p99>59999999 ns": true,
		"slope>1KiB": true, "slope>1.5kB": false, "slope>1499B": true, "slope>1MiB": false, "slope>0.0014MB": true, "slope>0": true,
		"lost>0": true, "lost>3": false, "lost>=3": true, "lost==3": true, "lost!=3": false, "lost<=2": false, "lost<4": true,
		"delivered<100%": true, "delivered<99.9%": false, "delivered<1": true, "drift<-5B": true, "drift<-10B": false,
		"connects_per_second<1000": true, "connects_per_second<800": false, "bytes_per_second<2MB": false, "bytes_per_second<2MiB": true,
		"errors>=1": false, "errors<1": true, // one that every run has
	} {
		threshold, err := ParseThreshold(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		broken, told, err := threshold.Broken(r)
		if err != nil || broken != want || !strings.Contains(told, strings.TrimSpace(text)) || threshold.String() != strings.TrimSpace(text) {
			t.Errorf("%s: broken %v, told %q, %v", text, broken, told, err)
		}
	}
}

// What cannot be judged does not pass.
func TestThresholdsThatCannotBeJudged(t *testing.T) {
	r := &tally.Run{Figures: []tally.Figure{{Name: "slope", Value: 1, Unit: tally.Bytes}, {Name: "none", Value: zero() / zero(), Unit: tally.Bytes}}}
	for text, want := range map[string]string{
		"p99>1s":     ", slope, none", // nothing was delivered
		"slope>1s":   "compared with a size",
		"none>1KiB":  "no value",
		"inclines>1": `no figure "inclines"`,
	} {
		threshold, err := ParseThreshold(text)
		if err != nil {
			t.Fatal(err)
		}
		if broken, told, err := threshold.Broken(r); err == nil || broken || told != "" || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %q, %v", text, broken, told, err)
		}
	}
	if _, _, err := (Threshold{figure: "slope"}).Broken(r); err == nil {
		t.Error("a threshold without an operator was judged")
	}
	if _, _, err := (Threshold{}).Broken(r); err == nil {
		t.Error("the zero threshold was judged")
	}
}

func TestThresholdMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"": "like p99>50ms", "p99": "like p99>50ms", ">50ms": "name of a figure", "P99>50ms": "name of a figure", "p 99>50ms": "name of a figure",
		"p99>": "not a number", "p99>ms": "not a number", "p99>50": "compared with a duration", "p99>50KiB": "compared with a duration", "p99>5%": "compared with a duration",
		"lost>1ms": "compared with a plain number", "server_rss_max>5": "compared with a size", "p99=50ms": "must stand behind", "p99!50ms": "must stand behind",
		"p99=>50ms": "must stand behind", "p99>>50ms": "not a number", "p99>1e3ms": "not a number", "p99>infs": "not a number", "p99>NaNs": "not a number",
		"p99>0x1ps": "not a number", "p99>1_0s": "not a number", "p99>.5s": "not a number", "p99>5.s": "not a number", "p99>--5s": "not a number", "p99>+5s": "not a number",
		"p99>50ms,lost>0": "not a number", "p99>50msms": "not a number", "p99>1234567890123456s": "not a number", "lost>٣": "not a number", "p99>5 0ms": "not a number",
		strings.Repeat("p", 65) + ">1": "name of a figure",
	} {
		if _, err := ParseThreshold(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, wanted %q", text, err, want)
		}
	}
}

// A threshold that is cut short is a mistake, or another threshold of the same figure.
func TestThresholdPrefixes(t *testing.T) {
	for _, text := range []string{"p99>=50.5ms", "slope>1KiB", "delivered<99.9%"} {
		for n := range len(text) {
			cut, err := ParseThreshold(text[:n])
			if whole, _ := ParseThreshold(text); err == nil && (cut.figure != whole.figure || cut.is != whole.is || cut.value == whole.value && cut.kind == whole.kind) {
				t.Errorf("%q is %+v", text[:n], cut)
			}
		}
	}
}

func FuzzThreshold(f *testing.F) {
	for _, text := range []string{"p99>50ms", "lost>0", "slope>=-1.5KiB", "delivered<99.9%", "x!=1 m", "x==-0", "x <= 000000000000001µs", "p99>0", "lost>=999999999999999", "\u00a0slope\u2003>\t-1GiB", "x>1\u212a"} {
		f.Add(text)
	}
	r := &tally.Run{Figures: []tally.Figure{{Name: "slope", Value: 1, Unit: tally.Bytes}, {Name: "x", Value: 2}}}
	f.Fuzz(func(t *testing.T, text string) {
		threshold, err := ParseThreshold(text)
		if err != nil {
			return
		}
		if !finite(threshold.value) {
			t.Fatalf("%q is %v", text, threshold.value)
		}
		again, err := ParseThreshold(threshold.String())
		if err != nil || again != threshold {
			t.Fatalf("%q is %+v, and again %+v, %v", text, threshold, again, err)
		}
		if broken, told, err := threshold.Broken(r); err == nil && told == "" || err != nil && broken {
			t.Fatalf("%q: %v, %q, %v", text, broken, told, err)
		}
	})
}
