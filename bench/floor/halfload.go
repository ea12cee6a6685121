package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"weir/bench/internal/median"
	"weir/bench/internal/node"
)

const (
	// sequence is how many publications come one after the other, each as soon as everybody has the one before, to see how
	// many deliveries a second there can be of such.
	sequence = 60
	// sweepRate is of the publications to which the floor is timed, a second: each is over before the next.
	sweepRate = 10
	// lanes are calls to the server API at once: a publication that is due does not wait for the one before.
	lanes = 16
)

// halfload measures how long publications take to their last subscriber while the server is busy half of the time, with
// and without clients who connect and leave beside it. Half of the deliveries that there are of publications which come many at once
// would not be that: one by one they cost several times as much.
func (p *plan) halfload(ctx context.Context, server *node.Node, out io.Writer) (err error) {
	s, err := p.seat(ctx, server)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.leave()) }()
	number, slowly := 0, *p
	slowly.rate = sweepRate
	if _, err := slowly.publish(ctx, s.floor, warming, &number); err != nil {
		return err
	}
	sweeps, err := slowly.publish(ctx, s.floor, p.publications, &number)
	if err != nil {
		return err
	}
	capacity, err := p.capacity(ctx, server, s.weir.readers, &number)
	if err != nil {
		return err
	}
	rate := capacity / 2 / float64(p.subscribers)
	calm, storm := &loads{}, &loads{guests: s.guests}
	for range p.rounds {
		for _, l := range []*loads{calm, storm} {
			if err := l.add(p.steady(ctx, server, s.weir.readers, l.guests, rate, &number)); err != nil {
				return err
			}
		}
	}
	sweep := quantile(sweeps, 0.5)
	fmt.Fprintf(out, "%.0f deliveries a second to %d subscribers of publications one by one; the floor reaches the last of them after %v at the median\n",
		capacity, p.subscribers, sweep.Round(10*time.Microsecond))
	fmt.Fprintf(out, "half load: %.0f publications a second: to the last subscriber %s (goal: p99 at most 40ms), %.1f times the floor's\n", rate, calm, calm.p99()/sweep.Seconds())
	fmt.Fprintf(out, "half load while %d clients connect and leave all the time: %s, %.1f times the floor's\n", p.dials, storm, storm.p99()/sweep.Seconds())
	return nil
}

// capacity is deliveries a second by the whole machine of publications one by one, by the median of a sequence.
func (p *plan) capacity(ctx context.Context, server *node.Node, readers *child, number *int) (float64, error) {
	var all []float64
	for range sequence {
		began := time.Now()
		if err := server.Publish(ctx, channel, publication(*number, began)); err != nil {
			return 0, err
		}
		*number++
		if _, err := ask[audienceReport](readers, audienceOrder{Publications: 1}); err != nil {
			return 0, err
		}
		all = append(all, float64(p.subscribers)/time.Since(began).Seconds())
	}
	return median.Of(all), nil
}

// steady publishes at a rate, whatever became of the publications before, and returns how long each took from when it was due.
func (p *plan) steady(ctx context.Context, server *node.Node, readers, guests *child, rate float64, number *int) (took []time.Duration, err error) {
	end := p.storm(guests)
	defer func() { err = errors.Join(err, end()) }()
	count, began := max(1, int(rate*p.half.Seconds())), time.Now()
	due := make(chan int)
	errs := make([]error, lanes)
	var all sync.WaitGroup
	for lane := range lanes {
		all.Go(func() {
			for i := range due {
				at := began.Add(time.Duration(float64(i) / rate * float64(time.Second)))
				errs[lane] = errors.Join(errs[lane], server.Publish(ctx, channel, publication(*number+i, at)))
			}
		})
	}
	pause := time.NewTimer(0)
	defer pause.Stop()
	for i := range count {
		pause.Reset(time.Until(began.Add(time.Duration(float64(i) / rate * float64(time.Second)))))
		<-pause.C
		due <- i
	}
	close(due)
	all.Wait()
	*number += count
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	report, err := ask[audienceReport](readers, audienceOrder{Publications: count})
	return report.Took, err
}

// loads are turns under one load.
type loads struct {
	guests     *child    // who connect and leave beside it; nil: nobody
	p50s, p99s []float64 // seconds, of each turn
}

func (l *loads) add(took []time.Duration, err error) error {
	if err != nil {
		return err
	}
	l.p50s, l.p99s = append(l.p50s, quantile(took, 0.5).Seconds()), append(l.p99s, quantile(took, 0.99).Seconds())
	return nil
}

func (l *loads) p99() float64 { return median.Of(l.p99s) }

func (l *loads) String() string {
	return fmt.Sprintf("p50 %.1fms, p99 %.1fms", 1000*median.Of(l.p50s), 1000*l.p99())
}
