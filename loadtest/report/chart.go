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
	maxHovers                = 60 // columns that tell their values
	bandLetterWidth          = 7  // of a phase's name: one that is wider than its band is left out
	maxSeries                = 8  // of different colours
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
	Bars         []drawnBar
	Keys         []key
	Hovers       []hover
}

type (
	drawnTick struct{ At, Label string }
	drawnBand struct {
		X, W, Middle string
		Name         string
		Shaded       bool
	}
	drawnLine struct {
		Class int
		Path  string
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
	for _, t := range p.x.ticks {
		d.X = append(d.X, drawnTick{coordinate(p.across(t.value)), t.label})
	}
	for _, t := range p.y.ticks {
		d.Y = append(d.Y, drawnTick{coordinate(p.up(t.value)), t.label})
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
		if i == 0 && p.area {
			d.Area = p.below(s.points)
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

// path goes through the points; a gap lifts the pen, and a point alone is a dot.
func (p *plot) path(points []point) string {
	var b strings.Builder
	drawn := 0 // in a row
	for i, at := range points {
		if !finite(at.y) {
			drawn = 0
			continue
		}
		if drawn == 0 {
			b.WriteByte('M')
		} else {
			b.WriteByte('L')
		}
		b.WriteString(coordinate(p.across(at.x)) + " " + coordinate(p.up(at.y)))
		if drawn++; drawn == 1 && (i+1 == len(points) || !finite(points[i+1].y)) {
			b.WriteString("h0")
		}
	}
	return b.String()
}

// below is the area under a line, to the axis; none if it has gaps.
func (p *plot) below(points []point) string {
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
			all = append(all, hover{"M" + column, p.tellX(c.x) + "\n" + strings.Join(c.texts, "\n")})
		}
	}
	return all
}

// What the template adds to places.
func (drawing) PlotHeight() int  { return plotHeight }
func (drawing) PhaseAt() int     { return plotTop - 8 }
func (drawing) LabelRight() int  { return plotLeft - 8 }
func (drawing) LabelBottom() int { return plotBottom + 19 }
