package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"weir/bench/internal/median"
	"weir/bench/internal/peer"
	"weir/loadtest/tally"
)

// metric is a column: what is taken from a run of weir-load.
type metric struct {
	title string
	write func(float64) string
	of    func(*tally.Run) (float64, bool)
}

// The columns.
var (
	slope = &metric{"bytes per idle connection", func(v float64) string { return thousands(v) + " B" }, named("slope")}

	cpu = &metric{"server CPU per delivery", func(v float64) string { return fmt.Sprintf("%.2f µs", v*1e6) }, named("cpu_per_delivery")}

	deliveries = &metric{"deliveries a second, whole machine", thousands, speed}
)

func thousands(v float64) string {
	digits := strconv.FormatFloat(v, 'f', 0, 64)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// rival is the Weir that a contestant is held against: by the same protocol, or by the other where that was not asked for.
func rival(all []*contestant, c *contestant) *contestant {
	var found *contestant
	for _, w := range all {
		if (w.name == peer.Weir || w.name == peer.WeirFeed) && (found == nil || w.protocol == c.protocol) {
			found = w
		}
	}
	return found
}

// write prints the table.
func (p *plan) write(out io.Writer, all []*contestant) error {
	columns := []*metric{slope, cpu, deliveries}
	var b strings.Builder
	b.WriteString("| server |")
	for _, m := range columns {
		fmt.Fprintf(&b, " %s | Weir/it |", m.title)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|---|", len(columns)) + "\n")
	for _, c := range all {
		fmt.Fprintf(&b, "| %s |", strings.TrimSpace(c.name+" "+c.version))
		for _, m := range columns {
			fmt.Fprintf(&b, " %s | %s |", c.figure(m), c.ratio(m, rival(all, c)))
		}
		b.WriteByte('\n')
	}
	for _, c := range all {
		if c.failure != "" {
			fmt.Fprintf(&b, "\n%s: %s\n", c.name, c.failure)
		}
	}
	fmt.Fprintf(&b, "\n%d connections for memory, %d subscribers for deliveries; medians of %d and %d rounds.\n", p.idle, p.subscribers, p.memoryRounds, p.rounds)
	_, err := io.WriteString(out, b.String())
	return err
}

// figure is the median of the rounds.
func (c *contestant) figure(m *metric) string {
	if c.failure != "" || len(c.rounds[m]) == 0 {
		return "–"
	}
	return m.write(median.Of(c.rounds[m]))
}

// ratio is the median of Weir's figure to the contestant's in each round.
func (c *contestant) ratio(m *metric, weir *contestant) string {
	if weir == nil || weir == c || c.failure != "" || weir.failure != "" {
		return "–"
	}
	var each []float64
	ours, its := weir.rounds[m], c.rounds[m]
	for i := range min(len(ours), len(its)) {
		if its[i] > 0 {
			each = append(each, ours[i]/its[i])
		}
	}
	if len(each) == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f×", median.Of(each))
}
