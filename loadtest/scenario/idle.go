package scenario

import (
	"context"
	"errors"

	"weir/loadtest/fleet"
	"weir/loadtest/tally"
)

// idleBase is with how many connections memory is first looked at, or a tenth of all.
const idleBase = 1000

// Idle opens connections, leaves them alone, and looks at what the server's
// processes take: with few of them, with all, and after a time.
func Idle(ctx context.Context, p *Plan, progress Progress) (*tally.Run, error) {
	if len(p.PIDs) == 0 {
		return nil, errors.New("idle looks at the memory of a process: it needs its --pid")
	}
	if p.Connections < 2 {
		return nil, errors.New("idle compares the memory of two numbers of connections: it needs at least 2")
	}
	r, err := begin(ctx, "idle", p, progress)
	if err != nil {
		return nil, err
	}
	err = r.idle(ctx)
	return r.finish(true), errors.Join(err, r.end())
}

func (r *rig) idle(ctx context.Context) error {
	base := min(idleBase, max(r.plan.Connections/10, 1))
	few, err := r.settled(ctx, base)
	if err != nil {
		return err
	}
	had := r.report.Connections
	all, err := r.settled(ctx, r.plan.Connections-base)
	if err != nil {
		return err
	}
	if more := r.report.Connections - had; more > 0 {
		r.figure("slope", float64(all-few)/float64(more), tally.Bytes, "memory of the server for each connection more")
	}
	if err := r.wait(ctx, "idle", r.plan.Duration); err != nil {
		return err
	}
	end, err := fleet.ReadProcesses(r.plan.PIDs)
	r.figure("growth", float64(end.RSS-all), tally.Bytes, "memory that the server took more while they were idle")
	return err
}

// settled opens n more connections and reads the server's memory after a rest.
func (r *rig) settled(ctx context.Context, n int) (rss int64, err error) {
	if err := r.openAll(ctx, fleet.Wave{N: n, First: true, Resume: r.plan.Resume}); err != nil {
		return 0, err
	}
	if err := r.wait(ctx, "rest", r.plan.Rest); err != nil {
		return 0, err
	}
	p, err := fleet.ReadProcesses(r.plan.PIDs)
	return p.RSS, err
}
