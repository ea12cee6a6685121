package stats

import (
	"strconv"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

func newTestSet(shards int) *Set {
	return New(shards, Labels{
		OutboxDrops: {"inbox_full", "conflated"},
		Commands:    {"connect", "subscribe"},
	})
}

// scrape returns every sample by "metric" or "metric{value}".
func scrape(t *testing.T, c prometheus.Collector) map[string]float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(c); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	samples := make(map[string]float64)
	for _, family := range families {
		for _, m := range family.GetMetric() {
			key := family.GetName()
			for _, label := range m.GetLabel() {
				key += "{" + label.GetValue() + "}"
			}
			samples[key] = value(m)
		}
	}
	return samples
}

func value(m *dto.Metric) float64 {
	if m.Counter != nil {
		return m.Counter.GetValue()
	}
	return m.Gauge.GetValue()
}

func TestScrapeSumsShards(t *testing.T) {
	set := newTestSet(3)
	for i := range set.Shards() {
		s := set.Shard(i)
		s.Add(BytesIn, uint64(100*(i+1)))
		s.Inc(MessagesIn)
		s.Set(OutboxBytes, int64(10*(i+1)))
		s.Label(OutboxDrops, "inbox_full")
		s.LabelN(Commands, "subscribe", 5)
		s.Close(3008)
		s.Upgrade(101)
		s.Code(CommandErrors, 103)
	}
	set.Shard(0).Move(Connections, 7)
	set.Shard(1).Move(Connections, -2)
	samples := scrape(t, set.Collector())
	for key, want := range map[string]float64{
		"weir_received_bytes_total":             600,
		"weir_messages_received_total":          3,
		"weir_outbox_bytes":                     60,
		"weir_connections":                      5,
		"weir_outbox_dropped_total{inbox_full}": 3,
		"weir_outbox_dropped_total{other}":      0,
		"weir_commands_total{subscribe}":        15,
		"weir_commands_total{connect}":          0,
		"weir_closes_total{3008}":               3,
		"weir_upgrades_total{101}":              3,
		"weir_command_errors_total{103}":        3,
		"weir_protocol_errors_total{other}":     0,
	} {
		if got, ok := samples[key]; !ok || got != want {
			t.Errorf("%s = %v (present %v), want %v", key, got, ok, want)
		}
	}
}

func TestTotals(t *testing.T) {
	set := newTestSet(2)
	set.Shard(0).Add(Deliveries, 2)
	set.Shard(1).Add(Deliveries, 3)
	set.Shard(1).Set(Subscriptions, 4)
	set.Shard(1).Label(OutboxDrops, "inbox_full")
	set.Shard(0).Close(3501)
	if got := set.Total(Deliveries); got != 5 {
		t.Errorf("Total %d, want 5", got)
	}
	if got := set.Level(Subscriptions); got != 4 {
		t.Errorf("Level %d, want 4", got)
	}
	if got := set.LabelTotal(OutboxDrops, "inbox_full"); got != 1 {
		t.Errorf("LabelTotal %d, want 1", got)
	}
	if got := set.CodeTotal(Closes, 3501); got != 1 {
		t.Errorf("CodeTotal %d, want 1", got)
	}
}

// A peer that varies a label or a code makes one number grow, and no table.
func TestUnknownLabelsCountAsOther(t *testing.T) {
	set := newTestSet(1)
	s := set.Shard(0)
	before := len(scrape(t, set.Collector()))
	const events = 1000
	for i := range events {
		s.Label(Commands, "peer-"+strconv.Itoa(i))
		s.Label(ProtocolErrors, "no list at all "+strconv.Itoa(i))
		s.Close(uint16(4000 + i))
		s.Upgrade(600 + i)
		s.Code(Commands, uint32(i)) // a family without numbers
	}
	samples := scrape(t, set.Collector())
	if len(samples) != before {
		t.Errorf("%d samples after unknown labels, %d before", len(samples), before)
	}
	for key, want := range map[string]float64{
		"weir_commands_total{other}":        2 * events,
		"weir_protocol_errors_total{other}": events,
		"weir_closes_total{other}":          events,
		"weir_upgrades_total{other}":        events,
	} {
		if samples[key] != want {
			t.Errorf("%s = %v, want %v", key, samples[key], want)
		}
	}
}

// No two labels share a cell, whatever the family.
func TestEveryCellIsItsOwn(t *testing.T) {
	set := New(1, Labels{OutboxDrops: {"a", "b"}, SlowConsumers: {"a", Other}, APIRequests: {"publish"}})
	s := set.Shard(0)
	for f := range familyCount {
		for _, label := range set.lists[f] {
			s.Label(f, label)
			if got := set.LabelTotal(f, label); got != 1 {
				t.Errorf("family %d label %q is %d after one event", f, label, got)
			}
		}
		for _, code := range codes(f) {
			s.Code(f, code)
			if got := set.LabelTotal(f, strconv.Itoa(int(code))); got != 2 {
				t.Errorf("family %d code %d is %d after two events", f, code, got)
			}
		}
	}
}

func TestNamesAreWholeAndFollowTheCustom(t *testing.T) {
	seen := make(map[string]bool)
	check := func(kind string, n name, counter, labelled bool) {
		if !strings.HasPrefix(n.metric, "weir_") || n.help == "" || seen[n.metric] {
			t.Errorf("%s %q (help %q) has no weir_ name, no help, or is doubled", kind, n.metric, n.help)
		}
		seen[n.metric] = true
		if counter != strings.HasSuffix(n.metric, "_total") {
			t.Errorf("%s %q: only counters end in _total", kind, n.metric)
		}
		if labelled != (n.label != "") {
			t.Errorf("%s %q has label %q", kind, n.metric, n.label)
		}
	}
	for _, n := range counterNames {
		check("counter", n, true, false)
	}
	for _, n := range gaugeNames {
		check("gauge", n, false, false)
	}
	for f, n := range familyNames {
		check("family", n, true, true)
		if coded := len(codes(Family(f))) > 0; coded != (Family(f) >= firstCoded) {
			t.Errorf("family %q: coded %v, but it stands on the wrong side of firstCoded", n.metric, coded)
		}
	}
}

func TestSources(t *testing.T) {
	set := newTestSet(1)
	level := 1.5
	samples := scrape(t, set.Collector(
		Source{Name: "weir_cert_expiry_seconds", Help: "Time left.", Read: func() float64 { return level }},
		Source{Name: "weir_listener_errors_total", Help: "Errors.", Kind: SourceCounter, Label: [2]string{"kind", "emfile"}, Read: func() float64 { return 3 }},
		Source{Name: "weir_listener_errors_total", Help: "Errors.", Kind: SourceCounter, Label: [2]string{"kind", "other"}, Read: func() float64 { return 4 }},
		Source{Name: "weir_calls_total", Help: "Calls.", Label: [2]string{"a", "x"}, Split: [2]string{"b", "y"}, Read: func() float64 { return 5 }},
		Source{Name: "weir_calls_total", Help: "Calls.", Label: [2]string{"a", "x"}, Split: [2]string{"b", "z"}, Read: func() float64 { return 6 }},
	))
	for key, want := range map[string]float64{
		"weir_cert_expiry_seconds": 1.5, "weir_listener_errors_total{emfile}": 3, "weir_listener_errors_total{other}": 4,
		"weir_calls_total{x}{y}": 5, "weir_calls_total{x}{z}": 6,
	} {
		if samples[key] != want {
			t.Errorf("%s = %v, want %v", key, samples[key], want)
		}
	}
}

func TestWiringMistakesPanic(t *testing.T) {
	many := make([]string, maxLabels+1)
	for i := range many {
		many[i] = strconv.Itoa(i)
	}
	for name, wire := range map[string]func(){
		"no shards":      func() { New(0, nil) },
		"doubled label":  func() { New(1, Labels{OutboxDrops: {"a", "a"}}) },
		"empty label":    func() { New(1, Labels{OutboxDrops: {""}}) },
		"too many":       func() { New(1, Labels{OutboxDrops: many}) },
		"fixed family":   func() { New(1, Labels{Closes: {"3000"}}) },
		"source no read": func() { New(1, nil).Collector(Source{Name: "weir_x"}) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			wire()
		})
	}
}

func TestGaugeBelowZeroIsShownAsZero(t *testing.T) {
	set := newTestSet(1)
	set.Shard(0).Move(Sessions, -3)
	if got := scrape(t, set.Collector())["weir_sessions"]; got != 0 {
		t.Errorf("weir_sessions %v, want 0", got)
	}
}

func TestCountingBesideScrapes(t *testing.T) {
	set := newTestSet(4)
	var writers sync.WaitGroup
	const events = 2000
	for i := range set.Shards() {
		writers.Go(func() {
			s := set.Shard(i)
			for range events {
				s.Inc(Deliveries)
				s.Move(OutboxBytes, 1)
				s.Label(Commands, "connect")
				s.Close(3000)
			}
		})
	}
	for range 5 {
		scrape(t, set.Collector())
	}
	writers.Wait()
	samples := scrape(t, set.Collector())
	for _, key := range []string{"weir_deliveries_total", "weir_outbox_bytes", "weir_commands_total{connect}", "weir_closes_total{3000}"} {
		if want := float64(events * set.Shards()); samples[key] != want {
			t.Errorf("%s = %v, want %v", key, samples[key], want)
		}
	}
}

// Whatever the allocator does, a whole cache line stands before and behind the cells of a shard.
func TestShardsDoNotShareCacheLines(t *testing.T) {
	var s Shard
	if front := unsafe.Offsetof(s.counters); front < cacheLine {
		t.Errorf("%d bytes before the counters, want %d", front, cacheLine)
	}
	if back := unsafe.Sizeof(s) - unsafe.Offsetof(s.gauges) - unsafe.Sizeof(s.gauges); back < cacheLine {
		t.Errorf("%d bytes behind the gauges, want %d", back, cacheLine)
	}
	for labels := range 40 { // so that some allocation fills its size class
		list := make([]string, labels)
		for i := range list {
			list[i] = strconv.Itoa(i)
		}
		set := New(32, Labels{OutboxDrops: list})
		owner := make(map[uintptr]int)
		for i := range set.Shards() {
			for j := range set.Shard(i).labelled {
				line := uintptr(unsafe.Pointer(&set.Shard(i).labelled[j])) / cacheLine
				if other, taken := owner[line]; taken && other != i {
					t.Fatalf("%d labels: shards %d and %d share a cache line", labels, other, i)
				}
				owner[line] = i
			}
		}
	}
}

func TestCountingAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("skipped: the race detector allocates")
	}
	s := newTestSet(1).Shard(0)
	unknown := strings.Repeat("x", 40)
	if n := testing.AllocsPerRun(100, func() {
		s.Add(BytesIn, 3)
		s.Move(Connections, 1)
		s.Label(Commands, "connect")
		s.Label(Commands, unknown)
		s.Close(3008)
		s.Close(4999)
		s.Upgrade(101)
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func BenchmarkAdd(b *testing.B) {
	s := newTestSet(1).Shard(0)
	for b.Loop() {
		s.Add(Deliveries, 1)
	}
}

func BenchmarkLabel(b *testing.B) {
	s := newTestSet(1).Shard(0)
	for b.Loop() {
		s.Label(Commands, "subscribe")
	}
}

func BenchmarkClose(b *testing.B) {
	s := newTestSet(1).Shard(0)
	for b.Loop() {
		s.Close(3008)
	}
}
