package capture

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
)

// message takes what a client sent in one message: lines of JSON, each read strictly
// by itself. One that is no JSON is scoured, and stays none.
func (r *redaction) message(text []byte) {
	for first := true; first || len(text) > 0; first = false {
		line, rest, more := bytes.Cut(text, []byte{'\n'})
		r.line(line)
		if more {
			r.keep('\n')
		}
		text = rest
	}
}

func (r *redaction) line(line []byte) {
	if json.Valid(line) {
		w := walk{redaction: r, in: line}
		w.value("", 0)
		w.space()
		return
	}
	from, marks := len(r.out), len(r.marks)
	r.scour(line, longWord)
	if json.Valid(r.out[from:]) && len(bytes.TrimSpace(line)) > 0 { // what was wrong with it is hidden
		r.out, r.marks = r.out[:from], r.marks[:marks]
		r.hide(KindRun, line)
	}
}

// walk goes through one valid JSON text and writes it anew. Nesting is bounded by
// json.Valid.
type walk struct {
	*redaction
	in []byte
	at int
}

// value takes one value. Strings in it are hidden as kind, and numbers are 0; "": they are scrubbed only.
func (w *walk) value(kind string, depth int) {
	w.space()
	switch w.in[w.at] {
	case '{':
		w.object(kind, depth+1)
	case '[':
		w.array(kind, depth+1)
	case '"':
		w.string(kind)
	default:
		from := w.at
		for w.at < len(w.in) && strings.IndexByte(",}] \t\r\n", w.in[w.at]) < 0 {
			w.at++
		}
		if scalar := w.in[from:w.at]; kind != "" && (scalar[0] == '-' || '0' <= scalar[0] && scalar[0] <= '9') {
			w.keep('0') // so that it stays a number
		} else {
			w.keep(scalar...)
		}
	}
}

func (w *walk) object(kind string, depth int) {
	w.step() // the brace
	for w.space(); w.in[w.at] != '}'; w.space() {
		if w.in[w.at] == ',' {
			w.step()
			w.space()
		}
		name := w.string("")
		w.space()
		w.step() // the colon
		w.value(kindOf(kind, name, depth), depth)
	}
	w.step()
}

// kindOf is how strings below a member are hidden. The tokens that the server takes are members of a
// command's request; elsewhere a member of that name is a secret as well, as far as can be known.
func kindOf(outer, name string, depth int) string {
	switch {
	case outer != "":
		return outer
	case name == "token" && depth == 2:
		return KindToken
	case announces([]byte(name)):
		return KindSecret
	}
	return ""
}

func (w *walk) array(kind string, depth int) {
	w.step()
	for w.space(); w.in[w.at] != ']'; w.space() {
		if w.in[w.at] == ',' {
			w.step()
		}
		w.value(kind, depth)
	}
	w.step()
}

// string takes a string and returns what it says.
func (w *walk) string(kind string) (said string) {
	from := w.at
	for w.at++; w.in[w.at] != '"'; w.at++ {
		if w.in[w.at] == '\\' {
			w.at++
		}
	}
	w.at++
	raw := w.in[from:w.at]
	said = string(raw[1 : len(raw)-1])
	if strings.ContainsAny(said, `\`) {
		_ = json.Unmarshal(raw, &said) // it is valid
	}
	switch {
	case kind != "":
		w.keep('"')
		w.hide(kind, []byte(said))
		w.keep('"')
	case encodedJWT(said):
		w.keep('"')
		w.hide(KindJWT, []byte(said))
		w.keep('"')
	default:
		inner := redaction{hider: w.hider}
		if inner.inner([]byte(said)); string(inner.out) != said {
			w.quote(&inner)
		} else {
			w.keep(raw...)
		}
	}
	return said
}

// inner takes what a string says: JSON is read as a message is, without hiding long words of what
// only begins like it.
func (r *redaction) inner(said []byte) {
	begin := bytes.TrimLeft(said, " \t\r\n")
	switch {
	case len(begin) == 0 || begin[0] != '{' && begin[0] != '[' && begin[0] != '"':
		r.scrub(said)
	case json.Valid(said):
		w := walk{redaction: r, in: said}
		w.value("", 0)
		w.space()
	default:
		r.scour(said, math.MaxInt)
	}
}

// quote takes another redaction as a JSON string. A name needs no escapes.
func (w *walk) quote(inner *redaction) {
	w.keep('"')
	from := 0
	for _, at := range inner.marks {
		name, _ := nameAt(string(inner.out[at:]))
		w.escaped(inner.out[from:at])
		w.marks = append(w.marks, len(w.out))
		w.keep([]byte(name)...)
		from = at + len(name)
	}
	w.escaped(inner.out[from:])
	w.keep('"')
}

func (w *walk) escaped(b []byte) {
	quoted, _ := json.Marshal(string(b)) // strings always can be
	w.keep(quoted[1 : len(quoted)-1]...)
}

// space keeps insignificant white space.
func (w *walk) space() {
	for w.at < len(w.in) && strings.IndexByte(" \t\r\n", w.in[w.at]) >= 0 {
		w.step()
	}
}

func (w *walk) step() {
	w.keep(w.in[w.at])
	w.at++
}
