package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
)

const (
	// slackBytes an operation may take more than the baseline: a buffer that is grown
	// once for all of them, or a pool that the collector emptied, is divided among
	// the iterations. What an operation allocates itself is counted in allocations.
	slackBytes = 32
	// slackShare is for those with many allocations: maps grow by chance.
	slackShare = 0.02
)

// baseline is baseline.json. Ratios are what they were when it was written; what
// they must be stands in hot.go, with the reason.
type baseline struct {
	Taken      string               `json:"taken"`
	Machine    string               `json:"machine"`
	Go         string               `json:"go"`
	Benchmarks map[string]allowance `json:"benchmarks"`
	Ratios     map[string]float64   `json:"ratios"`
}

// allowance is what one operation may allocate.
type allowance struct {
	Allocs int64 `json:"allocs"`
	Bytes  int64 `json:"bytes"`
}

// compare names every benchmark that allocates more than it may, or is gone.
func compare(base *baseline, measured map[string]result) (faults []string) {
	for _, name := range slices.Sorted(maps.Keys(base.Benchmarks)) {
		may := base.Benchmarks[name]
		r, ok := measured[name]
		switch {
		case !ok:
			faults = append(faults, name+" is in the baseline and did not run")
		case r.allocs > may.Allocs+int64(slackShare*float64(may.Allocs)):
			faults = append(faults, fmt.Sprintf("%s: %d allocations an operation, the baseline has %d", name, r.allocs, may.Allocs))
		case r.bytes > may.Bytes+slackBytes+int64(slackShare*float64(may.Bytes)):
			faults = append(faults, fmt.Sprintf("%s: %d bytes an operation, the baseline has %d", name, r.bytes, may.Bytes))
		}
	}
	return faults
}

func read(file string) (*baseline, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	b := new(baseline)
	if err := json.Unmarshal(text, b); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if len(b.Benchmarks) == 0 {
		return nil, fmt.Errorf("%s has no benchmarks", file)
	}
	return b, nil
}

func write(file string, b *baseline) error {
	text, err := json.MarshalIndent(b, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}

// show writes what was measured beside what is allowed.
func show(w io.Writer, base *baseline, measured map[string]result, quotients []quotient) {
	fmt.Fprintf(w, "%-55s %12s %10s %10s\n", "on one processor", "time", "bytes", "allocs")
	for _, name := range slices.Sorted(maps.Keys(measured)) {
		r := measured[name]
		may, ok := base.Benchmarks[name]
		if !ok {
			fmt.Fprintf(w, "%-55s %12s %10d %10d  not in the baseline\n", name, nanoseconds(r.ns), r.bytes, r.allocs)
			continue
		}
		fmt.Fprintf(w, "%-55s %12s %10s %10s\n", name, nanoseconds(r.ns), beside(r.bytes, may.Bytes), beside(r.allocs, may.Allocs))
	}
	for _, q := range quotients {
		fmt.Fprintf(w, "%-67s %6.2f times as fast, at least %.2f, was %.2f\n", q.Name, q.is, q.atLeast, base.Ratios[q.Name])
	}
}

// beside has the allowance too where it is another.
func beside(is, may int64) string {
	if is == may {
		return fmt.Sprint(is)
	}
	return fmt.Sprintf("%d/%d", is, may)
}

func nanoseconds(ns float64) string {
	switch {
	case math.IsNaN(ns):
		return "–"
	case ns >= 1e6:
		return fmt.Sprintf("%.2f ms", ns/1e6)
	case ns >= 1e3:
		return fmt.Sprintf("%.2f µs", ns/1e3)
	}
	return fmt.Sprintf("%.1f ns", ns)
}

func round(v float64) float64 { return math.Round(v*100) / 100 }

func machine() string {
	cpu := "unknown processor"
	info, _ := os.ReadFile("/proc/cpuinfo") // of another system there is none to tell
	for line := range strings.Lines(string(info)) {
		if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
			cpu = strings.TrimSpace(value)
			break
		}
	}
	return fmt.Sprintf("%s/%s, %d cores (%s)", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), cpu)
}
