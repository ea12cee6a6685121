package scenario

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"weir/loadtest/fleet"
	"weir/loadtest/tally"
)

// Million opens very many connections to a server of many processes, lets them
// rest, and publishes once to all of them through the API of each process. Beside
// the processes it looks at the memory of the whole machine, in which the
// kernel's part of both ends is.
func Million(ctx context.Context, p *Plan, progress Progress) (*tally.Run, error) {
	if len(p.API.URLs) == 0 {
		return nil, errors.New("million publishes through the server API of each process: it needs --api")
	}
	before := p.Before
	if before == 0 {
		var err error
		if before, err = Available(); err != nil {
			return nil, err
		}
	}
	r, err := begin(ctx, "million", p, progress)
	if err != nil {
		return nil, err
	}
	err = r.million(ctx, before)
	return r.finish(true), errors.Join(err, r.end())
}

func (r *rig) million(ctx context.Context, before int64) error {
	began := time.Now()
	if err := r.openAll(ctx, fleet.Wave{N: r.plan.Connections, First: true, Resume: r.plan.Resume}); err != nil {
		return err
	}
	r.figure("connections", float64(r.report.Connections), tally.Count, "open, authenticated and subscribed")
	r.figure("open_time", time.Since(began).Seconds(), tally.Seconds, "until the last of them was")
	if err := r.wait(ctx, "rest", r.plan.Rest); err != nil {
		return err
	}
	if err := r.memory(before); err != nil {
		return err
	}
	r.plan.Rate, r.plan.Duration = 1, time.Second // which is one publication to each channel in turn
	if err := r.publishing(ctx, "publish", r.plan.Duration); err != nil {
		return err
	}
	if err := r.settle(ctx); err != nil {
		return err
	}
	reached := r.report.Counters.Received
	r.figure("reached", float64(reached), tally.Count, "had the publication")
	if reached != uint64(r.plan.Connections) {
		r.fail("%d of %d connections had the publication", reached, r.plan.Connections)
	}
	return nil
}

// memory adds what both ends take, with the kernel's part and without.
func (r *rig) memory(before int64) error {
	now, err := Available()
	if err != nil {
		return err
	}
	r.figure("machine_memory", float64(before-now), tally.Bytes, "taken from the machine by both ends and the kernel, since before the first of their processes")
	if in := r.run.Intervals[len(r.run.Intervals)-1]; in.Load != nil {
		r.figure("load_rss", float64(in.Load.RSS), tally.Bytes, "resident in the load generator's processes")
		if in.Server != nil {
			r.figure("server_rss", float64(in.Server.RSS), tally.Bytes, "resident in the server's processes")
		}
	}
	return nil
}

// Available is the memory of the machine that is to be had, in bytes.
func Available() (int64, error) {
	const name = "MemAvailable:"
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(b), name)
	var kib int64
	if _, err := fmt.Sscanf(rest, "%d kB", &kib); err != nil {
		return 0, fmt.Errorf("/proc/meminfo: no %s", name)
	}
	return kib << 10, nil
}
