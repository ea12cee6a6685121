package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"weir/loadtest/report"
	"weir/loadtest/tally"
)

// reportCommand looks at runs that were kept.
type reportCommand struct {
	Runs []string `arg:"" name:"run" help:"Files that --json wrote, eight at most; - is standard input."`
}

// compare shows runs that were kept, writes their page, and judges them: by
// --fail-if, or by what they were judged by themselves.
func (c *cli) compare(p *process) error {
	var runs []*tally.Run
	var errs []error
	for _, name := range c.Report.Runs {
		r, err := readRun(name)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if len(c.FailIf) > 0 {
			r.Thresholds = c.FailIf
		}
		if !c.Quiet {
			report.NewProgress(p.stderr, false).Done(r)
		}
		if err := verdict(r); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
		runs = append(runs, r)
	}
	err := write(p, c.HTML, func(w io.Writer) error { return report.WriteHTML(w, runs...) })
	return errors.Join(append(errs, err)...)
}

func readRun(name string) (*tally.Run, error) {
	if name == "-" {
		return report.ReadJSON(os.Stdin)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return report.ReadJSON(f)
}
