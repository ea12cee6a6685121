package scenario

import (
	"context"
	"errors"

	"weir/loadtest/fleet"
	"weir/loadtest/tally"
)

// Storm opens connections for a time, at a rate or as fast as they open. Each is
// closed as soon as it is subscribed.
func Storm(ctx context.Context, p *Plan, progress Progress) (*tally.Run, error) {
	r, err := begin(ctx, "storm", p, progress)
	if err != nil {
		return nil, err
	}
	err = r.openAll(ctx, fleet.Wave{Brief: true, For: p.Duration, Resume: p.Resume})
	return r.finish(true), errors.Join(err, r.end())
}
