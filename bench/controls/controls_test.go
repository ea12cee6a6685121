package main

import (
	"bytes"
	"encoding/json"
	"io"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"weir/security/schema"
)

// TestAMoment: both servers take a few batches; nothing is refused or lost, and a ratio comes out.
func TestAMoment(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("skipped: bench/internal/node works on Linux only")
	}
	var out, log bytes.Buffer
	err := run(t.Context(), []string{"-publishers", "2", "-subscribers", "2", "-batch", "20", "-for", "1ms"}, &out, &log)
	if err != nil {
		t.Fatalf("%v\n%s%s", err, out.String(), log.String())
	}
	if !regexp.MustCompile(`(?s)controls on +\d+ publications/s.*controls off +\d+ publications/s.*controls cost -?[0-9.]+ % of throughput`).Match(out.Bytes()) {
		t.Errorf("%s", out.String())
	}
}

// TestJudge: the cost is what throughput is lost, of the median batch.
func TestJudge(t *testing.T) {
	s := &side{name: "x", batches: []time.Duration{3, 1, 2}}
	if s.median() != 2 {
		t.Errorf("median %v", s.median())
	}
	on, off := &side{name: "on", batches: []time.Duration{time.Second}, cpu: 120}, &side{name: "off", batches: []time.Duration{time.Second * 4 / 5}, cpu: 100}
	p := &plan{publishers: 1, subscribers: 1, batch: 1, maxCost: 0.1}
	var out strings.Builder
	if err := p.judge([2]*side{on, off}, &out); err == nil || !strings.Contains(out.String(), "cost 20.0 % of throughput, 20.0 % of CPU") {
		t.Errorf("%v: %s", err, out.String())
	}
	p.maxCost = 0.3
	if err := p.judge([2]*side{on, off}, io.Discard); err != nil {
		t.Error(err)
	}
}

// TestSchemaTakesTheData: else everything would be refused.
func TestSchemaTakesTheData(t *testing.T) {
	s, err := schema.Compile([]byte(schemaText))
	if err != nil {
		t.Fatal(err)
	}
	var v schema.Validator
	if r := s.Validate(&v, []byte(data), schema.Limits{Depth: 16, Members: 1024}); r.Fault != nil || !json.Valid([]byte(data)) {
		t.Errorf("%+v", r)
	}
}

func TestMistakes(t *testing.T) {
	for _, args := range [][]string{{"-publishers=0"}, {"-subscribers=0"}, {"-batch=0"}, {"-batch=1000"}, {"-for=0s"}, {"-nonsense"}} {
		if p, err := parse(args, io.Discard); err == nil {
			t.Errorf("%v: %+v", args, p)
		}
	}
}
