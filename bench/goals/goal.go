package main

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"weir/bench/internal/median"
)

// goal is one figure of a step's output and what it should be.
type goal struct {
	what        string
	pattern     *regexp.Regexp // its first group is the figure; of several matches the median counts
	worst       bool           // of several matches the greatest counts
	unit        string
	least       bool    // the figure should be at least what follows, not at most
	ship, reach float64 // what a release needs, and what the best would have; none: nobody asks for it
}

// none is a bound that is not there. No figure holds it.
var none = math.NaN()

// Verdicts.
const (
	reached = "reached"
	shipped = "met"
	miss    = "**missed**"
	short   = "not yet" // no release needs it
)

func (g *goal) verdict(figure float64) string {
	holds := func(bound float64) bool { return figure <= bound }
	if g.least {
		holds = func(bound float64) bool { return figure >= bound }
	}
	switch {
	case holds(g.reach):
		return reached
	case holds(g.ship):
		return shipped
	case math.IsNaN(g.ship):
		return short
	}
	return miss
}

func (g *goal) find(output string) (float64, error) {
	all := g.pattern.FindAllStringSubmatch(output, -1)
	if all == nil {
		return 0, fmt.Errorf("the output has no figure for %q", g.what)
	}
	var figures []float64
	for _, match := range all {
		figure, err := strconv.ParseFloat(strings.ReplaceAll(match[1], ",", ""), 64)
		if err != nil {
			return 0, err
		}
		figures = append(figures, figure)
	}
	if g.worst {
		return slices.Max(figures), nil
	}
	return median.Of(figures), nil
}

// format writes a figure with its unit.
func (g *goal) format(figure float64) string {
	text := strconv.FormatFloat(figure, 'f', -1, 64)
	switch {
	case figure >= 1000:
		text = thousands(fmt.Sprintf("%.0f", figure))
	case figure != float64(int(figure)):
		text = fmt.Sprintf("%.3g", figure)
	}
	return strings.TrimSpace(text + " " + g.unit)
}

func (g *goal) bound(figure float64) string {
	if math.IsNaN(figure) {
		return "–"
	}
	if g.least {
		return "≥ " + g.format(figure)
	}
	return "≤ " + g.format(figure)
}

func thousands(digits string) string {
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
