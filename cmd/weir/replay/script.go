// Package replay sends a capture (security/audit/capture) to a server again, with its timing, and compares what
// that answers with what was answered then (SECURITY.md R5). What a capture says is anybody's word: nothing of it reaches a
// terminal unquoted, or decides where anything is sent.
package replay

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"weir/security/audit/capture"
)

// Place is a line of a capture.
type Place struct {
	File string // as the operator named it
	Line int    // from 1
}

func (p Place) String() string { return fmt.Sprintf("%s:%d", p.File, p.Line) }

// step is a line with its place.
type step struct {
	capture.Line
	Place
}

// script is what one connection did and was answered.
type script struct {
	conn  string
	steps []step // the first is the request
}

// Capture is what the files of one hold.
type Capture struct {
	scripts []*script
	Notes   []Note // what is missing
}

// Note says what was not replayed or compared, and why.
type Note struct {
	Place
	Text string
}

func (n Note) String() string { return n.Place.String() + ": " + n.Text }

// notesEach bounds the notes about lines of one file. Attack: a file of nothing else.
const notesEach = 10

// part is one file.
type part struct {
	begin capture.Begin
	steps []step
}

// Load reads the files of one capture, in any order.
func Load(files []string) (*Capture, error) {
	c := &Capture{}
	var parts []*part
	for _, name := range files {
		p, err := c.open(name)
		if err != nil {
			return nil, err
		}
		parts = append(parts, p)
	}
	slices.SortFunc(parts, func(a, b *part) int { return cmp.Compare(a.begin.Part, b.begin.Part) })
	for i, p := range parts {
		switch {
		case p.begin.Run != parts[0].begin.Run || !p.begin.Time.Equal(parts[0].begin.Time):
			return nil, errors.New("the files are of different captures: give those of one at a time")
		case i > 0 && p.begin.Part == parts[i-1].begin.Part:
			return nil, errors.New("a file is given twice")
		}
	}
	c.sort(parts)
	return c, nil
}

func (c *Capture) open(name string) (*part, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return c.read(name, f)
}

func (c *Capture) read(name string, r io.Reader) (*part, error) {
	p, notes := &part{}, 0
	for l, err := range capture.Lines(r) {
		at := Place{name, l.Number}
		switch {
		case l.Number == 1 && (err != nil || l.Begin == nil):
			return nil, fmt.Errorf("%s is no capture: its first line is not that of one", name)
		case l.Number == 1:
			p.begin = *l.Begin
		case errors.Is(err, capture.ErrCut):
			c.note(at, "the last line is not whole, and was passed over: it is being written, or the server was killed")
		case err != nil:
			if notes++; notes <= notesEach {
				c.note(at, err.Error())
			}
		case l.Lost > 0:
			c.note(at, fmt.Sprintf("the server had no room for %d steps before this line: connections were cut", l.Lost))
		case l.Full:
			c.note(at, "the capture ended here: it was full")
		case l.Begin != nil:
			return nil, fmt.Errorf("%s: a capture begins within it", at)
		default:
			p.steps = append(p.steps, step{l.Line, at})
		}
	}
	if p.begin.Part == 0 {
		return nil, fmt.Errorf("%s is no capture: it is empty", name)
	}
	return p, nil
}

func (c *Capture) note(at Place, text string) { c.Notes = append(c.Notes, Note{at, text}) }

// sort parts the steps by connection.
func (c *Capture) sort(parts []*part) {
	known := map[string]*script{}
	for _, p := range parts {
		for _, s := range p.steps {
			one := known[s.Conn]
			switch {
			case one == nil && s.Request == nil:
				c.note(s.Place, fmt.Sprintf("connection %q: its beginning is not there", s.Conn))
				known[s.Conn] = &script{} // said once
			case one == nil:
				one = &script{conn: s.Conn, steps: []step{s}}
				known[s.Conn] = one
				c.scripts = append(c.scripts, one)
			case len(one.steps) > 0 && s.Request == nil:
				one.steps = append(one.steps, s)
			}
		}
	}
}

// Connections is how many there are to replay.
func (c *Capture) Connections() int { return len(c.scripts) }
