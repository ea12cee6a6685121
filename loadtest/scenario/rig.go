package scenario

import (
	"context"
	"errors"
	"time"

	"weir/loadtest/dialect"
	"weir/loadtest/fleet"
	"weir/loadtest/tally"
)

// Plan is what to do to whom. Not every scenario takes everything.
type Plan struct {
	Fleet       fleet.Options
	API         fleet.API
	Connections int
	ConnectRate float64 // connections a second; 0: as fast as AtOnce lets it
	AtOnce      int     // dials in flight
	Rate        float64 // publications a second, over all channels
	Size        int     // of a payload, bytes
	Lanes       int     // API calls at once
	Duration    time.Duration
	Settle      time.Duration // how long nothing may come until what is missing counts as lost
	Overrun     time.Duration // how long after Duration publications that were due then may still be sent
	PIDs        []int         // processes of the server
	Publishers  int           // connections that publish, instead of the API
	Slow        int           // readers that take a message every SlowEach
	SlowEach    time.Duration
	Resume      float64       // share of dials that offer a session ticket
	Rest        time.Duration // how long is waited before memory is looked at
	Attacks     Attacks
	Churn       float64       // connections a second that leave and come again
	Away        time.Duration // how long those who are dropped stay away
	Every       time.Duration // length of an interval; 0: a second
	Before      int64         // Available before the server was started; 0: that of now
}

// Progress is told of each interval when it is over.
type Progress func(tally.Interval)

// rig is a scenario at work.
type rig struct {
	plan      *Plan
	progress  Progress
	fleet     *fleet.Fleet
	publisher *fleet.Publisher // nil: nothing is published by the API
	run       *tally.Run
	last      time.Time
	before    tally.Counters
	report    fleet.Report // the newest
	handshake tally.Histogram
	ack       tally.Histogram
	server    *tally.Process // at the beginning; nil: it is not known
	leaving   float64        // of churn: less than one connection
	endless   bool           // publishing was to go on for ever: what was due last may not have been sent
}

// begin starts the fleet. The caller ends the rig.
func begin(ctx context.Context, name string, p *Plan, progress Progress) (*rig, error) {
	if p.Every <= 0 {
		p.Every = time.Second
	}
	streams := 1
	if len(p.API.URLs) == 0 {
		streams = max(1, (p.Publishers+p.Fleet.Plan.Channels-1)/p.Fleet.Plan.Channels)
	}
	p.Fleet.Plan.Publishers = streams
	p.Fleet.Plan.Numbered = streams == 1 && p.Fleet.Plan.Protocol != dialect.Echo.String()
	f, err := fleet.Start(ctx, p.Fleet)
	if err != nil {
		return nil, err
	}
	r := &rig{plan: p, progress: progress, fleet: f, run: &tally.Run{Scenario: name, Protocol: p.Fleet.Plan.Protocol, Began: time.Now()}}
	r.last = r.run.Began
	r.server = p.server()
	if len(p.API.URLs) > 0 {
		if r.publisher, err = fleet.NewPublisher(p.API, p.Fleet.Plan); err != nil {
			return nil, errors.Join(err, r.end())
		}
	}
	return r, nil
}

// end closes everything.
func (r *rig) end() error {
	if r.publisher != nil {
		r.publisher.Close()
	}
	return r.fleet.Close()
}

// tick closes an interval.
func (r *rig) tick(phase string) error {
	report, err := r.fleet.Count()
	if err != nil {
		return err
	}
	now := time.Now()
	if r.publisher != nil {
		sum, ack, trouble := r.publisher.Count()
		report.Counters.Add(sum)
		report.Ack.Merge(&ack)
		if trouble != "" {
			report.Trouble = trouble
		}
	}
	in := tally.Interval{
		At: now.Sub(r.run.Began), For: now.Sub(r.last), Phase: phase, Connections: report.Connections,
		Counters: report.Counters.Since(r.before),
	}
	in.Latency.Merge(&report.Latency)
	in.Open.Merge(&report.Open)
	r.run.Latency.Merge(&report.Latency)
	r.run.Open.Merge(&report.Open)
	r.handshake.Merge(&report.Handshake)
	r.ack.Merge(&report.Ack)
	in.Server = r.plan.server()
	if p, err := fleet.ReadProcesses([]int{0}); err == nil {
		p.RSS += report.Process.RSS
		p.CPU += report.Process.CPU
		in.Load = &p
	}
	r.last, r.before, r.report = now, report.Counters, report
	in.Latency.Pack() // a long run keeps thousands of them
	in.Open.Pack()
	r.run.Intervals = append(r.run.Intervals, in)
	if r.progress != nil {
		r.progress(in)
	}
	return nil
}

// server is what the server's processes take; nil if nobody knows.
func (p *Plan) server() *tally.Process {
	if len(p.PIDs) == 0 {
		return nil
	}
	sum, err := fleet.ReadProcesses(p.PIDs)
	if err != nil {
		return nil
	}
	return &sum
}

// until goes on, interval by interval, until done, or for so long at most.
func (r *rig) until(ctx context.Context, phase string, atMost time.Duration, done func() (bool, error)) (ok bool, err error) {
	end := time.Now().Add(atMost)
	pause := time.NewTimer(r.plan.Every)
	defer pause.Stop()
	for {
		select {
		case <-pause.C:
		case <-ctx.Done():
			return false, ctx.Err()
		}
		if err := r.tick(phase); err != nil {
			return false, err
		}
		if ok, err := done(); ok || err != nil {
			return ok, err
		}
		left := time.Until(end)
		if left <= 0 {
			return false, nil
		}
		pause.Reset(min(left, r.plan.Every))
	}
}

// openAll opens connections and waits until each is open or failed.
func (r *rig) openAll(ctx context.Context, w fleet.Wave) error {
	if w.AtOnce == 0 {
		w.AtOnce = r.plan.AtOnce
	}
	if w.Rate == 0 {
		w.Rate = r.plan.ConnectRate
	}
	if err := r.fleet.Open(w); err != nil {
		return err
	}
	_, err := r.until(ctx, "open", patience, func() (bool, error) { return r.report.Pending == 0, nil })
	return err
}

// patience is more than what ends by itself takes.
const patience = 24 * time.Hour

// publishing runs the publications of the plan, by the API or by connections.
func (r *rig) publishing(ctx context.Context, phase string, d time.Duration) error {
	f, err := r.publish(ctx, d)
	if err != nil {
		return err
	}
	_, err = r.until(ctx, phase, d+r.plan.Overrun, f.over)
	return errors.Join(err, f.end())
}

// feed is publishing that goes on beside the rest of a scenario.
type feed struct {
	rig      *rig
	stop     chan struct{}
	stopped  bool
	finished chan error // nil: by connections
	err      error
}

// publish begins to publish for a time.
func (r *rig) publish(ctx context.Context, d time.Duration) (*feed, error) {
	f := &feed{rig: r, stop: make(chan struct{})}
	if r.publisher == nil {
		began := time.Now().Add(r.plan.Every / 10) // every worker has it by then
		return f, r.fleet.Publish(fleet.Publish{Publishers: r.plan.Publishers, Rate: r.plan.Rate, Size: r.plan.Size, Began: began.UnixNano(), For: d})
	}
	f.finished = make(chan error, 1)
	go func() {
		f.finished <- r.publisher.Run(ctx, fleet.Pace{Rate: r.plan.Rate, Size: r.plan.Size, Lanes: r.plan.Lanes, For: d, Stop: f.stop})
	}()
	return f, nil
}

// over tells whether everything was published.
func (f *feed) over() (bool, error) {
	if f.finished == nil {
		return !f.rig.report.Publishing, nil
	}
	select {
	case f.err = <-f.finished:
		f.stopped = true
		return true, f.err
	default:
		return false, nil
	}
}

// end lets nothing more be published and waits for what is under way. What
// connections have under way is waited for by settle.
func (f *feed) end() error {
	if f.finished == nil {
		return f.rig.fleet.Hush()
	}
	if !f.stopped {
		close(f.stop)
		f.err = <-f.finished
		f.stopped = true
	}
	return f.err
}

// settle waits until everything acknowledged was received, or nothing has come
// for as long as the plan says.
func (r *rig) settle(ctx context.Context) error {
	var missing uint64
	quiet := time.Now()
	_, err := r.until(ctx, "settle", patience, func() (bool, error) {
		var err error
		if missing, err = r.fleet.Undelivered(r.heads()); err != nil {
			return true, err
		}
		if r.run.Intervals[len(r.run.Intervals)-1].Received > 0 {
			quiet = time.Now()
		}
		return missing == 0 && !r.report.Publishing || time.Since(quiet) >= r.plan.Settle, nil
	})
	r.run.Total.Undelivered = missing
	return err
}

// heads are the newest acknowledged numbers by stream.
func (r *rig) heads() []uint64 {
	if r.publisher != nil {
		return r.publisher.Heads()
	}
	heads := make([]uint64, r.plan.Fleet.Plan.Streams())
	for stream, seq := range r.report.Heads {
		if stream >= 0 && stream < len(heads) {
			heads[stream] = max(heads[stream], seq)
		}
	}
	return heads
}
