package upgrade

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
