package scenario

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"weir/loadtest/tally"
)

// finish closes the books of a run. What is always wrong becomes a failure; that
// a connection was lost or refused does too, if all of them should live.
func (r *rig) finish(live bool) *tally.Run {
	run := r.run
	run.Took = time.Since(run.Began)
	undelivered := run.Total.Undelivered
	run.Total = r.report.Counters
	run.Total.Undelivered = undelivered
	run.Total.Expected = run.Total.Received + undelivered
	r.latencies()
	r.connects()
	r.deliveries()
	r.watched()
	r.slow()
	r.faults()
	if live {
		r.refusals()
	}
	return run
}

func (r *rig) figure(name string, value float64, unit tally.Unit, about string) {
	r.run.Figures = append(r.run.Figures, tally.Figure{Name: name, Value: value, Unit: unit, About: about})
}

// quantiles adds those of a histogram, under a prefix.
func (r *rig) quantiles(prefix string, h *tally.Histogram, about string) {
	if h.Count() == 0 {
		return
	}
	for _, q := range []struct {
		name string
		of   float64
	}{{"p50", 0.5}, {"p99", 0.99}, {"max", 1}} {
		r.figure(prefix+q.name, h.Quantile(q.of).Seconds(), tally.Seconds, about)
	}
}

func (r *rig) latencies() {
	r.quantiles("ack_", &r.ack, "from when a publication was due to its acknowledgement")
	r.quantiles("handshake_", &r.handshake, "a TLS handshake, as the client sees it")
}

// slow adds what became of slow readers.
func (r *rig) slow() {
	if r.plan.Slow == 0 {
		return
	}
	var closed uint64
	for _, n := range r.report.SlowClosed {
		closed += n
	}
	r.figure("slow_closed", float64(closed), tally.Count, "slow readers that the server closed")
}

// fail notes what the scenario calls wrong.
func (r *rig) fail(format string, args ...any) {
	r.run.Failures = append(r.run.Failures, fmt.Sprintf(format, args...))
}

// faults are failures in every scenario.
func (r *rig) faults() {
	t := &r.run.Total
	for _, f := range []struct {
		n    uint64
		what string
	}{
		{t.Undelivered, "deliveries of acknowledged publications never came"},
		{t.Missing, "publications were jumped over"},
		{t.Duplicated, "publications were received again"},
		{t.Reordered, "publications came after a later one"},
		{t.Corrupted, "publications were not as they were sent"},
		{t.Foreign, "publications were not for their subscriber"},
	} {
		if f.n > 0 {
			r.fail("%d %s", f.n, f.what)
		}
	}
	if tried := t.Published + t.PublishErr; t.Due > tried && !r.endless {
		r.fail("%d publications were due and not sent, or not answered, when the test ended", t.Due-tried)
	}
}

// refusals are failures where every connection should live.
func (r *rig) refusals() {
	t := &r.run.Total
	if n := t.Refused + t.DialFailed; n > 0 {
		r.fail("%d connections could not be opened%s", n, r.reasons())
	}
	if t.Lost > 0 {
		r.fail("%d connections were lost%s", t.Lost, r.reasons())
	}
	if t.PublishErr > 0 {
		r.fail("%d publications were refused or not answered", t.PublishErr)
	}
}

// reasons are why connections ended or did not come to be, all and the last one.
func (r *rig) reasons() string {
	var b strings.Builder
	for i, why := range slices.Sorted(maps.Keys(r.run.Total.Closes)) {
		fmt.Fprintf(&b, "%s%s %d", []string{": ", ", "}[min(i, 1)], why, r.run.Total.Closes[why])
	}
	if r.report.Trouble != "" {
		fmt.Fprintf(&b, " (the last: %s)", r.report.Trouble)
	}
	return b.String()
}

// span adds up the intervals of phases; what the server took between these is no part of it.
func (r *rig) span(phases ...string) (sum tally.Counters, server *tally.Process) {
	before := r.server
	for i := range r.run.Intervals {
		in := &r.run.Intervals[i]
		if slices.Contains(phases, in.Phase) {
			sum.Add(in.Counters)
			if before != nil && in.Server != nil {
				if server == nil {
					server = &tally.Process{}
				}
				server.CPU += in.Server.CPU - before.CPU
			}
		}
		before = in.Server
	}
	return sum, server
}

// connects adds the figures of opening.
func (r *rig) connects() {
	sum, server := r.span("open")
	if sum.Opened == 0 {
		return
	}
	if r.plan.Resume > 0 {
		r.figure("resumed_share", float64(r.run.Total.Resumed)/float64(r.run.Total.Opened), tally.Share, "of the connections came with a session ticket")
	}
	if server != nil {
		r.figure("cpu_per_connect", server.CPU.Seconds()/float64(sum.Opened), tally.Seconds, "processor time of the server for each connection")
	}
}

// deliveries adds the figures of publishing.
func (r *rig) deliveries() {
	sum, server := r.span("publish", "away", "return", "settle")
	if r.endless { // most came beside the floods, whose cost is not that of deliveries
		return
	}
	if sum.Received > 0 && server != nil {
		r.figure("cpu_per_delivery", server.CPU.Seconds()/float64(sum.Received), tally.Seconds, "processor time of the server for each publication received")
	}
}

// watched adds what the server takes at the end.
func (r *rig) watched() {
	if last := len(r.run.Intervals) - 1; last >= 0 && r.run.Intervals[last].Server != nil {
		r.figure("rss", float64(r.run.Intervals[last].Server.RSS), tally.Bytes, "memory of the server at the end")
	}
}
