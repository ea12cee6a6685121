package backend

import "weir/engine/clientproto"

// Kind is what a backend is asked: a closed list.
type Kind uint8

// The kinds. Send expects no answer but perhaps a disconnect.
const (
	Connect Kind = iota
	RPC
	Send
	Subscribe
	Publish
	Kinds
)

// String is the kind's name, fit to be a metric label.
func (k Kind) String() string {
	switch k {
	case Connect:
		return "connect"
	case RPC:
		return "rpc"
	case Send:
		return "send"
	case Subscribe:
		return "subscribe"
	case Publish:
		return "publish"
	}
	return "none"
}

// Request is what a question is about. All but Client and User come from the peer.
type Request struct {
	Client string // id of the connection
	User   string // not of Connect, which asks for it

	Name, Version []byte   // of Connect: the client's own
	Channels      []string // of Connect: server-side channels that the client had
	Channel       string   // of Subscribe and Publish
	Method        []byte   // of RPC
	Data          []byte   // compact JSON; none if empty
}

// AppendRequest appends the body of a question.
func AppendRequest(dst []byte, k Kind, r *Request) []byte {
	dst = append(dst, `{"client":`...)
	dst = clientproto.AppendString(dst, r.Client)
	dst = append(dst, `,"transport":"websocket","protocol":"json","encoding":"json"`...)
	if k == Connect {
		dst = appendText(dst, "name", r.Name)
		dst = appendText(dst, "version", r.Version)
		dst = appendList(dst, "channels", r.Channels)
	} else {
		dst = clientproto.AppendString(append(dst, `,"user":`...), r.User)
	}
	switch k {
	case Subscribe, Publish:
		dst = clientproto.AppendString(append(dst, `,"channel":`...), r.Channel)
	case RPC:
		dst = appendText(dst, "method", r.Method)
	}
	if len(r.Data) > 0 {
		dst = append(append(dst, `,"data":`...), r.Data...)
	}
	return append(dst, '}')
}

// appendText appends a member unless it is empty.
func appendText(dst []byte, name string, value []byte) []byte {
	if len(value) == 0 {
		return dst
	}
	return clientproto.AppendString(appendName(dst, name), value)
}

func appendList(dst []byte, name string, values []string) []byte {
	if len(values) == 0 {
		return dst
	}
	dst = append(appendName(dst, name), '[')
	for i, v := range values {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = clientproto.AppendString(dst, v)
	}
	return append(dst, ']')
}

func appendName(dst []byte, name string) []byte {
	return append(append(append(dst, ',', '"'), name...), '"', ':')
}
