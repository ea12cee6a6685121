package scenario

import (
	"testing"
	"time"

	"weir/loadtest/tally"
)

// TestSpan: what the server took in a phase that lies between is not counted.
func TestSpan(t *testing.T) {
	r := rig{server: &tally.Process{CPU: time.Second}, run: &tally.Run{}}
	for i, phase := range []string{"open", "open", "rest", "open", "idle"} {
		in := tally.Interval{Phase: phase, Server: &tally.Process{CPU: time.Second + 1<<i}}
		in.Opened = 10
		r.run.Intervals = append(r.run.Intervals, in)
	}
	sum, server := r.span("open")
	if server == nil || server.CPU != 2+4 || sum.Opened != 30 { // 1 and 1 more; then 8-4
		t.Errorf("%+v %+v", sum, server)
	}
	r.server, r.run.Intervals = nil, r.run.Intervals[:1]
	if _, server := r.span("open"); server != nil {
		t.Errorf("%+v", server)
	}
}
