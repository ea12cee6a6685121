package report

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"weir/loadtest/tally"
)

// columns is how wide a line of the block is at most: a longer one would be two on
// the narrowest terminal, and the block could not be rewritten.
const columns = 79

// Progress tells of a run while it goes on, one interval at a time, and sums it up
// at the end. It is used by one goroutine.
type Progress struct {
	w        io.Writer
	terminal bool
	lines    int            // of the block on the terminal
	server   *tally.Process // at the end of the interval before
	load     *tally.Process
	errors   uint64 // so far
}

// NewProgress writes to w: on a terminal one block that is rewritten, else one
// line for each interval; nothing if w is nil.
func NewProgress(w io.Writer, terminal bool) *Progress {
	return &Progress{w: w, terminal: terminal}
}

// Interval shows what has just ended.
func (p *Progress) Interval(in tally.Interval) {
	if p.w == nil {
		return
	}
	p.errors += mishaps(&in.Counters)
	if p.terminal {
		p.rewrite(p.block(&in))
	} else {
		fmt.Fprintln(p.w, p.line(&in))
	}
	p.server, p.load = in.Server, in.Load
}

// rewrite goes up to where the block begins, and writes each line anew.
func (p *Progress) rewrite(lines []string) {
	var b strings.Builder
	if p.lines > 0 {
		fmt.Fprintf(&b, "\x1b[%dA\r", p.lines)
	}
	for _, line := range lines {
		b.WriteString("\x1b[2K" + fit(line) + "\n")
	}
	if len(lines) < p.lines {
		b.WriteString("\x1b[J") // what is left below
	}
	p.lines = len(lines)
	_, _ = io.WriteString(p.w, b.String()) // a terminal that is gone ends no test
}

func (p *Progress) block(in *tally.Interval) []string {
	lines := []string{
		fmt.Sprintf("%s  %s", clock(in.At), Printable(in.Phase)),
		fmt.Sprintf("  connections  %-12s %s opened", grouped(float64(in.Connections)), rate(in.Opened, in.For)),
		fmt.Sprintf("  published    %-12s of %s due", rate(in.Published, in.For), rate(in.Due, in.For)),
		fmt.Sprintf("  deliveries   %-12s %s", rate(in.Received, in.For), Format(over(float64(in.Bytes), in.For.Seconds()), tally.BytesPerSecond)),
		"  latency      " + quantiles(&in.Latency),
		fmt.Sprintf("  errors       %-12s %s so far", grouped(float64(mishaps(&in.Counters))), grouped(float64(p.errors))),
	}
	if in.Opened > 0 {
		lines = append(lines, "  ready in     "+quantiles(&in.Open))
	}
	if in.Server != nil {
		lines = append(lines, "  server       "+process(p.server, in.Server, in.For))
	}
	if in.Load != nil {
		lines = append(lines, "  weir-load    "+process(p.load, in.Load, in.For))
	}
	return lines
}

// line says the same in one.
func (p *Progress) line(in *tally.Interval) string {
	parts := []string{clock(in.At)}
	if phase := Printable(in.Phase); phase != "" {
		parts = append(parts, phase)
	}
	parts = append(parts, grouped(float64(in.Connections))+" conns")
	if in.Opened > 0 {
		parts = append(parts, rate(in.Opened, in.For)+" opened")
	}
	if in.Received > 0 || in.Published > 0 {
		parts = append(parts, rate(in.Received, in.For)+" deliveries", "p99 "+written(in.Latency.Quantile(0.99)))
	}
	if n := mishaps(&in.Counters); n > 0 {
		parts = append(parts, grouped(float64(n))+" errors")
	}
	if in.Server != nil {
		parts = append(parts, "server "+Format(float64(in.Server.RSS), tally.Bytes))
	}
	return strings.Join(parts, " · ")
}

func rate(n uint64, in time.Duration) string {
	return Format(over(float64(n), in.Seconds()), tally.PerSecond)
}

func written(d time.Duration) string { return Format(d.Seconds(), tally.Seconds) }

func quantiles(h *tally.Histogram) string {
	if h.Count() == 0 {
		return "–"
	}
	return fmt.Sprintf("p50 %-10s p99 %-10s max %s", written(h.Quantile(0.5)), written(h.Quantile(0.99)), written(h.Max()))
}

// process is memory, and the share of one core since the interval before.
func process(before, now *tally.Process, in time.Duration) string {
	text := Format(float64(now.RSS), tally.Bytes)
	if before == nil || now.CPU < before.CPU || in <= 0 {
		return text
	}
	return fmt.Sprintf("%-12s %.2f cores", text, (now.CPU-before.CPU).Seconds()/in.Seconds())
}

// clock is a time of the run: 1:05, 2:03:04.
func clock(d time.Duration) string {
	s := max(int64(d.Round(time.Second).Seconds()), 0)
	if s >= 3600 {
		return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
	}
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}

// Printable leaves out what a terminal would obey.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == utf8.RuneError || r == '\u2028' || r == '\u2029' || r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069' {
			return -1
		}
		return r
	}, s)
}

// fit cuts a line to the columns.
func fit(line string) string {
	if utf8.RuneCountInString(line) <= columns {
		return line
	}
	return string([]rune(line)[:columns-1]) + "…"
}

// Done shows the figures, what the thresholds say and what failed.
func (p *Progress) Done(r *tally.Run) {
	if p.w == nil {
		return
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s, %s, %s, %s\n\n", Printable(r.Scenario), Printable(r.Protocol), Printable(r.Target), clock(r.Took))
	figures := known(r)
	for _, f := range figures {
		if idle(f) {
			continue
		}
		fmt.Fprintf(&b, "  %-22s %13s  %s\n", Printable(f.Name), Format(f.Value, f.Unit), Printable(f.About))
	}
	for i, v := range judge(r, figures) {
		if i == 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "  %-6s %s\n", v.Word(), Printable(v.Told))
	}
	for i, why := range r.Failures {
		if i == 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "  FAILED %s\n", Printable(why))
	}
	_, _ = io.WriteString(p.w, b.String())
}

// idle figures are zeros that nobody asked for and that say nothing: the rates and
// counts of what a scenario does not do. What must be zero is always shown.
func idle(f tally.Figure) bool {
	switch f.Name {
	case "refused", "dial_failed", "unrecovered", "publish_errors", "publishes_per_second", "bytes_per_second", "connects_per_second", "deliveries_per_second", "received", "reordered", "foreign":
		return f.Value == 0
	}
	return false
}
