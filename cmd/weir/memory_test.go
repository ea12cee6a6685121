package main

import (
	"os"
	"regexp"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"

	"weir/engine"
)

// budgets are those that follow from --memory-limit.
func budgets(t *testing.T, args ...string) engine.Limits {
	t.Helper()
	o := parsed(t, nil, append([]string{"serve", "--pollers=2"}, args...)...).Serve.serverOptions
	m, err := planMemory(&o, plenty.machine)
	if err != nil {
		t.Fatal(err)
	}
	return o.limits(m)
}

// TestBudgetsFollowFromTheLimit, and together they fit.
func TestBudgetsFollowFromTheLimit(t *testing.T) {
	for _, limit := range []string{"64MiB", "256MiB", "1GiB", "64GiB"} {
		l := budgets(t, "--memory-limit="+limit)
		bytes, err := parseSize(limit)
		if err != nil {
			t.Fatal(err)
		}
		sum := l.OutboxBudget + l.PartialBytes + l.TLSKeyCache + l.HandshakesMax*handshakeBytes + l.HistoryBytes + l.DeltaBaseBytes + 2*l.MailboxBytes
		if sum > bytes*3/4 {
			t.Errorf("%s: the budgets add up to %s", limit, mebibytes(sum))
		}
		if l.OutboxBudget != bytes/4 {
			t.Errorf("%s: --outbox-budget is %s", limit, mebibytes(l.OutboxBudget))
		}
		if l.PartialBytes < 1<<20/2 || l.HandshakesMax < leastHandshakes || l.MailboxBytes < leastMailbox || l.HistoryBytes == 0 || l.DeltaBaseBytes == 0 {
			t.Errorf("%s: a budget is too small to serve with: %+v", limit, l)
		}
	}
	l := budgets(t, "--memory-limit=512MiB", "--partial-bytes=32MiB", "--handshakes-max=4096", "--tls-key-cache=64MiB", "--outbox-budget=50%")
	if l.PartialBytes != 32<<20 || l.HandshakesMax != 4096 || l.TLSKeyCache != 64<<20 || l.OutboxBudget != 256<<20 {
		t.Errorf("what was set, to its default too, is changed: %+v", l)
	}
	if got := (memoryPlan{}).limit; got != 0 {
		t.Errorf("without a limit: %d", got)
	}
	o := parsed(t, nil, "serve").Serve.serverOptions
	if l := o.limits(memoryPlan{}); l.OutboxBudget != engine.DefaultLimits().OutboxBudget || l.PartialBytes != engine.DefaultLimits().PartialBytes {
		t.Errorf("where no memory is known the budgets are not the defaults: %+v", l)
	}
}

func TestCollectorLimit(t *testing.T) {
	for limit, want := range map[int]int64{64 << 20: 32 << 20, 128 << 20: 96 << 20, 1 << 30: 966367641, 0: 0} {
		if got := (memoryPlan{limit: limit}).collectorLimit(); got != want {
			t.Errorf("of %d the collector is given %d, want %d", limit, got, want)
		}
	}
}

func TestMemoryLimitMistakes(t *testing.T) {
	for _, c := range []struct{ args, words []string }{
		{[]string{"--memory-limit=1MiB"}, []string{"--memory-limit", "64 MiB or more"}},
		{[]string{"--memory-limit=much"}, []string{"--memory-limit", "2GiB"}},
		{[]string{"--memory-limit=0"}, []string{"--memory-limit"}},
		{[]string{"--memory-limit=256MiB", "--outbox-budget=256MiB"}, []string{"--memory-limit", "--outbox-budget", "raise"}},
		{[]string{"--memory-limit=256MiB", "--partial-bytes=128MiB", "--tls-key-cache=128MiB"}, []string{"--partial-bytes, --tls-key-cache", "256.0 MiB"}},
		{[]string{"--memory-limit=64MiB", "--connections=15000", "--partial-bytes=16MiB"}, []string{"--connections, --partial-bytes"}},
		{[]string{"--memory-limit=128MiB", "--handshakes-max=10000"}, []string{"--handshakes-max"}},
	} {
		for _, command := range []string{"check", "serve"} {
			wantRefusal(t, nil, append(good(t, command), c.args...), c.words...)
		}
	}
	wantRefusal(t, []string{"WEIR_OUTBOX_BUDGET=256MiB"}, append(good(t, "check"), "--memory-limit=256MiB"), "--outbox-budget")
	file := writeFile(t, "weir.yaml", "outbox_budget: 256MiB\n")
	wantRefusal(t, nil, append(good(t, "check"), "--memory-limit=256MiB", "--config", file), "--outbox-budget")
}

// TestAConnectionIsWhatWasMeasured: what the sum has for a connection is no less than BENCHMARKS.md says of one that is idle, and no more than
// twice that: it sends, and the collector leaves garbage.
func TestAConnectionIsWhatWasMeasured(t *testing.T) {
	page, err := os.ReadFile("../../BENCHMARKS.md")
	if err != nil {
		t.Fatal(err)
	}
	said := regexp.MustCompile(`(?m)^slope (\d+) bytes per connection$`).FindSubmatch(page)
	if said == nil {
		t.Fatal("BENCHMARKS.md has no slope")
	}
	measured, err := strconv.Atoi(string(said[1]))
	if err != nil {
		t.Fatal(err)
	}
	bounds := engine.FixedBounds()
	if n := connectionBytes(&bounds); n < measured || n > 2*measured {
		t.Errorf("%d bytes, and %d were measured", n, measured)
	}
	if n := subscriptionBytes(&bounds); n < 60 || n > 100 { // 51 to 60 of heap were measured by TestScale
		t.Errorf("a subscription more is %d bytes", n)
	}
}

func TestCheckComparesTheSumWithTheLimit(t *testing.T) {
	status, stdout, stderr := weir(append(good(t, "check"), "--memory-limit=512MiB", "--connections=1000")...)
	if status != 0 {
		t.Fatalf("status %d: %s", status, stderr)
	}
	for _, words := range []string{"limit: 512.0 MiB (--memory-limit); the collector stays below 460.8 MiB", "over the limit"} {
		if !strings.Contains(stdout, words) {
			t.Errorf("does not say %q: %s", words, stdout)
		}
	}
	_, stdout, _ = weir(append(good(t, "check"), "--memory-limit=64GiB", "--connections=1000")...)
	if strings.Contains(stdout, "over the limit") {
		t.Errorf("it fits: %s", stdout)
	}
}

// TestRoomOfAStorm: a node with little memory has little of it, and who sets GOGC gets what GOGC says.
func TestRoomOfAStorm(t *testing.T) {
	t.Setenv("GOMEMLIMIT", "off") // the tests go on without one
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	for limit, want := range map[int]int{0: 0, leastMemory: 512 << 10, 1 << 30: 8 << 20, 2 << 30: 16 << 20, 64 << 30: 16 << 20} {
		if got := (memoryPlan{limit: limit}).bound(); got.Room != want || got.Storm != gcPercent || got.Calm != calmPercent {
			t.Errorf("limit %d: %+v, want room for %d bytes", limit, got, want)
		}
	}
	t.Setenv("GOGC", "100")
	if c := (memoryPlan{limit: 1 << 30}).bound(); c != (engine.Collection{}) {
		t.Errorf("%+v beside the operator's GOGC", c)
	}
}
