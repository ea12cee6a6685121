package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"sync"

	"weir/loadtest/tally"
)

// hand is a worker as the coordinator has it.
type hand interface {
	do(o Order) (Report, error)
	end() error
}

// Options say what workers there are.
type Options struct {
	Plan        Plan
	Connections int // the most that will be open
	Processes   int // workers; 0: as many as Connections ask for
	// Program is what a worker runs, with Environment beside this process's: it
	// calls Serve with its standard input and output. "": one worker, in this process.
	Program     string
	Environment []string
	Stderr      io.Writer // of the workers
	Log         *slog.Logger
}

// Fleet is the coordinator. It is for one goroutine at a time.
type Fleet struct {
	plan  Plan
	hands []hand
}

// Start starts the workers.
func Start(ctx context.Context, o Options) (*Fleet, error) {
	if o.Connections < 0 || o.Connections > maxConnections {
		return nil, fmt.Errorf("%d connections: at most %d", o.Connections, maxConnections)
	}
	if err := o.Plan.check(); err != nil {
		return nil, err
	}
	n := max(o.Processes, 1)
	if o.Processes == 0 {
		n = max(1, (o.Connections+WorkerConnections-1)/WorkerConnections)
	}
	if o.Program == "" {
		n = 1
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	f := &Fleet{plan: o.Plan}
	for i := range n {
		h, err := start(ctx, o, Begin{Plan: o.Plan.forWorker(i), Number: i, Of: n, Capacity: (o.Connections + n - 1) / n})
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		f.hands = append(f.hands, h)
	}
	return f, nil
}

// sourcesOfWorker is how many source addresses are each worker's own.
const sourcesOfWorker = 1000

// forWorker is the plan with the worker's own source addresses.
func (p *Plan) forWorker(number int) Plan {
	own := *p
	own.Targets = append(own.Targets[:0:0], own.Targets...)
	for i := range own.Targets {
		own.Targets[i].Source0 += number * sourcesOfWorker
	}
	return own
}

func start(ctx context.Context, o Options, b Begin) (hand, error) {
	if o.Program == "" {
		c, err := newCrew(ctx, b, o.Log)
		return local{c}, err
	}
	r := &remote{process: exec.Command(o.Program)}
	r.process.Env = append(os.Environ(), o.Environment...)
	r.process.Stderr = o.Stderr
	var err error
	if r.in, err = r.process.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := r.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := r.process.Start(); err != nil {
		return nil, err
	}
	r.orders, r.reports = json.NewEncoder(r.in), json.NewDecoder(out)
	if _, err := r.do(Order{Begin: &b}); err != nil {
		return nil, errors.Join(err, r.end())
	}
	return r, nil
}

// remote is a worker in a process of its own.
type remote struct {
	process *exec.Cmd
	in      io.WriteCloser
	orders  *json.Encoder
	reports *json.Decoder
}

func (r *remote) do(o Order) (report Report, err error) {
	if err := r.orders.Encode(&o); err != nil {
		return report, fmt.Errorf("a worker: %w", err)
	}
	if err := r.reports.Decode(&report); err != nil {
		return report, fmt.Errorf("a worker: %w", err)
	}
	if report.Failure != "" {
		return report, errors.New(report.Failure)
	}
	return report, nil
}

func (r *remote) end() error { return errors.Join(r.in.Close(), r.process.Wait()) }

// Close ends every worker and with it every connection.
func (f *Fleet) Close() error {
	errs := make([]error, len(f.hands))
	var all sync.WaitGroup
	for i, h := range f.hands {
		all.Go(func() { errs[i] = h.end() })
	}
	all.Wait()
	return errors.Join(errs...)
}

// each gives every worker its order at the same time.
func (f *Fleet) each(order func(worker int) Order) ([]Report, error) {
	reports, errs := make([]Report, len(f.hands)), make([]error, len(f.hands))
	var all sync.WaitGroup
	for i, h := range f.hands {
		all.Go(func() { reports[i], errs[i] = h.do(order(i)) })
	}
	all.Wait()
	return reports, errors.Join(errs...)
}

// part is worker i's part of n.
func (f *Fleet) part(n, i int) int { return n/len(f.hands) + min(1, max(0, n%len(f.hands)-i)) }

// Open begins a wave over all workers, and returns at once.
func (f *Fleet) Open(w Wave) error {
	_, err := f.each(func(i int) Order {
		own := w
		if !w.Again { // where those are who are away, the workers know
			own.N = f.part(w.N, i)
		}
		own.Rate = w.Rate / float64(len(f.hands))
		if w.AtOnce > 0 {
			own.AtOnce = max(1, f.part(w.AtOnce, i))
		}
		return Order{Open: &own}
	})
	return err
}

// Drop closes n connections.
func (f *Fleet) Drop(n int) error {
	_, err := f.each(func(i int) Order { return Order{Drop: &Drop{f.part(n, i)}} })
	return err
}

// DropAll closes every connection.
func (f *Fleet) DropAll() error {
	_, err := f.each(func(int) Order { return Order{Drop: &Drop{maxConnections}} })
	return err
}

// Hush ends publishing by connections before its time.
func (f *Fleet) Hush() error {
	_, err := f.each(func(int) Order { return Order{Hush: true} })
	return err
}

// Publish lets connections publish, and returns at once.
func (f *Fleet) Publish(p Publish) error {
	_, err := f.each(func(int) Order { return Order{Publish: &p} })
	return err
}

// Undelivered is how many publications are missing, by the newest acknowledged
// number of each stream.
func (f *Fleet) Undelivered(heads []uint64) (n uint64, err error) {
	if len(heads) == 0 {
		heads = make([]uint64, 1)
	}
	reports, err := f.each(func(int) Order { return Order{Settle: heads} })
	for i := range reports {
		n += reports[i].Undelivered
	}
	return n, err
}

// Count adds up what the workers saw. Counters are from the beginning on,
// histograms since the last Count. Process is all workers that have one of their own.
func (f *Fleet) Count() (sum Report, err error) {
	reports, err := f.each(func(int) Order { return Order{Count: true} })
	for i := range reports {
		sum.add(&reports[i])
	}
	return sum, err
}

func (r *Report) add(o *Report) {
	r.Counters.Add(o.Counters)
	for _, h := range []struct{ to, from *tally.Histogram }{
		{&r.Latency, &o.Latency}, {&r.Open, &o.Open}, {&r.Handshake, &o.Handshake}, {&r.Ack, &o.Ack},
	} {
		h.to.Merge(h.from)
	}
	r.Connections += o.Connections
	r.Pending += o.Pending
	r.Slow += o.Slow
	r.Publishing = r.Publishing || o.Publishing
	r.Process.RSS += o.Process.RSS
	r.Process.CPU += o.Process.CPU
	r.SlowClosed = merged(r.SlowClosed, o.SlowClosed)
	r.Heads = merged(r.Heads, o.Heads)
	if o.Trouble != "" {
		r.Trouble = o.Trouble
	}
}

// merged adds the numbers of b to a.
func merged[K comparable](a, b map[K]uint64) map[K]uint64 {
	if a == nil {
		return b
	}
	for k, n := range b {
		a[k] += n
	}
	return a
}
