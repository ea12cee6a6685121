package main

import (
	"cmp"
	"fmt"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"weir/engine"
	"weir/engine/poll"
	"weir/security/overload"
)

const (
	// collectorShare is the part of --memory-limit that the collector is told to stay
	// below (GOMEMLIMIT), and outsideHeap what it leaves at least for what it does not
	// see: the program itself. Near it the collector takes ever more CPU, so the
	// overload levels go by what is live of it and act long before.
	collectorShare = 0.9
	outsideHeap    = 32 << 20

	// stormRoom is how much more garbage may lie around in a storm than its part of what is live, so that the collector is
	// not run for every few megabytes of handshakes' garbage while the node is small. roomShare keeps it out of the
	// way of small limits.
	stormRoom = 16 << 20
	roomShare = 128

	// leastMemory is the least that an operator may give.
	leastMemory = 64 << 20

	// partialRoom is what half a message takes beside its bytes, for the least of
	// --partial-bytes that the engine takes.
	partialRoom = 32 << 10

	leastHandshakes = 64
	leastMailbox    = 4 << 20
)

// memoryPlan is what the process may take.
type memoryPlan struct {
	machine overload.Memory
	limit   int // bytes; 0: not known
}

// planMemory applies --memory-limit to what the kernel gives.
func planMemory(o *serverOptions, machine overload.Memory) (memoryPlan, error) {
	m := memoryPlan{machine: machine, limit: o.MemoryLimit.of(machine.Bytes)}
	if o.explicit["memory-limit"] && m.limit > 0 && m.limit < leastMemory {
		return m, fmt.Errorf("--memory-limit: %s is not enough for a node; write %s or more", mebibytes(m.limit), size(leastMemory))
	}
	return m, m.fits(o)
}

// fits refuses budgets that were set, not derived, and cannot be had together.
func (m memoryPlan) fits(o *serverOptions) error {
	if m.limit == 0 {
		return nil
	}
	connections := int(o.Connections)
	if most, err := poll.Capacity(); err == nil {
		connections = min(connections, most) // more are refused for themselves
	}
	sum, names, bounds := 0, []string(nil), engine.FixedBounds()
	for _, set := range []struct {
		option string
		bytes  int
	}{
		{"connections", connections * connectionBytes(&bounds)},
		{"handshakes-max", int(o.HandshakesMax) * handshakeBytes},
		{"partial-bytes", int(o.PartialBytes)},
		{"outbox-budget", o.OutboxBudget.of(m.limit)},
		{"tls-key-cache", int(o.TLSKeyCache)},
	} {
		if o.explicit[set.option] && set.bytes > 0 {
			sum += set.bytes
			names = append(names, "--"+set.option)
		}
	}
	if len(names) == 0 || sum+baseBytes <= m.limit {
		return nil
	}
	return fmt.Errorf("--memory-limit: %s does not hold what %s may take together, %s beside %s for the program; lower what you set, or raise --memory-limit",
		mebibytes(m.limit), strings.Join(names, ", "), mebibytes(sum), mebibytes(baseBytes))
}

// derive lowers the budgets that the operator did not set to parts of the limit:
// each is its default where there is memory enough.
func (m memoryPlan) derive(o *serverOptions, l *engine.Limits) {
	if m.limit > 0 || o.OutboxBudget.bytes > 0 {
		l.OutboxBudget = o.OutboxBudget.of(m.limit)
	}
	if m.limit == 0 {
		return
	}
	loops := cmp.Or(int(o.Pollers), runtime.GOMAXPROCS(0))
	part := m.limit / 16
	if !o.explicit["partial-bytes"] {
		l.PartialBytes = min(l.PartialBytes, max(part, 2*loops*(l.MessageSize+partialRoom)))
	}
	if !o.explicit["handshakes-max"] {
		l.HandshakesMax = min(l.HandshakesMax, max(part/handshakeBytes, leastHandshakes))
	}
	if !o.explicit["tls-key-cache"] {
		l.TLSKeyCache = min(l.TLSKeyCache, part)
	}
	l.MailboxBytes = min(l.MailboxBytes, max(part/loops, leastMailbox, 4*l.MessageSize))
	l.HistoryBytes = min(l.HistoryBytes, 2*part)
	l.DeltaBaseBytes = min(l.DeltaBaseBytes, part/2)
}

// collectorLimit is what the collector is told to stay below.
func (m memoryPlan) collectorLimit() int64 {
	return int64(max(min(int(collectorShare*float64(m.limit)), m.limit-outsideHeap), m.limit/2))
}

// bound tells the runtime of the limit, and returns how the collector is to be kept. GOGC and GOMEMLIMIT in the environment
// are the operator's word.
func (m memoryPlan) bound() (c engine.Collection) {
	if _, set := os.LookupEnv("GOGC"); !set {
		debug.SetGCPercent(gcPercent)
		c = engine.Collection{Storm: gcPercent, Calm: calmPercent, Room: min(stormRoom, m.limit/roomShare)}
	}
	if _, set := os.LookupEnv("GOMEMLIMIT"); !set && m.limit > 0 {
		debug.SetMemoryLimit(m.collectorLimit())
	}
	return c
}

// meter reads what the process uses of it, after bound.
func (m memoryPlan) meter() (*overload.Meter, error) {
	descriptors, err := poll.Descriptors()
	if err != nil {
		return nil, err
	}
	heap := debug.SetMemoryLimit(-1)
	if heap == math.MaxInt64 {
		heap = 0
	}
	return overload.NewMeter(os.DirFS("/"), overload.Capacity{
		Memory: m.limit, Heap: int(heap), Machine: m.machine, Descriptors: descriptors, Cores: runtime.GOMAXPROCS(0),
	}), nil
}

// say tells what the limit is, beside what the parts add up to.
func (m memoryPlan) say(o *serverOptions, sum int) string {
	if m.limit == 0 {
		return "limit: not known on this system; set --memory-limit to a size\n"
	}
	from := ""
	if o.MemoryLimit.bytes == 0 {
		from = fmt.Sprintf(", %g%% of %s", o.MemoryLimit.percent, mebibytes(m.machine.Bytes))
	}
	text := fmt.Sprintf("limit: %s (--memory-limit%s); the collector stays below %s\n", mebibytes(m.limit), from, mebibytes(int(m.collectorLimit())))
	if sum > m.limit {
		text += "All of it at once is over the limit. Before that readers that are behind are closed, and newcomers refused: see docs/overload.md.\n"
	}
	return text
}

// total is the sum of the items.
func total(items []memoryItem) (sum int) {
	for item := range slices.Values(items) {
		sum += item.bytes
	}
	return sum
}
