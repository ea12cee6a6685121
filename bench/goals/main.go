// Command goals is `make bench`: it runs the benchmarks one after the other,
// holds their figures against the goals, and writes both into BENCHMARKS.md, a
// figure that falls short like any other.
//
//	go run ./bench/goals -page BENCHMARKS.md
//	go run ./bench/goals -only memory,validator -page ""
//
// It exits with 1 if a benchmark fails, not if a goal is missed: -strict does that.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"weir/bench/internal/node"
	"weir/bench/internal/program"
)

func main() { program.Main("goals", run) }

func run(ctx context.Context, args []string, out, log io.Writer) error {
	flags := flag.NewFlagSet("goals", flag.ContinueOnError)
	flags.SetOutput(log)
	page := flags.String("page", "", "file whose part between the marks is written anew; \"\" prints that part")
	only := flags.String("only", "", "names of steps, with commas; \"\" is all")
	strict := flags.Bool("strict", false, "fail for a goal that is missed")
	if err := flags.Parse(args); err != nil {
		return err
	}
	chosen, err := choose(steps, *only)
	if err != nil {
		return err
	}
	var results []result
	for _, s := range chosen {
		fmt.Fprintf(log, "%s: %s\n", s.name, s.line())
		r, err := s.run(ctx, log)
		if err != nil {
			return fmt.Errorf("%s: %w", s.line(), err)
		}
		results = append(results, r)
	}
	text := write(machine(ctx), time.Now(), results)
	if *page == "" {
		_, err = io.WriteString(out, text)
	} else {
		err = replace(*page, text)
	}
	if *strict {
		err = errors.Join(err, missed(results))
	}
	return err
}

// step is one command whose output has figures.
type step struct {
	name    string
	command []string
	env     []string
	keep    func(line string) bool // lines of the output that go on the page; nil: all
	goals   []goal
}

// line is the command as one types it.
func (s *step) line() string { return strings.Join(append(slices.Clone(s.env), s.command...), " ") }

// result is what a step printed, and its figures in the order of its goals.
type result struct {
	step
	output  string
	took    time.Duration
	figures []float64
}

func (s *step) run(ctx context.Context, log io.Writer) (result, error) {
	r := result{step: *s}
	var out bytes.Buffer
	began := time.Now()
	command := exec.CommandContext(ctx, s.command[0], s.command[1:]...)
	command.Env = append(os.Environ(), s.env...)
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	told := node.Together(log) // both outputs of the command
	command.Stdout, command.Stderr = io.MultiWriter(&out, told), told
	if err := command.Run(); err != nil {
		return r, err
	}
	r.took, r.output = time.Since(began), s.kept(out.String())
	for i := range s.goals {
		figure, err := s.goals[i].find(out.String())
		if err != nil {
			return r, err
		}
		r.figures = append(r.figures, figure)
	}
	return r, nil
}

func (s *step) kept(output string) string {
	var b strings.Builder
	for line := range strings.Lines(output) {
		if s.keep == nil || s.keep(line) {
			b.WriteString(line)
		}
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

func choose(all []step, only string) ([]step, error) {
	if only == "" {
		return all, nil
	}
	var chosen []step
	for name := range strings.SplitSeq(only, ",") {
		i := slices.IndexFunc(all, func(s step) bool { return s.name == name })
		if i < 0 {
			var names []string
			for _, s := range all {
				names = append(names, s.name)
			}
			return nil, fmt.Errorf("-only %s: the steps are %s", name, strings.Join(names, ", "))
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

func missed(results []result) error {
	var errs []error
	for _, r := range results {
		for i, figure := range r.figures {
			if g := &r.goals[i]; g.verdict(figure) == miss {
				errs = append(errs, fmt.Errorf("%s: %s, the goal is %s", g.what, g.format(figure), g.format(g.ship)))
			}
		}
	}
	return errors.Join(errs...)
}
