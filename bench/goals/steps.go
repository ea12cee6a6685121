package main

import (
	"regexp"
	"slices"
	"strings"
)

// steps are the benchmarks in the order in which they run. All together take
// about ten minutes on two cores.
var steps = []step{
	{
		name:    "validator",
		command: words("go test ./security/schema -run ^$ -bench Validate -benchtime 500ms -count 3"),
		keep:    benchmarks,
		goals: []goal{
			{what: "schema validation of the 256-byte message", pattern: regexp.MustCompile(`(?m)^BenchmarkValidate/tick-\S+ .* ([0-9.]+) ns/text`), unit: "ns", ship: 220, reach: 120},
			{what: "the same against gjson.Valid, which looks at syntax only", pattern: regexp.MustCompile(`(?m)^BenchmarkValidate/tick-\S+ .* ([0-9.]+) x-gjson`), unit: "×", least: true, ship: 1.5, reach: 3},
		},
	},
	{
		name:    "limiter",
		command: words("go test ./security/limit -run ^$ -bench Take/table -benchtime 500ms -count 5"),
		keep:    benchmarks,
		goals: []goal{
			{what: "limiter's table, an address that comes again and again", pattern: regexp.MustCompile(`(?m)^BenchmarkTake/table/hot-\S+ .* ([0-9.]+) ns/op`), unit: "ns", ship: 25, reach: 12},
			{what: "limiter's table, half a million addresses in turn", pattern: regexp.MustCompile(`(?m)^BenchmarkTake/table/cold-\S+ .* ([0-9.]+) ns/op`), unit: "ns", ship: 60, reach: 40},
		},
	},
	{
		name:    "over-admissions",
		command: words("go test ./security/limit -run ^TestNothingIsOverAdmitted$ -v -takes 100000000"),
		keep:    func(line string) bool { return strings.Contains(line, "admitted") },
		goals: []goal{
			{what: "over-admissions of the limiter's table, of 10⁸ takes by 64 at once", pattern: regexp.MustCompile(`([0-9]+) over-admitted`), ship: none, reach: 0},
		},
	},
	{
		name:    "checks",
		command: words("go test ./security/grant ./security/audit ./engine -run ^$ -bench Allows|Add$|StillGood"),
		keep:    benchmarks,
		goals: []goal{
			{what: "permission check", pattern: regexp.MustCompile(`(?m)^BenchmarkAllows\S* .* ([0-9.]+) ns/op`), unit: "ns", ship: 30, reach: none},
			{what: "audit record", pattern: regexp.MustCompile(`(?m)^BenchmarkAdd\S* .* ([0-9.]+) ns/op`), unit: "ns", ship: 200, reach: none},
			{what: "expiry and revocation of a message", pattern: regexp.MustCompile(`(?m)^BenchmarkStillGood-\S* .* ([0-9.]+) ns/op`), unit: "ns", ship: 20, reach: none},
		},
	},
	{
		name:    "allocations",
		command: words("go test ./engine ./engine/clientproto ./security/schema -run ^$ -bench ^Benchmark(Delivery|Message|Parse|Validate)$ -benchmem -benchtime 2000x"),
		keep:    benchmarks,
		goals: []goal{
			{what: "allocations of a publication to 50 subscribers, all deliveries together", pattern: allocations(`Delivery`), worst: true, ship: 0, reach: none},
			{what: "allocations of a message, accepted or refused, the most of any kind", pattern: allocations(`(?:Message|Parse)/\S+`), worst: true, ship: 0, reach: none},
			{what: "allocations of a schema validation, the most of any kind", pattern: allocations(`Validate/\S+`), worst: true, ship: 0, reach: none},
		},
	},
	{
		name:    "memory",
		command: words("go run ./bench/memory -from 1000 -to 18000"),
		goals: []goal{
			{what: "memory of an idle, authenticated, subscribed wss connection", pattern: regexp.MustCompile(`slope ([0-9.]+) bytes`), unit: "B", ship: 1024, reach: 512},
		},
	},
	{
		name:    "floor",
		command: words("go run ./bench/floor -parts fanout,accept"),
		goals: []goal{
			{what: "server CPU of a delivery, 256 bytes to 10,000 subscribers, against sealing and writing alone", pattern: regexp.MustCompile(`a delivery costs ([0-9.]+) times`), unit: "×", ship: 1.4, reach: 1.15},
			{what: "deliveries for the same CPU, 8 publications at once against one by one", pattern: regexp.MustCompile(`there are ([0-9.]+) times as many`), unit: "×", least: true, ship: 5, reach: 7},
			{what: "garbage collections in a minute of that fan-out", pattern: regexp.MustCompile(`collections .* ([0-9]+) a minute`), ship: none, reach: 0},
			{what: "server CPU of a connection against its own cryptography", pattern: regexp.MustCompile(`token alone [0-9]+ µs: ([0-9.]+) times`), unit: "×", ship: 1.4, reach: 1.15},
		},
	},
	{
		name:    "half load",
		command: words("go run ./bench/floor -parts halfload -subscribers 2000 -rounds 3"),
		goals: []goal{
			{what: "p99 from when a publication was due to the last of 2,000 subscribers, at half of the rate at which one after the other reaches them", pattern: regexp.MustCompile(`(?m)^half load: .* p99 ([0-9.]+)ms \(`), unit: "ms", ship: 40, reach: none},
			{what: "that against the time of sealing and writing alone to all of them", pattern: regexp.MustCompile(`(?m)^half load: .* ([0-9.]+) times the floor's`), unit: "×", ship: none, reach: 2},
			{what: "the same while clients connect and leave all the time", pattern: regexp.MustCompile(`(?m)^half load while .* ([0-9.]+) times the floor's`), unit: "×", ship: none, reach: 2},
		},
	},
	{
		name:    "goodput",
		command: words("go run ./bench/overload -parts goodput"),
		goals: []goal{
			{what: "overload in what follows: hellos a second against the handshakes that the server's processor time is enough for", pattern: regexp.MustCompile(`another address, ([0-9.]+) times what`), unit: "×", least: true, ship: 10, reach: none},
			{what: "handshakes then, against the capacity, for the same processor time of the server", pattern: regexp.MustCompile(`goodput: ([0-9.]+) %`), unit: "%", least: true, ship: 85, reach: 97},
			{what: "connections lost or behind then, of 500 that were there before", pattern: regexp.MustCompile(`(?m)^([0-9]+) of 500 subscribers`), ship: 0, reach: none},
		},
	},
	{
		name:    "floods",
		command: words("go run ./bench/overload -parts floods"),
		goals: []goal{
			{what: "growth of the server's memory in the worst of 16 floods, 2 s each, of up to 2,000 attackers at once beside 500 subscribers", pattern: regexp.MustCompile(`([0-9.]+) MiB more at most`), unit: "MiB", ship: 64, reach: 16},
		},
	},
	{
		name:    "controls",
		command: words("go run ./bench/controls -for 40s"),
		goals: []goal{
			{what: "throughput that all controls cost", pattern: regexp.MustCompile(`controls cost (-?[0-9.]+) %`), unit: "%", ship: 10, reach: none},
		},
	},
	{
		name:    "conflation",
		command: words("go run ./bench/conflation"),
	},
	{
		name:    "compare",
		command: words("go run ./bench/compare -servers weir,weir-feed,centrifuge,gorilla,ws,nbhttp,uws -memory-rounds 0 -rounds 2 -for 3s"),
		goals: slices.Concat(
			against("centrifuge", "the library of Centrifugo", 0.55, 0.48, 1, 2),
			against("gorilla", "gorilla with prepared messages", 0.8, 0.71, 1, none),
			against("ws", "`ws` on Node.js", 0.4, 0.32, 1, none),
			against("nbhttp", "nbio's nbhttp", 0.85, 0.76, 1, none),
			against("uws", "uWebSockets.js", 0.95, 0.82, 1, none),
		),
	},
}

// against are the goals beside another server, by its row in the table of bench/compare: processor time of a delivery at
// most, and deliveries of the whole machine at least, so many times its own.
func against(name, title string, ship, reach, shipSpeed, reachSpeed float64) []goal {
	row := `(?m)^\| ` + name + ` \S+ \|[^|]*\|[^|]*\|[^|]*\| `
	return []goal{
		{what: "server CPU of a delivery, 5,000 subscribers, against " + title, pattern: regexp.MustCompile(row + `([0-9.]+)×`), unit: "×", ship: ship, reach: reach},
		{what: "deliveries of the whole machine, against " + title, pattern: regexp.MustCompile(row + `[^|]*\|[^|]*\| ([0-9.]+)×`), unit: "×", least: true, ship: shipSpeed, reach: reachSpeed},
	}
}

// allocations finds those of an operation of the benchmarks that the pattern names.
func allocations(names string) *regexp.Regexp {
	return regexp.MustCompile(`(?m)^Benchmark` + names + `-[0-9]+\s.* ([0-9]+) allocs/op`)
}

func words(line string) []string { return strings.Fields(line) }

// benchmarks keeps the results of Go benchmarks and what they ran on.
func benchmarks(line string) bool {
	return strings.HasPrefix(line, "Benchmark") || strings.HasPrefix(line, "cpu:")
}
