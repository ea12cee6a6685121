package main

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"io"
	"runtime"
	"strings"
	"text/tabwriter"

	"weir/engine"
	"weir/engine/poll"
	"weir/security/audit"
	"weir/security/oplog"
	"weir/security/schema"
)

// check validates a configuration as serve does and prints what it amounts to.
func check(p *process, c *command) error {
	s, err := newSetup(p, c.Check.serverOptions, c.namespaces)
	if err != nil {
		return err
	}
	if err := rehearse(s.config); err != nil {
		return err
	}
	connections := s.config.Limits.Connections
	if connections == 0 {
		if connections, err = poll.Capacity(); err != nil {
			return err
		}
	}
	fmt.Fprintf(p.stdout, "The configuration is good.\n\n")
	if s.warning != "" {
		fmt.Fprintf(p.stdout, "Warning: %s\n\n", s.warning)
	}
	fmt.Fprintf(p.stdout, "public      %s, TLS %s and later, certificate %s%s\n",
		s.config.Listen, c.Check.TLSMin, s.certs.describe(), clientAuth(s.config.TLS))
	for _, l := range []struct{ name, addr, more string }{{"API", s.config.APIListen, clientAuth(s.config.APITLS)}, {"health", s.config.HealthListen, ""}} {
		if l.addr != "" {
			fmt.Fprintf(p.stdout, "%-11s %s%s\n", l.name, l.addr, l.more)
		}
	}
	if s.config.ProxyListen != "" {
		fmt.Fprintf(p.stdout, "proxies     %s\n", c.Check.proxyOptions.describe())
	}
	if s.config.Hooks.Any() {
		fmt.Fprintf(p.stdout, "hooks       %s\n", hookNames(&s.config.Hooks))
	}
	fmt.Fprintf(p.stdout, "namespaces  %s\n\n", namespaceNames(s.config.Namespaces))
	items := memorySum(&s.config, connections, cmp.Or(s.config.Pollers, runtime.GOMAXPROCS(0)))
	items = append(items, askedForMemory(&s.config, connections)...)
	items = append(items, s.capture.memory()...)
	if err := printMemory(p.stdout, items); err != nil {
		return err
	}
	_, err = io.WriteString(p.stdout, s.memory.say(&c.Check.serverOptions, total(items)))
	return err
}

// rehearse has the engine take the configuration as serve would, so that
// nothing is called good that serve then refuses. Its listeners are on free
// loopback ports, for the right ones may be in use by the server that runs.
func rehearse(cfg engine.Config) error {
	cfg.Listen, cfg.APIListen, cfg.HealthListen = "127.0.0.1:0", "", ""
	if cfg.ProxyListen != "" {
		cfg.ProxyListen = "127.0.0.1:0"
	}
	server, err := engine.New(cfg)
	if err != nil {
		return &configError{err}
	}
	server.Close()
	return nil
}

// namespaceNames lists the namespaces; "" always exists.
func namespaceNames(all []engine.Namespace) string {
	names := []string{`""`}
	for _, n := range all {
		if n.Name != "" {
			names = append(names, n.Name)
		}
	}
	return strings.Join(names, ", ")
}

// The figures of the memory sum that were measured; the others are options or
// the engine's own bounds.
const (
	connectionBytes = 2560     // of RSS: an idle TLS 1.3 connection, authenticated and subscribed
	handshakeBytes  = 20 << 10 // a handshake that waits for its client
	streamBytes     = 256      // a channel with a position
	patternBytes    = 1 << 10  // a wildcard subscription that no other has
	answerBytes     = 150      // an answer kept under an idempotency key
	baseBytes       = 32 << 20 // program, limiter, buffers of the loops
)

// memoryItem is one line of the memory sum.
type memoryItem struct {
	name  string
	how   string
	bytes int
}

// memorySum adds up what a node with this configuration, connections and event
// loops can take at most.
func memorySum(cfg *engine.Config, connections, loops int) []memoryItem {
	l := &cfg.Limits
	times := func(name string, n, each int, of string) memoryItem {
		return memoryItem{name, fmt.Sprintf("%d × %s", n, of), n * each}
	}
	e := engine.FixedBounds()
	return []memoryItem{
		times("connections", connections, connectionBytes, fmt.Sprintf("%d B (with TLS 1.2 three to six times that)", connectionBytes)),
		times("handshakes in flight", l.HandshakesMax, handshakeBytes, size(handshakeBytes).String()),
		{"partial input", "--partial-bytes", l.PartialBytes},
		{"waiting output", "--outbox-budget", waitingOutput(cfg, connections)},
		times("output being written", connections, e.BatchBytes, size(e.BatchBytes).String()+" (if every client stops reading)"),
		{"ready ciphers", "--tls-key-cache", l.TLSKeyCache},
		times("mailboxes", loops, l.MailboxBytes, size(l.MailboxBytes).String()),
		times("queued commands", e.QueuedCommands, l.MessageSize, "--message-size-limit"),
		times("channels", e.Streams, streamBytes, fmt.Sprintf("%d B", streamBytes)),
		times("patterns", e.Patterns, patternBytes, size(patternBytes).String()),
		{"histories", "of all channels", l.HistoryBytes},
		{"delta bases", "of all channels", l.DeltaBaseBytes},
		times("presence", e.PresenceLists, l.MaxOutboxBytes, "--max-outbox-bytes"),
		times("idempotency keys", e.IdempotencyKeys, answerBytes, fmt.Sprintf("%d B", answerBytes)),
		{"log", "what waits for who reads it", 2 * oplog.QueueBytes},
		{"audit log", "its queue, and what waits for a disk or a collector", audit.MemoryBytes},
		{"the rest", "program, limiter, buffers", baseBytes},
	}
}

// askedForMemory is what features take that the configuration has.
func askedForMemory(cfg *engine.Config, connections int) []memoryItem {
	items := append(hookMemory(cfg), userMemory(&cfg.Limits)...)
	items = append(items, schemaMemory(cfg.Namespaces)...)
	if cfg.TLS.ClientAuth != tls.NoClientCert {
		each := engine.FixedBounds().CertificateBytes
		items = append(items, memoryItem{"client certificates", fmt.Sprintf("%d × %d B", connections, each), connections * each})
	}
	return items
}

// schemaMemory is what the schemas of namespaces take; nothing if there are none.
func schemaMemory(all []engine.Namespace) []memoryItem {
	compiled := map[*schema.Schema]bool{}
	sum := 0
	for i := range all {
		if s := all[i].Schema; s != nil && !compiled[s] {
			compiled[s] = true
			sum += s.Bytes()
		}
	}
	if sum == 0 {
		return nil
	}
	return []memoryItem{{"schemas", fmt.Sprintf("%d, twice while they are reloaded", len(compiled)), 2 * sum}}
}

// userMemory is what the buckets of users take; nothing if there are none.
func userMemory(l *engine.Limits) []memoryItem {
	n := 0
	for _, rate := range []float64{l.UserMessageRate, l.UserByteRate, l.UserSubscribeRate, l.UserConnectRate} {
		if rate > 0 {
			n++
		}
	}
	if n == 0 {
		return nil
	}
	each := engine.FixedBounds().PerUserBytes
	return []memoryItem{{"limits of users", fmt.Sprintf("%d × %s", n, size(each)), n * each}}
}

// waitingOutput is what waits for all connections together. What conflating
// channels keep counts by its keys, not by connections.
func waitingOutput(cfg *engine.Config, connections int) int {
	for i := range cfg.Namespaces {
		if cfg.Namespaces[i].SlowConsumer == engine.SlowConflate {
			return cfg.Limits.OutboxBudget
		}
	}
	return min(cfg.Limits.OutboxBudget, connections*cfg.Limits.MaxOutboxBytes)
}

func printMemory(out io.Writer, items []memoryItem) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "Memory, at most:\t\t")
	for _, item := range items {
		fmt.Fprintf(w, "%s\t%s\t %s\n", item.name, mebibytes(item.bytes), item.how)
	}
	fmt.Fprintf(w, "sum\t%s\t\n", mebibytes(total(items)))
	return w.Flush()
}

func mebibytes(n int) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }
