package scenario

import (
	"reflect"
	"testing"
	"time"

	"weir/loadtest/tally"
)

// published is how many publications a plan has.
const published = 100

// TestFanoutTellsEachFault: a server that does one thing wrong, on purpose, and how
// often it is counted.
func TestFanoutTellsEachFault(t *testing.T) {
	const connections = 6
	fine := tally.Counters{
		Dialed: connections, Opened: connections, Due: published, Published: published, Received: connections * published, Expected: connections * published,
	}
	for name, test := range map[string]struct {
		faults
		channels int
		change   func(c *tally.Counters)
		failures int
		about    func(t *testing.T, r *tally.Run)
	}{
		"nothing": {},
		"two channels, each with half": {channels: 2, change: func(c *tally.Counters) {
			c.Received, c.Expected = c.Received/2, c.Expected/2
		}},
		"drops every 10th": {faults: faults{drop: 10}, failures: 2, change: func(c *tally.Counters) {
			c.Undelivered = connections * 10
			c.Missing = connections * 9 // behind the last nothing came that jumped
			c.Received -= c.Undelivered
		}},
		"drops all": {faults: faults{drop: 1}, failures: 1, change: func(c *tally.Counters) {
			c.Undelivered, c.Received = connections*published, 0
		}},
		"drops all, and tells no positions": {faults: faults{drop: 1, plain: true}, failures: 1, change: func(c *tally.Counters) {
			c.Undelivered, c.Received = connections*published, 0
		}},
		"sends every 10th twice": {faults: faults{twice: 10}, failures: 1, change: func(c *tally.Counters) { c.Duplicated = connections * 10 }},
		"swaps every 11th with the next": {faults: faults{swap: 11}, failures: 1, change: func(c *tally.Counters) {
			c.Reordered = connections * 9
		}},
		"flips a byte of every 10th": {faults: faults{flip: 10}, failures: 3, change: func(c *tally.Counters) {
			c.Corrupted, c.Undelivered, c.Missing = connections*10, connections*10, connections*9
			c.Received -= c.Undelivered
		}},
		"names another channel in every 10th": {faults: faults{rename: 10}, failures: 3, change: func(c *tally.Counters) {
			c.Foreign, c.Undelivered, c.Missing = connections*10, connections*10, connections*9
			c.Received -= c.Undelivered
		}},
		"cuts every 10th short": {faults: faults{cut: 10}, failures: 3, change: func(c *tally.Counters) {
			c.Corrupted, c.Undelivered, c.Missing = connections*10, connections*10, connections*9
			c.Received -= c.Undelivered
		}},
		"sends every 10th to a wrong one too": {faults: faults{stray: 10}, channels: 2, failures: 1, change: func(c *tally.Counters) {
			c.Received, c.Expected = c.Received/2, c.Expected/2
			c.Foreign = 10 // 5 of each channel, to one that has the other
		}},
		"answers every 3rd upgrade with 503": {faults: faults{refuseUpgrades: 3}, failures: 1, change: func(c *tally.Counters) {
			c.Opened, c.Refused, c.Closes = 4, 2, map[string]uint64{"503": 2}
			c.Received, c.Expected = 4*published, 4*published
		}},
		"refuses every subscribe": {faults: faults{refuseSubscribe: true}, failures: 1, change: func(c *tally.Counters) {
			*c = tally.Counters{Dialed: connections, Refused: connections, Closes: map[string]uint64{"103": connections}}
		}},
		"answers every 5th call with 503": {faults: faults{refuseCalls: 5}, failures: 1, change: func(c *tally.Counters) {
			c.Published, c.PublishErr = 80, 20
			c.Received, c.Expected = connections*80, connections*80
		}},
		"is behind, and answers every 5th with an error": {faults: faults{refuseCalls: 5, delay: 10 * time.Millisecond}, channels: 3, failures: 1, change: func(c *tally.Counters) {
			c.Published, c.PublishErr = 80, 20
			c.Received, c.Expected = 160, 160 // 2 subscribers a channel
		}},
		"closes one with 3008": {faults: faults{close: 31}, failures: 2, change: func(c *tally.Counters) {
			c.Lost, c.Closes = 1, map[string]uint64{"3008": 1}
			c.Received -= 70
			c.Undelivered = 70
		}},
		"is late": {faults: faults{delay: 20 * time.Millisecond}, about: func(t *testing.T, r *tally.Run) {
			// Due every 5 ms and published every 20: the last of 100 is 1.5 s late.
			if least, most := r.Latency.Quantile(0), r.Latency.Max(); least < 19*time.Millisecond || most < 1400*time.Millisecond {
				t.Errorf("latencies from %s to %s", least, most)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plan := newFaulty(t, test.faults).plan(connections, max(test.channels, 1))
			want := fine
			if test.change != nil {
				test.change(&want)
			}
			intervals := 0
			r, err := Fanout(t.Context(), plan, func(tally.Interval) { intervals++ })
			if err != nil {
				t.Fatal(err)
			}
			got := r.Total
			got.Bytes = 0
			if !reflect.DeepEqual(got, want) {
				t.Errorf("\n%+v, wanted\n%+v; %s", got, want, r.Failures)
			}
			if len(r.Failures) != test.failures || intervals != len(r.Intervals) || r.Latency.Count() != r.Total.Received {
				t.Errorf("failures %q; %d and %d intervals; %d latencies", r.Failures, intervals, len(r.Intervals), r.Latency.Count())
			}
			if test.about != nil {
				test.about(t, r)
			}
		})
	}
}
