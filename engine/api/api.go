package api

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"weir/engine/broker"
	"weir/engine/clientproto"
	"weir/engine/stats"
	"weir/security/schema"
)

// Node is what the API speaks for. Its methods are safe for concurrent use; errors are static values.
type Node interface {
	// Publish returns when the publication is numbered and in the channel's history. data is valid, compact JSON; it and
	// o.Tags may be kept and are not changed by the caller afterwards.
	Publish(ctx context.Context, channel string, data []byte, o PublishOptions) (Position, *clientproto.Error)
	// History returns a channel's position and what is kept of it; the publications are shared.
	History(ctx context.Context, channel string, f broker.Filter) (broker.Position, []broker.Publication, error)
	// Presence returns who is subscribed to a channel, as the members of a JSON object by client; ErrNotAvailable if its
	// namespace has no presence, ErrLimitExceeded if they are too many to list.
	Presence(ctx context.Context, channel string) (members []byte, err *clientproto.Error)
	// PresenceStats returns how many are subscribed to a channel; ErrNotAvailable as for Presence.
	PresenceStats(ctx context.Context, channel string) (clientproto.PresenceStatsResult, *clientproto.Error)
	// RemoveHistory drops what is kept of a channel. Offsets go on.
	RemoveHistory(ctx context.Context, channel string) error
	// Subscribe subscribes the matching connections to a channel or pattern and tells them so. Those that are subscribed stay as they are; push-only
	// ones, which chose their channels in the request, are passed over. An error is that of some; the others are subscribed.
	Subscribe(ctx context.Context, t Target, channel string) *clientproto.Error
	// Unsubscribe ends the matching connections' subscriptions to a channel and tells them so; a push-only connection,
	// which cannot be told, is closed.
	Unsubscribe(ctx context.Context, t Target, channel string) *clientproto.Error
	// Refresh sets when the matching connections expire, in unix seconds, or closes them if that is over.
	Refresh(ctx context.Context, t Target, expireAt int64) *clientproto.Error
	// Channels returns the channels that match pattern ("": all) with the number of their subscribers; ok is false if they are more
	// than limit.
	Channels(pattern string, limit int) (clients map[string]int, ok bool)
	// Connections returns connections by client; ok is false if they are more than q.Limit.
	Connections(ctx context.Context, q ConnectionQuery) (list map[string]Connection, ok bool, err *clientproto.Error)
	// Disconnect closes the matching connections; none is no error.
	Disconnect(ctx context.Context, d DisconnectRequest) *clientproto.Error
	// Revoke refuses a user or tokens from now on, and closes the connections that are theirs.
	Revoke(ctx context.Context, r Revocation) *clientproto.Error
	// Unblock takes back the Revoke of a user; one that is not blocked is no error.
	Unblock(ctx context.Context, user string) *clientproto.Error
	// IssueTicket returns a credential for one use.
	IssueTicket(ctx context.Context, t Ticket) (string, *clientproto.Error)
	// Info describes every node that is known, this one first.
	Info(ctx context.Context) []NodeInfo
	// Ready reports whether new connections are welcome; the reason is short plain text if not.
	Ready() (ok bool, reason string)
}

// Position is a publication's place in its channel.
type Position struct {
	Offset uint64
	Epoch  string
}

// PublishOptions are what a publisher may ask for.
type PublishOptions struct {
	SkipHistory bool
	Delta       bool
	Tags        []byte // compact JSON object with string values; nil if none
}

// DisconnectRequest says whom to disconnect and how.
type DisconnectRequest struct {
	Target
	Code   uint16 // 3000 to 4999
	Reason string // as clientproto.ValidReason asks
}

// NodeInfo describes one node.
type NodeInfo struct {
	UID         string `json:"uid"`
	Name        string `json:"name"`
	Version     string `json:"version"`
	NumClients  uint32 `json:"num_clients"`
	NumUsers    uint32 `json:"num_users"`
	NumSubs     uint32 `json:"num_subs"`
	NumChannels uint32 `json:"num_channels"`
	Uptime      uint32 `json:"uptime"` // seconds
}

// Limits bound one call. [DefaultLimits] has the reasons.
type Limits struct {
	Body            int           // bytes of a request body
	Data            int           // bytes of one publication, compacted; 0: only Body bounds it
	Depth           int           // nesting of a publication's data, 9996 at most
	Members         int           // members of one object
	Channels        int           // channels of one broadcast
	Commands        int           // commands of one batch
	BatchAnswer     int           // bytes of replies after which a batch carries out no further command
	Listed          int           // entries of one answer of channels or connections
	IdempotencyKeys int           // answers kept; about 150 bytes each
	IdempotencyTTL  time.Duration // how long an answer is kept
	PublishTimeout  time.Duration // one publish under an idempotency key, which its publisher's hang-up does not stop
}

// DefaultLimits returns what PROTOCOL.md promises, and bounds for what it leaves open.
func DefaultLimits() Limits {
	return Limits{
		Body:            1 << 20, // a body is held in memory whole
		Depth:           16,
		Members:         1024,
		Channels:        10_000, // an answer has a line for each
		Commands:        1000,
		BatchAnswer:     8 << 20, // held in memory whole; histories are long
		Listed:          10_000,
		IdempotencyKeys: 1 << 18, // 870 new keys a second, about 40 MB when full
		IdempotencyTTL:  5 * time.Minute,
		PublishTimeout:  10 * time.Second,
	}
}

// Config is what Handlers are made of.
type Config struct {
	Node    Node
	APIKey  string              // "" refuses every call
	Metrics prometheus.Gatherer // nil: no /metrics
	Limits  Limits              // a zero field takes its default, except Data
	Log     *slog.Logger        // nil: silent
	Now     func() time.Time    // nil: time.Now

	// Channels says why a channel cannot be published to (unknown namespace, bad name); nil admits every
	// name of 1 to 255 bytes of printable ASCII. Any goroutine.
	Channels func(name string) *clientproto.Error
	// Subscriptions is Channels for what clients may be subscribed to: also patterns. nil: as Channels.
	Subscriptions func(name string) *clientproto.Error
	// Content is what is asked of publications to a channel whose name Channels admits; nil: nothing. Any goroutine.
	Content func(channel string) *schema.Rule
	// Stats counts calls and errors; nil: not counted.
	Stats *stats.Shard
	// Unauthorized is told of each request without the right key; nil: nobody.
	Unauthorized func(*http.Request)
}

// Handlers serve the API. Safe for concurrent use; nothing needs to be closed.
type Handlers struct {
	cfg      Config
	salt     [32]byte                          // immutable; keys of callers and ours are compared as salted hashes
	key      atomic.Pointer[[sha256.Size]byte] // of the key that counts; nil refuses every call
	methods  map[string]method                 // immutable; those of MethodNames
	answers  *answers
	health   http.Handler
	checkers sync.Pool // of *schema.Validator
}

// maxDepth is what encoding/json reads, less what is around a publication's data in a batch.
const maxDepth = 10_000 - 1 - batchLevels

// New makes the handlers. A nil Node panics.
func New(cfg Config) *Handlers {
	if cfg.Node == nil {
		panic("api: no node")
	}
	cfg.Limits = cfg.Limits.orDefault()
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Channels == nil {
		cfg.Channels = plainName
	}
	if cfg.Subscriptions == nil {
		cfg.Subscriptions = cfg.Channels
	}
	h := &Handlers{cfg: cfg}
	rand.Read(h.salt[:]) // never fails
	h.Reload(cfg.APIKey)
	h.methods = h.table()
	h.answers = newAnswers(cfg.Limits.IdempotencyKeys, cfg.Limits.IdempotencyTTL)
	h.health = h.newHealth()
	h.checkers.New = func() any { return new(schema.Validator) }
	return h
}

// Reload takes another API key for all calls from now on; "" refuses them.
func (h *Handlers) Reload(key string) {
	if key == "" {
		h.key.Store(nil)
		return
	}
	hash := h.hash(key)
	h.key.Store(&hash)
}

func (l Limits) orDefault() Limits {
	d := DefaultLimits()
	for _, field := range []struct{ have, want *int }{
		{&l.Body, &d.Body}, {&l.Depth, &d.Depth}, {&l.Members, &d.Members},
		{&l.Channels, &d.Channels}, {&l.Commands, &d.Commands}, {&l.BatchAnswer, &d.BatchAnswer}, {&l.Listed, &d.Listed}, {&l.IdempotencyKeys, &d.IdempotencyKeys},
	} {
		if *field.have == 0 {
			*field.have = *field.want
		}
	}
	if l.IdempotencyTTL == 0 {
		l.IdempotencyTTL = d.IdempotencyTTL
	}
	l.Depth = min(l.Depth, maxDepth)
	if l.PublishTimeout == 0 {
		l.PublishTimeout = d.PublishTimeout
	}
	return l
}

// MethodNames lists the methods of PROTOCOL.md section 4, sorted: the closed list of labels for [stats.APIRequests].
func MethodNames() []string {
	return []string{
		"batch", "block_user", "broadcast", "channels", "connections", "disconnect", "history", "history_remove",
		"info", "invalidate_user_tokens", "issue_ticket", "presence", "presence_stats", "publish", "refresh",
		"revoke_token", "subscribe", "unblock_user", "unsubscribe",
	}
}

func (h *Handlers) table() map[string]method {
	table := make(map[string]method)
	table["publish"] = h.publish
	table["broadcast"] = h.broadcast
	table["disconnect"] = h.disconnect
	table["info"] = h.info
	table["history"] = h.history
	table["history_remove"] = h.historyRemove
	table["presence"] = h.presence
	table["presence_stats"] = h.presenceStats
	table["subscribe"] = h.subscribe
	table["unsubscribe"] = h.unsubscribe
	table["refresh"] = h.refresh
	table["channels"] = h.channels
	table["connections"] = h.connections
	table["block_user"] = h.blockUser
	table["unblock_user"] = h.unblockUser
	table["revoke_token"] = h.revokeToken
	table["invalidate_user_tokens"] = h.invalidateUserTokens
	table["issue_ticket"] = h.issueTicket
	table[batchName] = h.batch
	return table
}

// plainName is the rule for channel names that PROTOCOL.md has for all of them.
func plainName(name string) *clientproto.Error {
	if len(name) == 0 || len(name) > 255 {
		return errChannel
	}
	for i := range len(name) {
		if name[i] < ' ' || name[i] > '~' {
			return errChannel
		}
	}
	return nil
}
