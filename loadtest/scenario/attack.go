package scenario

import (
	"context"
	"errors"
	"strings"
	"time"

	"weir/loadtest/attack"
	"weir/loadtest/fleet"
	"weir/loadtest/tally"
)

// Attacks are floods, one after the other.
type Attacks struct {
	Kinds  []attack.Kind
	Target attack.Target
	Apart  attack.Apart
	Calm   time.Duration // how long the honest are measured before the first
	Back   time.Duration // how long is waited for the latency to come back after each
}

// quickEnough is a p99 that is as good as one without a flood (SECURITY.md F4).
const quickEnough = 50 * time.Millisecond

// Attack lets honest subscribers receive, and floods the server beside them in one
// way after the other. That an honest one is closed or misses anything is a
// failure; how late it gets is a figure.
func Attack(ctx context.Context, p *Plan, progress Progress) (*tally.Run, error) {
	r, err := begin(ctx, "attack", p, progress)
	if err != nil {
		return nil, err
	}
	err = r.attacked(ctx)
	return r.finish(true), errors.Join(err, r.end())
}

func (r *rig) attacked(ctx context.Context) error {
	if err := r.openAll(ctx, fleet.Wave{N: r.plan.Connections, First: true}); err != nil {
		return err
	}
	if r.report.Connections == 0 { // it is not the server that is meant, or it has no room: nobody is to be measured beside a flood
		return nil
	}
	r.endless = true
	f, err := r.publish(ctx, patience)
	if err != nil {
		return err
	}
	if err := errors.Join(r.floods(ctx), f.end()); err != nil {
		return err
	}
	return r.settle(ctx)
}

// worst is the most of each flood.
type worst struct {
	p99, back time.Duration
	growth    int64
	seen      bool // the server's memory is known
}

func (r *rig) floods(ctx context.Context) error {
	if err := r.wait(ctx, "calm", r.plan.Attacks.Calm); err != nil {
		return err
	}
	calm := r.p99("calm")
	r.figure("calm_p99", calm.Seconds(), tally.Seconds, "before the first flood, 99 % of the publications reached a subscriber within")
	var all worst
	for _, kind := range r.plan.Attacks.Kinds {
		one, err := r.flood(ctx, kind, max(2*calm, quickEnough))
		if err != nil {
			return err
		}
		all = worst{max(all.p99, one.p99), max(all.back, one.back), max(all.growth, one.growth), one.seen}
	}
	r.figure("flood_p99", all.p99.Seconds(), tally.Seconds, "the same in the worst flood")
	r.figure("back", all.back.Seconds(), tally.Seconds, "at most, from the end of a flood until p99 was back")
	if all.seen {
		r.figure("flood_growth", float64(all.growth), tally.Bytes, "at most, what the server's memory grew by in a flood")
	}
	return nil
}

// flood does one.
func (r *rig) flood(ctx context.Context, kind attack.Kind, good time.Duration) (w worst, err error) {
	before := r.rss()
	flooding, cancel := context.WithCancel(ctx)
	defer cancel()
	type outcome struct {
		attack.Tally
		err error
	}
	finished := make(chan outcome, 1)
	go func() {
		t, err := kind.RunApart(flooding, r.plan.Attacks.Target, r.plan.Attacks.Apart)
		finished <- outcome{t, err}
	}()
	first := len(r.run.Intervals)
	err = r.wait(ctx, kind.Name, r.plan.Duration)
	cancel()
	came := <-finished
	if err := errors.Join(err, came.err); err != nil {
		return w, err
	}
	w.p99 = r.p99(kind.Name)
	for _, in := range r.run.Intervals[first:] {
		if in.Server != nil && before > 0 {
			w.growth, w.seen = max(w.growth, in.Server.RSS-before), true
		}
	}
	ended := time.Now()
	_, err = r.until(ctx, "after", r.plan.Attacks.Back, func() (bool, error) {
		last := &r.run.Intervals[len(r.run.Intervals)-1]
		return last.Latency.Count() > 0 && last.Latency.Quantile(0.99) <= good, nil
	})
	w.back = time.Since(ended)
	name := strings.ReplaceAll(kind.Name, "-", "_")
	r.figure(name+"_p99", w.p99.Seconds(), tally.Seconds, kind.What)
	r.figure(name+"_lives", float64(came.Lives), tally.Count, "connections that were tried for it")
	if w.seen {
		r.figure(name+"_growth", float64(w.growth), tally.Bytes, "what the server's memory grew by meanwhile")
	}
	return w, err
}

// rss is the server's memory at the end of the last interval; 0: it is not known.
func (r *rig) rss() int64 {
	if last := len(r.run.Intervals) - 1; last >= 0 && r.run.Intervals[last].Server != nil {
		return r.run.Intervals[last].Server.RSS
	}
	return 0
}

// p99 is that of a whole phase.
func (r *rig) p99(phase string) time.Duration {
	var all tally.Histogram
	for i := range r.run.Intervals {
		if r.run.Intervals[i].Phase == phase {
			all.Merge(&r.run.Intervals[i].Latency)
		}
	}
	return all.Quantile(0.99)
}
