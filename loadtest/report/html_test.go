package report

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"weir/loadtest/tally"
)

// graphic is one chart as a reader of XML sees it.
type graphic struct {
	title string
	lines []string // paths
	bars  int
	texts []string
}

var (
	svgs    = regexp.MustCompile(`(?s)<svg class="chart".*?</svg>`)
	numbers = regexp.MustCompile(`-?\d+(?:\.\d+)?`)
	moves   = regexp.MustCompile(`([MLhvz])([^MLhvz]*)`)
	noValue = regexp.MustCompile(`\b(NaN|[+-]?Inf|ZgotmplZ|%!)`)
)

// pageOf writes the page, and holds it to what every page must keep.
func pageOf(t *testing.T, runs ...*tally.Run) string {
	t.Helper()
	var b bytes.Buffer
	if err := WriteHTML(&b, runs...); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	for _, outside := range []string{"http:", "https:", "src=", "url(", "@import", "<link", "<script", "<img", "<iframe", "href", "srcset", "onload=\"", "onerror=\""} {
		if strings.Contains(page, outside) {
			t.Errorf("the page refers to something else, or runs something: %s", outside)
		}
	}
	if m := noValue.FindString(page); m != "" {
		t.Errorf("%s is no value", m)
	}
	return page
}

// graphics parses every chart: sound XML, and no place outside of the view box.
func graphics(t *testing.T, page string) (all []graphic) {
	t.Helper()
	for _, text := range svgs.FindAllString(page, -1) {
		var g graphic
		d := xml.NewDecoder(strings.NewReader(text))
		in := ""
		for {
			token, err := d.Token()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("%v in %.300s", err, text)
			}
			switch e := token.(type) {
			case xml.StartElement:
				in = e.Name.Local
				g.element(t, e)
			case xml.CharData:
				if in == "title" && g.title == "" {
					g.title = string(e)
				}
				if in == "text" && strings.TrimSpace(string(e)) != "" {
					g.texts = append(g.texts, string(e))
				}
			}
		}
		all = append(all, g)
	}
	return all
}

func (g *graphic) element(t *testing.T, e xml.StartElement) {
	t.Helper()
	at := map[string]string{}
	for _, a := range e.Attr {
		at[a.Name.Local] = a.Value
	}
	switch e.Name.Local {
	case "rect":
		x, y, w, h := number(t, at["x"]), number(t, at["y"]), number(t, at["width"]), number(t, at["height"])
		if x < 0 || y < 0 || w < 0 || h < 0 || x+w > viewWidth || y+h > viewHeight {
			t.Errorf("%s: a bar at %v", g.title, at)
		}
		if strings.HasPrefix(at["class"], "bar") {
			g.bars++
		}
	case "text":
		if x, y := number(t, at["x"]), number(t, at["y"]); x < 0 || x > viewWidth || y < 0 || y > viewHeight {
			t.Errorf("%s: a text at %v", g.title, at)
		}
	case "path":
		for _, p := range places(t, at["d"]) {
			if p.x < 0 || p.x > viewWidth || p.y < 0 || p.y > viewHeight {
				t.Errorf("%s: a line to %v", g.title, p)
			}
		}
		if strings.HasPrefix(at["class"], "line") {
			g.lines = append(g.lines, at["d"])
		}
	}
}

func number(t *testing.T, s string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || !finite(v) {
		t.Fatalf("%q is no number", s)
	}
	return v
}

// places are where a path goes.
func places(t *testing.T, path string) (all []point) {
	t.Helper()
	var at point
	for _, m := range moves.FindAllStringSubmatch(path, -1) {
		n := numbers.FindAllString(m[2], -1)
		switch m[1] {
		case "M", "L":
			at = point{number(t, n[0]), number(t, n[1])}
		case "h":
			at.x += number(t, n[0])
		case "v":
			at.y += number(t, n[0])
		}
		all = append(all, at)
	}
	return all
}

func titled(t *testing.T, all []graphic, title string) graphic {
	t.Helper()
	for _, g := range all {
		if g.title == title {
			return g
		}
	}
	t.Fatalf("no chart %q", title)
	return graphic{}
}

// The values of a run are where they belong.
func TestPageOfARun(t *testing.T) {
	r := sample(60)
	r.Thresholds = []string{"p99>50ms", "lost>0"}
	r.Failures = []string{"3 subscribers were closed"}
	r.Intervals[30].Lost, r.Intervals[30].Refused, r.Intervals[31].Lost = 2, 4, 1
	r.Total.Lost, r.Total.Closes = 3, map[string]uint64{"3008": 3}
	r.Figures = Figures(r)
	page := pageOf(t, r)
	if len(page) > 150<<10 {
		t.Errorf("%d bytes", len(page))
	}
	all := graphics(t, page)
	if len(all) != 10 {
		t.Errorf("%d charts", len(all))
	}
	deliveries := titled(t, all, "Deliveries per second")
	line := places(t, deliveries.lines[0])
	// 0 in the first two seconds, then 1,000 of an axis up to 1,200.
	y := float64(plotBottom) - plotHeight*1000.0/1200
	if len(line) != 60 || line[0].y != plotBottom || math.Abs(line[59].y-y) > 0.06 || line[59].x != plotRight {
		t.Errorf("%d deliveries, from %v to %v, wanted the last at %v", len(line), line[0], line[59], y)
	}
	if got := strings.Join(deliveries.texts, " "); got != "fan-out 0 200 400 600 800 1,000 1,200 0:00 0:10 0:20 0:30 0:40 0:50 1:00" {
		t.Error(got)
	}
	latency := titled(t, all, "Latency")
	if len(latency.lines) != 4 || len(places(t, latency.lines[0])) != 58 {
		t.Errorf("%d lines of latency", len(latency.lines))
	}
	if !strings.Contains(page, "<title>0:31 · fan-out\n") {
		t.Error("a chart does not tell the phase of a place")
	}
	if errors := titled(t, all, "Errors by kind"); errors.bars != 3 {
		t.Errorf("%d bars of errors", errors.bars)
	}
	for _, want := range []string{"✗ Failed, for 3 reasons.", "p99 is 99.0 ms, p99&gt;50ms must not be", "3 subscribers were closed", "<td class=\"value\">99.0 ms</td>", "ended by 3008", "--subscribers", "a processor", "prefers-color-scheme: dark", "@media print"} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in the page", want)
		}
	}
	if again := pageOf(t, r); again != page {
		t.Error("another page of the same run")
	}
}

func TestPageOfSeveralRuns(t *testing.T) {
	var runs []*tally.Run
	for i, protocol := range []string{"weir", "centrifugo", "ws", "ws", "", "uws", "nbio", "gorilla"} {
		r := sample(20 + i)
		r.Protocol = protocol
		runs = append(runs, r)
	}
	runs[1].Thresholds = []string{"lost>=0"}
	page := pageOf(t, runs...)
	for _, g := range graphics(t, page) {
		if len(g.lines) != 8 {
			t.Errorf("%s has %d lines", g.title, len(g.lines))
		}
	}
	for _, want := range []string{">centrifugo</th>", ">3: ws</th>", ">4: ws</th>", ">5</th>", "<td>centrifugo</td><td><code>lost&gt;=0</code>", "s7"} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in the page", want)
		}
	}
	for _, wrong := range [][]*tally.Run{nil, append(runs, runs[0]), {nil}} {
		if err := WriteHTML(io.Discard, wrong...); err == nil {
			t.Errorf("a page of %d runs", len(wrong))
		}
	}
}

// Whatever a run is, its page is sound, and small.
func TestPageOfAnyRun(t *testing.T) {
	long := sample(3)
	for i := range 5_000 {
		long.Intervals = append(long.Intervals, tally.Interval{At: time.Duration(4+200*i) * time.Second, For: 200 * time.Second, Connections: 1, Counters: tally.Counters{Received: uint64(i)}})
	}
	wild := sample(3)
	wild.Took, wild.Began = -1, time.Time{}
	wild.Figures = []tally.Figure{{Name: "nan", Value: math.NaN()}, {Name: "inf", Value: math.Inf(1), Unit: tally.Seconds}, {Name: "unit", Value: 1, Unit: "parsecs"}}
	wild.Intervals = append(wild.Intervals,
		tally.Interval{At: math.MaxInt64, For: math.MinInt64, Connections: math.MinInt64, Counters: tally.Counters{Received: math.MaxUint64, Missing: math.MaxUint64, Lost: math.MaxUint64}},
		tally.Interval{At: -5, For: -5, Server: &tally.Process{RSS: -1, CPU: math.MaxInt64}, Load: &tally.Process{RSS: math.MaxInt64, CPU: math.MinInt64}},
		tally.Interval{At: 7, Phase: "x", Counters: tally.Counters{Refused: math.MaxUint64, Corrupted: math.MaxUint64, Foreign: 1}})
	phases := sample(100)
	for i := range phases.Intervals {
		phases.Intervals[i].Phase = fmt.Sprint(i)
	}
	late := sample(3)
	late.Latency.Record(time.Hour)
	for name, r := range map[string]*tally.Run{
		"nothing": {}, "one interval": sample(1), "two": sample(2), "three": sample(3), "a million seconds": long, "wild": wild, "many phases": phases, "slow": late,
		"only latencies": {Latency: late.Latency}, "an empty interval": {Intervals: []tally.Interval{{}}},
		"no length": {Intervals: []tally.Interval{{Counters: tally.Counters{Received: 5}}, {Counters: tally.Counters{Received: 5}}}},
		"short":     {Intervals: []tally.Interval{{At: time.Millisecond, For: time.Millisecond, Connections: 1}, {At: 2 * time.Millisecond, For: time.Millisecond, Connections: 2}}},
	} {
		t.Run(name, func(t *testing.T) {
			page := pageOf(t, r)
			graphics(t, page)
			if len(page) > 250<<10 {
				t.Errorf("%d bytes", len(page))
			}
			graphics(t, pageOf(t, r, sample(5)))
			if err := WriteJSON(io.Discard, r); err != nil {
				t.Error(err)
			}
		})
	}
}

// fill sets every string below v.
func fill(v reflect.Value, text string) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				fill(v.Field(i), text)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			fill(v.Index(i), text)
		}
	}
}

// Nothing in a run is markup, a script, or a place outside.
func TestHostileStrings(t *testing.T) {
	for _, text := range []string{
		`"><script>alert(1)</script>`, `'><img src=x onerror="alert(1)">`, `</title></style></svg></desc><iframe src="https:x">`, `{{.}}{{template "x"}}`, `javascript:alert(1)`,
		"\x00\x01\x1b[2J\xff\xfe\u202e]]>&amp;<!--", "-->", "<svg onload=\"x\">", `url(https://x)`, strings.Repeat("x", 5000),
	} {
		r := sample(3)
		fill(reflect.ValueOf(r).Elem(), text)
		r.Options = map[string]string{text: text}
		r.Total.Closes = map[string]uint64{text: 1}
		r.Failures, r.Thresholds = []string{text}, []string{text}
		var b bytes.Buffer
		if err := WriteHTML(&b, r, sample(4)); err != nil {
			t.Fatal(err)
		}
		if err := WriteHTML(&b, r); err != nil {
			t.Fatal(err)
		}
		page := b.String()
		if n := len(graphics(t, page)); n < 15 {
			t.Errorf("%d charts left after %.40q", n, text)
		}
		plain := sample(3)
		plain.Options, plain.Failures, plain.Thresholds, plain.Total.Closes = map[string]string{"a": "b"}, []string{"a"}, []string{"a"}, map[string]uint64{"a": 1}
		fill(reflect.ValueOf(plain).Elem(), "a")
		var harmless bytes.Buffer
		_ = WriteHTML(&harmless, plain, sample(4))
		_ = WriteHTML(&harmless, plain)
		if got, want := tags(page), tags(harmless.String()); !reflect.DeepEqual(got, want) {
			t.Errorf("%.40q makes tags %v, wanted %v", text, got, want)
		}
	}
}

// tags counts elements by name, but not of what moves with the length of a name.
func tags(page string) map[string]int {
	all := map[string]int{}
	for _, m := range regexp.MustCompile(`<(/?[a-zA-Z!]+)`).FindAllStringSubmatch(page, -1) {
		all[m[1]]++
	}
	delete(all, "text") // a phase's name that does not fit
	delete(all, "/text")
	return all
}
