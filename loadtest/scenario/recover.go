package scenario

import (
	"context"
	"errors"
	"time"

	"weir/loadtest/dialect"
	"weir/loadtest/fleet"
	"weir/loadtest/tally"
)

// Recover publishes, cuts every connection on the way, and opens them again where
// they were: nothing may be missing in the end.
func Recover(ctx context.Context, p *Plan, progress Progress) (*tally.Run, error) {
	p.Fleet.Plan.Recover = true
	r, err := begin(ctx, "recover", p, progress)
	if err != nil {
		return nil, err
	}
	err = r.recover(ctx)
	run := r.finish(true)
	r.recovery(err == nil)
	return run, errors.Join(err, r.end())
}

// recovery fails a run in which who came again could not go on. whole tells that it went to its end.
func (r *rig) recovery(whole bool) {
	t := &r.run.Total
	if whole && t.Left > 0 && t.Recovered+t.Unrecovered == 0 && r.run.Protocol != dialect.Feed.String() {
		r.fail("no subscription was recovered: do its channels keep a history?")
	}
	if t.Unrecovered > 0 {
		r.fail("%d subscriptions could not go on where they were", t.Unrecovered)
	}
}

func (r *rig) recover(ctx context.Context) error {
	if err := r.openAll(ctx, fleet.Wave{N: r.plan.Connections, First: true, Resume: r.plan.Resume}); err != nil {
		return err
	}
	f, err := r.publish(ctx, r.plan.Duration)
	if err != nil {
		return err
	}
	if err := r.apart(ctx); err != nil {
		return errors.Join(err, f.end())
	}
	_, err = r.until(ctx, "publish", r.plan.Duration+r.plan.Overrun, f.over)
	if err := errors.Join(err, f.end()); err != nil {
		return err
	}
	return r.settle(ctx)
}

// apart waits a third of the time, cuts everybody off, and brings them back.
func (r *rig) apart(ctx context.Context) error {
	if err := r.wait(ctx, "publish", r.plan.Duration/3); err != nil {
		return err
	}
	open := r.report.Connections
	if err := r.fleet.DropAll(); err != nil {
		return err
	}
	if err := r.wait(ctx, "away", r.plan.Away); err != nil {
		return err
	}
	if _, err := r.until(ctx, "away", patience, func() (bool, error) { return r.report.Connections == 0, nil }); err != nil {
		return err
	}
	began := time.Now()
	if err := r.fleet.Open(fleet.Wave{N: open, Again: true, AtOnce: r.plan.AtOnce, Rate: r.plan.ConnectRate, Resume: r.plan.Resume}); err != nil {
		return err
	}
	_, err := r.until(ctx, "return", patience, func() (bool, error) { return r.report.Pending == 0, nil })
	r.figure("return", time.Since(began).Seconds(), tally.Seconds, "until everybody who was cut off was back")
	return err
}

// wait lets time pass.
func (r *rig) wait(ctx context.Context, phase string, d time.Duration) error {
	_, err := r.until(ctx, phase, d, func() (bool, error) { return false, nil })
	return err
}
