package scenario

import (
	"os"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"weir/loadtest/fleet"
	"weir/loadtest/tally"
)

// counted is what a run came to, without what nobody can foretell.
func counted(r *tally.Run) tally.Counters {
	c := r.Total
	c.Bytes = 0
	return c
}

// TestRecoverTellsWhatIsLost: everybody is cut off and comes back; with a server that
// kept what they missed nothing is missing, with one that did not all of it is told.
func TestRecoverTellsWhatIsLost(t *testing.T) {
	const connections = 5
	for name, f := range map[string]faults{"keeps it": {}, "forgets it": {forget: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newFaulty(t, f)
			plan := s.plan(connections, 2)
			plan.Away = 100 * time.Millisecond
			plan.Duration = time.Second
			r, err := Recover(t.Context(), plan, nil)
			if err != nil {
				t.Fatal(err)
			}
			got := counted(r)
			want := tally.Counters{Dialed: 2 * connections, Opened: 2 * connections, Left: connections, Due: 200, Published: 200, Expected: 100 * connections}
			if want.Recovered = connections; f.forget {
				want.Recovered, want.Unrecovered = 0, connections
			}
			want.Missing, want.Undelivered = got.Missing, got.Undelivered
			want.Received = want.Expected - got.Undelivered
			if f.forget != (got.Missing > 0) || f.forget != (len(r.Failures) > 0) || !reflect.DeepEqual(got, want) {
				t.Errorf("\n%+v, wanted\n%+v; %s", got, want, r.Failures)
			}
			if figure, ok := r.Figure("return"); !ok || figure.Value <= 0 {
				t.Errorf("%+v", r.Figures)
			}
		})
	}
}

// TestEcho: every connection sends and gets its own back.
func TestEcho(t *testing.T) {
	t.Parallel()
	const connections = 4
	plan := newFaulty(t, faults{}).plan(connections, connections)
	to := &plan.Fleet.Plan.Targets[0]
	to.URL = strings.Replace(to.URL, "/connection/websocket", "/echo", 1)
	plan.Fleet.Plan.Protocol, plan.API, plan.Publishers = "echo", fleet.API{}, connections
	plan.Fleet.Plan.Numbered = false
	r, err := Fanout(t.Context(), plan, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := tally.Counters{Dialed: connections, Opened: connections, Due: published, Published: published, Received: published, Expected: published}
	if got := counted(r); !reflect.DeepEqual(got, want) || len(r.Failures) > 0 {
		t.Errorf("\n%+v, wanted\n%+v; %s", got, want, r.Failures)
	}
}

// TestClientsPublish: connections publish to the channels, two to each, and all
// subscribers have all of it in order.
func TestClientsPublish(t *testing.T) {
	t.Parallel()
	const connections, channels = 8, 2
	plan := newFaulty(t, faults{}).plan(connections, channels)
	plan.API, plan.Publishers, plan.Fleet.Plan.Publishers, plan.Fleet.Plan.Numbered = fleet.API{}, 2*channels, 2, false
	r, err := Fanout(t.Context(), plan, nil)
	if err != nil {
		t.Fatal(err)
	}
	const received = published * connections / channels
	want := tally.Counters{Dialed: connections, Opened: connections, Due: published, Published: published, Received: received, Expected: received}
	if got := counted(r); !reflect.DeepEqual(got, want) || len(r.Failures) > 0 {
		t.Errorf("\n%+v, wanted\n%+v; %s", got, want, r.Failures)
	}
	if _, ok := r.Figure("ack_p99"); !ok {
		t.Error("no time of acknowledgements")
	}
}

// TestStorm: connections come and go; the share that is asked to resumes.
func TestStorm(t *testing.T) {
	t.Parallel()
	plan := newFaulty(t, faults{}).plan(1, 1)
	plan.AtOnce, plan.Resume, plan.Duration = 1, 0.5, 2*time.Second
	r, err := Storm(t.Context(), plan, nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &r.Total
	if c.Opened < 4 || c.Dialed != c.Opened || c.Left != c.Opened || c.Lost > 0 || len(r.Failures) > 0 {
		t.Errorf("%+v %s", c, r.Failures)
	}
	// All but the first of every second one.
	if c.Resumed != c.Opened/2-1 {
		t.Errorf("%d of %d resumed", c.Resumed, c.Opened)
	}
	if r.Open.Count() != c.Opened {
		t.Errorf("%d times of %d connections", r.Open.Count(), c.Opened)
	}
}

func TestIdle(t *testing.T) {
	t.Parallel()
	plan := newFaulty(t, faults{}).plan(40, 1)
	if _, err := Idle(t.Context(), plan, nil); err == nil {
		t.Error("there is no process to look at")
	}
	plan.PIDs, plan.Duration = []int{os.Getpid()}, 50*time.Millisecond
	r, err := Idle(t.Context(), plan, nil)
	if runtime.GOOS != "linux" {
		if err == nil {
			t.Error("the memory of a process was read where there is no /proc")
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := r.Figure("slope"); !ok || r.Total.Opened != 40 || len(r.Failures) > 0 {
		t.Errorf("%+v %+v %s", r.Figures, r.Total, r.Failures)
	}
}
