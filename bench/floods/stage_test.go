//go:build linux

package floods

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/bench/internal/node"
	"weir/loadtest/attack"
)

const (
	maxGrowthBytes = 64 << 20 // of the server in a flood: SECURITY.md F4
	keptBytes      = 32 << 20 // of it, what may stay: tables and slabs that do not shrink
	promised       = 5 * time.Second

	honest    = "127.1.0.0/16" // where the honest come from: they are passed over by limits per address
	attackers = "127.2.0.0/15"

	rounds       = 6                // floods until one has a good second
	roundTime    = 12 * time.Second // of one that has none, once it is seen
	neutralSpans = 8                // seconds of the neutral load, fewer if it is quiet
)

// bound is what the best second of a flood is held to, by the best under a
// neutral load: see the package comment.
func bound(neutral time.Duration) time.Duration { return max(4*neutral, 250*time.Millisecond) }

// stage is one server with the honest beside it.
type stage struct {
	server  *node.Node
	crowd   *crowd
	target  attack.Target
	neutral time.Duration // p99 under a load that is no attack
	least   time.Duration // how long a flood is held
}

// scale is how much is put on the stage.
type scale struct {
	honest int
	least  time.Duration
	v6     bool // the server listens on, and the attackers come from, IPv6
}

// set starts a server, the honest, and measures.
func (s scale) set(t *testing.T) *stage {
	t.Helper()
	o := node.Options{Binary: weir(t), Exempt: honest, Log: os.Stderr, Flags: []string{
		"--compression", "--stale-close-delay=3s", "--partial-timeout=3s", "--write-timeout=3s",
		"--pong-timeout=5m", // of the honest, on a machine that has no time for them
	}}
	if s.v6 {
		o.Listen = "[::]:0"
	}
	server, err := node.Start(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	port := netip.MustParseAddrPort(server.Addr).Port()
	st := &stage{server: server, least: s.least}
	st.crowd = gather(t, server, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port).String(), s.honest)
	token, err := server.Token("attack", "sub", "pub")
	if err != nil {
		t.Fatal(err)
	}
	target, err := server.Target("attack", nil)
	if err != nil {
		t.Fatal(err)
	}
	st.target = attack.Target{
		Addr: server.Addr, Name: "localhost", Authority: target.Authority, Token: token, Channel: "attack", From: netip.MustParsePrefix(attackers),
	}
	if s.v6 {
		st.target.Addr = netip.AddrPortFrom(netip.MustParseAddr(serverV6), port).String()
		st.target.From = netip.MustParsePrefix(attackersV6)
	}
	st.measure(t)
	return st
}

// measure takes the latency under a neutral load.
func (st *stage) measure(t *testing.T) {
	t.Helper()
	load := order{}.start(t)
	first, windows := st.crowd.window()+2, []time.Duration(nil)
	err := await(func() (bool, error) {
		windows = st.crowd.p99(first)
		quiet := len(windows) > 1 && bound(slices.Min(windows)) == bound(0)
		return quiet || len(windows) >= neutralSpans, st.crowd.fault()
	})
	if _, stopErr := load.stop(); err != nil || stopErr != nil {
		t.Fatal(err, stopErr)
	}
	st.neutral = slices.Min(windows)
	t.Logf("p99 by second under a neutral load: %v; a flood must have one of at most %v", round(windows), bound(st.neutral).Round(time.Millisecond))
}

func round(list []time.Duration) (out []time.Duration) {
	for _, d := range list {
		out = append(out, d.Round(100*time.Microsecond))
	}
	return out
}

// levels are what must come back.
type levels struct {
	rss                            int64
	connections, goroutines, files float64
}

func (st *stage) levels(t *testing.T) (l levels, all map[string]float64) {
	t.Helper()
	rss, err := st.server.RSS()
	if err != nil {
		t.Fatal(err)
	}
	all, err = st.server.Metrics(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	files, err := st.server.Files()
	if err != nil {
		t.Fatal(err)
	}
	return levels{rss, all["weir_connections"], all["go_goroutines"], float64(files)}, all
}

// hold floods the server and judges.
func (st *stage) hold(t *testing.T, name string, want []met) {
	for i := range rounds {
		if st.flood(t, name, want) {
			return
		}
		t.Logf("round %d had no good second: is it the flood or the machine?", i+1)
		st.measure(t)
	}
	t.Errorf("p99 of the honest was over the bound in each second of %d rounds", rounds)
}

// flood is one round of hold. It tells whether it had a good second; all else
// that is wrong fails the test.
func (st *stage) flood(t *testing.T, name string, want []met) (good bool) {
	before, counted := st.levels(t)
	first, begun := st.crowd.window()+2, time.Now()
	attack := order{name, st.target}.start(t)
	most, unmet := before.rss, ""
	var windows []time.Duration
	var after map[string]float64
	err := await(func() (bool, error) {
		var now levels
		now, after = st.levels(t)
		most = max(most, now.rss)
		unmet = missing(want, counted, after)
		windows = st.crowd.p99(first)
		good = len(windows) > 0 && slices.Min(windows) <= bound(st.neutral)
		held := time.Since(begun)
		return unmet == "" && (good && held >= st.least || held >= roundTime), st.crowd.fault()
	})
	tally, stopErr := attack.stop()
	ended := time.Now()
	t.Logf("%d connections tried, %d not made, %d cut short (%s)\nmet by%s", tally.Lives, tally.Refused, tally.Failed, tally.Failure,
		grown(counted, after))
	if err != nil || stopErr != nil {
		t.Fatalf("%v %v; %s", err, stopErr, unmet)
	}
	st.crowd.check(t)
	growth := most - before.rss
	if growth > maxGrowthBytes {
		t.Errorf("the server grew by %d MiB, at most %d MiB is promised", growth>>20, int64(maxGrowthBytes)>>20)
	}
	back := st.recover(t, before, ended)
	t.Logf("p99 by second %v; memory %+.1f MiB at most; all was back after %v", round(windows), float64(growth)/(1<<20), back.Round(10*time.Millisecond))
	if back > promised {
		t.Logf("longer than the %v that are promised of a machine with nothing else to do", promised)
	}
	return good
}

// recover waits until all is as before.
func (st *stage) recover(t *testing.T, before levels, since time.Time) time.Duration {
	t.Helper()
	var now levels
	if err := await(func() (bool, error) {
		now, _ = st.levels(t)
		return now.rss <= before.rss+keptBytes && now.connections <= before.connections &&
			now.goroutines <= before.goroutines+8 && now.files <= before.files+8, st.crowd.fault()
	}); err != nil {
		t.Fatalf("after the flood %+v, before it %+v: %v", now, before, err)
	}
	return time.Since(since)
}

// missing says which defence has not met the flood; "" if all have.
func missing(want []met, before, after map[string]float64) string {
	var out []string
	for _, w := range want {
		if got := after[w.counter] - before[w.counter]; got < w.least {
			out = append(out, fmt.Sprintf("%s grew by %v, wanted are %v", w.counter, got, w.least))
		}
	}
	return strings.Join(out, "; ")
}

// grown lists the counters of the way in, and of ways out, that have moved.
func grown(before, after map[string]float64) string {
	var list []string
	for name, value := range after {
		for _, family := range []string{"connections_refused", "connections_accepted", "handshakes_done", "handshakes_failed", "protocol_errors",
			"closes", "upgrades", "slow", "command_errors"} {
			if d := value - before[name]; d > 0 && strings.HasPrefix(name, "weir_"+family) {
				list = append(list, fmt.Sprintf(" %s+%.0f", strings.TrimPrefix(name, "weir_"), d))
			}
		}
	}
	slices.Sort(list)
	return strings.Join(list, "")
}
