package report

import (
	"math"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"weir/loadtest/tally"
)

func labels(a axis) string {
	var all []string
	for _, t := range a.ticks {
		all = append(all, t.label)
	}
	return strings.Join(all, " | ")
}

func TestTicks(t *testing.T) {
	for _, c := range []struct {
		got  axis
		want string
	}{
		{linear(0, tally.Count), "0 | 1 | 2"},
		{linear(1, tally.Count), "0 | 1 | 2"},
		{linear(7, tally.Count), "0 | 2 | 4 | 6 | 8"},
		{linear(500, tally.Count), "0 | 100 | 200 | 300 | 400 | 500 | 600"},
		{linear(400_000, tally.PerSecond), "0 | 100k | 200k | 300k | 400k | 500k"},
		{linear(1234, tally.PerSecond), "0 | 500 | 1,000 | 1,500"},
		{linear(0.5, tally.PerSecond), "0 | 0.1 | 0.2 | 0.3 | 0.4 | 0.5 | 0.6"},
		{linear(1500, tally.Bytes), "0 B | 512 B | 1 KiB | 1.50 KiB | 2 KiB"},
		{linear(46<<20, tally.Bytes), "0 B | 10 MiB | 20 MiB | 30 MiB | 40 MiB | 50 MiB"},
		{linear(3<<30, tally.Bytes), "0 B | 1 GiB | 2 GiB | 3 GiB | 4 GiB"},
		{linear(1.9, coresUnit), "0 | 0.5 | 1 | 1.5 | 2"},
		{linear(math.Inf(1), tally.Count), "0 | 1 | 2"},
		{logarithmic(0.0012, 0.045, tally.Seconds), "1 ms | 2 ms | 5 ms | 10 ms | 20 ms | 50 ms"},
		{logarithmic(0.00012, 0.9, tally.Seconds), "100 µs | 1 ms | 10 ms | 100 ms | 1 s"},
		{logarithmic(0.05, 0.05, tally.Seconds), "20 ms | 50 ms | 100 ms | 200 ms"},
		{logarithmic(1e-6, 600, tally.Seconds), "100 ns | 1 µs | 10 µs | 100 µs | 1 ms | 10 ms | 100 ms | 1 s | 10 s | 100 s | 1000 s"},
		{logarithmic(0, 0, tally.Seconds), "500 µs | 1 ms | 2 ms | 5 ms | 10 ms | 20 ms"},
		{logarithmic(math.Inf(1), 0, tally.Seconds), "500 µs | 1 ms | 2 ms | 5 ms | 10 ms | 20 ms"},
		{timeline(0), "0 s | 0.2 s | 0.4 s | 0.6 s | 0.8 s | 1 s"},
		{timeline(10 * time.Second), "0:00 | 0:02 | 0:04 | 0:06 | 0:08 | 0:10"},
		{timeline(time.Minute), "0:00 | 0:10 | 0:20 | 0:30 | 0:40 | 0:50 | 1:00"},
		{timeline(time.Hour), "0:00 | 10:00 | 20:00 | 30:00 | 40:00 | 50:00 | 1:00:00"},
		{timeline(1_000_000 * time.Second), "0:00 | 48:00:00 | 96:00:00 | 144:00:00 | 192:00:00 | 240:00:00"},
		{nines(1), "0 % | 90 %"},
		{nines(58_000), "0 % | 90 % | 99 % | 99.9 % | 99.99 %"},
		{nines(math.MaxUint64), "0 % | 90 % | 99 % | 99.9 % | 99.99 % | 99.999 % | 99.9999 % | 99.99999 %"},
	} {
		if got := labels(c.got); got != c.want {
			t.Errorf("%s, wanted %s", got, c.want)
		}
	}
}

// Ticks are few, rise, and lie on the axis; what is drawn lies between its ends.
func TestScales(t *testing.T) {
	for v := 1e-7; v < 1e19; v *= 1.37 {
		for _, unit := range []tally.Unit{tally.Count, tally.PerSecond, tally.Bytes, tally.Seconds, coresUnit} {
			for name, a := range map[string]axis{"linear": linear(v, unit), "logarithmic": logarithmic(v/3, v, unit), "wide": logarithmic(v/1e5, v, unit), "time": timeline(time.Duration(min(v, 9e9) * 1e9))} {
				if n := len(a.ticks); n < 2 || n > 11 {
					t.Fatalf("%s %v %q: %d ticks", name, v, unit, n)
				}
				for i, tick := range a.ticks {
					if at := a.at(tick.value); at < 0 || at > 1 || i > 0 && (at <= a.at(a.ticks[i-1].value) || tick.label == a.ticks[i-1].label) {
						t.Fatalf("%s %v %q: tick %d is %q at %v, after %q", name, v, unit, i, tick.label, at, a.ticks[max(i-1, 0)].label)
					}
				}
				if at := a.at(v); name != "time" && (at <= 0 || at >= 1 || a.at(math.NaN()) != 0 || a.at(math.Inf(1)) != 1) {
					t.Fatalf("%s %v %q: the value is at %v", name, v, unit, at)
				}
			}
		}
	}
}

func TestPathsWithGaps(t *testing.T) {
	gap := math.NaN()
	p := plot{x: axis{high: 4}, y: axis{high: 1}}
	at := func(ys ...float64) (points []point) {
		for x, y := range ys {
			points = append(points, point{float64(x), y})
		}
		return points
	}
	for want, points := range map[string][]point{
		"":                       nil,
		"M70 238L187 24":         at(0, 1),
		"M70 238L187 238":        at(0, 0, gap, 1),
		"M70 24L187 238L304 131": at(7, -7, 0.5), // beyond the axis
		"M187 24L304 24":         at(gap, 1, 1, gap, 0),
	} {
		if got := p.path(points); got != want {
			t.Errorf("%q, wanted %q", got, want)
		}
	}
	if got := p.under(at(0, 1)); got != "M70 238L187 24L187 238L70 238z" {
		t.Error(got)
	}
	if got := p.under(at(0, gap, 1)) + p.under(at(1)); got != "" {
		t.Error(got)
	}
}

// What has no line through it is a dot, or nobody would see it.
func TestDots(t *testing.T) {
	gap := math.NaN()
	p := plot{x: axis{high: 4}, y: axis{high: 1}}
	p.tellX = func(float64) string { return "" }
	p.tellY = p.tellX
	alone := series{class: 2}
	for x, y := range []float64{1, gap, 0, 0, gap} {
		alone.points = append(alone.points, point{float64(x), y})
	}
	p.lines = []series{alone}
	if got, want := draw(p).Dots, []drawnDot{{2, "70", "24"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("%v, wanted %v", got, want)
	}
}

// Labels below a plot do not run into each other, and end inside of the page.
func TestLabelsHaveRoom(t *testing.T) {
	for name, x := range map[string]axis{
		"nines": nines(1e9), "few": nines(500), "a million": nines(1e6), "a minute": timeline(time.Minute), "a day": timeline(24 * time.Hour), "a week": timeline(7 * 24 * time.Hour),
		"half a second": timeline(500 * time.Millisecond),
	} {
		p, end, shown := plot{x: x}, 0.0, 0
		for _, tick := range p.below() {
			if tick.Label == "" {
				continue
			}
			shown++
			at, err := strconv.ParseFloat(tick.LabelAt, 64)
			half := float64(len([]rune(tick.Label))) * labelLetterWidth / 2
			if err != nil || at-half < end || at+half > viewWidth+0.1 {
				t.Errorf("%s: %q at %s, the one before ends at %g, the page at %d", name, tick.Label, tick.LabelAt, end, viewWidth)
			}
			end = at + half
		}
		if shown < 3 {
			t.Errorf("%s: %d labels", name, shown)
		}
	}
}
