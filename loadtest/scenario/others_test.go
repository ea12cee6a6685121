package scenario

import (
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"weir/loadtest/attack"
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
			var r *tally.Run
			var got tally.Counters
			var due uint64
			// A machine that stands still may have published everything before anybody was away.
			for d := time.Second; d < time.Minute && (r == nil || f.forget && got.Missing == 0); d *= 2 {
				plan := newFaulty(t, f).plan(connections, 2)
				plan.Duration, plan.Away, due = d, d/10, uint64(d.Seconds()*plan.Rate)
				var err error
				if r, err = Recover(t.Context(), plan, nil); err != nil {
					t.Fatal(err)
				}
				got = counted(r)
			}
			want := tally.Counters{Dialed: 2 * connections, Opened: 2 * connections, Left: connections, Due: due, Published: due, Expected: due / 2 * connections}
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
	plan.AtOnce, plan.Resume = 1, 0.5
	var r *tally.Run
	for plan.Duration = time.Second; r == nil || r.Total.Opened < 4; plan.Duration *= 2 {
		var err error
		if r, err = Storm(t.Context(), plan, nil); err != nil {
			t.Fatal(err)
		}
	}
	c := &r.Total
	if c.Dialed != c.Opened || c.Left != c.Opened || c.Lost > 0 || len(r.Failures) > 0 {
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

// TestMixed: connections leave and come again all the while, and nothing is missing
// that the server kept for them.
func TestMixed(t *testing.T) {
	t.Parallel()
	const connections = 8
	plan := newFaulty(t, faults{}).plan(connections, 2)
	plan.Churn, plan.Duration, plan.Slow, plan.SlowEach, plan.Settle = 20, time.Second, 2, 10*time.Millisecond, time.Hour
	r, err := Mixed(t.Context(), plan, nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &r.Total
	if c.Left == 0 || c.Opened != connections+c.Left || c.Recovered != c.Left || c.Lost > 0 || len(r.Failures) > 0 {
		t.Errorf("%+v %s", c, r.Failures)
	}
	if c.Published != 200 || c.Received != c.Expected || c.Expected != 100*connections {
		t.Errorf("%+v", c)
	}
}

// TestMixedTellsWhatIsLost: the same, and the server forgets what they missed.
func TestMixedTellsWhatIsLost(t *testing.T) {
	t.Parallel()
	plan := newFaulty(t, faults{forget: true}).plan(4, 1)
	plan.Churn, plan.Duration = 20, time.Second
	r, err := Mixed(t.Context(), plan, nil)
	if err != nil {
		t.Fatal(err)
	}
	if c := &r.Total; c.Unrecovered != c.Left || c.Left == 0 || c.Recovered > 0 || len(r.Failures) == 0 {
		t.Errorf("%+v %s", c, r.Failures)
	}
}

// TestPublish: through the API, then by connections, each with its own figures.
func TestPublish(t *testing.T) {
	t.Parallel()
	const connections = 4
	plan := newFaulty(t, faults{}).plan(connections, 2)
	plan.Publishers = 2
	r, err := Publish(t.Context(), plan, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := tally.Counters{
		Dialed: 2 * connections, Opened: 2 * connections, Due: 2 * published, Published: 2 * published,
		Received: published * connections, Expected: published * connections,
	}
	if got := counted(r); !reflect.DeepEqual(got, want) || len(r.Failures) > 0 {
		t.Errorf("\n%+v, wanted\n%+v; %s", got, want, r.Failures)
	}
	for _, name := range []string{"api_ack_p99", "client_ack_p99"} {
		if f, ok := r.Figure(name); !ok || f.Value <= 0 {
			t.Errorf("%s: %+v", name, f)
		}
	}
	plan.API, plan.Publishers = fleet.API{}, 0
	if _, err := Publish(t.Context(), plan, nil); err == nil {
		t.Error("nobody published")
	}
}

// TestAttack: floods go on beside the honest, who miss nothing; one who is closed
// meanwhile is told.
func TestAttack(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("attackers come from addresses that only Linux has")
	}
	for name, f := range map[string]faults{"all stay": {}, "one is closed": {close: 20}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newFaulty(t, f)
			plan := s.plan(3, 1)
			to := plan.Fleet.Plan.Targets[0]
			ca := filepath.Join(t.TempDir(), "ca.pem")
			if err := os.WriteFile(ca, to.CAs, 0o600); err != nil {
				t.Fatal(err)
			}
			plan.Rate = 50
			plan.Attacks = Attacks{Calm: 100 * time.Millisecond, Back: time.Hour, Target: attack.Target{
				Addr: s.public.Listener.Addr().String(), Name: "127.0.0.1", Authority: ca, From: netip.MustParsePrefix("127.2.0.0/15"), Attackers: 2,
			}}
			for _, name := range []string{"churn", "stalled-hello"} {
				kind, _ := attack.Named(name)
				plan.Attacks.Kinds = append(plan.Attacks.Kinds, kind)
			}
			plan.Duration = 300 * time.Millisecond
			r, err := Attack(t.Context(), plan, nil)
			if err != nil {
				t.Fatal(err)
			}
			if f.close > 0 != (r.Total.Closes["3008"] == 1) || f.close > 0 != (len(r.Failures) > 0) || r.Total.Opened != 3 {
				t.Errorf("%+v %s", r.Total, r.Failures)
			}
			for _, name := range []string{"calm_p99", "flood_p99", "back", "churn_p99", "stalled_hello_lives"} {
				if _, ok := r.Figure(name); !ok {
					t.Errorf("no %s", name)
				}
			}
			if f, _ := r.Figure("stalled_hello_lives"); f.Value < 2 {
				t.Errorf("%+v", f)
			}
		})
	}
}

// TestAttackWithoutAPI: publishing by connections ends behind the last flood.
func TestAttackWithoutAPI(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("attackers come from addresses that only Linux has")
	}
	t.Parallel()
	s := newFaulty(t, faults{})
	plan := s.plan(2, 1)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, plan.Fleet.Plan.Targets[0].CAs, 0o600); err != nil {
		t.Fatal(err)
	}
	plan.API, plan.Publishers, plan.Rate, plan.Duration = fleet.API{}, 1, 50, 100*time.Millisecond
	kind, _ := attack.Named("churn")
	plan.Attacks = Attacks{Kinds: []attack.Kind{kind}, Calm: 100 * time.Millisecond, Back: time.Hour, Target: attack.Target{
		Addr: s.public.Listener.Addr().String(), Name: "127.0.0.1", Authority: ca, From: netip.MustParsePrefix("127.2.0.0/15"), Attackers: 1,
	}}
	r, err := Attack(t.Context(), plan, nil)
	if err != nil || len(r.Failures) > 0 || r.Total.Published == 0 || r.Total.Due != r.Total.Published {
		t.Errorf("%v: %+v %s", err, r.Total, r.Failures)
	}
}
