package report

import (
	"fmt"
	"io"
	"time"

	"weir/loadtest/tally"
)

// Progress tells of a run while it goes on, one interval at a time, and sums it up
// at the end. It is used by one goroutine. Lines are at most 79 columns wide.
type Progress struct {
	w        io.Writer
	terminal bool
	before   *tally.Interval
	lines    int // of the block that is rewritten
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
	fmt.Fprintf(p.w, "%8s %-12s %s deliveries, p99 %s, %d connections, %d errors\n", in.At.Round(time.Second), in.Phase,
		Format(over(float64(in.Received), in.For.Seconds()), tally.PerSecond), in.Latency.Quantile(0.99), in.Connections, mishaps(&in.Counters))
}

// Done shows the figures and what failed.
func (p *Progress) Done(r *tally.Run) {
	if p.w == nil {
		return
	}
	for _, f := range known(r) {
		fmt.Fprintf(p.w, "%-24s %14s  %s\n", f.Name, Format(f.Value, f.Unit), f.About)
	}
	for _, why := range r.Failures {
		fmt.Fprintf(p.w, "FAILED  %s\n", why)
	}
}
