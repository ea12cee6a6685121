package upgrade

import (
	"bytes"
	"strings"
)

// Limits of one request head. The zero value refuses everything.
type Limits struct {
	HeadBytes int // whole head with its final empty line; bounds what a peer makes us hold before it is known
	Headers   int // header fields; bounds the work on a head of short lines
	// Proxied keeps what a proxy says of its client. Only for heads that a trusted proxy wrote: otherwise these fields are
	// anybody's word, and are not there.
	Proxied bool
}

// Request is the head of one GET request. The slices borrow the bytes given to Parse, except list fields of a head that
// spreads them over several, which are joined by ", " (RFC 9110 §5.3; RFC 6455 §9.1, §11.3.4). Absent fields
// are nil, except that HasOrigin alone tells whether there was an Origin.
type Request struct {
	Path          []byte // from the leading '/', before any '?'; not decoded
	RawQuery      []byte // after the first '?'; not decoded
	Host          []byte
	Origin        []byte
	Key           []byte // Sec-WebSocket-Key
	Version       []byte // Sec-WebSocket-Version
	Protocols     []byte // Sec-WebSocket-Protocol
	Extensions    []byte // Sec-WebSocket-Extensions
	Authorization []byte
	UserAgent     []byte // the first, if there are several
	Traceparent   []byte // the first, if there are several
	HasOrigin     bool
	Upgrade       bool // Upgrade names websocket
	Connection    bool // Connection names Upgrade

	// Nil without Limits.Proxied.
	ForwardedFor   []byte // X-Forwarded-For, a list
	ForwardedProto []byte // X-Forwarded-Proto; also a list if it comes several times
	RequestID      []byte // X-Request-ID, the last if there are several
	ProxySecret    []byte // X-Weir-Proxy-Secret
}

// Parse reads one request head from the start of b. n is its length, and what follows belongs to the connection after
// the 101; n 0 and no refusal means need more. Refusals come as early as they can be known: for the request line and
// for line ends at once, for header fields with the head's last line. Nothing is allocated unless
// Sec-WebSocket-Protocol or another list comes in several fields.
//
// With a refusal the request is empty; but behind a proxy it has what the proxy says of its client, if the head is whole
// and its lines are beyond doubt.
func Parse(b []byte, lim Limits) (r Request, n int, f *Refusal) {
	r, n, f = parse(b, lim)
	if f != nil && lim.Proxied {
		r = testimony(b[:min(len(b), lim.HeadBytes)])
	}
	return r, n, f
}

func parse(b []byte, lim Limits) (r Request, n int, f *Refusal) {
	head := b[:min(len(b), lim.HeadBytes)]
	fields, end, f := r.lines(head, lim.Headers)
	if f != nil {
		return Request{}, 0, f
	}
	if end == 0 {
		if len(b) >= lim.HeadBytes {
			return Request{}, 0, ErrHeadTooLong
		}
		return Request{}, 0, nil
	}
	for rest := head[fields : end-2]; len(rest) > 0; {
		i := bytes.IndexByte(rest, '\n')
		if f := r.field(rest[:i-1:i-1], lim.Proxied); f != nil {
			return Request{}, 0, f
		}
		rest = rest[i+1:]
	}
	if !validHost(r.Host) {
		return Request{}, 0, ErrHost
	}
	return r, end, nil
}

// lines finds the end of the head, or 0, and where its fields begin. On its way it refuses what needs no complete head: a
// bad request line, a bare LF (RFC 9112 §2.2), too many lines. It costs one vectorised search a line, so that a peer
// who sends byte by byte does not make the whole head be read for each.
func (r *Request) lines(head []byte, headers int) (fields, end int, f *Refusal) {
	if len(head) > 0 && !tokenByte[head[0]] {
		return 0, 0, ErrRequestLine
	}
	for lines, pos := 0, 0; ; lines++ {
		i := bytes.IndexByte(head[pos:], '\n')
		switch {
		case i < 0:
			return fields, 0, nil
		case i == 0 || head[pos+i-1] != '\r':
			return 0, 0, ErrBareLF
		case lines == 0:
			if f := r.requestLine(head[: i-1 : i-1]); f != nil {
				return 0, 0, f
			}
			fields = i + 1
		case i == 1:
			return fields, pos + 2, nil
		case lines > headers:
			return 0, 0, ErrTooManyHeaders
		}
		pos += i + 1
	}
}

// requestLine reads method SP request-target SP HTTP-version: RFC 9112 §3. Exactly one space at each place.
func (r *Request) requestLine(line []byte) *Refusal {
	method, rest, ok := bytes.Cut(line, []byte{' '})
	target, version, ok2 := bytes.Cut(rest, []byte{' '})
	if !ok || !ok2 || !isToken(method) || len(target) == 0 {
		return ErrRequestLine
	}
	// The HTTP/2 preface "PRI * HTTP/2.0" (RFC 9113 §3.4) ends here.
	if string(version) != "HTTP/1.1" {
		if bytes.HasPrefix(version, []byte("HTTP/")) && bytes.IndexByte(version, ' ') < 0 {
			return ErrHTTPVersion
		}
		return ErrRequestLine
	}
	// Methods are case-sensitive: RFC 9110 §9.1. TRACE and CONNECT are refused with the rest.
	if string(method) != "GET" {
		return MethodNotAllowed
	}
	// origin-form only: no absolute-form, authority-form or asterisk-form (RFC 9112 §3.2), no fragment.
	if target[0] != '/' {
		return ErrTarget
	}
	for _, c := range target {
		if c <= ' ' || c >= 0x7f || c == '#' {
			return ErrTarget
		}
	}
	r.Path = target[:len(target):len(target)]
	if i := bytes.IndexByte(target, '?'); i >= 0 {
		r.Path, r.RawQuery = target[:i:i], target[i+1:len(target):len(target)]
	}
	return nil
}

// field reads one header field.
func (r *Request) field(line []byte, proxied bool) *Refusal {
	name, value, f := split(line)
	if f != nil {
		return f
	}
	if proxied {
		if f := r.forwarded(name, value); f != nil {
			return f
		}
	}
	return r.set(name, value)
}

// split parts a field's name from its value: RFC 9112 §5.
func split(line []byte) (name, value []byte, f *Refusal) {
	// §5.2: obs-fold is refused.
	if line[0] == ' ' || line[0] == '\t' {
		return nil, nil, ErrFolding
	}
	i := bytes.IndexByte(line, ':')
	// §5.1: no white space between name and colon; a name is a token.
	if i < 0 || !isToken(line[:i]) {
		return nil, nil, ErrHeaderName
	}
	value = trimSpace(line[i+1:])
	for _, c := range value {
		// RFC 9110 §5.5: NUL, CR and other controls. A CR inside a line is one that no LF follows.
		if c < ' ' && c != '\t' || c == 0x7f {
			return nil, nil, ErrHeaderValue
		}
	}
	return line[:i], value, nil
}

// set keeps the fields that matter here. Lengths go first: most fields of a browser cost one comparison.
func (r *Request) set(name, value []byte) *Refusal {
	switch len(name) {
	case len("Host"):
		if foldEqual(name, "host") {
			return once(&r.Host, value)
		}
	case len("Origin"):
		if foldEqual(name, "origin") {
			if r.HasOrigin {
				return ErrDuplicate
			}
			r.Origin, r.HasOrigin = value, true
		}
	case len("Upgrade"):
		if foldEqual(name, "upgrade") {
			r.Upgrade = r.Upgrade || listHas(value, "websocket")
		}
	case len("Connection"): // and User-Agent
		switch {
		case foldEqual(name, "connection"):
			r.Connection = r.Connection || listHas(value, "upgrade")
		case foldEqual(name, "user-agent") && r.UserAgent == nil:
			r.UserAgent = value
		}
	case len("Traceparent"):
		if foldEqual(name, "traceparent") && r.Traceparent == nil {
			r.Traceparent = value
		}
	case len("Authorization"):
		if foldEqual(name, "authorization") {
			return once(&r.Authorization, value)
		}
	case len("Content-Length"):
		// A length of 0 is no body, and some proxies add it.
		if foldEqual(name, "content-length") && string(value) != "0" {
			return ErrBody
		}
	case len("Transfer-Encoding"): // and Sec-WebSocket-Key
		switch {
		case foldEqual(name, "transfer-encoding"):
			return ErrBody
		case foldEqual(name, "sec-websocket-key"):
			return once(&r.Key, value)
		}
	case len("Sec-WebSocket-Version"):
		if foldEqual(name, "sec-websocket-version") {
			return once(&r.Version, value)
		}
	case len("Sec-WebSocket-Protocol"):
		if foldEqual(name, "sec-websocket-protocol") {
			r.Protocols = join(r.Protocols, value)
		}
	case len("Sec-WebSocket-Extensions"):
		if foldEqual(name, "sec-websocket-extensions") {
			r.Extensions = join(r.Extensions, value)
		}
	}
	return nil
}

// once sets a field that may come once. value is never nil: trimSpace keeps the place of an empty one.
func once(field *[]byte, value []byte) *Refusal {
	if *field != nil {
		return ErrDuplicate
	}
	*field = value
	return nil
}

// join adds the value of a list field to those before it. The slices of a head have no room behind them, so the first
// append copies, and later ones grow that copy.
func join(list, value []byte) []byte {
	if list == nil {
		return value
	}
	return append(append(list, ", "...), value...)
}

// validHost tells whether a Host may be uri-host [":" port]: RFC 9112 §3.2. Nothing here decides by it; it only keeps out of
// logs and rules what is no host at all.
func validHost(host []byte) bool {
	for _, c := range host {
		if c <= ' ' || c >= 0x7f || strings.IndexByte("\"/\\?#@<>^{|}`", c) >= 0 {
			return false
		}
	}
	return len(host) > 0 && host[0] != ':'
}
