package report

import (
	"time"

	"weir/loadtest/tally"
)

// bucket is one interval of a run, or several together: as many as a chart can show.
type bucket struct {
	at, took    time.Duration
	phase       string
	connections int
	tally.Counters
	latency, open spread
	server, load  load
}

// spread is a histogram's values that are drawn; known if there is any.
type spread struct {
	known                    bool
	p50, p90, p99, p999, max float64 // seconds
}

func spreadOf(h *tally.Histogram) spread {
	return spread{h.Count() > 0, h.Quantile(0.5).Seconds(), h.Quantile(0.9).Seconds(), h.Quantile(0.99).Seconds(), h.Quantile(0.999).Seconds(), h.Max().Seconds()}
}

// load is what a process took in a bucket.
type load struct {
	known bool
	rss   float64 // bytes at most
	cores float64 // kept busy; below 0: not known
}

// buckets groups the intervals of a run into at most so many, each of as many
// intervals as the others.
func buckets(r *tally.Run, most int) []bucket {
	each := max((len(r.Intervals)+most-1)/most, 1)
	var all []bucket
	var server, generator *moment
	var latency, open tally.Histogram // of one bucket after the other: each is large
	for from := 0; from < len(r.Intervals); from += each {
		part := r.Intervals[from:min(from+each, len(r.Intervals))]
		last := &part[len(part)-1]
		b := bucket{at: max(last.At, 0), phase: Printable(part[0].Phase)}
		for i := range part {
			in := &part[i]
			b.took += max(in.For, 0)
			b.connections = max(b.connections, in.Connections)
			b.Add(in.Counters)
			latency.Merge(&in.Latency)
			open.Merge(&in.Open)
			b.server.rss = max(b.server.rss, resident(in.Server))
			b.load.rss = max(b.load.rss, resident(in.Load))
		}
		b.latency, b.open = spreadOf(&latency), spreadOf(&open)
		latency.Reset()
		open.Reset()
		server = b.server.take(server, last.At, last.Server)
		generator = b.load.take(generator, last.At, last.Load)
		all = append(all, b)
	}
	return all
}

func resident(p *tally.Process) float64 {
	if p == nil {
		return 0
	}
	return float64(p.RSS)
}

// take compares a process with the moment before, and returns this one.
func (l *load) take(before *moment, at time.Duration, p *tally.Process) *moment {
	l.known, l.cores = p != nil, -1
	if p == nil {
		return before
	}
	if before != nil && at > before.at && p.CPU >= before.cpu {
		l.cores = (p.CPU - before.cpu).Seconds() / (at - before.at).Seconds()
	}
	return &moment{at, p.CPU}
}

// per is a rate over the bucket.
func (b *bucket) per(n uint64) float64 { return over(float64(n), b.took.Seconds()) }

// mishap is one kind of what went wrong.
type mishap struct {
	Name string
	of   func(c *tally.Counters) uint64
}

// mishapKinds are what the chart of errors tells apart.
var mishapKinds = []mishap{
	{"connections lost", func(c *tally.Counters) uint64 { return c.Lost }},
	{"connections refused", func(c *tally.Counters) uint64 { return c.Refused }},
	{"dials failed", func(c *tally.Counters) uint64 { return c.DialFailed }},
	{"publications refused", func(c *tally.Counters) uint64 { return c.PublishErr }},
	{"missing", func(c *tally.Counters) uint64 { return uint64(max(int64(c.Missing), 0)) }}, // below 0 where the late ones came
	{"duplicated", func(c *tally.Counters) uint64 { return c.Duplicated }},
	{"reordered", func(c *tally.Counters) uint64 { return c.Reordered }},
	{"corrupted or foreign", func(c *tally.Counters) uint64 { return c.Corrupted + c.Foreign }},
}

// band is a phase of a run.
type band struct {
	name       string
	begin, end time.Duration
}

// maxBands are shaded; a run with more is not told by its phases.
const maxBands = 64

// bands are the phases in their order; none if there is only one.
func bands(r *tally.Run) (all []band) {
	for _, in := range r.Intervals {
		name := fit(Printable(in.Phase))
		if n := len(all); n > 0 && all[n-1].name == name {
			all[n-1].end = in.At
			continue
		}
		all = append(all, band{name, max(in.At-in.For, 0), in.At})
	}
	if len(all) < 2 || len(all) > maxBands {
		return nil
	}
	return all
}
