package engine

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"time"

	"weir/engine/backend"
	"weir/security/anomaly"
	"weir/security/audit"
	"weir/security/audit/capture"
	"weir/security/grant"
	"weir/security/origin"
	"weir/security/overload"
	"weir/security/proxy"
	"weir/security/schema"
	"weir/security/token"
)

// Config is what a Server is made of. It is read once by New and not kept:
// each part gets the values that it needs and no more. The zero value denies
// everything and cannot be served: there is no listener without TLS.
type Config struct {
	Listen       string // public listener, TLS only; several addresses by commas
	APIListen    string // internal listener: server API, health, metrics
	HealthListen string // health and metrics only; "" is off

	ProxyListen   string       // plain, for trusted proxies; several addresses by commas, "" is off
	Trust         *proxy.Trust // who these are; nil believes nobody
	ProxyProtocol bool         // they send headers of the PROXY protocol v2; else X-Forwarded-For and -Proto

	TLS          *tls.Config      // certificate source, versions, curves; shared by all handshakes
	CertNotAfter func() time.Time // for the expiry metric; nil if unknown

	ClientCAs func() *x509.CertPool // if TLS asks for client certificates: their authorities, at each handshake; nil: those of TLS
	APITLS    *tls.Config           // of the internal listener APIListen; nil: plain, on loopback only

	Tokens          *token.Verifier // nil: no token can be checked, so none is accepted
	AllowAnonymous  bool            // a connection without a token is user ""
	Origins         *origin.List    // nil allows none
	AllowNoOrigin   bool            // accept a handshake without Origin (native clients)
	AllowTokenInURL bool            // accept ?token=; the token then stands in access logs of every hop

	APIKey     string        // "" refuses every call of the server API
	Namespaces []Namespace   // the namespace "" always exists
	Roles      *grant.Policy // what roles grant; nil: nothing

	Hooks backend.Config // what the operator's backend is asked: URLs, header, timeout, concurrency

	Dev *Dev // demo page at "/"; nil outside --dev

	// Usage reads what the process uses, with so many connections open; it is asked once a second, by
	// one goroutine. nil: nothing is measured, and the node is never overloaded.
	Usage func(connections int, now time.Time) overload.Usage

	// Collection is how much garbage may come together. It is the process's, so a server has it for itself.
	Collection Collection

	// Lines that Log gave up for want of room, and held back, since the start. nil: not known.
	LogDropped, LogSuppressed func() uint64

	Now func() time.Time // the clock, with a monotonic reading: tests move it; nil: time.Now

	Limits      Limits
	Log         *slog.Logger
	Audit       *audit.Log        // nil: none. The caller closes it, after Run
	Capture     *capture.Recorder // what is kept of chosen connections, as of Audit; nil: nothing
	Anomaly     *anomaly.Response // what is done about alerts; nil: nothing
	Version     string
	Pollers     int // shards; 0 is one per core
	ReusePort   bool
	Congestion  string // TCP congestion control; "" is the system's
	Compression bool   // permessage-deflate, if the client offers it
	EnableEcho  bool   // /echo, for conformance runs
}

// Dev is what --dev shows at "/".
type Dev struct {
	Page []byte // HTML
	CSP  string // value of Content-Security-Policy
}

// Namespace holds the options of the channels "Name:…". Names of options are
// those of the YAML file, without underscores.
type Namespace struct {
	Name                      string
	AllowSubscribeForClient   bool
	AllowPublishForClient     bool
	AllowPublishForSubscriber bool
	AllowHistoryForSubscriber bool

	HistorySize      int           // publications kept for each channel; 0: none
	HistoryTTL       time.Duration // how long they are kept; 0: not at all
	ForceRecovery    bool          // subscriptions recover without asking for it
	RecoverLatest    bool          // force_recovery_mode: cache; only the newest publication comes back
	ForcePositioning bool

	SubscribeHook, PublishHook bool // the backend decides, and nothing else does

	Presence                   bool // who is subscribed can be asked
	JoinLeave                  bool // subscribers who ask for it are told who comes and goes
	AllowPresenceForSubscriber bool
	AllowDelta                 bool         // allowed_delta_types: fossil
	DeltaPublish               bool         // deltas for every publication
	SlowConsumer               string       // disconnect (or ""), drop_oldest, drop_newest, conflate
	ConflateKey                string       // JSON pointer (RFC 6901) to the key of which only the newest is kept
	AllowedOrigins             *origin.List // whose pages may have to do with its channels, of those that may connect; nil: all
	MaxOutboxBytes             int          // queued for one connection from this namespace; 0: only Limits.MaxOutboxBytes

	Schema       *schema.Schema // what is asked of publications; nil: nothing
	SanitizeHTML bool           // sanitize: html; markup in their strings goes out as escapes
}

// Limits are the operator's bounds (PROTOCOL.md §6). 0 means no limit where
// the comment says so; elsewhere New refuses it.
type Limits struct {
	Connections   int // node; 0: as many as descriptors allow
	HandshakesMax int // handshakes waiting for the client's next flight

	IPConnectRate   float64 // connects per second, per address or prefix; 0: none
	IPConnectBurst  int
	IPConnections   int            // open at once, per address or prefix; 0: none
	IPHandshakes    int            // in flight, per address or prefix; 0: none
	UserConnections int            // open at once, per user; 0: none
	Exempt          []netip.Prefix // passed over by per-IP and per-user limits

	UserMessageRate   float64 // messages per second of all connections of a user; burst twice the rate; 0: none
	UserByteRate      float64 // payload bytes, likewise; 0: none
	UserSubscribeRate float64 // subscribe commands, likewise; 0: none
	UserConnectRate   float64 // sessions that begin, likewise; 0: none

	MessageRate   float64 // messages per second and connection; burst twice the rate; 0: none
	ByteRate      float64 // payload bytes per second and connection; burst twice the rate; 0: none
	SubscribeRate float64 // subscribe commands per second and connection; 0: none
	PublishRate   float64 // publish commands per second and connection; 0: none, they are messages
	PingRate      float64 // WebSocket pings per second and connection; 0: none

	MessageSize  int // bytes of one message from a client
	MaxFragments int // frames of one message; 0: none
	JSONDepth    int
	JSONMembers  int
	EchoSize     int // bytes of one message on /echo

	MaxOutboxBytes int // queued for one connection before it is a slow consumer
	OutboxBudget   int // queued for all connections
	PartialBytes   int // half records, frames and messages of all connections
	HistoryBytes   int // publications kept for all channels
	DeltaBaseBytes int // publications kept to make the next delta of their channels
	MailboxBytes   int // publications that wait for one shard
	TLSKeyCache    int // bytes of AEADs kept for connections in use

	HandshakeTimeout   time.Duration // accept to the end of the TLS handshake
	HeadTimeout        time.Duration // end of the TLS handshake to a whole request head
	StaleCloseDelay    time.Duration // 101 to an authenticated session
	PartialTimeout     time.Duration // first byte to last of a record, frame or message
	WriteTimeout       time.Duration // data pending of which the kernel takes no byte
	IdleTimeout        time.Duration // no byte from the peer at all (echo only: others answer pings)
	SessionMax         time.Duration // life of any connection
	PingInterval       time.Duration
	PongTimeout        time.Duration
	DrainPeriod        time.Duration
	ExpiredCloseDelay  time.Duration
	ChannelsPerSession int // subscriptions of one connection; 0: none
	RecoveryMax        int // missed publications that a subscribe may bring back
}

// DefaultLimits returns the defaults of the command line.
func DefaultLimits() Limits {
	return Limits{
		HandshakesMax:      4096,
		IPConnectRate:      50,
		IPConnectBurst:     200,
		IPConnections:      1000,
		IPHandshakes:       64,
		MessageRate:        100,
		ByteRate:           1 << 20,
		SubscribeRate:      50,
		PingRate:           2,
		MessageSize:        64 << 10,
		MaxFragments:       64,
		JSONDepth:          16,
		JSONMembers:        1024,
		EchoSize:           16 << 20,
		MaxOutboxBytes:     1 << 20,
		OutboxBudget:       256 << 20,
		PartialBytes:       32 << 20,
		HistoryBytes:       historyBytes,
		DeltaBaseBytes:     deltaBaseBytes,
		MailboxBytes:       inboxBytes,
		TLSKeyCache:        64 << 20,
		HandshakeTimeout:   3 * time.Second,
		HeadTimeout:        3 * time.Second,
		StaleCloseDelay:    10 * time.Second,
		PartialTimeout:     10 * time.Second,
		WriteTimeout:       30 * time.Second,
		IdleTimeout:        60 * time.Second,
		SessionMax:         24 * time.Hour,
		PingInterval:       25 * time.Second,
		PongTimeout:        8 * time.Second,
		DrainPeriod:        30 * time.Second,
		ExpiredCloseDelay:  25 * time.Second,
		ChannelsPerSession: 128,
		RecoveryMax:        300,
	}
}

// check refuses what cannot be served. Every message names the option and the
// mend. What a flag's own parser has refused already is not repeated here.
func (cfg *Config) check() error {
	l := &cfg.Limits
	switch {
	case cfg.TLS == nil:
		return errors.New("no certificate: set --tls-cert and --tls-key")
	case cfg.Listen == "":
		return errors.New("no address to listen on: set --listen, for example --listen :8443")
	case sameAddr(cfg.Listen, cfg.APIListen) || sameAddr(cfg.Listen, cfg.HealthListen):
		return fmt.Errorf("--listen %s is also an internal listener's address: TLS and plain HTTP cannot share it", cfg.Listen)
	case !cfg.apiGuarded():
		return fmt.Errorf("--api-listen %s is not loopback: who reaches it must show a certificate, so name its authority with --api-client-ca-file, "+
			"or write 127.0.0.1 before the port", cfg.APIListen)
	case cfg.sharesProxyListen():
		return fmt.Errorf("--proxy-listen %s is also another listener's address: choose another port", cfg.ProxyListen)
	case cfg.ProxyListen != "" && cfg.TLS.ClientAuth == tls.RequireAndVerifyClientCert:
		return errors.New("--client-auth required cannot be held at --proxy-listen, where the proxy has the TLS: " +
			"write --client-auth optional, or leave --proxy-listen out")
	case cfg.ProxyListen != "" && cfg.Trust == nil:
		return errors.New("--proxy-listen trusts nobody: name the proxies by --trusted-proxies")
	case l.MessageSize <= 0 || l.MaxOutboxBytes <= 0:
		return errors.New("--message-size-limit and --max-outbox-bytes must be above 0")
	case l.MessageSize+frameRoomBytes > l.MaxOutboxBytes:
		return fmt.Errorf("--max-outbox-bytes %d does not hold one message of --message-size-limit %d: raise it to at least %d",
			l.MaxOutboxBytes, l.MessageSize, l.MessageSize+frameRoomBytes)
	case l.PartialBytes/cfg.Pollers < 2*(l.MessageSize+tlsRecordBytes):
		return fmt.Errorf("--partial-bytes %d does not hold two messages of --message-size-limit %d for each of %d --pollers: raise it to at least %d",
			l.PartialBytes, l.MessageSize, cfg.Pollers, 2*cfg.Pollers*(l.MessageSize+tlsRecordBytes))
	case l.ByteRate > 0 && 2*l.ByteRate < float64(l.MessageSize):
		return fmt.Errorf("--byte-rate %.0f lets no message of --message-size-limit %d through (the burst is twice the rate): raise it to at least %d",
			l.ByteRate, l.MessageSize, (l.MessageSize+1)/2)
	case l.UserByteRate > 0 && 2*l.UserByteRate < float64(l.MessageSize):
		return fmt.Errorf("--user-byte-rate %.0f lets no message of --message-size-limit %d through (the burst is twice the rate): raise it to at least %d",
			l.UserByteRate, l.MessageSize, (l.MessageSize+1)/2)
	case l.HandshakeTimeout <= 0 || l.HeadTimeout <= 0 || l.StaleCloseDelay <= 0 || l.PartialTimeout <= 0 || l.WriteTimeout <= 0:
		return errors.New("--handshake-timeout, --head-timeout, --stale-close-delay, --partial-timeout and --write-timeout must be above 0: " +
			"without them a silent peer stays for ever")
	case cfg.EnableEcho && (l.EchoSize <= 0 || l.IdleTimeout <= 0):
		return errors.New("--echo-size-limit and --idle-timeout must be above 0 with --enable-echo")
	}
	return errors.Join(cfg.checkNamespaces(), cfg.checkHooks())
}

// apiGuarded reports that nobody reaches the server API who is neither on this
// machine nor has a certificate.
func (cfg *Config) apiGuarded() bool {
	if cfg.APIListen == "" || cfg.APITLS != nil && cfg.APITLS.ClientAuth == tls.RequireAndVerifyClientCert {
		return true
	}
	host, _, err := net.SplitHostPort(cfg.APIListen)
	if err != nil || host == "localhost" {
		return true // an address that is none is refused by who listens
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// checkHooks refuses namespaces that nobody would decide about.
func (cfg *Config) checkHooks() error {
	for _, ns := range cfg.Namespaces {
		switch {
		case ns.SubscribeHook && cfg.Hooks.URLs[backend.Subscribe] == "":
			return fmt.Errorf("the namespace %q has subscribe_hook, and there is nobody to ask: set --subscribe-hook (and restart)", ns.Name)
		case ns.PublishHook && cfg.Hooks.URLs[backend.Publish] == "":
			return fmt.Errorf("the namespace %q has publish_hook, and there is nobody to ask: set --publish-hook (and restart)", ns.Name)
		}
	}
	return nil
}

// checkNamespaces is check for what namespaces say of outboxes. These must have
// room for the longest message; as the text of a subscription with deltas its
// escapes may make it twice as long.
func (cfg *Config) checkNamespaces() error {
	l := &cfg.Limits
	need := 2*l.MessageSize + frameRoomBytes
	for i := range cfg.Namespaces {
		ns := &cfg.Namespaces[i]
		if ns.AllowDelta && l.MaxOutboxBytes < need {
			return fmt.Errorf("--max-outbox-bytes %d does not hold one message of --message-size-limit %d as a text, which allowed_delta_types "+
				"of the namespace %q needs: raise it to at least %d", l.MaxOutboxBytes, l.MessageSize, ns.Name, need)
		}
		if missing := ns.AllowedOrigins.Without(cfg.Origins); len(missing) > 0 {
			return fmt.Errorf("namespace %q: allowed_origins has %s, whose pages may not connect: add it to --allowed-origins too", ns.Name, missing[0])
		}
		if _, _, err := ns.slow(l); err != nil {
			return fmt.Errorf("namespace %q: %w", ns.Name, err)
		}
	}
	return nil
}

// partialPerShard is a shard's part of --partial-bytes. /echo, which is for
// conformance runs, must be able to hold what it promises to take.
func (cfg *Config) partialPerShard() int {
	part := cfg.Limits.PartialBytes / cfg.Pollers
	if cfg.EnableEcho {
		part = max(part, 4*cfg.Limits.EchoSize)
	}
	return part
}

// sharesProxyListen reports whether --proxy-listen is also another listener's.
func (cfg *Config) sharesProxyListen() bool {
	for addr := range strings.SplitSeq(cfg.ProxyListen, ",") {
		for _, other := range strings.Split(cfg.Listen+","+cfg.APIListen+","+cfg.HealthListen, ",") {
			if addr != "" && sameAddr(addr, other) {
				return true
			}
		}
	}
	return false
}

// sameAddr compares two addresses to listen on. Port 0 is another port each time.
func sameAddr(a, b string) bool { return a == b && !strings.HasSuffix(a, ":0") }
