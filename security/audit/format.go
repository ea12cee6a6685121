package audit

import (
	"fmt"
	"strconv"
	"time"
	"unicode"
	"unicode/utf16"
)

// Format is how a record is written as a line.
type Format uint8

// The formats.
const (
	ECS    Format = iota // JSON with the names of the Elastic Common Schema
	Logfmt               // key=value
	CEF                  // ArcSight Common Event Format
	formats
)

func (f Format) String() string { return [...]string{"ecs", "logfmt", "cef", "?"}[min(f, formats)] }

// ParseFormat is the way back from String.
func ParseFormat(s string) (Format, error) {
	for f := range formats {
		if f.String() == s {
			return f, nil
		}
	}
	return 0, fmt.Errorf("%q is no format; write ecs, logfmt or cef", s)
}

// AppendLine appends one record as a line, without its end: no byte of a record
// can be a line break. The record's texts are bounded by it.
func AppendLine(dst []byte, f Format, r *Record) []byte {
	r.normalise()
	l := line{format: f, b: dst}
	l.begin(r)
	l.fields(r)
	return l.end()
}

// line is a line that is being written.
type line struct {
	format Format
	b      []byte
	begun  bool // a field stands in it, so another is parted from it
}

// begin writes what stands before the fields: time, event, and what follows from
// the event.
func (l *line) begin(r *Record) {
	about := about{name: r.Event.String(), category: "network", kind: "info", outcome: "unknown"}
	if i, ok := r.Event.index(); ok {
		about = events[i]
	}
	switch l.format {
	case ECS:
		l.b = append(l.b, '{')
		l.time(keyTime, r.Time)
		l.b = fmt.Appendf(l.b, `,"ecs.version":"8.11.0","service.type":"weir","event.kind":"%s","event.category":["%s"],"event.type":["%s"],`+
			`"event.outcome":"%s","event.code":"%d","event.action":"%s"`,
			ecsKind(r.Event), about.category, about.kind, about.outcome, uint16(r.Event), about.name)
	case Logfmt:
		l.time(keyTime, r.Time)
		l.b = fmt.Appendf(l.b, " event=%s id=%d", about.name, uint16(r.Event))
	case CEF:
		l.b = fmt.Appendf(l.b, "CEF:0|Weir|Weir|1|%d|%s|%d|", uint16(r.Event), about.name, about.severity)
		l.time(keyTime, r.Time)
		l.b = append(append(l.b, " outcome="...), about.outcome...)
	}
}

func ecsKind(e Event) string {
	if e >= Anomaly && e < LogOpened {
		return "alert"
	}
	return "event"
}

func (l *line) end() []byte {
	if l.format == ECS {
		l.b = append(l.b, '}')
	}
	return l.b
}

// name writes a key and what stands before its value.
func (l *line) name(k key) {
	name := names[k][l.format]
	switch l.format {
	case ECS:
		if l.begun {
			l.b = append(l.b, ',')
		}
		l.b = append(append(append(l.b, '"'), name...), '"', ':')
	default:
		if l.begun {
			l.b = append(l.b, ' ')
		}
		l.b = append(append(l.b, name...), '=')
	}
	l.begun = true
}

// literal writes a value that needs no quotes in any format.
func (l *line) literal(k key, v string) {
	l.name(k)
	l.b = append(l.b, v...)
}

func (l *line) number(k key, n uint64) {
	if n != 0 {
		l.name(k)
		l.b = strconv.AppendUint(l.b, n, 10)
	}
}

func (l *line) time(k key, t time.Time) {
	l.name(k)
	switch l.format {
	case ECS:
		l.b = append(t.UTC().AppendFormat(append(l.b, '"'), timeForm), '"')
	case Logfmt:
		l.b = t.UTC().AppendFormat(l.b, timeForm)
	case CEF:
		l.b = strconv.AppendInt(l.b, t.UnixMilli(), 10)
	}
}

func (l *line) duration(k key, d time.Duration) {
	if d == 0 {
		return
	}
	l.name(k)
	switch l.format {
	case ECS:
		l.b = strconv.AppendInt(l.b, int64(d), 10)
	case Logfmt:
		l.b = append(l.b, d.String()...)
	case CEF:
		l.b = strconv.AppendInt(l.b, d.Milliseconds(), 10)
	}
}

func (l *line) text(k key, s string) {
	if s == "" {
		return
	}
	l.name(k)
	switch {
	case l.format == CEF:
		l.b = appendCEF(l.b, s)
	case l.format == Logfmt && bare(s):
		l.b = append(l.b, s...)
	default:
		l.b = appendQuoted(l.b, s)
	}
}

// bare reports whether a value can stand in logfmt without quotes.
func bare(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '"' || c == '=' || c == '\\' {
			return false
		}
	}
	return true
}

// appendQuoted writes a JSON string (RFC 8259 §7). What cannot be seen, or would
// turn the direction of what follows on a screen, is escaped.
func appendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r == ' ' || unicode.IsPrint(r):
			dst = append(dst, string(r)...)
		default:
			dst = appendEscape(dst, r)
		}
	}
	return append(dst, '"')
}

// appendCEF writes a value of an extension (CEF, "Character Encoding"). There is no
// escape for controls but line ends; \u is ours.
func appendCEF(dst []byte, s string) []byte {
	for _, r := range s {
		switch {
		case r == '=' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r == '\n':
			dst = append(dst, '\\', 'n')
		case r == '\r':
			dst = append(dst, '\\', 'r')
		case r == ' ' || unicode.IsPrint(r):
			dst = append(dst, string(r)...)
		default:
			dst = appendEscape(dst, r)
		}
	}
	return dst
}

// appendEscape writes \uXXXX, twice for what is beyond 16 bits.
func appendEscape(dst []byte, r rune) []byte {
	if r <= 0xffff {
		return fmt.Appendf(dst, `\u%04x`, r)
	}
	high, low := utf16.EncodeRune(r)
	return fmt.Appendf(dst, `\u%04x\u%04x`, high, low)
}
