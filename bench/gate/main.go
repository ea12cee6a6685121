// Command gate runs the Go benchmarks of the hot paths and fails if one of them
// allocates more than the baseline says, or has fallen behind what it is compared
// with in the same run. Times are printed, never judged: they are the machine's.
//
//	go run ./bench/gate                  allocations and ratios
//	go run ./bench/gate -ratios=false    allocations alone: about 20 seconds
//	go run ./bench/gate -update          write bench/gate/baseline.json anew
//
// A benchmark that the baseline has and the run has not is a failure too. One that
// is new is marked, and gated from the next -update on.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"weir/bench/internal/program"
)

func main() { program.Main("gate", run) }

const (
	// rounds are how often each benchmark runs: the least of its allocations and
	// the best of its times count, since everything else on the machine only adds.
	rounds, updateRounds = 3, 5

	ratioRounds   = 3
	ratioPieces   = "6"
	ratioTime     = "10ms"
	ratioAttempts = 3

	iterations = "500x" // each benchmark of allocations: a fixed count makes what is grown once the same each time
)

func run(ctx context.Context, args []string, out, log io.Writer) error {
	flags := flag.NewFlagSet("gate", flag.ContinueOnError)
	flags.SetOutput(log)
	file := flags.String("baseline", "bench/gate/baseline.json", "what is allowed")
	update := flags.Bool("update", false, "write the baseline anew from this run")
	withRatios := flags.Bool("ratios", true, "measure ratios too")
	if err := flags.Parse(args); err != nil {
		return err
	}
	times := rounds
	if *update {
		times = updateRounds
	}
	measured, err := allocations(ctx, times)
	if err != nil {
		return err
	}
	var quotients []quotient
	if *withRatios || *update {
		if quotients, err = measure(ctx); err != nil {
			return err
		}
	}
	if *update {
		return write(*file, newBaseline(measured, quotients))
	}
	base, err := read(*file)
	if err != nil {
		return err
	}
	show(out, base, measured, quotients)
	if faults := append(compare(base, measured), fallen(quotients)...); len(faults) > 0 {
		return fmt.Errorf("%d of what is allowed is exceeded (taken with %s, this is %s; -update after a change that is meant):\n\t%s",
			len(faults), base.Go, runtime.Version(), strings.Join(faults, "\n\t"))
	}
	fmt.Fprintf(out, "%d benchmarks allocate no more than the baseline, %d ratios hold\n", len(measured), len(quotients))
	return nil
}

// allocations runs what is hot, and keeps the least of each.
func allocations(ctx context.Context, times int) (map[string]result, error) {
	all := map[string]result{}
	for range times {
		for _, of := range hot {
			results, err := benchmark(ctx, of.packages, of.names, iterations)
			if err != nil {
				return nil, err
			}
			for _, r := range results {
				all[r.name] = merge(all, r)
			}
		}
	}
	return all, nil
}

// merge is the least of a benchmark so far and of one more run.
func merge(all map[string]result, r result) result {
	if before, seen := all[r.name]; seen {
		r.ns, r.ours, r.gjson = min(r.ns, before.ns), min(r.ours, before.ours), min(r.gjson, before.gjson)
		r.allocs, r.bytes = min(r.allocs, before.allocs), min(r.bytes, before.bytes)
	}
	return r
}

// measure runs both sides of each ratio in alternation, in short pieces of which
// the best counts: one that nothing else on the machine cut into. What has fallen
// is measured again before it is told.
func measure(ctx context.Context) (quotients []quotient, err error) {
	best := map[string]result{}
	for range ratioAttempts {
		for range ratioRounds {
			for _, of := range compared {
				results, err := benchmark(ctx, of.packages, of.names, ratioTime, "-count", ratioPieces)
				if err != nil {
					return nil, err
				}
				for _, r := range results {
					best[r.name] = merge(best, r)
				}
			}
		}
		if quotients, err = quotientsOf(best); err != nil || fallen(quotients) == nil {
			break
		}
	}
	return quotients, err
}

// benchmark runs some benchmarks of some packages, each on one processor.
func benchmark(ctx context.Context, packages []string, names, benchtime string, more ...string) ([]result, error) {
	args := append([]string{"test", "-run", "^$", "-bench", names, "-benchmem", "-benchtime", benchtime, "-cpu", "1", "-timeout", "5m"}, more...)
	args = append(args, packages...)
	output, err := exec.CommandContext(ctx, "go", args...).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, output)
	}
	return parse(string(output))
}

// newBaseline is what was measured, and where.
func newBaseline(measured map[string]result, quotients []quotient) *baseline {
	b := &baseline{Taken: time.Now().UTC().Format(time.DateOnly), Machine: machine(), Go: runtime.Version(), Benchmarks: map[string]allowance{}, Ratios: map[string]float64{}}
	for name, r := range measured {
		b.Benchmarks[name] = allowance{Allocs: r.allocs, Bytes: r.bytes}
	}
	for _, q := range quotients {
		b.Ratios[q.Name] = round(q.is)
	}
	return b
}
