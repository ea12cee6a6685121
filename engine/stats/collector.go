package stats

import "github.com/prometheus/client_golang/prometheus"

// Source is a figure that another part of the node holds; it is read on scrape.
type Source struct {
	Name  string         // whole metric name, with its unit: weir_cert_expiry_seconds
	Help  string         // one sentence
	Kind  SourceKind     // whether it only grows
	Label [2]string      // one constant label, name and value; empty for none
	Split [2]string      // another one
	Read  func() float64 // any goroutine, must not block
}

// SourceKind tells counters and gauges apart.
type SourceKind uint8

// The kinds of sources.
const (
	SourceGauge SourceKind = iota
	SourceCounter
)

// Collector returns the set, and the given sources, as a collector to be registered. A source with a nil Read panics.
// Sources with the same Name differ in their labels.
func (s *Set) Collector(sources ...Source) prometheus.Collector {
	c := &collector{set: s}
	for i := range counterCount {
		c.counters[i] = counterNames[i].desc()
	}
	for i := range gaugeCount {
		c.gauges[i] = gaugeNames[i].desc()
	}
	for i := range familyCount {
		c.families[i] = familyNames[i].desc()
	}
	for _, source := range sources {
		if source.Read == nil {
			panic("stats: source " + source.Name + " has no Read")
		}
		c.sources = append(c.sources, describedSource{source.desc(), source})
	}
	return c
}

// collector is immutable.
type collector struct {
	set      *Set
	counters [counterCount]*prometheus.Desc
	gauges   [gaugeCount]*prometheus.Desc
	families [familyCount]*prometheus.Desc
	sources  []describedSource
}

type describedSource struct {
	desc *prometheus.Desc
	Source
}

func (n name) desc() *prometheus.Desc {
	if n.label == "" {
		return prometheus.NewDesc(n.metric, n.help, nil, nil)
	}
	return prometheus.NewDesc(n.metric, n.help, []string{n.label}, nil)
}

func (s Source) desc() *prometheus.Desc {
	if s.Label[0] == "" {
		return prometheus.NewDesc(s.Name, s.Help, nil, nil)
	}
	labels := prometheus.Labels{s.Label[0]: s.Label[1]}
	if s.Split[0] != "" {
		labels[s.Split[0]] = s.Split[1]
	}
	return prometheus.NewDesc(s.Name, s.Help, nil, labels)
}

func (s Source) valueType() prometheus.ValueType {
	if s.Kind == SourceCounter {
		return prometheus.CounterValue
	}
	return prometheus.GaugeValue
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(descs chan<- *prometheus.Desc) {
	for _, list := range [][]*prometheus.Desc{c.counters[:], c.gauges[:], c.families[:]} {
		for _, desc := range list {
			descs <- desc
		}
	}
	for _, source := range c.sources {
		descs <- source.desc
	}
}

// Collect implements prometheus.Collector. Every label of every family is shown, also at zero, so that rates start
// from a known value.
func (c *collector) Collect(metrics chan<- prometheus.Metric) {
	for i, desc := range c.counters {
		metrics <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(c.set.Total(Counter(i))))
	}
	for i, desc := range c.gauges {
		metrics <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(max(0, c.set.Level(Gauge(i)))))
	}
	for i, desc := range c.families {
		for j, label := range c.set.lists[i] {
			total := c.set.cellTotal(c.set.first[i] + j)
			metrics <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(total), label)
		}
	}
	for _, source := range c.sources {
		metrics <- prometheus.MustNewConstMetric(source.desc, source.valueType(), source.Read())
	}
}
