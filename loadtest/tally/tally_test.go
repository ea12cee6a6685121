package tally

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"
)

func TestOrder(t *testing.T) {
	for name, test := range map[string]struct {
		from int64 // -1: not told
		seqs []uint64
		want Counters
	}{
		"in order":             {0, []uint64{1, 2, 3}, Counters{Received: 3}},
		"from the middle":      {-1, []uint64{7, 8}, Counters{Received: 2}},
		"one is missing":       {0, []uint64{1, 3}, Counters{Received: 2, Missing: 1}},
		"the first is missing": {0, []uint64{2}, Counters{Received: 1, Missing: 1}},
		"after where it began": {5, []uint64{6, 7}, Counters{Received: 2}},
		"twice":                {0, []uint64{1, 1, 2, 1}, Counters{Received: 2, Duplicated: 2}},
		"late":                 {0, []uint64{1, 3, 2, 4}, Counters{Received: 4, Reordered: 1}},
		"late twice":           {0, []uint64{1, 3, 2, 2}, Counters{Received: 3, Reordered: 1, Duplicated: 1}},
		"before it began":      {5, []uint64{6, 4}, Counters{Received: 1, Foreign: 1}},
		"far ahead":            {0, []uint64{1, 1000}, Counters{Received: 2, Missing: 998}},
		"long ago":             {0, []uint64{1, 100, 2}, Counters{Received: 2, Missing: 98, Duplicated: 1}},
	} {
		var o Order
		var got Counters
		if test.from >= 0 {
			o.Start(uint64(test.from))
		}
		for _, seq := range test.seqs {
			o.Receive(seq, &got)
		}
		if !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: %+v, wanted %+v", name, got, test.want)
		}
	}
}

// Every counter is added and subtracted: none was forgotten in fields.
func TestCountersAddUp(t *testing.T) {
	var one Counters
	v := reflect.ValueOf(&one).Elem()
	for i := range v.NumField() {
		if v.Field(i).Kind() == reflect.Uint64 {
			v.Field(i).SetUint(uint64(i + 1))
		}
	}
	one.Closed("3008")
	sum := one
	sum.Closes = nil
	sum.Add(one)
	for i := range v.NumField() {
		if v.Field(i).Kind() == reflect.Uint64 && reflect.ValueOf(sum).Field(i).Uint() != 2*uint64(i+1) {
			t.Errorf("%s does not add up", v.Type().Field(i).Name)
		}
	}
	sum.Add(one)
	since := sum.Since(one)
	if since.Closes["3008"] != 1 || sum.Closes["3008"] != 2 || since.Dialed != 2*one.Dialed {
		t.Errorf("%+v", since)
	}
	if zero := one.Since(one); !reflect.DeepEqual(zero, Counters{Closes: map[string]uint64{}}) {
		t.Errorf("%+v", zero)
	}
}

func TestHistogramThroughJSON(t *testing.T) {
	in := Interval{At: time.Second}
	for i := 1; i <= 1000; i++ {
		in.Latency.Record(time.Duration(i) * time.Millisecond)
	}
	in.Latency.Record(-time.Second)
	in.Latency.Record(time.Hour)
	text, err := json.Marshal(in) // by value
	if err != nil {
		t.Fatal(err)
	}
	var out Interval
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	if n := out.Latency.Count(); n != 1002 {
		t.Fatalf("%d latencies", n)
	}
	if p := out.Latency.Quantile(0.5); p < 499*time.Millisecond || p > 502*time.Millisecond {
		t.Fatalf("p50 %s", p)
	}
	if out.Latency.Max() < 10*time.Minute || out.Open.Count() != 0 || out.Open.Quantile(0.99) != 0 {
		t.Fatalf("max %s, open %d", out.Latency.Max(), out.Open.Count())
	}
	out.Latency.Merge(&in.Latency)
	if n := out.Latency.Count(); n != 2004 {
		t.Fatalf("%d after the merge", n)
	}
	if err := new(Histogram).UnmarshalText([]byte("garbage")); err == nil {
		t.Fatal("garbage was read")
	}
}
