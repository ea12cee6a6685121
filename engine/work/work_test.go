package work

import (
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type job func()

func (j job) Run() { j() }

// gate is a job that says when it runs and waits to be let go on.
type gate struct{ running, release chan struct{} }

func newGate() *gate { return &gate{make(chan struct{}), make(chan struct{})} }

func (g *gate) Run() {
	close(g.running)
	<-g.release
}

func TestFullRefusesWithoutBlocking(t *testing.T) {
	p := New(1, 2)
	g := newGate()
	if !p.Try(g) {
		t.Fatal("an idle pool refused")
	}
	<-g.running
	var ran atomic.Int32
	count := job(func() { ran.Add(1) })
	for i, want := range []bool{true, true, false, false} {
		if got := p.Try(count); got != want {
			t.Fatalf("job %d: taken %v, want %v", i, got, want)
		}
	}
	if p.Queued() != 2 {
		t.Fatalf("Queued %d, want 2", p.Queued())
	}
	close(g.release)
	p.Close()
	if ran.Load() != 2 {
		t.Fatalf("%d jobs ran, want the 2 that were taken", ran.Load())
	}
}

func TestCloseDrainsAndRefuses(t *testing.T) {
	p := New(3, 100)
	g := newGate()
	p.Try(g)
	<-g.running
	var ran atomic.Int32
	for range 100 {
		if !p.Try(job(func() { ran.Add(1) })) {
			t.Fatal("refused below its bound")
		}
	}
	closed := make(chan struct{})
	go func() { p.Close(); close(closed) }()
	runtime.Gosched()
	select {
	case <-closed:
		t.Fatal("Close returned while a job ran")
	default:
	}
	close(g.release)
	<-closed
	if ran.Load() != 100 {
		t.Fatalf("%d of 100 queued jobs ran", ran.Load())
	}
	p.Close()
	if p.Try(g) {
		t.Fatal("a closed pool took a job")
	}
}

func TestPanicIsContainedAndReported(t *testing.T) {
	p := New(1, 8)
	var value any
	var trace string
	p.Panic = func(v any, stack []byte) { value, trace = v, string(stack) }
	after := false
	p.Try(job(explode))
	p.Try(job(func() { after = true }))
	p.Close()
	if value != "boom" || !strings.Contains(trace, "explode") {
		t.Fatalf("reported %v with stack\n%s", value, trace)
	}
	if !after {
		t.Fatal("the worker did not go on")
	}
}

func explode() { panic("boom") }

func TestPanicWithoutReport(t *testing.T) {
	p := New(1, 8)
	after := false
	p.Try(job(explode))
	p.Try(job(func() { after = true }))
	p.Close()
	if !after {
		t.Fatal("the worker did not go on")
	}
}

func TestGoexitDoesNotCostAWorker(t *testing.T) {
	p := New(2, 16)
	var ran atomic.Int32
	for range 8 {
		p.Try(job(func() { ran.Add(1); runtime.Goexit() }))
	}
	p.Try(job(func() { ran.Add(1) }))
	p.Close()
	if ran.Load() != 9 {
		t.Fatalf("%d of 9 jobs ran", ran.Load())
	}
}

// Many senders, a few workers, a close in their midst: every job that was taken ran exactly once.
func TestEveryTakenJobRunsOnce(t *testing.T) {
	p := New(4, 32)
	var taken, ran atomic.Int64
	var senders sync.WaitGroup
	half := make(chan struct{})
	for sender := range 8 {
		senders.Go(func() {
			for i := range 2000 {
				if sender == 0 && i == 1000 {
					close(half)
				}
				if p.Try(job(func() { ran.Add(1) })) {
					taken.Add(1)
				} else {
					runtime.Gosched()
				}
			}
		})
	}
	<-half
	p.Close()
	senders.Wait()
	if taken.Load() != ran.Load() || ran.Load() == 0 {
		t.Fatalf("%d taken, %d ran", taken.Load(), ran.Load())
	}
}

func TestNewRefusesAnUnboundedPool(t *testing.T) {
	for _, size := range [][2]int{{0, 1}, {1, 0}, {-1, 1}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("New(%d, %d) did not panic", size[0], size[1])
				}
			}()
			New(size[0], size[1])
		}()
	}
}

func BenchmarkTry(b *testing.B) {
	p := New(2, 1024)
	j := &noop{}
	b.ReportAllocs()
	for b.Loop() {
		p.Try(j)
	}
	p.Close()
}

type noop struct{}

func (*noop) Run() {}

func TestTryDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("skipped: allocations are not counted under the race detector")
	}
	p := New(1, 4)
	j := &noop{}
	if n := testing.AllocsPerRun(1000, func() { p.Try(j) }); n != 0 { // taken and refused alike
		t.Fatalf("%v allocations, want 0", n)
	}
	p.Close()
}
