// Package session is the state machine behind one connection of the client
// protocol: a command goes in; out come reply bytes and a Step, which says what
// the engine has to carry out (check a token, join a channel, publish) or that
// the connection must end. It does no I/O and reads no clock.
//
// The life of a session:
//
//	new ── connect ──► connecting ── Authenticated, Welcome ──► connected
//	                       └── Rejected ──► new
//
// Nothing but connect is accepted before connected; a second connect, or any
// other command too early, ends the connection (PROTOCOL.md §2).
//
// A Session belongs to the loop of its connection.
package session

import (
	"encoding/json"
	"math"
	"time"

	"weir/engine/broker"
	"weir/engine/clientproto"
	"weir/engine/hub"
	"weir/security/grant"
	"weir/security/origin"
	"weir/security/schema"
	"weir/security/token"
)

// Rules are what the operator decided, the same for every session. Immutable.
type Rules struct {
	AllowAnonymous bool
	Channels       int // most subscriptions of one session; 0: no limit
	Overlap        int // most patterns of one session that one channel may match; 0: no limit
	PingSeconds    uint32
	Node           string // name of this process in the connect reply
	Version        string
	Namespaces     map[string]Namespace // by name; one named "" always exists
	Policy         *grant.Policy        // what roles grant; nil: nothing
	ByOrigin       bool                 // some namespace has Origins
	Asks           Asks

	RecoveryLimit int // most publications that a recovery or a history command brings
	RecoveryBytes int // most bytes of them: a reply must fit beside a full outbox
}

// Namespace is what clients may do in its channels without a grant.
type Namespace struct {
	Subscribe           bool
	Publish             bool
	PublishIfSubscribed bool

	Keep                broker.Retention // what is kept of each channel
	ForceRecovery       bool             // subscriptions are recoverable without asking
	Cache               bool             // recovery brings the newest publication only
	ForcePositioning    bool
	HistoryIfSubscribed bool // subscribers may read what is kept

	Presence             bool          // who is subscribed can be asked
	JoinLeave            bool          // who asks for it is told who comes and goes
	PresenceIfSubscribed bool          // subscribers may ask who else is
	Origins              *origin.Index // whose pages may have to do with its channels; nil: all that may connect

	Delta        bool // subscriptions may negotiate Fossil deltas
	DeltaPublish bool // publications are sent as deltas without being asked to

	Content *schema.Rule // what is asked of publications, whoever they come from

	// The operator's backend permits, and nothing else does: no grant, none of the above.
	SubscribeHook, PublishHook bool
}

// Kind says what the engine has to do before the session can go on.
type Kind uint8

// The kinds of a Step. Where a method is named beside it the engine calls that
// next; until then it hands in no further command.
const (
	Done         Kind = iota // nothing: the reply, if any, is appended
	Authenticate             // check Token → Authenticated or Rejected
	Refresh                  // check Token → Refreshed or Rejected
	SubToken                 // check Token → SubChecked
	SubRefresh               // check Token → SubChecked
	Subscribe                // join Channel → Subscribed
	Unsubscribe              // leave the channel of Sub
	Publish                  // publish Data into Channel
	History                  // read Filter of Channel
	Presence                 // say who is subscribed to Channel
	AskConnect               // ask the backend who it is → Authenticated or Rejected
	AskSubscribe             // ask it about Channel → Approved
	AskPublish               // ask it about Data in Channel → ApprovedPublish
	RPC                      // have it answer
	Send                     // tell it
)

// Step is the outcome of a command. Token, Data and Command are borrowed, but
// Data after Approved.
type Step struct {
	Kind    Kind
	ID      uint32 // of the command, for the reply
	Close   *clientproto.Close
	Error   *clientproto.Error // the error that was answered, for the counters
	Channel string
	Token   []byte
	Data    []byte
	Sub     int // index into Subs

	Plan    Plan             // of SubToken and Subscribe
	Watch   bool             // of these: be told who joins and leaves
	By      Permit           // of Subscribe
	Expires int64            // of Subscribe: when what permits it ends, in unix seconds; 0: never
	Info    json.RawMessage  // of Subscribe: what that says of the user
	Keep    broker.Retention // of Publish
	Filter  broker.Filter    // of History
	Count   bool             // of Presence: say how many, not who
	Recover []Recover        // of Authenticate and AskConnect: positions in server-side subscriptions; owned

	Command *clientproto.Command // of what the backend is asked
}

type state uint8

const (
	fresh state = iota
	connecting
	connected
)

// Session is one client's state. The zero value is a new one. It is as large as what
// most have, for it stands in its connection's memory; the others spend a pointer.
type Session struct {
	state   state
	vouched bool // the handshake brought a credential that was checked
	unnamed bool // no credential said who it is
	backed  bool // the backend did
	origin  origin.ID
	single  uint8    // subscriptions in only: 0 or 1
	expires uint32   // unix seconds; 0: never
	issued  uint32   // its newest token, in unix seconds; 0: unknown
	client  ClientID // set by Welcome
	user    string
	grant   *grant.Set
	only    [1]Sub // the subscription of one that has no more
	more    *more  // nil: there is nothing
}

// more is what most sessions have nothing of.
type more struct {
	about json.RawMessage // what others are told of the user; nil: nothing
	subs  []Sub           // all subscriptions, of one that has several
}

// seconds is a time in unix seconds as a Session keeps it: until 2106.
func seconds(at int64) uint32 { return uint32(min(max(at, 0), math.MaxUint32)) }

// info is what others are told of the user, in all channels.
func (s *Session) info() json.RawMessage {
	if s.more == nil {
		return nil
	}
	return s.more.about
}

func (s *Session) setInfo(info json.RawMessage) {
	var subs []Sub
	if s.more != nil {
		subs = s.more.subs
	}
	s.setMore(info, subs)
}

func (s *Session) setMore(about json.RawMessage, subs []Sub) {
	switch {
	case len(about) == 0 && len(subs) == 0:
		s.more = nil
	case s.more == nil:
		s.more = &more{about, subs}
	default:
		*s.more = more{about, subs}
	}
}

// Sub is one subscription. Channel and Member are the engine's handle on it.
type Sub struct {
	Channel *hub.Channel
	Member  uint32 // index in the shard's list of members
	Form    hub.Form
	Server  bool // made by the server, for the token or by order
	By      Permit
	Follows bool  // the client goes by its position in the stream: nothing may be missing
	Expires int64 // when what permits it ends, in unix seconds; 0: never
	rare    *rare
}

// Permit is what permits a subscription.
type Permit uint8

const (
	ByGrant Permit = iota // the session's grant, or the namespace; of the server's: the token's claim
	ByToken               // a subscription token
	ByOrder               // the server API
	ByHook                // the operator's backend
)

// Vouch notes that the handshake brought a checked credential, so connect
// needs none.
func (s *Session) Vouch() { s.vouched = true }

// From notes which of the configured origins the handshake came from.
func (s *Session) From(id origin.ID) { s.origin = id }

// Connected reports whether connect has succeeded.
func (s *Session) Connected() bool { return s.state == connected }

// User is the authenticated user; "" for an anonymous one.
func (s *Session) User() string { return s.user }

// Client is the id of this connection, none before connect has succeeded.
func (s *Session) Client() ClientID { return s.client }

// Expires is when the token ends in unix seconds; 0 is never.
func (s *Session) Expires() int64 { return int64(s.expires) }

// ExpireAt sets Expires, by the operator's order.
func (s *Session) ExpireAt(at int64) { s.expires = seconds(at) }

// Subs returns the subscriptions, borrowed until the next change.
func (s *Session) Subs() []Sub {
	if s.more != nil && len(s.more.subs) > 0 {
		return s.more.subs
	}
	return s.only[:s.single]
}

// Sub returns subscription i for the engine to note where it stands.
func (s *Session) Sub(i int) *Sub { return &s.Subs()[i] }

// Command takes the next command. Its replies are appended to dst.
func (s *Session) Command(dst []byte, cmd *clientproto.Command, r *Rules) ([]byte, Step) {
	if cmd.Method == clientproto.Pong {
		return dst, Step{}
	}
	if s.state != connected && cmd.Method != clientproto.Connect {
		return dst, Step{Close: clientproto.CloseBadRequest}
	}
	switch cmd.Method {
	case clientproto.Connect:
		return s.connect(dst, cmd, r)
	case clientproto.Subscribe:
		return s.subscribe(dst, cmd, r)
	case clientproto.Unsubscribe:
		return s.unsubscribe(dst, cmd)
	case clientproto.Publish:
		return s.publish(dst, cmd, r)
	case clientproto.Refresh:
		return s.refresh(dst, cmd)
	case clientproto.SubRefresh:
		return s.subRefresh(dst, cmd)
	case clientproto.History:
		return s.history(dst, cmd, r)
	case clientproto.Presence, clientproto.PresenceStats:
		return s.presence(dst, cmd, r)
	case clientproto.RPC:
		return s.rpc(dst, cmd, r)
	case clientproto.Send:
		return s.send(dst, cmd, r)
	default:
		return reject(dst, cmd.ID, clientproto.ErrNotAvailable)
	}
}

func reject(dst []byte, id uint32, e *clientproto.Error) ([]byte, Step) {
	return clientproto.AppendError(dst, id, e), Step{Error: e}
}

func (s *Session) connect(dst []byte, cmd *clientproto.Command, r *Rules) ([]byte, Step) {
	if s.state != fresh {
		return dst, Step{Close: clientproto.CloseBadRequest}
	}
	step := Step{Kind: Authenticate, ID: cmd.ID, Token: cmd.Connect.Token, Recover: recovers(cmd.Connect.Subs)}
	if len(cmd.Connect.Token) == 0 && !s.vouched {
		switch {
		case r.Asks.Connect:
			step.Kind, step.Data, step.Command = AskConnect, cmd.Connect.Data, cmd
		case !r.AllowAnonymous:
			return reject(dst, cmd.ID, clientproto.ErrUnauthorized)
		}
	}
	s.state = connecting
	return dst, step
}

// Authenticated notes whom the token named (nil: nobody, an anonymous
// connection) and returns the channels to subscribe for it. The engine joins
// them and then calls Welcome.
func (s *Session) Authenticated(c *token.Claims, r *Rules) (channels []string) {
	if c == nil {
		s.unnamed = true
		return nil
	}
	s.user, s.grant = c.Subject, r.Policy.Grant(c.Grant, c.Roles)
	s.setInfo(c.Info)
	s.expires, s.issued = seconds(expiry(c.ExpireAt, c.ExpiresAt)), seconds(c.IssuedAt)
	return c.ServerChannels()
}

// Over reports whether a connection by this token, which is valid, would be over
// before it begins.
func Over(c *token.Claims, now time.Time) bool { return over(c.ExpireAt, now) }

func over(expireAt *int64, now time.Time) bool {
	return expireAt != nil && *expireAt > 0 && *expireAt <= now.Unix()
}

// expiry is expire_at where the token has it (0 there is never), else exp.
func expiry(expireAt *int64, exp int64) int64 {
	if expireAt != nil {
		return *expireAt
	}
	return exp
}

// Welcome ends connect: client is the new id of the connection, subs are the
// server-side subscriptions as they were made, data is JSON for the client.
func (s *Session) Welcome(dst []byte, id uint32, client ClientID, subs []clientproto.ServerSub, data []byte, r *Rules, now time.Time) []byte {
	s.state = connected
	s.client = client
	return clientproto.AppendConnect(dst, id, &clientproto.ConnectResult{
		Client: client.String(), Version: r.Version, Node: r.Node,
		Expires: s.expires > 0 && !s.backed, TTL: ttl(s.Expires(), now),
		Ping: r.PingSeconds, Pong: r.PingSeconds > 0,
		Subs: subs, Data: data,
	})
}

// Opened ends Authenticated for a connection without a connect command: client
// is its new id. It takes no commands; the engine sees to that.
func (s *Session) Opened(client ClientID) { s.state, s.client = connected, client }

func ttl(expires int64, now time.Time) uint32 {
	if left := expires - now.Unix(); expires > 0 && left > 0 {
		return uint32(min(left, 1<<31))
	}
	return 0
}

// Rejected ends connect or refresh with an error (answered) or a close.
func (s *Session) Rejected(dst []byte, id uint32, e *clientproto.Error) []byte {
	if s.state == connecting {
		s.state = fresh
	}
	return clientproto.AppendError(dst, id, e)
}
