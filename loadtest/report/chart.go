package report

import (
	"math"
	"strconv"
	"strings"
)

// The view box of a chart, and the plot in it.
const (
	viewWidth, viewHeight    = 560, 270
	plotLeft, plotRight      = 70, 538
	plotTop, plotBottom      = 24, 238
	plotWidth, plotHeight    = plotRight - plotLeft, plotBottom - plotTop
	maxHovers                = 60  // columns that tell their values
	bandLetterWidth          = 7   // of a phase's name: one that is wider than its band is left out
	labelLetterWidth         = 9.3 // of a label below the plot, in the letters of a narrow screen
	labelGap                 = 4   // between two of them
	maxSeries                = 8   // of different colours
	widestBar, barShareOfGap = 12.0, 0.8
)

// point is a value in an axis' units.
type point struct{ x, y float64 }

// series is one line, or one layer of bars. A point without a value is NaN: the
// line has a gap there.
type series struct {
	name   string
	class  int // of its colour
	points []point
}

// plot is what a chart shows.
type plot struct {
	title, about string
	x, y         axis
	lines        []series
	bars         []series // each on top of the one before, at the same x
	area         bool     // below the first line
	bands        []band
	tellX, tellY func(v float64) string
}

// drawing is a plot in the units of the view box, as the template takes it.
type drawing struct {
	ID           int
	Title, About string
	Width        int
	Height       int
	Left, Right  int
	Top, Bottom  int
	Bands        []drawnBand
	X, Y         []drawnTick
	Area         string
	Lines        []drawnLine
	Dots         []drawnDot
	Bars         []drawnBar
	Keys         []key
	Hovers       []hover
}

type (
	drawnTick struct{ At, Label, LabelAt string } // a label below the plot stands at LabelAt, so that it ends inside of the view box
	drawnBand struct {
		X, W, Middle string
		Name         string
		Shaded       bool
	}
	drawnLine struct {
		Class int
		Path  string
	}
	drawnDot struct {
		Class int
		X, Y  string
	}
	drawnBar struct {
		Class      int
		X, Y, W, H string
	}
	key struct {
		Class int
		Name  string
	}
	hover struct{ Path, Text string }
)

// draw turns values into places. Every place is inside of the view box.
func draw(p plot) drawing {
	d := drawing{Title: p.title, About: p.about, Width: viewWidth, Height: viewHeight, Left: plotLeft, Right: plotRight, Top: plotTop, Bottom: plotBottom}
	d.X = p.below()
	for _, t := range p.y.ticks {
		d.Y = append(d.Y, drawnTick{At: coordinate(p.up(t.value)), Label: t.label})
	}
	for i, b := range p.bands {
		from, to := p.across(b.begin.Seconds()), p.across(b.end.Seconds())
		shown := drawnBand{X: coordinate(from), W: coordinate(math.Max(to-from, 0)), Middle: coordinate((from + to) / 2), Shaded: i%2 == 1}
		if float64(len([]rune(b.name))*bandLetterWidth) < to-from {
			shown.Name = b.name
		}
		d.Bands = append(d.Bands, shown)
	}
	for i, s := range p.lines {
		if path := p.path(s.points); path != "" {
			d.Lines = append(d.Lines, drawnLine{s.class, path})
		}
		for _, at := range lonely(s.points) {
			d.Dots = append(d.Dots, drawnDot{s.class, coordinate(p.across(at.x)), coordinate(p.up(at.y))})
		}
		if i == 0 && p.area {
			d.Area = p.under(s.points)
		}
		d.Keys = append(d.Keys, key{s.class, s.name})
	}
	d.Bars = p.stack()
	for _, s := range p.bars {
		d.Keys = append(d.Keys, key{s.class, s.name})
	}
	d.Hovers = p.hovers()
	return d
}

func (p *plot) across(x float64) float64 { return plotLeft + plotWidth*p.x.at(x) }
func (p *plot) up(y float64) float64     { return plotBottom - plotHeight*p.y.at(y) }

// coordinate has one digit behind the point: a tenth of a pixel.
func coordinate(v float64) string {
	return strings.TrimSuffix(strconv.FormatFloat(v, 'f', 1, 64), ".0")
}

// below are the ticks of the axis of x. A label for which there is no room between its neighbours is left out.
func (p *plot) below() (all []drawnTick) {
	end := math.Inf(-1) // of the last label
	for _, t := range p.x.ticks {
		at := p.across(t.value)
		half := float64(len([]rune(t.label))) * labelLetterWidth / 2
		label := math.Min(at, viewWidth-half)
		if label-half < end+labelGap {
			t.label = ""
		} else {
			end = label + half
		}
		all = append(all, drawnTick{coordinate(at), t.label, coordinate(label)})
	}
	return all
}

// alone is whether a point has a value and neither of its neighbours has one.
func alone(points []point, i int) bool {
	return finite(points[i].y) && (i == 0 || !finite(points[i-1].y)) && (i+1 == len(points) || !finite(points[i+1].y))
}

// lonely are the points through which no line goes.
func lonely(points []point) (all []point) {
	for i, at := range points {
		if alone(points, i) {
			all = append(all, at)
		}
	}
	return all
}

// path goes through the points; a gap lifts the pen, and a point alone is not on it.
func (p *plot) path(points []point) string {
	var b strings.Builder
	down := false
	for i, at := range points {
		if !finite(at.y) || alone(points, i) {
			down = false
			continue
		}
		if down {
			b.WriteByte('L')
		} else {
			b.WriteByte('M')
		}
		down = true
		b.WriteString(coordinate(p.across(at.x)) + " " + coordinate(p.up(at.y)))
	}
	return b.String()
}

// under is the area under a line, to the axis; none if it has gaps.
func (p *plot) under(points []point) string {
	for _, at := range points {
		if !finite(at.y) {
			return ""
		}
	}
	if len(points) < 2 {
		return ""
	}
	first, last := p.across(points[0].x), p.across(points[len(points)-1].x)
	return p.path(points) + "L" + coordinate(last) + " " + strconv.Itoa(plotBottom) + "L" + coordinate(first) + " " + strconv.Itoa(plotBottom) + "z"
}

// stack draws the bars, layer upon layer; what is 0 is not drawn.
func (p *plot) stack() (bars []drawnBar) {
	if len(p.bars) == 0 {
		return nil
	}
	height := make([]float64, len(p.bars[0].points))
	width := math.Min(widestBar, barShareOfGap*plotWidth/float64(max(len(height), 1)))
	for _, s := range p.bars {
		for i, at := range s.points {
			if !finite(at.y) || at.y <= 0 {
				continue
			}
			bottom, top := p.up(height[i]), p.up(height[i]+at.y)
			height[i] += at.y
			left := math.Min(math.Max(p.across(at.x)-width, plotLeft), plotRight-width)
			bars = append(bars, drawnBar{s.class, coordinate(left), coordinate(top), coordinate(width), coordinate(math.Max(bottom-top, 0.5))})
		}
	}
	return bars
}

// hovers divides the chart into columns, each with the last value of each series in it.
func (p *plot) hovers() (all []hover) {
	type column struct {
		x     float64
		texts []string
	}
	columns := make([]column, maxHovers)
	for _, s := range append(append([]series(nil), p.lines...), p.bars...) {
		told := make([]string, maxHovers)
		for _, at := range s.points {
			if n := min(int(p.x.at(at.x)*maxHovers), maxHovers-1); finite(at.y) && (at.y != 0 || len(p.bars) == 0) {
				told[n], columns[n].x = s.name+" "+p.tellY(at.y), at.x
			}
		}
		for n, text := range told {
			if text != "" {
				columns[n].texts = append(columns[n].texts, text)
			}
		}
	}
	const each = float64(plotWidth) / maxHovers
	for n, c := range columns {
		if c.texts != nil {
			column := coordinate(plotLeft+float64(n)*each) + " " + strconv.Itoa(plotTop) + "h" + coordinate(each) + "v" + strconv.Itoa(plotHeight) + "h-" + coordinate(each) + "z"
			all = append(all, hover{"M" + column, p.tellX(c.x) + p.phase(c.x) + "\n" + strings.Join(c.texts, "\n")})
		}
	}
	return all
}

// phase is what is told of the phase that a time is in.
func (p *plot) phase(x float64) string {
	for _, b := range p.bands {
		if x > b.begin.Seconds() && x <= b.end.Seconds() && b.name != "" {
			return " · " + b.name
		}
	}
	return ""
}

// What the template adds to places.
func (drawing) PlotHeight() int  { return plotHeight }
func (drawing) PhaseAt() int     { return plotTop - 8 }
func (drawing) LabelRight() int  { return plotLeft - 8 }
func (drawing) LabelBottom() int { return plotBottom + 19 }
