package scenario

import (
	"context"
	"errors"

	"weir/loadtest/fleet"
	"weir/loadtest/tally"
)

// clientStreams keeps the streams of connections apart from those of the API.
const clientStreams = 1 << 24

// Publish publishes through the API, if there is one, then by connections, if any
// are to publish, and takes the time to each acknowledgement besides.
func Publish(ctx context.Context, p *Plan, progress Progress) (*tally.Run, error) {
	if len(p.API.URLs) == 0 && p.Publishers == 0 {
		return nil, errors.New("nobody publishes: it needs an API or publishers")
	}
	var all *tally.Run
	part := func(name string, q Plan) error {
		q.Fleet.Plan.Channel += name + "-"
		r, err := begin(ctx, "publish", &q, func(in tally.Interval) {
			if all != nil {
				in.At += all.Took
			}
			in.Phase = name + " " + in.Phase
			if progress != nil {
				progress(in)
			}
		})
		if err != nil {
			return err
		}
		err = errors.Join(r.fanout(ctx), ctx.Err())
		all = joined(all, r.finish(true), name)
		return errors.Join(err, r.end())
	}
	var err error
	if len(p.API.URLs) > 0 {
		err = part("api", *p)
	}
	if p.Publishers > 0 && err == nil {
		q := *p
		q.API = fleet.API{}
		q.Fleet.Plan.Stream0 += clientStreams
		err = part("client", q)
	}
	return all, err
}

// joined is two runs one after the other; the figures of each have its name before theirs.
func joined(all, next *tally.Run, name string) *tally.Run {
	for i := range next.Figures {
		next.Figures[i].Name = name + "_" + next.Figures[i].Name
	}
	for i := range next.Failures {
		next.Failures[i] = name + ": " + next.Failures[i]
	}
	for i := range next.Intervals {
		next.Intervals[i].Phase = name + " " + next.Intervals[i].Phase
	}
	if all == nil {
		return next
	}
	for _, in := range next.Intervals {
		in.At += all.Took
		all.Intervals = append(all.Intervals, in)
	}
	all.Took += next.Took
	all.Total.Add(next.Total)
	all.Latency.Merge(&next.Latency)
	all.Open.Merge(&next.Open)
	all.Figures = append(all.Figures, next.Figures...)
	all.Failures = append(all.Failures, next.Failures...)
	return all
}
