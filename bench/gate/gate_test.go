package main

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const printed = `goos: linux
goarch: amd64
pkg: weir/engine/ws
cpu: a processor
BenchmarkNext/ping         	     500	        55.88 ns/op	 107.37 MB/s	       0 B/op	       0 allocs/op
BenchmarkDeflate           	     500	      3558 ns/op	    3276 B/op	       1 allocs/op
PASS
ok  	weir/engine/ws	0.152s
pkg: weir/security/schema
BenchmarkValidate/tick   	     500	       804.0 ns/op	 318.41 MB/s	       153.2 ns/gjson	       103.0 ns/text	         1.487 x-gjson	      10 B/op	       0 allocs/op
BenchmarkSteps/a           	     500	       0 steps	      10 B/op	       7 allocs/op
PASS
ok  	weir/security/schema	7.344s
`

func measuredIn(t *testing.T, output string) map[string]result {
	t.Helper()
	results, err := parse(output)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]result{}
	for _, r := range results {
		all[r.name] = r
	}
	return all
}

func TestParse(t *testing.T) {
	all := measuredIn(t, printed)
	if names := slices.Sorted(maps.Keys(all)); !slices.Equal(names, []string{"engine/ws.Deflate", "engine/ws.Next/ping", "security/schema.Steps/a", "security/schema.Validate/tick"}) {
		t.Fatal(names)
	}
	if r := all["security/schema.Validate/tick"]; r.ns != 804 || r.ours != 103 || r.gjson != 153.2 || r.bytes != 10 || r.allocs != 0 {
		t.Errorf("%+v", r)
	}
	for _, wrong := range []string{"", "PASS\n", "FAIL\tweir/engine [build failed]\n" + printed, printed + "--- FAIL: BenchmarkNext\n",
		"BenchmarkNext 500 5 ns/op 1 B/op\n", "BenchmarkNext 500 five ns/op 1 B/op 0 allocs/op\n"} {
		if _, err := parse(wrong); err == nil {
			t.Errorf("%.40q was read", wrong)
		}
	}
}

// One allocation more fails and names the benchmark; so does one that is gone.
func TestOneMoreAllocationFails(t *testing.T) {
	base := newBaseline(measuredIn(t, printed), nil)
	file := filepath.Join(t.TempDir(), "baseline.json")
	if err := write(file, base); err != nil {
		t.Fatal(err)
	}
	base, err := read(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ from, to, fault string }{
		"the same":            {"", "", ""},
		"fewer":               {"3276 B/op\t       1 allocs", "1 B/op\t       0 allocs", ""},
		"slower":              {"55.88 ns/op", "5588 ns/op", ""},
		"one more":            {"0 B/op	       0 allocs/op\nBenchmarkDeflate", "0 B/op	       1 allocs/op\nBenchmarkDeflate", "engine/ws.Next/ping: 1 allocations an operation, the baseline has 0"},
		"one more of seven":   {"7 allocs", "8 allocs", "security/schema.Steps/a: 8 allocations an operation, the baseline has 7"},
		"more bytes":          {"3276 B/op", "4096 B/op", "engine/ws.Deflate: 4096 bytes an operation, the baseline has 3276"},
		"a buffer grown once": {"10 B/op	       0", "26 B/op	       0", ""},
		"gone":                {"BenchmarkDeflate", "Deflate", "engine/ws.Deflate is in the baseline and did not run"},
		"new":                 {"BenchmarkDeflate", "BenchmarkInflate 1 2 ns/op 2 B/op 3 allocs/op\nBenchmarkDeflate", ""},
	} {
		output := strings.Replace(printed, c.from, c.to, 1)
		if c.from != "" && output == printed {
			t.Fatalf("%s: nothing was changed", name)
		}
		faults := compare(base, measuredIn(t, output))
		if c.fault == "" && len(faults) > 0 || c.fault != "" && !slices.Contains(faults, c.fault) {
			t.Errorf("%s: %q, wanted %q", name, faults, c.fault)
		}
	}
}

func TestMerge(t *testing.T) {
	all := map[string]result{"a": {name: "a", ns: 5, bytes: 10, allocs: 2, ours: 7, gjson: 9}}
	if r := merge(all, result{name: "a", ns: 6, bytes: 9, allocs: 3, ours: 6, gjson: 1000}); r.ns != 5 || r.bytes != 9 || r.allocs != 2 || r.ours != 6 || r.gjson != 9 {
		t.Errorf("%+v", r)
	}
	if r := merge(all, result{name: "b", ns: 6, bytes: 9, allocs: 3}); r.ns != 6 || r.bytes != 9 || r.allocs != 3 {
		t.Errorf("%+v", r)
	}
}

func TestRatios(t *testing.T) {
	best := map[string]result{}
	for _, r := range ratios {
		best[r.ours] = result{ns: 100, ours: 100, gjson: 200 * r.atLeast}
		if r.reference != "" {
			best[r.reference] = result{ns: 200 * max(r.atLeast, 5)}
		}
	}
	all, err := quotientsOf(best)
	if err != nil || len(all) != len(ratios) || fallen(all) != nil {
		t.Fatalf("%v, %v, %v", all, err, fallen(all))
	}
	best["engine/outbox.PushPop"] = result{ns: 1e9}
	all, _ = quotientsOf(best)
	if faults := fallen(all); len(faults) != 1 || !strings.Contains(faults[0], "engine/outbox.PushPop") {
		t.Error(faults)
	}
	delete(best, "engine/outbox.Reference")
	if _, err := quotientsOf(best); err == nil || !strings.Contains(err.Error(), "engine/outbox.Reference") {
		t.Error(err)
	}
}

// What ratios name is in the committed baseline, and every package in it exists.
func TestBaselineIsWhole(t *testing.T) {
	base, err := read("baseline.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range ratios {
		for _, name := range []string{r.ours, r.reference} {
			if _, ok := base.Benchmarks[name]; !ok && name != "" {
				t.Errorf("%s: the baseline has no %s", r.Name, name)
			}
		}
		if is := base.Ratios[r.Name]; is < r.atLeast {
			t.Errorf("%s was %v when the baseline was taken, and must be %v", r.Name, is, r.atLeast)
		}
	}
	packages := map[string]bool{}
	for name := range base.Benchmarks {
		pkg, _, _ := strings.Cut(name, ".")
		packages["./"+pkg] = true
	}
	for _, of := range hot {
		for _, pkg := range of.packages {
			if _, err := os.Stat(filepath.Join("../..", pkg)); err != nil || !packages[pkg] {
				t.Errorf("%s has no benchmark in the baseline (%v)", pkg, err)
			}
		}
	}
}

// The real thing, on one small package: a run, a baseline of it, a comparison.
func TestRunsBenchmarks(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("skipped: no go")
	}
	results, err := benchmark(t.Context(), []string{"weir/loadtest/payload"}, ".", "10x")
	if err != nil {
		t.Fatal(err)
	}
	measured := map[string]result{}
	for _, r := range results {
		measured[r.name] = r
	}
	if len(measured) != 2 || compare(newBaseline(measured, nil), measured) != nil || measured["loadtest/payload.Next"].ns <= 0 {
		t.Errorf("%+v", measured)
	}
	if _, err := benchmark(t.Context(), []string{"weir/loadtest/nothing"}, ".", "10x"); err == nil {
		t.Error("a package that is not there was run")
	}
}
