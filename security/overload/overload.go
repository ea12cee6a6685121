// Package overload decides how hard a node has to defend itself: from shares
// of what it may use (memory, heap, descriptors, CPU) it makes one Level, which
// rises at once and falls step by step (SECURITY.md F3).
//
// It measures nothing and does nothing by itself: Meter reads the shares, the
// engine carries out what each level says.
package overload

import "time"

// Level is how hard the node defends itself. Each does what those below it do.
type Level uint8

const (
	Normal  Level = iota
	Tighten       // idle timeouts are shorter
	Plain         // publications are no longer compressed
	Shed          // readers that are behind are closed
	Refuse        // nobody new is let in
	Evict         // the most expensive connections are closed

	Levels // how many there are
)

// String is the level's name in metrics and on /ready.
func (l Level) String() string {
	return [...]string{"normal", "tighten", "plain", "shed", "refuse", "evict"}[min(l, Levels-1)]
}

// Usage is what the node uses, each as a share of what it may: 1 is all of it.
// 0 is nothing, or not known on this machine.
type Usage struct {
	Memory      float64 // resident, against the limit; or of the process's own cgroup, if that is more
	Around      float64 // memory of cgroups that it is in with others, who may be the ones that fill it
	Heap        float64 // what is live, against what the collector is told to stay below
	Descriptors float64
	CPU         float64 // of all cores that the process may use
}

// threshold is when a level is entered and, below, left again.
type threshold struct{ enter, leave float64 }

// The thresholds by resource. The gap between enter and leave is the hysteresis:
// what a level frees must not end it at once. A level without a threshold is
// never entered for that resource: a busy CPU is no reason to close anybody.
var (
	memory = [Levels]threshold{
		Tighten: {0.75, 0.70}, Plain: {0.82, 0.77}, Shed: {0.88, 0.83}, Refuse: {0.93, 0.88}, Evict: {0.97, 0.93},
	}
	descriptors = [Levels]threshold{
		Tighten: {0.85, 0.80}, Refuse: {0.98, 0.96},
	}
	cpu = [Levels]threshold{
		Tighten: {0.90, 0.75}, Plain: {0.97, 0.85},
	}
	around = [Levels]threshold{ // as memory, but see Closing
		Tighten: {0.75, 0.70}, Plain: {0.82, 0.77}, Refuse: {0.93, 0.88},
	}
)

const (
	// busyFor is how long the CPU must be over a threshold: a connect storm or a
	// collection takes all of it for a moment.
	busyFor = 5 * time.Second

	// calmFor is how long everything must be below before a level is left, for
	// the one below it.
	calmFor = 5 * time.Second
)

// Gauge holds the level. The zero value is at Normal. It belongs to one
// goroutine; Level is what others are told of it.
type Gauge struct {
	own    ladder // of what this process uses
	around ladder // of what it uses with others
}

// Level returns the level that the last Observe set.
func (g *Gauge) Level() Level { return max(g.own.level, g.around.level) }

// Closing returns the level that connections are closed by, at most Level: what others
// use is a reason to let nobody in, and none to close anybody. Attack: a neighbour that
// fills what both are in, so that this node sends its clients away.
func (g *Gauge) Closing() Level { return g.own.level }

// Observe takes what is used now and returns the level. It is called about
// once a second; now must not go back.
func (g *Gauge) Observe(u Usage, now time.Time) Level {
	g.around.observe(Usage{Around: u.Around}, now)
	u.Around = 0
	g.own.observe(u, now)
	return g.Level()
}

// ladder goes up at once and comes down step by step.
type ladder struct {
	level Level
	busy  [Levels]time.Time // since when the CPU is over the level's threshold; zero: it is not
	calm  time.Time         // since when everything is below the level; zero: it is not
}

func (g *ladder) observe(u Usage, now time.Time) {
	if wanted := g.wanted(u, now); wanted > g.level {
		g.level, g.calm = wanted, time.Time{}
		return
	}
	switch {
	case g.level == Normal || !g.below(u):
		g.calm = time.Time{}
	case g.calm.IsZero():
		g.calm = now
	case now.Sub(g.calm) >= calmFor:
		g.level--
		for g.level > Normal && !named(g.level, u) { // levels that nothing of this calls for
			g.level--
		}
		g.calm = now
	}
}

// wanted is the highest level that u calls for.
func (g *ladder) wanted(u Usage, now time.Time) Level {
	for l := range g.busy {
		switch t := cpu[l]; {
		case t.enter == 0 || u.CPU < t.enter:
			g.busy[l] = time.Time{}
		case g.busy[l].IsZero():
			g.busy[l] = now
		}
	}
	for l := Levels - 1; l > Normal; l-- {
		switch {
		case over(u.Memory, memory[l].enter), over(u.Heap, memory[l].enter), over(u.Descriptors, descriptors[l].enter), over(u.Around, around[l].enter),
			!g.busy[l].IsZero() && now.Sub(g.busy[l]) >= busyFor:
			return l
		}
	}
	return Normal
}

// below reports whether everything is under what the level is left at.
func (g *ladder) below(u Usage) bool { return !named(g.level, u) }

// named reports whether something of u still holds level l.
func named(l Level, u Usage) bool {
	return over(u.Memory, memory[l].leave) || over(u.Heap, memory[l].leave) ||
		over(u.Descriptors, descriptors[l].leave) || over(u.Around, around[l].leave) || over(u.CPU, cpu[l].leave)
}

// over compares a share with a threshold; 0 is none.
func over(share, threshold float64) bool { return threshold > 0 && share >= threshold }
