package clientproto

import "strconv"

// Ping is what the server sends as a frame of its own; the client answers with
// the same bytes. Never changed.
const Ping = "{}"

// appendReply begins {"id":N,"<name>": ; the value and a closing brace follow.
func appendReply(dst []byte, id uint32, name string) []byte {
	dst = append(dst, `{"id":`...)
	dst = strconv.AppendUint(dst, uint64(id), 10)
	dst = append(dst, ',', '"')
	dst = append(dst, name...)
	return append(dst, '"', ':')
}

// AppendError appends the error reply to command id.
func AppendError(dst []byte, id uint32, e *Error) []byte {
	o := beginObject(appendReply(dst, id, "error"))
	o.uint("code", uint64(e.Code))
	o.str("message", e.Message)
	o.flag("temporary", e.Temporary)
	return append(o.end(), '}')
}

// AppendBadRequest is AppendError for an error 107 that says why: text for a
// person, which may hold bytes of the peer that it goes back to.
func AppendBadRequest(dst []byte, id uint32, why []byte) []byte {
	o := beginObject(appendReply(dst, id, "error"))
	o.uint("code", uint64(ErrBadRequest.Code))
	o.name("message")
	o.dst = AppendString(o.dst, why)
	return append(o.end(), '}')
}

// AppendEmpty appends the reply of a command whose result has no fields, such
// as publish and unsubscribe.
func AppendEmpty(dst []byte, id uint32, m Method) []byte {
	return append(appendReply(dst, id, m.String()), "{}}"...)
}

// ConnectResult answers connect. Empty and false fields are left out.
type ConnectResult struct {
	Client, Version, Node string
	Expires               bool
	TTL                   uint32 // seconds until the token expires
	Ping                  uint32 // seconds between pings of the server
	Pong                  bool   // the client must answer pings
	Data                  []byte // JSON
	Subs                  []ServerSub
}

// ServerSub is a server-side subscription that begins with the connection.
type ServerSub struct {
	Channel string
	SubscribeResult
}

// AppendConnect appends the reply to a connect command.
func AppendConnect(dst []byte, id uint32, r *ConnectResult) []byte {
	o := beginObject(appendReply(dst, id, "connect"))
	o.str("client", r.Client)
	o.str("version", r.Version)
	o.expiry(r.Expires, r.TTL)
	o.raw("data", r.Data)
	if len(r.Subs) > 0 {
		o.name("subs")
		o.dst = append(o.dst, '{')
		for i := range r.Subs {
			if i > 0 {
				o.dst = append(o.dst, ',')
			}
			o.dst = append(AppendString(o.dst, r.Subs[i].Channel), ':')
			o.dst = r.Subs[i].append(o.dst)
		}
		o.dst = append(o.dst, '}')
	}
	if r.Ping > 0 {
		o.uint("ping", uint64(r.Ping))
		o.flag("pong", r.Pong)
	}
	if r.Node != "" {
		o.str("node", r.Node)
	}
	return append(o.end(), '}')
}

// expiry appends expires and ttl; a ttl of 0 is still said, SDKs wait for it.
func (o *object) expiry(expires bool, ttl uint32) {
	if expires {
		o.flag("expires", true)
		o.uint("ttl", uint64(ttl))
	}
}

// SubscribeResult answers subscribe. Offset and epoch are sent for positioned
// and recoverable subscriptions only.
type SubscribeResult struct {
	Recoverable, Positioned, Recovered, WasRecovering bool
	Expires, Delta                                    bool
	TTL                                               uint32 // seconds until the subscription's token expires
	Offset                                            uint64
	Epoch                                             string
	Publications                                      []Publication // missed ones, in order
	Data                                              []byte        // JSON
}

// AppendSubscribe appends the reply to a subscribe command.
func AppendSubscribe(dst []byte, id uint32, r *SubscribeResult) []byte {
	return append(r.append(appendReply(dst, id, "subscribe")), '}')
}

func (r *SubscribeResult) append(dst []byte) []byte {
	o := beginObject(dst)
	o.expiry(r.Expires, r.TTL)
	o.flag("recoverable", r.Recoverable)
	o.flag("positioned", r.Positioned)
	if r.Recoverable || r.Positioned {
		o.uint("offset", r.Offset)
		o.str("epoch", r.Epoch)
	}
	o.flag("was_recovering", r.WasRecovering)
	o.flag("recovered", r.Recovered)
	if len(r.Publications) > 0 {
		o.name("publications")
		o.dst = appendPublications(o.dst, r.Publications)
	}
	o.flag("delta", r.Delta)
	o.raw("data", r.Data)
	return o.end()
}

func appendPublications(dst []byte, pubs []Publication) []byte {
	dst = append(dst, '[')
	for i := range pubs {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = pubs[i].append(dst)
	}
	return append(dst, ']')
}
