package report

import (
	"math"
	"time"

	"weir/loadtest/tally"
)

// definition is a figure that any run can have; value tells whether this one does.
type definition struct {
	name  string
	unit  tally.Unit
	about string
	value func(s *summary) (v float64, known bool)
}

// definitions are in the order in which people read them.
var definitions = []definition{
	{"p50", tally.Seconds, "half of the publications reached a subscriber within", latency(0.5)},
	{"p90", tally.Seconds, "90 % within", latency(0.9)},
	{"p99", tally.Seconds, "99 % within", latency(0.99)},
	{"p999", tally.Seconds, "99.9 % within", latency(0.999)},
	{"max", tally.Seconds, "all within", func(s *summary) (float64, bool) {
		return s.run.Latency.Max().Seconds(), s.run.Latency.Count() > 0
	}},
	{"mean", tally.Seconds, "on average", func(s *summary) (float64, bool) {
		return s.run.Latency.Mean().Seconds(), s.run.Latency.Count() > 0
	}},
	{"received", tally.Count, "publications received by subscribers, once and whole", count(func(c *tally.Counters) uint64 { return c.Received })},
	{"delivered", tally.Share, "of the deliveries that acknowledged publications should have made", func(s *summary) (float64, bool) {
		c := &s.run.Total
		return 1 - over(float64(min(c.Undelivered, c.Expected)), float64(c.Expected)), c.Expected > 0
	}},
	{"undelivered", tally.Count, "deliveries of acknowledged publications that did not happen", count(func(c *tally.Counters) uint64 { return c.Undelivered })},
	{"missing", tally.Count, "publications that a subscriber was led past", count(func(c *tally.Counters) uint64 { return c.Missing })},
	{"duplicated", tally.Count, "publications received twice", count(func(c *tally.Counters) uint64 { return c.Duplicated })},
	{"reordered", tally.Count, "publications received after a later one", count(func(c *tally.Counters) uint64 { return c.Reordered })},
	{"corrupted", tally.Count, "publications that were not as they were sent", count(func(c *tally.Counters) uint64 { return c.Corrupted })},
	{"foreign", tally.Count, "publications of streams that were not subscribed to", count(func(c *tally.Counters) uint64 { return c.Foreign })},
	{"errors", tally.Count, "connections that failed, were refused or lost, and publications that were refused", func(s *summary) (float64, bool) {
		return float64(mishaps(&s.run.Total)), true
	}},
	{"lost", tally.Count, "connections ended by the server or the network", count(func(c *tally.Counters) uint64 { return c.Lost })},
	{"opened", tally.Count, "connections that became ready", count(func(c *tally.Counters) uint64 { return c.Opened })},
	{"refused", tally.Count, "connections that the server refused", count(func(c *tally.Counters) uint64 { return c.Refused })},
	{"dial_failed", tally.Count, "connections that never became ready, for no reason that the server gave", count(func(c *tally.Counters) uint64 { return c.DialFailed })},
	{"unrecovered", tally.Count, "subscriptions that could not go on where they were", count(func(c *tally.Counters) uint64 { return c.Unrecovered })},
	{"connections_max", tally.Count, "connections open at the same time", func(s *summary) (float64, bool) { return float64(s.connections), true }},
	{"connects_per_second", tally.PerSecond, "connections that became ready, while any did", func(s *summary) (float64, bool) {
		return over(float64(s.run.Total.Opened), s.opening.Seconds()), true
	}},
	{"open_p50", tally.Seconds, "half of the connections were ready within", opening(0.5)},
	{"open_p99", tally.Seconds, "99 % of the connections were ready within", opening(0.99)},
	{"deliveries_per_second", tally.PerSecond, "publications received, from the first second with any to the last", func(s *summary) (float64, bool) {
		return over(float64(s.run.Total.Received), s.delivering.Seconds()), true
	}},
	{"bytes_per_second", tally.BytesPerSecond, "of messages received, in the same time", func(s *summary) (float64, bool) {
		return over(float64(s.run.Total.Bytes), s.delivering.Seconds()), true
	}},
	{"publishes_per_second", tally.PerSecond, "publications acknowledged, while any were", func(s *summary) (float64, bool) {
		return over(float64(s.run.Total.Published), s.publishing.Seconds()), true
	}},
	{"publish_errors", tally.Count, "publications that were refused or not answered", count(func(c *tally.Counters) uint64 { return c.PublishErr })},
	{"cpu_per_delivery", tally.Seconds, "processor time of the server for each publication received", func(s *summary) (float64, bool) {
		return over(s.deliveryCPU.Seconds(), float64(s.delivered)), s.delivered > 0 && s.deliveryCPU > 0
	}},
	{"server_cpu_share", tally.Share, "of all cores, taken by the server", func(s *summary) (float64, bool) { return s.share(&s.server) }},
	{"server_rss_max", tally.Bytes, "memory of the server at most", func(s *summary) (float64, bool) {
		return float64(s.server.rss), s.server.rss > 0
	}},
	{"load_cpu_share", tally.Share, "of all cores, taken by the load generator", func(s *summary) (float64, bool) { return s.share(&s.load) }},
	{"load_rss_max", tally.Bytes, "memory of the load generator at most", func(s *summary) (float64, bool) {
		return float64(s.load.rss), s.load.rss > 0
	}},
}

// Figures are the results that every run has; r.Figures is not looked at. A figure
// that was not measured (latencies without a delivery, the server's memory
// without its pid) is not there. All of them are finite.
func Figures(r *tally.Run) []tally.Figure {
	s := summarize(r)
	var figures []tally.Figure
	for _, d := range definitions {
		if v, known := d.value(s); known && finite(v) {
			figures = append(figures, tally.Figure{Name: d.name, Value: v, Unit: d.unit, About: d.about})
		}
	}
	return figures
}

func latency(q float64) func(*summary) (float64, bool) {
	return func(s *summary) (float64, bool) {
		return s.run.Latency.Quantile(q).Seconds(), s.run.Latency.Count() > 0
	}
}

func opening(q float64) func(*summary) (float64, bool) {
	return func(s *summary) (float64, bool) {
		return s.run.Open.Quantile(q).Seconds(), s.run.Open.Count() > 0
	}
}

func count(of func(*tally.Counters) uint64) func(*summary) (float64, bool) {
	return func(s *summary) (float64, bool) { return float64(of(&s.run.Total)), true }
}

// mishaps are what "errors" counts.
func mishaps(c *tally.Counters) uint64 { return c.DialFailed + c.Refused + c.Lost + c.PublishErr }

// summary is what the figures need of all intervals.
type summary struct {
	run         *tally.Run
	connections int           // open at the same time
	opening     time.Duration // of intervals in which connections became ready
	delivering  time.Duration // from the first interval with a delivery to the last
	publishing  time.Duration // the same of publications
	deliveryCPU time.Duration // of the server, while there were deliveries
	delivered   uint64        // in this time
	server      usage
	load        usage
}

// usage is what one process took.
type usage struct {
	rss         int64 // at most
	first, last *moment
}

// moment is processor time so far, at a time of the run.
type moment struct{ at, cpu time.Duration }

func (u *usage) see(at time.Duration, p *tally.Process) {
	if p == nil {
		return
	}
	u.rss = max(u.rss, p.RSS)
	u.last = &moment{at, p.CPU}
	if u.first == nil {
		u.first = u.last
	}
}

// share is of all cores, if there are two moments of one process to compare.
func (s *summary) share(u *usage) (v float64, known bool) {
	if u.first == nil || u.last.at <= u.first.at || u.last.cpu < u.first.cpu || s.run.Machine.Cores <= 0 {
		return 0, false
	}
	return (u.last.cpu - u.first.cpu).Seconds() / (u.last.at - u.first.at).Seconds() / float64(s.run.Machine.Cores), true
}

func summarize(r *tally.Run) *summary {
	s := &summary{run: r}
	for i := range r.Intervals {
		in := &r.Intervals[i]
		s.connections = max(s.connections, in.Connections)
		if in.Opened > 0 {
			s.opening += in.For
		}
		s.server.see(in.At, in.Server)
		s.load.see(in.At, in.Load)
	}
	first, last := span(r, func(c *tally.Counters) bool { return c.Received > 0 })
	s.delivering = within(r, first, last)
	s.deliveryCPU, s.delivered = perDelivery(r, first, last)
	first, last = span(r, func(c *tally.Counters) bool { return c.Published > 0 })
	s.publishing = within(r, first, last)
	return s
}

// span is from the first interval that has what is asked for to behind the last.
func span(r *tally.Run, has func(*tally.Counters) bool) (first, end int) {
	first = -1
	for i := range r.Intervals {
		if has(&r.Intervals[i].Counters) {
			if first < 0 {
				first = i
			}
			end = i + 1
		}
	}
	return max(first, 0), end
}

func within(r *tally.Run, first, end int) (all time.Duration) {
	for _, in := range r.Intervals[first:end] {
		all += in.For
	}
	return all
}

// perDelivery begins where the server's time is known first.
func perDelivery(r *tally.Run, first, end int) (cpu time.Duration, delivered uint64) {
	var from *tally.Process
	waiting := uint64(0) // received since the server's time was known
	for _, in := range r.Intervals[max(first-1, 0):end] {
		if from == nil {
			from = in.Server
			continue
		}
		waiting += in.Received
		if in.Server != nil {
			cpu, delivered, waiting = in.Server.CPU-from.CPU, delivered+waiting, 0
		}
	}
	return cpu, delivered
}

// over divides; nothing over nothing is nothing.
func over(a, b float64) float64 {
	if b <= 0 {
		return 0
	}
	return a / b
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
