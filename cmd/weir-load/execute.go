package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"

	"weir/loadtest/attack"
	"weir/loadtest/fleet"
	"weir/loadtest/report"
	"weir/loadtest/scenario"
	"weir/loadtest/tally"
)

// errInterrupted ends a run that a signal ended.
var errInterrupted = errors.New("interrupted; the figures are of what was until then")

// errFailed ends a run whose result is wrong, which has been said.
var errFailed = errors.New("failed")

// execute runs a scenario, reports it, and judges it.
func (c *cli) execute(ctx context.Context, p *process, name string) error {
	for _, text := range c.FailIf {
		if _, err := report.ParseThreshold(text); err != nil {
			return mistake("--fail-if: %w", err)
		}
	}
	if name == "attack" && c.Attack.List {
		return listFloods(p)
	}
	if name == "report" {
		return c.compare(p)
	}
	plan, err := c.plan()
	if err != nil {
		return err
	}
	if name == "idle" && (len(c.PIDs) == 0 || c.Connections < 2) {
		return mistake("--pid: idle looks at the memory of the server with few and with many connections; name its process, and have 2 connections at least")
	}
	if name == "attack" {
		if plan.Attacks, err = c.attacks(plan); err != nil {
			return err
		}
		if p.self != "" {
			plan.Attacks.Apart = attack.Apart{Program: p.self, Environment: []string{workerVariable + "=" + attackers}, Stderr: p.stderr}
		}
	}
	if plan.Connections > fleet.WorkerConnections || c.Processes > 0 {
		plan.Fleet.Program, plan.Fleet.Environment, plan.Fleet.Stderr = p.self, []string{workerVariable + "=1"}, p.stderr
	}
	out := p.stderr
	if c.Quiet {
		out = nil
	}
	progress := report.NewProgress(out, p.terminal)
	run, ok := scenarios()[name]
	if !ok {
		return mistake("%s is not available yet", name)
	}
	r, err := run(ctx, plan, progress.Interval)
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		err = errInterrupted
	}
	if r == nil {
		return err
	}
	c.describe(r)
	progress.Done(r)
	if err := errors.Join(err, c.write(p, r)); err != nil {
		return err
	}
	return verdict(r)
}

// scenarios by the names of their commands.
func scenarios() map[string]func(context.Context, *scenario.Plan, scenario.Progress) (*tally.Run, error) {
	return map[string]func(context.Context, *scenario.Plan, scenario.Progress) (*tally.Run, error){
		"storm": scenario.Storm, "idle": scenario.Idle, "fanout": scenario.Fanout, "recover": scenario.Recover,
		"million": scenario.Million,
		"publish": scenario.Publish, "mixed": scenario.Mixed, "attack": scenario.Attack,
	}
}

// describe adds what the scenario does not know.
func (c *cli) describe(r *tally.Run) {
	if u, err := url.Parse(strings.Split(c.URL, ",")[0]); err == nil {
		r.Target = u.Scheme + "://" + u.Host + u.EscapedPath()
	}
	r.Thresholds = c.FailIf
	r.Machine = tally.ThisMachine()
	r.Machine.Congestion = c.Congestion
	r.Options = map[string]string{
		"connections": fmt.Sprint(c.Connections), "channels": fmt.Sprint(c.Channels), "channels-per-connection": fmt.Sprint(c.Each),
		"rate": fmt.Sprint(c.Rate), "size": fmt.Sprint(c.Size), "duration": c.Duration.String(), "processes": fmt.Sprint(c.Processes),
	}
	if len(c.Groups) > 0 {
		r.Options["groups"] = strings.Join(c.Groups, ",")
	}
}

func (c *cli) write(p *process, r *tally.Run) error {
	return errors.Join(
		write(p, c.JSON, func(w io.Writer) error { return report.WriteJSON(w, r) }),
		write(p, c.HTML, func(w io.Writer) error { return report.WriteHTML(w, r) }),
	)
}

func write(p *process, name string, to func(io.Writer) error) error {
	switch name {
	case "":
		return nil
	case "-":
		return to(p.stdout)
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(to(f), f.Close())
}

// verdict is an error if the run failed.
func verdict(r *tally.Run) error {
	var errs []error
	for _, text := range r.Thresholds {
		t, err := report.ParseThreshold(text)
		if err == nil {
			var broken bool
			var told string
			if broken, told, err = t.Broken(r); broken {
				err = errors.New(told)
			}
		}
		errs = append(errs, err)
	}
	if len(r.Failures) > 0 {
		errs = append(errs, errFailed)
	}
	return errors.Join(errs...)
}
