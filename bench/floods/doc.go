// Package floods holds a real `weir serve` under each flood of SECURITY.md F4,
// with honest subscribers beside it who may lose nothing. It has only tests:
//
//	make floods
//	go test -v ./bench/floods -full -run TestFloods/pings
//
// Three processes: the server, whose memory is therefore its own; the attackers
// (loadtest/attack), which run with the least priority; and the test with the
// honest subscribers and their publisher. They are on one machine, so the test
// must tell what the server does from what the machine does:
//
//   - Nothing may be lost, doubled, out of order, altered or disconnected. That
//     is held without tolerance.
//   - The 99th percentile of latency is compared with that of the same run
//     under a neutral load: a process of the same low priority that computes. It
//     is taken for each second, and the best second of the flood is compared
//     with the best of the neutral load, anew for up to six rounds. A server that
//     stalls has no good second; a machine that does something else for a while
//     has one later. The bound is max(4 × neutral, 250 ms): what F4 promises,
//     max(2 × baseline, 50 ms) for a minute with 2,000 subscribers, is for a load
//     generator on a machine of its own.
//   - Memory may grow by 64 MiB in the flood, and connections, goroutines,
//     descriptors and memory must come back. F4 says in 5 seconds; the test says
//     how long it took and waits longer.
//   - Each flood must be seen in the server's own counters, by the name of the
//     defence that met it: a flood that did not arrive proves nothing.
//
// Without -full, as in `go test ./...`, the same is done with few subscribers
// and a few floods, for as long as it takes to see them.
package floods
