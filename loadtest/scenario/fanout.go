package scenario

import (
	"context"
	"errors"

	"weir/loadtest/fleet"
	"weir/loadtest/tally"
)

// Fanout opens connections that subscribe, publishes to their channels, and waits
// until everybody has everything.
func Fanout(ctx context.Context, p *Plan, progress Progress) (*tally.Run, error) {
	r, err := begin(ctx, "fanout", p, progress)
	if err != nil {
		return nil, err
	}
	err = r.fanout(ctx)
	return r.finish(true), errors.Join(err, r.end())
}

func (r *rig) fanout(ctx context.Context) error {
	if err := r.openAll(ctx, fleet.Wave{N: r.plan.Connections, First: true, Resume: r.plan.Resume}); err != nil {
		return err
	}
	if err := r.slowReaders(ctx); err != nil {
		return err
	}
	if r.report.Connections > 0 {
		if err := r.publishing(ctx, "publish", r.plan.Duration); err != nil {
			return err
		}
		if err := r.settle(ctx); err != nil {
			return err
		}
	}
	return nil
}
