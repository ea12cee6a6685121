package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"text/tabwriter"

	"weir/engine"
	"weir/security/audit"
	"weir/security/oplog"
	"weir/security/schema"
)

// The figures of the memory sum that were measured; the others are options or
// the engine's own bounds.
const (
	// What a connection takes beside what the engine has of it: BENCHMARKS.md takes it apart.
	listBytes = 70 // its user's name, and its places in lists: timers, members, the loop's, nbio's by descriptor
	spanBytes = 80 // room that nothing else fits, what the runtime knows of its memory, pages of the program

	socketBytes = 4100 // in the kernel, while nothing waits in it

	handshakeBytes = 20 << 10 // a handshake that waits for its client
	streamBytes    = 256      // a channel with a position
	patternBytes   = 1 << 10  // a wildcard subscription that no other has
	answerBytes    = 150      // an answer kept under an idempotency key
	baseBytes      = 32 << 20 // program, limiter, buffers of the loops
)

// connectionBytes is what a connection takes at most over TLS 1.3, in bytes of RSS, with one subscription, while nothing waits for it or of
// it and its ciphers are not kept: these have lines of their own. An idle one takes less: BENCHMARKS.md has the measurement.
func connectionBytes(e *engine.Bounds) int {
	live := e.ConnectionBytes + e.ChargesBytes + listBytes
	return live + live*gcPercent/100 + spanBytes // with as much garbage as may lie around
}

// subscriptionBytes is what one more of its subscriptions takes.
func subscriptionBytes(e *engine.Bounds) int {
	return e.SubscriptionBytes + e.SubscriptionBytes*gcPercent/100
}

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
	each, more := connectionBytes(&e), max(l.ChannelsPerSession-1, 0)
	return []memoryItem{
		times("connections", connections, each, fmt.Sprintf("%d B, each with a subscription (with TLS 1.2 7 to 14 KB)", each)),
		times("more subscriptions", connections*more, subscriptionBytes(&e), fmt.Sprintf("%d B (%d more for each connection)", subscriptionBytes(&e), more)),
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

// kernelMemory tells what is not in the sum, for --memory-limit is of the process.
func kernelMemory(connections int) string {
	return fmt.Sprintf("The kernel takes %s beside it for %d sockets in which nothing waits, and more for readers that are slow.\n",
		mebibytes(connections*socketBytes), connections)
}

func mebibytes(n int) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }
