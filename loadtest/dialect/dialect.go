package dialect

import (
	"bytes"
	"fmt"
	"net/url"
	"strings"

	"weir/engine/clientproto"
)

// Dialect is one protocol. The zero Dialect is none.
type Dialect uint8

// Dialects.
const (
	Weir       Dialect = iota + 1 // the client protocol: Centrifugo's JSON, version 2
	Centrifugo                    // the same, by the name of another server
	Feed                          // push only, the channels in the URL
	Echo                          // every message comes back
)

// Names are all dialects, as a command line has them.
func Names() []string { return []string{"weir", "centrifugo", "feed", "echo"} }

// Parse finds a dialect by its name.
func Parse(name string) (Dialect, error) {
	for i, n := range Names() {
		if n == name {
			return Dialect(i + 1), nil
		}
	}
	return 0, fmt.Errorf("%q is not a protocol; write one of %s", name, strings.Join(Names(), ", "))
}

func (d Dialect) String() string {
	if d < Weir || d > Echo {
		return "none"
	}
	return Names()[d-1]
}

// Path is where servers listen for it.
func (d Dialect) Path() string {
	switch d {
	case Feed:
		return "/feed"
	case Echo:
		return "/echo"
	}
	return "/connection/websocket"
}

// Commands tells whether a client sends commands, and so waits for replies.
func (d Dialect) Commands() bool { return d == Weir || d == Centrifugo }

// Subscription is a channel to ask for. With Recover it goes on behind a position.
type Subscription struct {
	Channel string
	Recover bool
	Offset  uint64
	Epoch   string
}

// Request is what the upgrade's head says: a query for the URL ("" or with its
// question mark), and lines of the header, each with its CRLF.
func (d Dialect) Request(token string, subs []Subscription) (query, header string) {
	if d != Feed {
		return "", ""
	}
	var q strings.Builder
	for i, s := range subs {
		q.WriteByte("?&"[min(i, 1)])
		q.WriteString("channel=" + url.QueryEscape(s.Channel))
		if s.Recover {
			q.WriteString("&since=" + url.QueryEscape(fmt.Sprintf("%s:%d@%s", s.Channel, s.Offset, s.Epoch)))
		}
	}
	if token != "" {
		header = "Authorization: Bearer " + token + "\r\n"
	}
	return q.String(), header
}

// firstSubscribe is the id of the first subscribe command; connect is 1.
const firstSubscribe = 2

// AppendHello appends the first message: connect and every subscribe, as lines.
// Dialects without commands have none.
func (d Dialect) AppendHello(dst []byte, token string, subs []Subscription) []byte {
	if !d.Commands() {
		return dst
	}
	dst = clientproto.AppendCommand(dst, &clientproto.Command{
		ID: 1, Method: clientproto.Connect, Connect: clientproto.ConnectRequest{Token: []byte(token), Name: []byte("weir-load")},
	})
	for i, s := range subs {
		dst = clientproto.AppendCommand(append(dst, '\n'), &clientproto.Command{
			ID: uint32(firstSubscribe + i), Method: clientproto.Subscribe, Subscribe: clientproto.SubscribeRequest{
				Channel: []byte(s.Channel), Recover: s.Recover, Offset: s.Offset, Epoch: []byte(s.Epoch),
			},
		})
	}
	return dst
}

// SubscriptionOf is the index of the subscription that the reply to a hello's
// command id is about.
func SubscriptionOf(id uint32, subs int) (i int, ok bool) {
	i = int(id) - firstSubscribe
	return i, i >= 0 && i < subs
}

// PublishID is an id of a publish command, which no command of a hello has.
func PublishID(n uint32) uint32 { return 1<<16 | n&(1<<16-1) }

// AppendPublish appends what a client sends to publish data.
func (d Dialect) AppendPublish(dst []byte, id uint32, channel string, data []byte) []byte {
	if d == Echo {
		return append(dst, data...)
	}
	return clientproto.AppendCommand(dst, &clientproto.Command{
		ID: id, Method: clientproto.Publish, Publish: clientproto.PublishRequest{Channel: []byte(channel), Data: data},
	})
}

// Pong answers a Ping.
const Pong = clientproto.Ping

// NextLine cuts the first line off a message; nil if there is none.
func NextLine(message []byte) (line, rest []byte) { return clientproto.NextLine(message) }

// Kind is what a line is, by its first bytes.
type Kind uint8

// Kinds.
const (
	Other    Kind = iota // to be decoded by Read
	Ping                 // to be answered with Pong
	Delivery             // one publication
)

// Kind looks at a line without decoding it.
func (d Dialect) Kind(line []byte) Kind {
	switch {
	case d == Echo:
		return Delivery
	case d == Feed:
		if bytes.Contains(line, []byte(`"gap":true`)) {
			return Other
		}
		return Delivery
	case len(line) == len(clientproto.Ping) && string(line) == clientproto.Ping:
		return Ping
	case bytes.HasPrefix(line, []byte(`{"push":`)) && bytes.Contains(line, []byte(`"pub":`)):
		return Delivery
	}
	return Other
}

// Offset is the position of the publication whose payload ends where rest of the
// line begins; 0 if the server tells none.
func (d Dialect) Offset(line, rest []byte) uint64 {
	const name = `"offset":`
	if d == Feed {
		line = line[:len(line)-len(rest)]
	} else {
		line = rest
		if end := bytes.IndexByte(line, '}'); end >= 0 {
			line = line[:end] // of this publication
		}
	}
	at := bytes.Index(line, []byte(name))
	if at < 0 {
		return 0
	}
	var n uint64
	for _, c := range line[at+len(name):] {
		if c < '0' || c > '9' || n > (1<<63)/10 {
			break
		}
		n = n*10 + uint64(c-'0')
	}
	return n
}
