package report

import (
	_ "embed"
	"errors"
	"fmt"
	"html/template"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"weir/loadtest/tally"
)

//go:embed page.html
var pageText string

const (
	maxRuns = maxSeries // side by side: as many as there are colours
	maxRows = 60        // of the table behind the charts
)

// WriteHTML writes one page for one run, or for up to eight side by side: what was
// run on what, the figures, what thresholds say of them, and charts. It is one
// file that refers to no other, and reads without scripts. Everything in it that
// came from flags, files or servers is text there.
func WriteHTML(w io.Writer, runs ...*tally.Run) error {
	if len(runs) == 0 || len(runs) > maxRuns {
		return fmt.Errorf("a report of %d runs: from 1 to %d", len(runs), maxRuns)
	}
	if slices.Contains(runs, nil) {
		return errors.New("a report of no run")
	}
	parsed, err := template.New("page").Parse(pageText)
	if err != nil {
		return err
	}
	return parsed.Execute(w, newPage(runs))
}

// page is what the template sees.
type page struct {
	Title    string
	Several  bool
	Runs     []shown
	Targets  []string // each once
	Failed   int      // failures and broken thresholds
	Judged   bool
	Tiles    []tile
	About    []row
	Verdicts []runVerdict
	Failures []runVerdict
	Figures  []row
	Charts   []drawing
	Errors   []row
	Tables   []table
}

type (
	tile struct {
		Value, Name string
		Bad         bool
	}
	// row is a name, a value for each run, and what it means.
	row struct {
		Name   string
		Values []string
		About  string
	}
	runVerdict struct {
		Run string
		verdict
	}
	table struct {
		Run   string
		Heads []string
		Rows  [][]string
	}
)

func newPage(runs []*tally.Run) *page {
	p := &page{Several: len(runs) > 1}
	for i, name := range names(runs) {
		p.Runs = append(p.Runs, shown{runs[i], name, i, known(runs[i]), buckets(runs[i], maxBuckets)})
	}
	p.Title = runs[0].Scenario
	if p.Title == "" {
		p.Title = "Load test"
	}
	if p.Several {
		p.Title += ": " + strconv.Itoa(len(runs)) + " runs"
	} else {
		p.Tiles = tiles(p.Runs[0])
	}
	for _, r := range p.Runs {
		if !slices.Contains(p.Targets, r.Target) {
			p.Targets = append(p.Targets, r.Target)
		}
		for _, v := range judge(r.Run, r.figures) {
			p.Verdicts = append(p.Verdicts, runVerdict{r.Name, v})
			p.Judged = true
			if v.Broken {
				p.Failed++
			}
		}
		for _, why := range r.Failures {
			p.Failures = append(p.Failures, runVerdict{r.Name, verdict{Told: why}})
			p.Failed++
		}
		p.Tables = append(p.Tables, intervals(r))
	}
	p.About, p.Figures, p.Errors = p.about(), p.figures(), p.errors()
	for i, of := range plots(p.Runs) {
		d := draw(of)
		d.ID = i + 1
		p.Charts = append(p.Charts, d)
	}
	return p
}

// names tell runs apart: by protocol if these differ, else by number too.
func names(runs []*tally.Run) []string {
	seen := map[string]int{}
	for _, r := range runs {
		seen[r.Protocol]++
	}
	var all []string
	for i, r := range runs {
		name := Printable(r.Protocol)
		if seen[r.Protocol] > 1 || name == "" {
			name = strings.TrimSuffix(fmt.Sprintf("%d: %s", i+1, name), ": ")
		}
		all = append(all, name)
	}
	return all
}

// tiles are the figures that people look for first.
func tiles(r shown) (all []tile) {
	for _, t := range []struct {
		figure, name string
		mustBeZero   bool
	}{
		{"deliveries_per_second", "deliveries", false}, {"p50", "median latency", false}, {"p99", "99 % within", false}, {"max", "slowest", false},
		{"connections_max", "connections", false}, {"undelivered", "undelivered", true}, {"errors", "errors", true},
	} {
		for _, f := range r.figures {
			if f.Name == t.figure && (f.Value != 0 || t.mustBeZero) {
				all = append(all, tile{Format(f.Value, f.Unit), t.name, t.mustBeZero && f.Value != 0})
				break
			}
		}
	}
	return all
}

// each makes a row of one value for each run; a row that is empty throughout is none.
func (p *page) each(rows []row, name, about string, value func(r shown) string) []row {
	line := row{Name: name, About: about}
	some := false
	for _, r := range p.Runs {
		v := value(r)
		some = some || v != ""
		line.Values = append(line.Values, v)
	}
	if !some {
		return rows
	}
	return append(rows, line)
}

// about is what was run on what.
func (p *page) about() (rows []row) {
	for _, f := range []struct {
		name  string
		value func(r shown) string
	}{
		{"Scenario", func(r shown) string { return r.Scenario }},
		{"Target", func(r shown) string { return r.Target }},
		{"Protocol", func(r shown) string { return r.Protocol }},
		{"Began", func(r shown) string {
			if r.Began.IsZero() {
				return ""
			}
			return r.Began.UTC().Format("2006-01-02 15:04:05 UTC")
		}},
		{"Took", func(r shown) string { return r.Took.Round(time.Millisecond).String() }},
		{"Machine", func(r shown) string { return r.Machine.CPU }},
		{"Cores", func(r shown) string { return positive(float64(r.Machine.Cores), tally.Count) }},
		{"Memory", func(r shown) string { return positive(float64(r.Machine.Memory), tally.Bytes) }},
		{"System", func(r shown) string { return joined(r.Machine.OS, r.Machine.Arch) }},
		{"Congestion control", func(r shown) string { return r.Machine.Congestion }},
		{"Load generator", func(r shown) string { return joined("weir-load "+r.Machine.Weir, r.Machine.Go) }},
	} {
		rows = p.each(rows, f.name, "", f.value)
	}
	options := map[string]bool{}
	for _, r := range p.Runs {
		for name := range r.Options {
			options[name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(options)) {
		rows = p.each(rows, "--"+name, "", func(r shown) string { return r.Options[name] })
	}
	return rows
}

func positive(v float64, unit tally.Unit) string {
	if v <= 0 {
		return ""
	}
	return Format(v, unit)
}

func joined(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + ", " + b
}

// figures are those that any of the runs has, each once, and not if they say nothing.
func (p *page) figures() (rows []row) {
	done := map[string]bool{}
	for _, r := range p.Runs {
		for _, f := range r.figures {
			if done[f.Name] || idle(f) {
				continue
			}
			done[f.Name] = true
			rows = p.each(rows, f.Name, f.About, func(r shown) string {
				for _, own := range r.figures {
					if own.Name == f.Name {
						return Format(own.Value, own.Unit)
					}
				}
				return "–"
			})
		}
	}
	return rows
}

// errors are the totals by kind, and connections that ended by what ended them.
func (p *page) errors() (rows []row) {
	for _, kind := range mishapKinds {
		rows = p.each(rows, kind.Name, "", func(r shown) string { return positive(float64(kind.of(&r.Total)), tally.Count) })
	}
	reasons := map[string]bool{}
	for _, r := range p.Runs {
		for why := range r.Total.Closes {
			reasons[why] = true
		}
	}
	for _, why := range slices.Sorted(maps.Keys(reasons)) {
		rows = p.each(rows, "ended by "+why, "", func(r shown) string { return positive(float64(r.Total.Closes[why]), tally.Count) })
	}
	return rows
}

// intervals are the numbers behind the charts, with as many rows as people read.
func intervals(r shown) table {
	t := table{Run: r.Name, Heads: []string{"until", "phase", "connections", "opened/s", "published/s", "deliveries/s", "p50", "p99", "p99.9", "max",
		"errors", "server", "cores", "load generator", "cores"}}
	rows := r.buckets
	if len(rows) > maxRows {
		rows = buckets(r.Run, maxRows)
	}
	for i := range rows {
		b := &rows[i]
		line := []string{clock(b.at), b.phase, grouped(float64(b.connections)), grouped(b.per(b.Opened)), grouped(b.per(b.Published)), grouped(b.per(b.Received))}
		for _, v := range []float64{b.latency.p50, b.latency.p99, b.latency.p999, b.latency.max} {
			line = append(line, positive(v, tally.Seconds))
		}
		line = append(line, grouped(float64(mishaps(&b.Counters))))
		for _, l := range []load{b.server, b.load} {
			cores := ""
			if l.known && l.cores >= 0 {
				cores = fmt.Sprintf("%.2f", l.cores)
			}
			line = append(line, positive(l.rss, tally.Bytes), cores)
		}
		t.Rows = append(t.Rows, line)
	}
	return t
}
