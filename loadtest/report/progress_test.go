package report

import (
	"bytes"
	"math"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"weir/loadtest/tally"
)

// screen is what a terminal shows after text: as much of one as Progress uses.
func screen(t *testing.T, text string) []string {
	t.Helper()
	rows, row := []string{""}, 0
	for len(text) > 0 {
		if m := regexp.MustCompile(`^\x1b\[(\d*)([AKJ])`).FindStringSubmatch(text); m != nil {
			switch m[2] {
			case "A":
				n := 0
				for _, d := range m[1] {
					n = 10*n + int(d-'0')
				}
				if row -= n; row < 0 {
					t.Fatalf("it goes %d rows above what it wrote", -row)
				}
			case "K":
				rows[row] = ""
			case "J":
				rows = append(rows[:row], "")
			}
			text = text[len(m[0]):]
			continue
		}
		switch r, size := utf8.DecodeRuneInString(text); {
		case r == '\n':
			if row++; row == len(rows) {
				rows = append(rows, "")
			}
			text = text[1:]
		case r == '\r':
			text = text[1:]
		default:
			if r < ' ' {
				t.Fatalf("the terminal is sent %q", r)
			}
			rows[row] += text[:size]
			text = text[size:]
		}
	}
	return rows
}

func TestProgressRewritesOneBlock(t *testing.T) {
	r := sample(5)
	var b bytes.Buffer
	p := NewProgress(&b, true)
	most := 0
	for _, in := range r.Intervals {
		p.Interval(in)
		most = max(most, len(screen(t, b.String())))
	}
	last := strings.Join(screen(t, b.String()), "\n")
	for _, want := range []string{"0:05  fan-out", "deliveries   1,000/s", "p50 50.", "p99 99.", "connections  500", "server       24 MiB", "0.00 cores", "errors       0"} {
		if !strings.Contains(last, want) {
			t.Errorf("no %q in\n%s", want, last)
		}
	}
	if strings.Contains(last, "connect\n") || strings.Contains(last, "ready in") || most > 12 {
		t.Errorf("%d rows, the last:\n%s", most, last)
	}
}

func TestProgressLines(t *testing.T) {
	r := sample(4)
	var b bytes.Buffer
	p := NewProgress(&b, false)
	for _, in := range r.Intervals {
		p.Interval(in)
	}
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	if len(lines) != 4 || strings.ContainsRune(b.String(), '\x1b') {
		t.Fatalf("%q", lines)
	}
	if want := "0:01 · connect · 250 conns · 250/s opened · server 20 MiB"; lines[0] != want {
		t.Errorf("%q, wanted %q", lines[0], want)
	}
	if want := "0:04 · fan-out · 500 conns · 1,000/s deliveries · p99 99.0 ms · server 23 MiB"; lines[3] != want {
		t.Errorf("%q, wanted %q", lines[3], want)
	}
}

// Nothing that is rewritten is wider than a terminal, and nothing moves its cursor
// but the block, whatever is in a run.
func TestProgressOfAnything(t *testing.T) {
	worst := tally.Interval{
		At: math.MaxInt64, For: 1, Phase: "\x1b[2J\r\n\u202e" + strings.Repeat("phase", 50), Connections: math.MaxInt64,
		Counters: tally.Counters{Dialed: math.MaxUint64, Opened: math.MaxUint64, Due: math.MaxUint64, Published: math.MaxUint64, Received: math.MaxUint64, Bytes: math.MaxUint64, Lost: math.MaxUint64},
		Server:   &tally.Process{RSS: math.MaxInt64, CPU: math.MaxInt64}, Load: &tally.Process{RSS: math.MinInt64, CPU: math.MinInt64},
	}
	worst.Latency.Record(math.MaxInt64)
	run := sample(3)
	run.Scenario, run.Target, run.Failures = "\x1b]0;", "\x07", []string{"\x1b[31m", strings.Repeat("x", 500)}
	run.Thresholds = []string{"p99>1ns", "\x1b>1", "gone>1", "lost>0"}
	run.Figures = append(run.Figures, tally.Figure{Name: "\x1b[1m", Value: math.Inf(1), About: "\r"})
	for _, terminal := range []bool{true, false} {
		var b bytes.Buffer
		p := NewProgress(&b, terminal)
		for _, in := range []tally.Interval{{}, worst, {}, worst, {Server: &tally.Process{}}} {
			p.Interval(in)
			for _, row := range screen(t, b.String()) {
				if n := utf8.RuneCountInString(row); n > columns && terminal {
					t.Errorf("%d columns: %s", n, row)
				}
			}
		}
		p.Done(run)
		rows := strings.Join(screen(t, b.String()), "\n")
		if n := strings.Count(rows, "FAILED "); n != 5 || !strings.Contains(rows, "ok     lost is 0, lost>0 must not be") {
			t.Errorf("%d are told to have failed:\n%s", n, rows)
		}
		p.Done(&tally.Run{})
	}
	quiet := NewProgress(nil, true)
	quiet.Interval(worst)
	quiet.Done(run)
}

func TestDoneHasTheFigures(t *testing.T) {
	r := sample(10)
	// The scenario's own stand last, and its value of one that every run has counts.
	r.Figures = []tally.Figure{{Name: "slope", Value: 1771, Unit: tally.Bytes, About: "memory of one more connection"}, {Name: "max", Value: 7, Unit: tally.Seconds, About: "all within"}}
	var b bytes.Buffer
	NewProgress(&b, false).Done(r)
	for _, want := range []string{"  slope                       1.73 KiB  memory of one more connection\n", "  p99                          99.0 ms  99 % within\n",
		"fan-out, weir, wss://127.0.0.1:8443/connection/websocket, 0:10\n", "  lost                               0", "  max                              7 s  all within\n"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}

// The order of figures does not change with what a scenario adds.
func TestKnownFigures(t *testing.T) {
	r := sample(5)
	all := len(Figures(r))
	r.Figures = append([]tally.Figure{{Name: "slope", Value: 1}, {Name: "p99", Value: 2}}, r.Figures[:3]...)
	got := known(r)
	if len(got) != all+1 || got[0].Name != "p50" || got[2].Name != "p99" || got[2].Value != 2 || got[all].Name != "slope" {
		t.Errorf("%+v", got)
	}
}

func TestFormat(t *testing.T) {
	for _, c := range []struct {
		v    float64
		unit tally.Unit
		want string
	}{
		{0, tally.Seconds, "0 s"}, {1e-9, tally.Seconds, "1 ns"}, {2.6e-6, tally.Seconds, "2.60 µs"}, {0.0999, tally.Seconds, "99.9 ms"}, {0.9999, tally.Seconds, "1.00 s"},
		{0.9996e-3, tally.Seconds, "1.00 ms"}, {600, tally.Seconds, "600 s"}, {-0.005, tally.Seconds, "-5 ms"},
		{0, tally.Bytes, "0 B"}, {512, tally.Bytes, "512 B"}, {1771, tally.Bytes, "1.73 KiB"}, {1 << 40, tally.Bytes, "1 TiB"}, {1 << 20, tally.BytesPerSecond, "1 MiB/s"},
		{-1536, tally.Bytes, "-1.50 KiB"}, {16712.4, tally.PerSecond, "16,712/s"}, {12.345, tally.PerSecond, "12.3/s"}, {1234567, tally.Count, "1,234,567"}, {-1234, tally.Count, "-1,234"},
		{999.7, tally.Count, "1,000"}, {0.999, tally.Share, "99.9 %"}, {0.99999, tally.Share, "99.999 %"}, {1, tally.Share, "100 %"}, {0.9996, tally.Share, "99.96 %"}, {1 - 1e-12, tally.Share, "100 %"}, {0.00001, tally.Share, "0.001 %"}, {math.NaN(), tally.Count, "–"}, {math.Inf(-1), tally.Bytes, "–"},
	} {
		if got := Format(c.v, c.unit); got != c.want {
			t.Errorf("%v %q: %q, wanted %q", c.v, c.unit, got, c.want)
		}
	}
	if got := clock(3723 * time.Second); got != "1:02:03" {
		t.Error(got)
	}
}
