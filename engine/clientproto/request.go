package clientproto

import (
	"math"

	"weir/security/schema"
)

// request reads the members of cmd.Method's object.
func (p *Parser) request(r *reader, cmd *Command) {
	for {
		raw, ok := r.member()
		if !ok {
			break
		}
		name := p.plain(raw)
		switch cmd.Method {
		case Connect:
			p.connect(r, name, &cmd.Connect)
		case Subscribe:
			p.subscribe(r, name, &cmd.Subscribe)
		case Unsubscribe:
			p.only(r, name, "channel", &cmd.Unsubscribe.Channel)
		case Presence, PresenceStats:
			p.only(r, name, "channel", &cmd.Presence.Channel)
		case Publish:
			p.payload(r, name, "channel", &cmd.Publish.Channel, &cmd.Publish.Data)
		case RPC:
			p.payload(r, name, "method", &cmd.RPC.Method, &cmd.RPC.Data)
		case Send:
			p.payload(r, name, "", nil, &cmd.Send.Data)
		case History:
			p.history(r, name, &cmd.History)
		case Refresh:
			p.only(r, name, "token", &cmd.Refresh.Token)
		case SubRefresh:
			p.subRefresh(r, name, &cmd.SubRefresh)
		}
	}
	if cmd.Method == Publish && cmd.Publish.Data == nil {
		p.wrong = true
	}
}

func (p *Parser) connect(r *reader, name []byte, c *ConnectRequest) {
	switch string(name) {
	case "token":
		c.Token = p.text(r)
	case "name":
		c.Name = p.text(r)
	case "version":
		c.Version = p.text(r)
	case "data":
		c.Data = p.data(r)
	case "subs":
		p.positions(r)
		c.Subs = p.subs
	default:
		r.value()
	}
}

// positions reads {"channel":{"recover":true,"offset":1,"epoch":"e"},…}.
func (p *Parser) positions(r *reader) {
	if !p.object(r) {
		return
	}
	for {
		raw, ok := r.member()
		if !ok {
			return
		}
		sub := SubRecover{Channel: p.plain(raw)}
		if p.object(r) {
			p.position(r, &sub)
		}
		p.subs = append(p.subs, sub)
	}
}

func (p *Parser) position(r *reader, s *SubRecover) {
	for {
		raw, ok := r.member()
		if !ok {
			return
		}
		switch string(p.plain(raw)) {
		case "recover":
			s.Recover = p.flag(r)
		case "offset":
			s.Offset = p.uint(r)
		case "epoch":
			s.Epoch = p.text(r)
		default:
			r.value()
		}
	}
}

func (p *Parser) subscribe(r *reader, name []byte, s *SubscribeRequest) {
	switch string(name) {
	case "channel":
		s.Channel = p.text(r)
	case "token":
		s.Token = p.text(r)
	case "epoch":
		s.Epoch = p.text(r)
	case "delta":
		s.Delta = p.text(r)
	case "data":
		s.Data = p.data(r)
	case "recover":
		s.Recover = p.flag(r)
	case "positioned":
		s.Positioned = p.flag(r)
	case "recoverable":
		s.Recoverable = p.flag(r)
	case "join_leave":
		s.JoinLeave = p.flag(r)
	case "offset":
		s.Offset = p.uint(r)
	case "flag":
		s.Flag = p.int(r)
	default:
		r.value()
	}
}

func (p *Parser) history(r *reader, name []byte, h *HistoryRequest) {
	switch string(name) {
	case "channel":
		h.Channel = p.text(r)
	case "limit":
		h.Limit = p.int(r)
	case "reverse":
		h.Reverse = p.flag(r)
	case "since":
		if h.Since = p.object(r); h.Since {
			p.since(r, h)
		}
	default:
		r.value()
	}
}

func (p *Parser) since(r *reader, h *HistoryRequest) {
	for {
		raw, ok := r.member()
		if !ok {
			return
		}
		switch string(p.plain(raw)) {
		case "offset":
			h.Offset = p.uint(r)
		case "epoch":
			h.Epoch = p.text(r)
		default:
			r.value()
		}
	}
}

func (p *Parser) subRefresh(r *reader, name []byte, s *SubRefreshRequest) {
	switch string(name) {
	case "channel":
		s.Channel = p.text(r)
	case "token":
		s.Token = p.text(r)
	default:
		r.value()
	}
}

// only reads a request whose one field is a string.
func (p *Parser) only(r *reader, name []byte, field string, into *[]byte) {
	if string(name) == field {
		*into = p.text(r)
	} else {
		r.value()
	}
}

// payload reads a request of data and, unless field is empty, one string.
func (p *Parser) payload(r *reader, name []byte, field string, into, data *[]byte) {
	switch {
	case string(name) == "data":
		*data = p.data(r)
	case field != "" && string(name) == field:
		*into = p.text(r)
	default:
		r.value()
	}
}

// object goes into the object that comes next; null and other kinds are passed
// over, the latter as wrong.
func (p *Parser) object(r *reader) bool {
	if r.enter() {
		return true
	}
	p.null(r)
	return false
}

// null passes over a value and reports whether it is null; else it is wrong.
func (p *Parser) null(r *reader) bool {
	if raw, _ := r.value(); string(raw) != "null" {
		p.wrong = true
		return false
	}
	return true
}

// text reads a string; nil if it is null.
func (p *Parser) text(r *reader) []byte {
	if r.space() != '"' {
		p.null(r)
		return nil
	}
	return p.plain(r.quoted())
}

// flag reads true or false.
func (p *Parser) flag(r *reader) bool {
	raw, _ := r.value()
	switch string(raw) {
	case "true":
		return true
	case "false", "null":
	default:
		p.wrong = true
	}
	return false
}

// uint reads a number without sign, fraction and exponent.
func (p *Parser) uint(r *reader) uint64 {
	n, ok := p.digits(r, math.MaxUint64)
	if !ok {
		p.wrong = true
	}
	return n
}

// int reads a number without fraction and exponent.
func (p *Parser) int(r *reader) int64 {
	if r.space() != '-' {
		n, ok := p.digits(r, math.MaxInt64)
		p.wrong = p.wrong || !ok
		return int64(n)
	}
	r.at++
	n, ok := p.digits(r, -math.MinInt64)
	p.wrong = p.wrong || !ok
	return -int64(n) // also of the least, which has no positive counterpart
}

// digits reads an unsigned number up to limit; 0 if it is null.
func (p *Parser) digits(r *reader, limit uint64) (uint64, bool) {
	raw, _ := r.value()
	if string(raw) == "null" {
		return 0, true
	}
	return parseUint(raw, limit)
}

// data is the JSON value that comes next, compacted only if it has to be.
func (p *Parser) data(r *reader) []byte {
	raw, spaced := r.value()
	if !spaced {
		return raw
	}
	start := len(p.scratch)
	p.scratch = schema.Compact(p.scratch, raw)
	return p.scratch[start:]
}

// plain resolves the escapes of what stands between two quotes.
func (p *Parser) plain(raw []byte) []byte {
	for _, c := range raw {
		if c == '\\' {
			start := len(p.scratch)
			p.scratch = schema.Unescape(p.scratch, raw)
			return p.scratch[start:]
		}
	}
	return raw
}
