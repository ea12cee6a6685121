package scenario

import (
	"context"
	"errors"

	"weir/loadtest/fleet"
	"weir/loadtest/tally"
)

// Mixed is a day in short: everybody subscribes, publications go out, connections
// leave and come again all the while, some read too slowly. Those that come again
// go on where they were, where the server has a history.
func Mixed(ctx context.Context, p *Plan, progress Progress) (*tally.Run, error) {
	p.Fleet.Plan.Recover = true
	r, err := begin(ctx, "mixed", p, progress)
	if err != nil {
		return nil, err
	}
	err = r.mixed(ctx)
	run := r.finish(true)
	r.recovery(err == nil)
	return run, errors.Join(err, r.end())
}

func (r *rig) mixed(ctx context.Context) error {
	if err := r.openAll(ctx, fleet.Wave{N: r.plan.Connections, First: true, Resume: r.plan.Resume}); err != nil {
		return err
	}
	if err := r.slowReaders(ctx); err != nil {
		return err
	}
	f, err := r.publish(ctx, r.plan.Duration)
	if err != nil {
		return err
	}
	_, err = r.until(ctx, "publish", r.plan.Duration+r.plan.Overrun, func() (bool, error) {
		over, err := f.over()
		if over || err != nil {
			return true, err
		}
		return false, r.churn()
	})
	if err := errors.Join(err, f.end()); err != nil {
		return err
	}
	if err := r.everybodyBack(ctx); err != nil {
		return err
	}
	return r.settle(ctx)
}

// churn brings those back who left before, and lets others leave.
func (r *rig) churn() error {
	last := &r.run.Intervals[len(r.run.Intervals)-1]
	r.leaving += r.plan.Churn * last.For.Seconds()
	n := int(r.leaving)
	r.leaving -= float64(n)
	if away := r.plan.Connections - r.report.Connections - r.report.Pending; away > 0 {
		if err := r.fleet.Open(fleet.Wave{N: away, Again: true, AtOnce: r.plan.AtOnce, Resume: r.plan.Resume}); err != nil {
			return err
		}
	}
	return r.fleet.Drop(n)
}

// everybodyBack opens what is not open, until all are or nothing more can be.
func (r *rig) everybodyBack(ctx context.Context) error {
	back, err := r.until(ctx, "return", r.plan.Overrun, func() (bool, error) {
		away := r.plan.Connections - r.report.Connections - r.report.Pending
		if away > 0 {
			return false, r.fleet.Open(fleet.Wave{N: away, Again: true, AtOnce: r.plan.AtOnce, Resume: r.plan.Resume})
		}
		return r.report.Pending == 0, nil
	})
	if !back && err == nil {
		r.fail("%d of %d connections were not back in time", r.plan.Connections-r.report.Connections, r.plan.Connections)
	}
	return err
}

// slowReaders opens connections that read too slowly, which is not held against the server.
func (r *rig) slowReaders(ctx context.Context) error {
	if r.plan.Slow == 0 {
		return nil
	}
	return r.openAll(ctx, fleet.Wave{N: r.plan.Slow, Slow: r.plan.SlowEach})
}
