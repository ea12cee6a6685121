package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// fakeServer conflates for the slow reader: what is superseded by the time it reads is left out, but for the first few.
type fakeServer struct {
	mu        sync.Mutex
	followed  bool
	busy      []price // by offset, from 1
	reports   []string
	dials     int
	closes    int
	refuse    error // of Dial
	interrupt error // of Next
	next      int   // offset that Next looks at
	woke      time.Time
	queued    int // read since then
}

const fakeBacklog = 300

func (f *fakeServer) slow(t *testing.T) *Slow {
	return &Slow{
		Publish: func(_ context.Context, channel string, data []byte) (uint64, error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			if channel == SlowReader {
				f.reports = append(f.reports, string(data))
				return uint64(len(f.reports)), nil
			}
			if channel != Busy || !f.followed && f.dials == f.closes {
				t.Errorf("published to %s while followed is %v", channel, f.followed)
			}
			f.busy = append(f.busy, read(t, data))
			return uint64(len(f.busy)), nil
		},
		Followed: func(_ context.Context, channel string) (bool, error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			return f.followed && channel == SlowReader, nil
		},
		Dial: func(_ context.Context, channel string) (Messages, error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			if channel != Busy {
				t.Errorf("the reader follows %s", channel)
			}
			f.dials++
			f.next = len(f.busy) + 1
			return f, f.refuse
		},
	}
}

func (f *fakeServer) Next(context.Context) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.interrupt != nil {
		return nil, f.interrupt
	}
	if now := time.Now(); now != f.woke { // what is read at one time waited together
		f.woke, f.queued = now, 0
	}
	superseded := func(p price) bool { return p.Symbol == f.busy[f.next-1].Symbol }
	for f.queued >= fakeBacklog && slices.ContainsFunc(f.busy[f.next:], superseded) {
		f.next++
	}
	p := f.busy[f.next-1]
	f.next++
	f.queued++
	return fmt.Appendf(nil, `{"channel":%q,"offset":%d,"epoch":"E","data":{"symbol":%q,"price":%v,"time":%d}}`, Busy, f.next-1, p.Symbol, p.Price, p.Time), nil
}

func (f *fakeServer) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closes++
}

func (f *fakeServer) follow(followed bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.followed = followed
}

func (f *fakeServer) counts() (busy, reports, dials, closes int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.busy), len(f.reports), f.dials, f.closes
}

func (f *fakeServer) published(top uint64) []price {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.busy[:top])
}

func (f *fakeServer) lastReport(t *testing.T) (r reading) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.reports) == 0 {
		t.Fatal("no report")
	}
	if err := json.Unmarshal([]byte(f.reports[len(f.reports)-1]), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// started runs a demonstration until the test ends.
func (f *fakeServer) started(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { f.slow(t).Run(ctx, 1) })
	t.Cleanup(func() {
		cancel()
		wg.Wait()
		if _, _, dials, closes := f.counts(); f.refuse == nil && dials != closes {
			t.Errorf("%d connections were opened and %d closed", dials, closes)
		}
	})
}

// pass lets time pass and everything that follows from it happen.
func pass(d time.Duration) {
	<-time.After(d) // of synctest's clock
	synctest.Wait()
}

func TestSlowReaderHasTheNewest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeServer{followed: true}
		f.started(t)
		read := uint64(0)
		for reports := 1; reports <= 4; reports++ {
			pass(nap + time.Millisecond)
			r := f.lastReport(t)
			if _, n, _, _ := f.counts(); n != reports {
				t.Fatalf("%d reports after %d naps", n, reports)
			}
			newest := map[string]float64{}
			for _, p := range f.published(r.To) {
				newest[p.Symbol] = p.Price
			}
			if !maps.Equal(r.Prices, newest) || len(newest) != 8 {
				t.Errorf("the reader has %v, the newest are %v", r.Prices, newest)
			}
			if r.From != read || r.Received+r.LeftOut != r.To-r.From || r.Received < fakeBacklog || r.LeftOut < 1500 {
				t.Errorf("received %d, left out %d, from %d to %d; had read up to %d", r.Received, r.LeftOut, r.From, r.To, read)
			}
			read = r.To
			if len(r.Shown) == 0 || len(r.Shown) > maxShown {
				t.Errorf("%d prices are shown", len(r.Shown))
			}
		}
	})
}

func TestSlowReaderRunsWhileSomebodyFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := new(fakeServer)
		f.started(t)
		pass(time.Minute)
		if busy, reports, dials, _ := f.counts(); busy+reports+dials != 0 {
			t.Errorf("nobody follows: %d publications, %d reports, %d connections", busy, reports, dials)
		}
		for range 2 {
			f.follow(true)
			pass(time.Minute)
			f.follow(false)
			pass(watch + busyEvery)
			before, reports, dials, closes := f.counts()
			if before == 0 || reports < 10 || dials != closes {
				t.Errorf("after a minute: %d publications, %d reports, %d connections of which %d closed", before, reports, dials, closes)
			}
			pass(time.Minute)
			if after, _, _, _ := f.counts(); after != before {
				t.Errorf("nobody follows any more: %d publications", after-before)
			}
		}
	})
}

// What ends the reader is told to those who follow, and after a nap there is another.
func TestSlowReaderThatFails(t *testing.T) {
	for name, f := range map[string]*fakeServer{
		"dialling": {followed: true, refuse: errors.New("broken")},
		"reading":  {followed: true, interrupt: errors.New("broken")},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f.started(t)
				pass(3*nap + time.Second)
				_, reports, dials, _ := f.counts()
				if dials < 2 || dials > 4 || reports < 1 {
					t.Errorf("%d attempts and %d reports", dials, reports)
				}
				var report struct{ Failed string }
				if err := json.Unmarshal([]byte(f.reports[0]), &report); err != nil || !strings.Contains(report.Failed, "broken") {
					t.Errorf("%s: %v", f.reports[0], err)
				}
			})
		})
	}
}
