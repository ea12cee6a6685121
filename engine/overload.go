package engine

import (
	"context"
	"log/slog"
	"math"
	"sync/atomic"
	"time"

	"weir/engine/stats"
	"weir/security/audit"
	"weir/security/overload"
)

// pressure is how hard the node defends itself (SECURITY.md F3): once a second
// the housekeeper reads what is used and tells the shards of the level.
type pressure struct {
	read  func(descriptors int, now time.Time) overload.Usage // immutable; nil: nothing is measured
	gauge overload.Gauge                                      // owned by the housekeeper

	level   atomic.Uint32 // of the gauge, for everybody else
	usage   [len(resources)]atomic.Uint64
	entered [overload.Levels]atomic.Uint64 // times that a level was set
	refused atomic.Uint64                  // newcomers
}

// resources name what a Usage is of, in metrics and in the log.
var resources = [...]string{"memory", "around", "heap", "descriptors", "cpu"}

// now is the level of the node.
func (p *pressure) now() overload.Level { return overload.Level(p.level.Load()) }

// reasonOverload is why a newcomer is refused, in metrics and in the audit log.
const reasonOverload = "overload"

// refuses counts a newcomer that the level does not let in.
func (p *pressure) refuses() bool {
	if p.now() < overload.Refuse {
		return false
	}
	p.refused.Add(1)
	return true
}

// tick reads what is used and has the shards do what the level says.
func (p *pressure) tick(s *Server, now time.Time) {
	if p.read == nil {
		return
	}
	usage := p.read(s.connections(), now)
	for i, share := range [len(resources)]float64{usage.Memory, usage.Around, usage.Heap, usage.Descriptors, usage.CPU} {
		p.usage[i].Store(math.Float64bits(share))
	}
	before := p.gauge.Level()
	level, closing := p.gauge.Observe(usage, now), p.gauge.Closing()
	if level != before {
		p.level.Store(uint32(level))
		p.entered[level].Add(1)
		s.shared.hub.Compress(level < overload.Plain)
		p.log(s.log, before, level)
		s.told(audit.OverloadLevel, level.String()+" was "+before.String())
	}
	if level == before && closing < overload.Shed {
		return
	}
	for _, sh := range s.shards {
		sh.post(post{order: func(sh *shard) { sh.takeLevel(level, closing) }})
	}
}

// log writes the one line of a change.
func (p *pressure) log(log *slog.Logger, before, level overload.Level) {
	severity := slog.LevelInfo
	if level > before {
		severity = slog.LevelWarn
	}
	attrs := []slog.Attr{slog.String("level", level.String()), slog.String("was", before.String())}
	for i, name := range resources {
		attrs = append(attrs, slog.Float64(name, math.Round(p.share(i)*100)/100))
	}
	log.LogAttrs(context.Background(), severity, "overload level", attrs...)
}

// share is what is used of a resource, as of the last tick.
func (p *pressure) share(i int) float64 { return math.Float64frombits(p.usage[i].Load()) }

// sources are the level and what it comes from.
func (p *pressure) sources() []stats.Source {
	list := []stats.Source{{Name: "weir_overload_level", Help: "How hard the node defends itself: 0 normal, 1 tighten, 2 plain, 3 shed, 4 refuse, 5 evict.",
		Read: func() float64 { return float64(p.now()) }}}
	for i, name := range resources {
		list = append(list, stats.Source{Name: "weir_overload_usage_ratio", Help: "What the node uses of what it may, by resource; 0 is nothing or not known.",
			Label: [2]string{"resource", name}, Read: func() float64 { return p.share(i) }})
	}
	for level := range overload.Levels {
		list = append(list, stats.Source{Name: "weir_overload_changes_total", Help: "Changes of the overload level, by the level that was set.",
			Kind: stats.SourceCounter, Label: [2]string{"level", level.String()}, Read: func() float64 { return float64(p.entered[level].Load()) }})
	}
	return list
}
