package report

import (
	"fmt"
	"slices"
	"strings"

	"weir/loadtest/tally"
)

// Threshold is what must not be: "p99>50ms" fails a run whose p99 is over 50 ms.
// The zero Threshold is never kept: Broken is an error.
type Threshold struct {
	figure string
	is     string // an operator
	value  float64
	kind   kind
	text   string
}

// operators, longest first where one begins with another.
var operators = []string{">=", "<=", "==", "!=", ">", "<"}

// ParseThreshold reads the name of a figure, one of > >= < <= == !=, and a value: a
// number with a unit of ns, us, µs, ms, s, m (minutes), B, KiB, MiB, GiB, kB, MB, GB
// or %, or a plain one. Spaces between them do not count. Where the figure is one
// that every run can have, its unit must fit; 0 fits all.
func ParseThreshold(s string) (Threshold, error) {
	t := Threshold{text: strings.TrimSpace(s)}
	at := strings.IndexAny(t.text, "<>=!")
	if at < 0 {
		return Threshold{}, fmt.Errorf("threshold %q: no <, >, <=, >=, == or != in it; it is like p99>50ms", s)
	}
	t.figure = strings.TrimSpace(t.text[:at])
	if !named(t.figure) {
		return Threshold{}, fmt.Errorf("threshold %q: %q is no name of a figure; they are like p99 or open_p99", s, t.figure)
	}
	rest := t.text[at:]
	for _, is := range operators {
		if strings.HasPrefix(rest, is) {
			t.is, rest = is, rest[len(is):]
			break
		}
	}
	var err error
	if t.is == "" {
		err = fmt.Errorf("one of %s must stand behind the name", strings.Join(operators, " "))
	} else {
		t.value, t.kind, err = parseQuantity(strings.TrimSpace(rest))
	}
	if err != nil {
		return Threshold{}, fmt.Errorf("threshold %q: %w", s, err)
	}
	for _, d := range definitions {
		if d.name == t.figure {
			err = t.fits(d.unit)
		}
	}
	if err != nil {
		return Threshold{}, err
	}
	return t, nil
}

func named(s string) bool {
	return s != "" && len(s) <= 64 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
}

func (t Threshold) fits(unit tally.Unit) error {
	if t.kind.fits(unit) || t.value == 0 && t.kind == plain {
		return nil
	}
	return fmt.Errorf("threshold %q: %s is compared with %s", t.text, t.figure, wanted(unit))
}

// String is the threshold as it was written.
func (t Threshold) String() string { return t.text }

// Broken tells whether r is what must not be, and in one line why or why not. The
// figure may be one of r.Figures or of Figures(r). That there is no such figure,
// or that it is no number, is an error: a threshold that cannot be judged does
// not pass.
func (t Threshold) Broken(r *tally.Run) (broken bool, told string, err error) {
	return t.judge(known(r))
}

func (t Threshold) judge(figures []tally.Figure) (broken bool, told string, err error) {
	var names []string
	for _, f := range figures {
		if f.Name != t.figure {
			names = append(names, f.Name)
			continue
		}
		if err := t.fits(f.Unit); err != nil {
			return false, "", err
		}
		if !finite(f.Value) {
			return false, "", fmt.Errorf("threshold %q: %s has no value", t.text, t.figure)
		}
		broken, err := t.compare(f.Value)
		told := fmt.Sprintf("%s is %s, %s must not be", t.figure, Format(f.Value, f.Unit), t.text)
		return broken, told, err
	}
	return false, "", fmt.Errorf("threshold %q: this run has no figure %q; it has %s", t.text, t.figure, strings.Join(names, ", "))
}

func (t Threshold) compare(v float64) (bool, error) {
	switch t.is {
	case ">":
		return v > t.value, nil
	case ">=":
		return v >= t.value, nil
	case "<":
		return v < t.value, nil
	case "<=":
		return v <= t.value, nil
	case "==":
		return v == t.value, nil
	case "!=":
		return v != t.value, nil
	}
	return false, fmt.Errorf("threshold %q was not parsed", t.text)
}

// known are the figures of a run: those that every run has, in their order and
// with the values that the run itself gives them, and then its own.
func known(r *tally.Run) []tally.Figure {
	figures := Figures(r)
	for i, f := range figures {
		if own, ok := r.Figure(f.Name); ok {
			figures[i] = own
		}
	}
	for _, own := range r.Figures {
		if !slices.ContainsFunc(figures, func(f tally.Figure) bool { return f.Name == own.Name }) {
			figures = append(figures, own)
		}
	}
	return figures
}

// verdict is what a threshold says of a run.
type verdict struct {
	Threshold string
	Broken    bool // or cannot be judged
	Told      string
}

// Word is the verdict for people.
func (v verdict) Word() string {
	if v.Broken {
		return "FAILED"
	}
	return "ok"
}

// judge judges the thresholds that r was started with.
func judge(r *tally.Run, figures []tally.Figure) (all []verdict) {
	for _, text := range r.Thresholds {
		t, err := ParseThreshold(text)
		v := verdict{Threshold: text}
		if err == nil {
			v.Broken, v.Told, err = t.judge(figures)
		}
		if err != nil {
			v.Broken, v.Told = true, err.Error()
		}
		all = append(all, v)
	}
	return all
}
