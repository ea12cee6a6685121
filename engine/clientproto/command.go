package clientproto

// Method is the kind of a command: a closed list, never a name from the peer.
type Method uint8

// The methods. Pong is the empty object, the answer to a ping.
const (
	Pong Method = iota + 1
	Connect
	Subscribe
	Unsubscribe
	Publish
	Presence
	PresenceStats
	History
	RPC
	Refresh
	SubRefresh
	Send
)

// String is the method's name on the wire, "pong" for Pong and "none" for the
// zero value; fit to be a metric label.
func (m Method) String() string {
	switch m {
	case Pong:
		return "pong"
	case Connect:
		return "connect"
	case Subscribe:
		return "subscribe"
	case Unsubscribe:
		return "unsubscribe"
	case Publish:
		return "publish"
	case Presence:
		return "presence"
	case PresenceStats:
		return "presence_stats"
	case History:
		return "history"
	case RPC:
		return "rpc"
	case Refresh:
		return "refresh"
	case SubRefresh:
		return "sub_refresh"
	case Send:
		return "send"
	}
	return "none"
}

// methodOf is the closed list that names on the wire are looked up in; 0 for
// any other name.
func methodOf(name []byte) Method {
	switch string(name) {
	case "connect":
		return Connect
	case "subscribe":
		return Subscribe
	case "unsubscribe":
		return Unsubscribe
	case "publish":
		return Publish
	case "presence":
		return Presence
	case "presence_stats":
		return PresenceStats
	case "history":
		return History
	case "rpc":
		return RPC
	case "refresh":
		return Refresh
	case "sub_refresh":
		return SubRefresh
	case "send":
		return Send
	}
	return 0
}

// Command is one line from a client. ID is above 0 except for Pong and Send.
// Only the request named by Method is filled; PresenceStats fills Presence. All
// slices borrow the parsed line and the Parser until its next Parse. A Data
// field is one valid JSON value without insignificant white space, nil if absent.
type Command struct {
	ID     uint32
	Method Method

	Connect     ConnectRequest
	Subscribe   SubscribeRequest
	Unsubscribe UnsubscribeRequest
	Publish     PublishRequest
	Presence    PresenceRequest
	History     HistoryRequest
	RPC         RPCRequest
	Refresh     RefreshRequest
	SubRefresh  SubRefreshRequest
	Send        SendRequest
}

// ConnectRequest begins a session.
type ConnectRequest struct {
	Token, Name, Version []byte
	Data                 []byte       // JSON
	Subs                 []SubRecover // positions in server-side subscriptions
}

// SubRecover is the position that a client holds in a server-side subscription.
type SubRecover struct {
	Channel, Epoch []byte
	Recover        bool
	Offset         uint64
}

// FlagRejectUnrecovered in SubscribeRequest.Flag asks for ErrUnrecoverable
// where the result would else say recovered:false.
const FlagRejectUnrecovered = 2

// SubscribeRequest asks for a channel's publications.
type SubscribeRequest struct {
	Channel, Token, Epoch, Delta                []byte
	Data                                        []byte // JSON
	Recover, Positioned, Recoverable, JoinLeave bool
	Offset                                      uint64
	Flag                                        int64 // bits, see FlagRejectUnrecovered
}

// UnsubscribeRequest ends a subscription.
type UnsubscribeRequest struct {
	Channel []byte
}

// PublishRequest publishes into a channel.
type PublishRequest struct {
	Channel []byte
	Data    []byte // JSON
}

// PresenceRequest asks who is in a channel (presence and presence_stats).
type PresenceRequest struct {
	Channel []byte
}

// HistoryRequest asks for a channel's kept publications.
type HistoryRequest struct {
	Channel []byte
	Limit   int64 // 0: only the position; below 0: no limit
	Since   bool  // Offset and Epoch are given
	Offset  uint64
	Epoch   []byte
	Reverse bool
}

// RPCRequest calls a method of the application.
type RPCRequest struct {
	Method []byte
	Data   []byte // JSON
}

// RefreshRequest brings a newer token for the connection.
type RefreshRequest struct {
	Token []byte
}

// SubRefreshRequest brings a newer token for a subscription.
type SubRefreshRequest struct {
	Channel, Token []byte
}

// SendRequest is a message without a reply.
type SendRequest struct {
	Data []byte // JSON
}
