// Package work runs jobs that may wait (a signature check, a call to the broker, a look into
// history) away from the loops, on a fixed number of goroutines behind a queue of fixed length.
//
// The loop hands a job over with Try and goes on at once. Try never blocks and the queue never
// grows: false means full, and the caller refuses the peer. What a job finds out it posts back
// to the loop's mailbox itself; the pool knows nothing of results.
package work

import (
	"runtime/debug"
	"sync"
)

// Job is one piece of work. Run is called once, on a worker's goroutine. Hand over a pointer to a
// struct that is kept and used again, and the hand-over allocates nothing.
type Job interface{ Run() }

// Pool is a fixed set of workers and their bounded queue. All methods may be called from any
// goroutine, Close not from a job.
type Pool struct {
	// Panic, if not nil, is told about a job that panicked; the worker goes on with the next one. It is
	// called on the worker's goroutine. Set it before the first Try.
	Panic func(v any, stack []byte)

	queue   chan Job
	workers sync.WaitGroup

	mu     sync.RWMutex // keeps a sender away from the closed queue; nobody waits while holding it
	closed bool         // guarded by mu
}

// New starts a pool of that many workers with room for queue waiting jobs. It panics if there would
// be no worker or no room.
func New(workers, queue int) *Pool {
	if workers <= 0 || queue <= 0 {
		panic("work: a pool needs a worker and room for a job")
	}
	p := &Pool{queue: make(chan Job, queue)}
	p.workers.Add(workers)
	for range workers {
		go p.work()
	}
	return p
}

// Try queues job and returns true, or returns false at once if the queue is full or the pool closed.
func (p *Pool) Try(job Job) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.closed {
		return false
	}
	select {
	case p.queue <- job:
		return true
	default:
		return false
	}
}

// Queued returns the number of jobs that wait for a worker.
func (p *Pool) Queued() int { return len(p.queue) }

// Close refuses further jobs, lets the workers finish what is queued and waits for them. Calling it
// again waits likewise.
func (p *Pool) Close() {
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		close(p.queue)
	}
	p.mu.Unlock()
	p.workers.Wait()
}

// work is the life of a worker. A job that ends its goroutine (runtime.Goexit, as a failing test
// does) would take the worker with it: another one takes its place.
func (p *Pool) work() {
	drained := false
	defer func() {
		if drained {
			p.workers.Done()
			return
		}
		go p.work()
	}()
	for job := range p.queue {
		p.run(job)
	}
	drained = true
}

func (p *Pool) run(job Job) {
	defer func() {
		if v := recover(); v != nil && p.Panic != nil {
			p.Panic(v, debug.Stack())
		}
	}()
	job.Run()
}
