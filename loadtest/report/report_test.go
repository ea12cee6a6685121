package report

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"

	"weir/loadtest/tally"
)

// sample is a run of n seconds: two to connect, then 1,000 deliveries a second
// of 1 to 100 ms, from a server that takes 2 µs for each.
func sample(n int) *tally.Run {
	r := &tally.Run{
		Scenario: "fan-out", Target: "wss://127.0.0.1:8443/connection/websocket", Protocol: "weir",
		Options: map[string]string{"subscribers": "500", "rate": "2/s"},
		Machine: tally.Machine{OS: "Linux 6.1", Arch: "amd64", CPU: "a processor", Cores: 2, Memory: 8 << 30, Go: "go1.26", Weir: "dev", Congestion: "cubic"},
		Began:   time.Date(2026, 11, 23, 2, 0, 0, 0, time.UTC), Took: time.Duration(n) * time.Second,
	}
	cpu := time.Second
	for i := range n {
		in := tally.Interval{At: time.Duration(i+1) * time.Second, For: time.Second, Phase: "fan-out", Connections: 500}
		if i < 2 {
			in.Phase, in.Connections = "connect", 250*(i+1)
			in.Dialed, in.Opened = 250, 250
			for range 250 {
				in.Open.Record(5 * time.Millisecond)
			}
			cpu += 100 * time.Millisecond
		} else {
			in.Due, in.Published, in.Received, in.Expected, in.Bytes = 2, 2, 1000, 1000, 256_000
			for k := range 1000 {
				in.Latency.Record(time.Duration(1+(k*7+i)%100) * time.Millisecond)
			}
			cpu += 2 * time.Millisecond
		}
		in.Server = &tally.Process{RSS: int64(20+i) << 20, CPU: cpu}
		in.Load = &tally.Process{RSS: 64 << 20, CPU: 2 * cpu}
		r.Total.Add(in.Counters)
		r.Latency.Merge(&in.Latency)
		r.Open.Merge(&in.Open)
		r.Intervals = append(r.Intervals, in)
	}
	r.Figures = Figures(r)
	return r
}

func TestFigures(t *testing.T) {
	r := sample(10)
	for name, want := range map[string]string{
		"p50": "50.0 ms", "p99": "99.0 ms", "max": "100 ms", "received": "8,000", "delivered": "100 %", "undelivered": "0", "errors": "0", "lost": "0",
		"opened": "500", "connects_per_second": "250/s", "open_p99": "5.00 ms", "deliveries_per_second": "1,000/s", "bytes_per_second": "250 KiB/s",
		"publishes_per_second": "2/s", "cpu_per_delivery": "2 µs", "server_rss_max": "29 MiB", "connections_max": "500",
	} {
		f, ok := r.Figure(name)
		if got := Format(f.Value, f.Unit); !ok || got != want {
			t.Errorf("%s: %q, wanted %q (%v)", name, got, want, ok)
		}
	}
	r.Total = tally.Counters{DialFailed: 1, Refused: 2, Lost: 3, PublishErr: 4, Missing: 5, Expected: 100, Undelivered: 1}
	r.Figures = Figures(r)
	for name, want := range map[string]float64{"errors": 10, "lost": 3, "missing": 5, "delivered": 0.99, "publish_errors": 4} {
		if f, _ := r.Figure(name); f.Value != want {
			t.Errorf("%s: %v, wanted %v", name, f.Value, want)
		}
	}
}

// The server's time counts from before the first delivery, and only where it is known.
func TestProcessorTimeOfDeliveries(t *testing.T) {
	at := func(cpu time.Duration, received uint64) tally.Interval {
		return tally.Interval{For: time.Second, Server: &tally.Process{CPU: cpu * time.Second}, Counters: tally.Counters{Received: received}}
	}
	unknown := tally.Interval{For: time.Second, Counters: tally.Counters{Received: 10}}
	for name, c := range map[string]struct {
		intervals []tally.Interval
		want      float64 // seconds; 0: there is none
	}{
		"from before":        {[]tally.Interval{at(5, 0), at(10, 0), at(20, 10), at(40, 10), at(90, 0)}, 1.5},
		"from the beginning": {[]tally.Interval{at(10, 10), at(20, 10)}, 1},
		"known in between":   {[]tally.Interval{at(10, 0), unknown, at(30, 10), unknown}, 1},
		"known once":         {[]tally.Interval{unknown, at(30, 10), unknown}, 0},
		"no deliveries":      {[]tally.Interval{at(10, 0), at(20, 0)}, 0},
	} {
		r := &tally.Run{Intervals: c.intervals}
		for _, in := range c.intervals {
			r.Total.Add(in.Counters)
		}
		r.Figures = Figures(r)
		if f, ok := r.Figure("cpu_per_delivery"); f.Value != c.want || ok != (c.want > 0) {
			t.Errorf("%s: %v, %v, wanted %v", name, f.Value, ok, c.want)
		}
	}
}

// What was not measured is not there, and what is there is a number.
func TestFiguresOfLittle(t *testing.T) {
	for name, r := range map[string]*tally.Run{
		"nothing":      {},
		"one interval": sample(1), "no deliveries": sample(2), "one delivery": sample(3),
		"no time": {Intervals: []tally.Interval{{Counters: tally.Counters{Received: 1, Opened: 1, Published: 1}}}},
		"a server that began again": {Machine: tally.Machine{Cores: 1}, Intervals: []tally.Interval{
			{At: 1, Server: &tally.Process{CPU: 10}}, {At: 2, Server: &tally.Process{CPU: 5}, Counters: tally.Counters{Received: 1}}}},
	} {
		for _, f := range Figures(r) {
			if !finite(f.Value) || f.Value < 0 {
				t.Errorf("%s: %s is %v", name, f.Name, f.Value)
			}
			if f.Name == "p99" && r.Latency.Count() == 0 {
				t.Errorf("%s: %s of nothing", name, f.Name)
			}
			if f.About == "" {
				t.Errorf("%s is not explained", f.Name)
			}
		}
	}
}

func TestJSONRoundTrip(t *testing.T) {
	r := sample(4)
	r.Failures, r.Thresholds = []string{"<lost>"}, []string{"p99>1s"}
	nan := r.Figures[0]
	nan.Name, nan.Value = "nan", zero()/zero()
	r.Figures = append(r.Figures, nan)
	var b bytes.Buffer
	if err := WriteJSON(&b, r); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(b.String(), "{\n \"format\": 1,\n") {
		t.Fatalf("it begins %.40q", b.String())
	}
	got, err := ReadJSON(&b)
	if err != nil {
		t.Fatal(err)
	}
	r.Figures = r.Figures[:len(r.Figures)-1]
	if got.Latency.Quantile(0.99) != r.Latency.Quantile(0.99) || got.Intervals[3].Latency.Count() != 1000 || got.Intervals[3].Server.RSS != 23<<20 {
		t.Fatal("the latencies or intervals are others")
	}
	for _, run := range []*tally.Run{got, r} {
		run.Latency, run.Open, run.Intervals = tally.Histogram{}, tally.Histogram{}, nil
	}
	if !reflect.DeepEqual(got, r) {
		t.Fatalf("%+v, wanted %+v", got, r)
	}
}

func zero() float64 { return 0 }

func TestOtherDocumentsAreRefused(t *testing.T) {
	for _, text := range []string{"", "{", "[]", "{}", `{"format":2}`, `{"format":"1"}`, `{"format":1,"latency":"AAAA"}`} {
		if _, err := ReadJSON(strings.NewReader(text)); err == nil {
			t.Errorf("%q was read", text)
		}
	}
}

func TestBuckets(t *testing.T) {
	var r tally.Run
	for i := range 7 {
		in := tally.Interval{At: time.Duration(i+1) * time.Second, For: time.Second, Connections: 10 - i, Server: &tally.Process{RSS: int64(i), CPU: time.Duration(i*i) * time.Second}}
		in.Received, in.Missing = uint64(i), ^uint64(0) // one came back
		for range 100 >> i {
			in.Latency.Record(time.Duration(i+1) * time.Millisecond)
			in.Open.Record(time.Duration(i+1) * time.Second)
		}
		r.Intervals = append(r.Intervals, in)
	}
	got := buckets(&r, 3)
	if len(got) != 3 || len(buckets(&r, 7)) != 7 || len(buckets(&r, 100)) != 7 || len(buckets(&tally.Run{}, 3)) != 0 {
		t.Fatalf("%d buckets", len(got))
	}
	for i, want := range []bucket{
		{at: 3 * time.Second, took: 3 * time.Second, connections: 10, Counters: tally.Counters{Received: 3}, server: load{true, 2, -1}, latency: spread{max: 0.003}, open: spread{max: 3}},
		{at: 6 * time.Second, took: 3 * time.Second, connections: 7, Counters: tally.Counters{Received: 12}, server: load{true, 5, 7}, latency: spread{max: 0.006}, open: spread{max: 6}},
		{at: 7 * time.Second, took: time.Second, connections: 4, Counters: tally.Counters{Received: 6}, server: load{true, 6, 11}, latency: spread{max: 0.007}, open: spread{max: 7}},
	} {
		b := got[i]
		if b.at != want.at || b.took != want.took || b.connections != want.connections || b.Received != want.Received || b.server != want.server || b.load.known {
			t.Errorf("bucket %d is %+v, wanted %+v", i, b, want)
		}
		if near := b.latency.max/want.latency.max + b.open.p50/want.open.max; near < 1.3 || near > 2.01 || b.open.max < want.open.max || b.open.p50 < float64(3*i+1)-0.01 {
			t.Errorf("bucket %d has latencies %+v and %+v", i, b.latency, b.open)
		}
		if n := mishapKinds[4].of(&b.Counters); n != 0 {
			t.Errorf("%d missing", n)
		}
	}
}

// Bars stand one upon the other, and not beyond the axis.
func TestBars(t *testing.T) {
	p := plot{x: axis{high: 10}, y: axis{high: 10}, bars: []series{
		{class: 0, points: []point{{0, 2}, {10, 4}}}, {class: 1, points: []point{{0, 3}, {10, 0}}},
	}}
	got := p.stack()
	want := []drawnBar{{0, "70", "195.2", "12", "42.8"}, {0, "526", "152.4", "12", "85.6"}, {1, "70", "131", "12", "64.2"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v, wanted %v", got, want)
	}
}
