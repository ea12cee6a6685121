package upgrade

import "bytes"

// forwarded keeps what a proxy says of its client. Everything here could be the client's own word: only who knows that a
// trusted proxy wrote the head asks for it (Limits.Proxied).
func (r *Request) forwarded(name, value []byte) *Refusal {
	switch len(name) {
	case len("X-Request-ID"):
		if foldEqual(name, "x-request-id") {
			r.RequestID = value
		}
	case len("X-Forwarded-For"):
		if foldEqual(name, "x-forwarded-for") {
			r.ForwardedFor = join(r.ForwardedFor, value)
		}
	case len("X-Forwarded-Proto"):
		if foldEqual(name, "x-forwarded-proto") {
			r.ForwardedProto = join(r.ForwardedProto, value)
		}
	case len("X-Weir-Proxy-Secret"):
		if foldEqual(name, "x-weir-proxy-secret") {
			return once(&r.ProxySecret, value)
		}
	}
	return nil
}

// testimony is what a proxy says of its client in a head that is refused for something else: its method, a body, too many
// fields. It is empty unless the head is whole and every line is what it seems: where a line could be read in two ways, the
// one that names the client could be the client's.
func testimony(head []byte) (r Request) {
	for first := true; ; first = false {
		i := bytes.IndexByte(head, '\n')
		if i < 1 || head[i-1] != '\r' || first && i == 1 {
			return Request{}
		}
		if i == 1 {
			return r
		}
		if !first {
			name, value, f := split(head[: i-1 : i-1])
			if f != nil || r.forwarded(name, value) != nil {
				return Request{}
			}
		}
		head = head[i+1:]
	}
}
