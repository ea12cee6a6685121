package main

import (
	"errors"
	"fmt"
	"math"
)

// selection is benchmarks by the names that a pattern matches, of some packages.
type selection struct {
	packages []string
	names    string
}

// hot are the paths that a message, a delivery or an attempt takes. What only
// start and reload do, and what BenchmarkCostliest and the corpora of Check
// search, is not here.
var hot = []selection{
	{[]string{
		"./engine/clientproto", "./engine/outbox", "./engine/stats", "./engine/tlsconn/record", "./engine/upgrade", "./engine/wheel", "./engine/work", "./engine/ws",
		"./engine/hub", "./engine/broker/memory", "./engine/pointer", "./engine/session", "./engine/delta", "./engine",
		"./security/audit", "./security/grant", "./security/limit", "./security/origin", "./security/overload", "./security/token",
		"./loadtest/payload", "./loadtest/tally",
	}, "."},
	{[]string{"./security/schema"}, "^BenchmarkValidate$|^BenchmarkAppendHTML$|^BenchmarkCheck$/^command$"},
}

// compared are the benchmarks that ratios are of.
var compared = []selection{
	{[]string{"./engine/tlsconn/record"}, "^Benchmark(Seal256|Open256|Reference)$"},
	{[]string{"./security/limit"}, "^BenchmarkTake$/^bucket$|^BenchmarkTake$/^table$/^hot$|^BenchmarkReference$"},
	{[]string{"./engine/outbox"}, "^Benchmark(PushPop|Reference)$"},
	{[]string{"./engine/clientproto"}, "^BenchmarkParse$/^publish$|^BenchmarkReference$"},
	{[]string{"./engine/ws"}, "^BenchmarkNext$/^text$/^64KiB$|^BenchmarkReference$"},
	{[]string{"./security/schema"}, "^BenchmarkValidate$/^(tick|chat)$"},
}

// ratio holds one benchmark against another of the same run: how many times as
// fast ours is as the reference. atLeast has room for noise in it: it is a
// tenth to a third below the least that was seen on a busy machine.
type ratio struct {
	Name      string
	ours      string
	reference string // "": ours takes turns with gjson itself
	atLeast   float64
}

var ratios = []ratio{
	{"sealing a record of 256 bytes against the cipher alone", "engine/tlsconn/record.Seal256", "engine/tlsconn/record.Reference/seal", 0.7},
	{"opening it", "engine/tlsconn/record.Open256", "engine/tlsconn/record.Reference/open", 0.68},
	{"the limiter's table against a map under a lock", "security/limit.Take/table/hot", "security/limit.Reference", 1.8},
	{"a connection's bucket against that", "security/limit.Take/bucket", "security/limit.Reference", 5},
	{"the outbox against a channel", "engine/outbox.PushPop", "engine/outbox.Reference", 1.8},
	{"parsing a command against gjson's look at its syntax", "engine/clientproto.Parse/publish", "engine/clientproto.Reference", 0.2},
	{"unmasking 64 KiB against copy and XOR alone", "engine/ws.Next/text/64KiB", "engine/ws.Reference", 0.5},
	{"a tick against its schema against gjson's look at its syntax", "security/schema.Validate/tick", "", 1.3},
	{"a chat message against its schema against that", "security/schema.Validate/chat", "", 1.45},
}

// quotient is a ratio that was measured.
type quotient struct {
	ratio
	is float64
}

func quotientsOf(best map[string]result) (all []quotient, err error) {
	for _, r := range ratios {
		ours, ok := best[r.ours]
		q := quotient{r, ours.gjson / ours.ours}
		if r.reference != "" {
			reference, known := best[r.reference]
			ok, q.is = ok && known, reference.ns/ours.ns
		}
		if !ok || !(q.is > 0) || math.IsInf(q.is, 0) {
			err = errors.Join(err, fmt.Errorf("%s: no figures of %s and %s", r.Name, r.ours, r.reference))
			continue
		}
		all = append(all, q)
	}
	return all, err
}

// fallen lists the ratios that are below their bound.
func fallen(all []quotient) (faults []string) {
	for _, q := range all {
		if q.is < q.atLeast {
			faults = append(faults, fmt.Sprintf("%s: %.2f times as fast, at least %.2f (%s)", q.Name, q.is, q.atLeast, q.ours))
		}
	}
	return faults
}
