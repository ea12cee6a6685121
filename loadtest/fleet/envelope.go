package fleet

import (
	"bytes"
	"encoding/json"

	"weir/loadtest/dialect"
)

// envelope is what a server writes around the payloads of one channel. The first
// one is decoded; what looks the same but for the position is as good, and what
// looks different is decoded again.
type envelope struct{ before, behind []byte }

// holds tells whether a line with one publication is as it may be sent, of that
// channel of the plan: whole JSON, and with the channel's name. before and behind are
// the line around the payload.
func (e *envelope) holds(p *Plan, channel int, line, before, behind []byte) (whole, own bool) {
	if e.before != nil && alike(e.before, before) && alike(e.behind, behind) {
		return true, true
	}
	if p.dialect == dialect.Echo {
		return len(before)+len(behind) == 0, true
	}
	if !json.Valid(line) {
		return false, false
	}
	event, ok := p.dialect.Read(line)
	if !ok || event.Channel != p.Name(channel) {
		return ok, false
	}
	*e = envelope{bytes.Clone(before), bytes.Clone(behind)}
	return true, true
}

// alike compares but for the digits behind "offset":.
func alike(a, b []byte) bool {
	const position = `"offset":`
	at := bytes.Index(a, []byte(position))
	if at < 0 {
		return bytes.Equal(a, b)
	}
	at += len(position)
	return len(b) > at && bytes.Equal(a[:at], b[:at]) && bytes.Equal(behindDigits(a[at:]), behindDigits(b[at:]))
}

// behindDigits is what follows a number; nil, which nothing equals, if there is none.
func behindDigits(b []byte) []byte {
	n := 0
	for n < len(b) && b[n] >= '0' && b[n] <= '9' {
		n++
	}
	if n == 0 || n > 1 && b[0] == '0' {
		return nil
	}
	return b[n:]
}
