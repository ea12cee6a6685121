package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"weir/loadtest/report"
	"weir/security/oplog/logtest"
)

// TestMain makes this test binary the clients' process too, as main does.
func TestMain(m *testing.M) {
	if os.Getenv(workerVariable) != "" {
		main()
	}
	os.Exit(m.Run())
}

// TestASmallMillion: two processes share the port, and each subscriber of both has the publication once.
func TestASmallMillion(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("skipped: bench/internal/node works on Linux only")
	}
	file := filepath.Join(t.TempDir(), "run.json")
	var out bytes.Buffer
	var log logtest.Log
	args := []string{"-connections", "60", "-servers", "2", "-dials", "8", "-rest", "0s", "-json", file}
	if err := run(t.Context(), args, &out, &log); err != nil {
		t.Fatalf("%v\n%s%s", err, out.String(), log.String())
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	r, err := report.ReadJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	reached, ok := r.Figure("reached")
	if !ok || reached.Value != 60 || r.Total.Opened != 60 || r.Total.Published != 1 || r.Total.Lost != 0 {
		t.Errorf("%v reached; %+v", reached.Value, r.Total)
	}
	if !strings.Contains(out.String(), "server_rss") {
		t.Errorf("%s", out.String())
	}
}

func TestMistakes(t *testing.T) {
	for _, args := range [][]string{{"-connections", "0"}, {"-servers", "0"}, {"-resume", "2"}, {"-timer-slack", "-1s"}, {"-nothing"}} {
		if err := run(t.Context(), args, io.Discard, io.Discard); err == nil {
			t.Errorf("%v was taken", args)
		}
	}
}
