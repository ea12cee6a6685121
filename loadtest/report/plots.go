package report

import (
	"fmt"
	"math"
	"time"

	"weir/loadtest/tally"
)

// maxBuckets is how many points a line has at most.
const maxBuckets = 160

// shown is a run as the page has it.
type shown struct {
	*tally.Run
	Name    string // what tells it from the others
	Class   int    // of its colour
	figures []tally.Figure
	buckets []bucket
}

// plots are the charts of one run, or of several in the same axes. What nothing
// was seen of has none.
func plots(runs []shown) []plot {
	g := gallery{runs: runs}
	for _, r := range runs {
		for _, b := range r.buckets {
			g.end = max(g.end, b.at)
		}
	}
	if len(runs) == 1 {
		g.bands = bands(runs[0].Run)
	}
	g.throughput()
	g.latencies()
	g.distribution()
	g.connections()
	g.processes()
	g.mishaps()
	return g.plots
}

// gallery collects plots.
type gallery struct {
	runs  []shown
	end   time.Duration
	bands []band
	plots []plot
}

// curve is one value of every bucket; NaN where there is none.
type curve struct {
	name string
	of   func(b *bucket) float64
}

// overTime draws one line for each curve of a run alone, or one for each run of
// the first curve.
func (g *gallery) overTime(title, about string, unit tally.Unit, log bool, curves ...curve) {
	p := plot{title: title, about: about, x: timeline(g.end), bands: g.bands, area: !log && len(g.runs) == 1}
	p.tellX = func(v float64) string { return clock(time.Duration(v * float64(time.Second))) }
	p.tellY = func(v float64) string { return Format(v, unit) }
	if len(g.runs) > 1 {
		curves = curves[:1]
	}
	least, most := math.Inf(1), 0.0
	for _, r := range g.runs {
		for i, c := range curves {
			line := series{name: c.name, class: i}
			if len(g.runs) > 1 {
				line.name, line.class = r.Name, r.Class
			}
			some := false
			for j := range r.buckets {
				y := c.of(&r.buckets[j])
				line.points = append(line.points, point{r.buckets[j].at.Seconds(), y})
				if finite(y) {
					some, most = some || y != 0, math.Max(most, y)
					if y > 0 {
						least = math.Min(least, y)
					}
				}
			}
			if some {
				p.lines = append(p.lines, line)
			}
		}
	}
	if len(p.lines) == 0 {
		return
	}
	p.y = linear(most, unit)
	if log {
		p.y = logarithmic(least, most, unit)
	}
	g.plots = append(g.plots, p)
}

func (g *gallery) throughput() {
	g.overTime("Deliveries per second", "Publications that subscribers received.", tally.PerSecond, false,
		curve{"deliveries", func(b *bucket) float64 { return b.per(b.Received) }})
	g.overTime("Publications per second", "What publishers had acknowledged, and what the plan wanted.", tally.PerSecond, false,
		curve{"acknowledged", func(b *bucket) float64 { return b.per(b.Published) }},
		curve{"due", func(b *bucket) float64 { return b.per(b.Due) }})
}

// ifKnown is NaN where there is no latency.
func ifKnown(of func(b *bucket) spread, value func(s spread) float64) func(*bucket) float64 {
	return func(b *bucket) float64 {
		if s := of(b); s.known {
			return value(s)
		}
		return math.NaN()
	}
}

func (g *gallery) latencies() {
	of := func(b *bucket) spread { return b.latency }
	p50 := curve{"p50", ifKnown(of, func(s spread) float64 { return s.p50 })}
	p99 := curve{"p99", ifKnown(of, func(s spread) float64 { return s.p99 })}
	const about = "From when a publication was due to each receipt, on a logarithmic axis."
	if len(g.runs) > 1 {
		g.overTime("Latency, median", about, tally.Seconds, true, p50)
		g.overTime("Latency, 99 % within", about, tally.Seconds, true, p99)
		return
	}
	g.overTime("Latency", about, tally.Seconds, true, p50, p99,
		curve{"p99.9", ifKnown(of, func(s spread) float64 { return s.p999 })},
		curve{"max", ifKnown(of, func(s spread) float64 { return s.max })})
}

// stepsPerNine is how many points the distribution has for each power of ten.
const stepsPerNine = 12

func (g *gallery) distribution() {
	most, least, longest := uint64(0), math.Inf(1), 0.0
	for _, r := range g.runs {
		if n := r.Latency.Count(); n > 0 {
			most = max(most, n)
			least = math.Min(least, math.Max(r.Latency.Quantile(0).Seconds(), 1e-6))
			longest = math.Max(longest, r.Latency.Max().Seconds())
		}
	}
	if most == 0 {
		return
	}
	p := plot{title: "Latency by percentile", about: "Which share of all deliveries took how long, over the whole run; both axes are logarithmic.",
		x: nines(most), y: logarithmic(least, longest, tally.Seconds)}
	p.tellX = func(v float64) string { return fmt.Sprintf("%.7g %%", 100-100*math.Pow(10, -v)) }
	p.tellY = func(v float64) string { return Format(v, tally.Seconds) }
	for _, r := range g.runs {
		n := r.Latency.Count()
		if n == 0 {
			continue
		}
		line := series{name: "latency", class: r.Class}
		if len(g.runs) > 1 {
			line.name = r.Name
		}
		var open tally.Histogram // not packed: it is asked often
		open.Merge(&r.Latency)
		end := math.Min(math.Log10(float64(n)), p.x.high)
		for i := 0; float64(i) < end*stepsPerNine; i++ {
			x := float64(i) / stepsPerNine
			line.points = append(line.points, point{x, math.Max(open.Quantile(1-math.Pow(10, -x)).Seconds(), 1e-6)})
		}
		line.points = append(line.points, point{end, open.Max().Seconds()})
		p.lines = append(p.lines, line)
	}
	g.plots = append(g.plots, p)
}

func (g *gallery) connections() {
	g.overTime("Connections", "Open at the end of each interval.", tally.Count, false,
		curve{"connections", func(b *bucket) float64 { return float64(b.connections) }})
	g.overTime("Connections that became ready, per second", "Upgraded, authenticated and subscribed.", tally.PerSecond, false,
		curve{"opened", func(b *bucket) float64 { return b.per(b.Opened) }})
	of := func(b *bucket) spread { return b.open }
	g.overTime("Time until a connection is ready", "From the start of its dial, on a logarithmic axis.", tally.Seconds, true,
		curve{"p99", ifKnown(of, func(s spread) float64 { return s.p99 })}, curve{"p50", ifKnown(of, func(s spread) float64 { return s.p50 })})
}

func (g *gallery) processes() {
	rss := func(of func(b *bucket) load) func(*bucket) float64 {
		return func(b *bucket) float64 {
			if l := of(b); l.known {
				return l.rss
			}
			return math.NaN()
		}
	}
	cores := func(of func(b *bucket) load) func(*bucket) float64 {
		return func(b *bucket) float64 {
			if l := of(b); l.known && l.cores >= 0 {
				return l.cores
			}
			return math.NaN()
		}
	}
	server := func(b *bucket) load { return b.server }
	generator := func(b *bucket) load { return b.load }
	about := " of the server and of the load generator."
	if len(g.runs) > 1 {
		about = " of the servers."
	}
	g.overTime("Memory", "Resident memory"+about, tally.Bytes, false, curve{"server", rss(server)}, curve{"load generator", rss(generator)})
	g.overTime("Processor", "Cores kept busy, user and system time,"+about, coresUnit, false, curve{"server", cores(server)}, curve{"load generator", cores(generator)})
}

// coresUnit is for the eye: Format writes it as a plain number.
const coresUnit tally.Unit = "cores"

// mishaps are bars by kind of one run, or a line for each of several.
func (g *gallery) mishaps() {
	if len(g.runs) > 1 {
		g.overTime("Errors per second", "Connections that failed, were refused or lost, and publications that were refused.", tally.PerSecond, false,
			curve{"errors", func(b *bucket) float64 { return b.per(mishaps(&b.Counters)) }})
		return
	}
	p := plot{title: "Errors by kind", about: "In each interval.", x: timeline(g.end), bands: g.bands}
	p.tellX = func(v float64) string { return clock(time.Duration(v * float64(time.Second))) }
	p.tellY = func(v float64) string { return Format(v, tally.Count) }
	buckets := g.runs[0].buckets
	sum := make([]float64, len(buckets))
	for class, kind := range mishapKinds {
		layer := series{name: kind.Name, class: class}
		some := false
		for i := range buckets {
			n := float64(kind.of(&buckets[i].Counters))
			sum[i] += n
			some = some || n > 0
			layer.points = append(layer.points, point{buckets[i].at.Seconds(), n})
		}
		if some {
			p.bars = append(p.bars, layer)
		}
	}
	if len(p.bars) == 0 {
		return
	}
	most := 0.0
	for _, n := range sum {
		most = math.Max(most, n)
	}
	p.y = linear(most, tally.Count)
	g.plots = append(g.plots, p)
}
