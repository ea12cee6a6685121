package main

import (
	"bufio"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// result is one benchmark's line.
type result struct {
	name          string // engine/ws.Next/text/256
	ns            float64
	ours, gjson   float64 // of a benchmark that takes turns with gjson: nanoseconds of each; 0: it does not
	bytes, allocs int64   // of one operation
}

// parse reads what `go test -bench -benchmem` prints for packages of this module.
// A package that failed, and output without a benchmark, is an error.
func parse(output string) (all []result, err error) {
	pkg := ""
	lines := bufio.NewScanner(strings.NewReader(output))
	for lines.Scan() {
		line := lines.Text()
		if name, ok := strings.CutPrefix(line, "pkg: "); ok {
			pkg = strings.TrimPrefix(name, "weir/")
		}
		if strings.HasPrefix(line, "FAIL") || strings.HasPrefix(line, "--- FAIL") {
			return nil, errors.New(line)
		}
		fields := strings.Fields(line)
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		r, err := parseLine(fields)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", line, err)
		}
		r.name = pkg + "." + r.name
		all = append(all, r)
	}
	if len(all) == 0 {
		return nil, errors.New("no benchmark in what go test printed")
	}
	return all, lines.Err()
}

// parseLine reads a name, a count, and values each with its unit behind it.
func parseLine(fields []string) (result, error) {
	r := result{name: strings.TrimPrefix(fields[0], "Benchmark"), ns: math.NaN(), bytes: -1, allocs: -1}
	for i := 2; i+1 < len(fields); i += 2 {
		v, err := strconv.ParseFloat(fields[i], 64)
		if err != nil {
			return r, err
		}
		switch unit := fields[i+1]; {
		case unit == "ns/op":
			r.ns = v
		case unit == "B/op":
			r.bytes = int64(v)
		case unit == "allocs/op":
			r.allocs = int64(v)
		case unit == "ns/text":
			r.ours = v
		case unit == "ns/gjson":
			r.gjson = v
		}
	}
	if r.bytes < 0 || r.allocs < 0 {
		return r, errors.New("it has no B/op and allocs/op")
	}
	return r, nil
}
