package main

// cli is the whole command line: the commands and, under each, its options.
type cli struct {
	Config path `name:"config" placeholder:"FILE" help:"YAML file with any of these options, the names written with underscores, and the namespaces."`

	Serve   serveCommand   `cmd:"" help:"Run the server."`
	Check   checkCommand   `cmd:"" help:"Check a configuration as serve would, print what memory it can take, start nothing."`
	Token   tokenCommand   `cmd:"" help:"Print a signed token for a client."`
	Pub     pubCommand     `cmd:"" help:"Publish one JSON value to a channel through the server API."`
	Sub     subCommand     `cmd:"" help:"Subscribe to channels, print each publication as one line of JSON."`
	Audit   auditCommand   `cmd:"" help:"Verify and search the files of the audit log; send again what was captured."`
	Version versionCommand `cmd:"" help:"Print the version."`
}

type serveCommand struct {
	serverOptions
}

type checkCommand struct {
	serverOptions
}

type auditCommand struct {
	Verify auditVerifyCommand `cmd:"" help:"Check that no record was deleted, changed or moved since it was written; name the first that was."`
	Query  auditQueryCommand  `cmd:"" help:"Print the records that match all of the options, or how many there are."`
	Replay auditReplayCommand `cmd:"" help:"Send a capture to a test server again, each step at its time, and name the verdicts that are not the same; status 1 if there are any."`
}

type versionCommand struct {
	JSON    bool `name:"json" help:"Print version, commit, Go version, build settings, modules and the binary's SHA-256 as JSON."`
	SBOM    bool `name:"sbom" help:"Print what is in the binary, in CycloneDX 1.6 (JSON)."`
	Compare path `name:"compare" placeholder:"FILE" help:"Print what differs from the binary whose --json is in FILE; status 1 if anything does."`
}

// serverOptions are the options of serve and check. A field with the tag
// later is known and documented, but refused if it is set to anything but its
// default; the tag names what it belongs to. One with the tag restart keeps its
// value over SIGHUP.
type serverOptions struct {
	explicit map[string]bool `kong:"-"` // names of the options that were set, wherever

	Dev bool `name:"dev" restart:"" group:"Development" help:"Serve on loopback only, with a certificate, keys and a sample feed made for it, and a demo page at /."`

	Listen       address `name:"listen" restart:"" group:"Listeners" default:":8443" placeholder:"HOST:PORT" help:"Public listener, TLS only (default ${default}; with --dev 127.0.0.1 and [::1])."`
	APIListen    address `name:"api-listen" restart:"" group:"Listeners" default:"127.0.0.1:9000" placeholder:"HOST:PORT" help:"Listener of the server API, health and metrics; loopback only, unless --api-client-ca-file is set (default ${default})."`
	HealthListen address `name:"health-listen" restart:"" group:"Listeners" placeholder:"HOST:PORT" help:"Listener with only /health, /ready and /metrics, no key asked (default off)."`
	Pollers      count   `name:"pollers" restart:"" group:"Listeners" default:"0" placeholder:"N" help:"Event loops; 0 is one per core (default ${default})."`
	ReusePort    bool    `name:"reuse-port" restart:"" group:"Listeners" help:"Set SO_REUSEPORT, so that several processes share the address."`
	Congestion   text    `name:"tcp-congestion" restart:"" group:"Listeners" placeholder:"NAME" help:"TCP congestion control, as in cubic or bbr (default the system's)."`

	TLSCert         path `name:"tls-cert" restart:"" group:"TLS" placeholder:"FILE" help:"Certificate chain, PEM, the server's own first. Reread when it changes and on SIGHUP."`
	TLSKey          path `name:"tls-key" restart:"" group:"TLS" placeholder:"FILE" help:"Private key of the certificate, PEM, not readable by others."`
	TLSMin          text `name:"tls-min" restart:"" group:"TLS" default:"1.2" enum:"1.2,1.3" placeholder:"VERSION" help:"Oldest TLS version to accept, 1.2 or 1.3 (default ${default}). A TLS 1.2 connection takes several times the memory."`
	TLSCurves       list `name:"tls-curves" restart:"" group:"TLS" placeholder:"NAME,…" help:"Key exchanges in order of preference, of X25519MLKEM768, SecP256r1MLKEM768, SecP384r1MLKEM1024, X25519, P-256, P-384, P-521 (default Go's: post-quantum first)."`
	TLSKeyCache     size `name:"tls-key-cache" restart:"" group:"TLS" default:"64MiB" placeholder:"SIZE" help:"Memory for ready ciphers of busy connections; idle ones keep only keys (default ${default})."`
	AllowSelfSigned bool `name:"allow-self-signed" restart:"" group:"TLS" help:"Accept a self-signed certificate in --tls-cert."`
	TicketKeyFile   path `name:"ticket-key-file" restart:"" group:"TLS" placeholder:"FILE" help:"Session ticket keys that processes share, 32 bytes each as they are, newest first, not readable by others. Reread when it changes and on SIGHUP (default: made at start and rotated twice a day)."`
	ClientCAFile    path `name:"client-ca-file" restart:"" group:"TLS" placeholder:"FILE" help:"Authorities, PEM, of client certificates: the URI, e-mail address or DNS name in one is then the user. Reread when it changes and on SIGHUP (default: none is asked for)."`
	ClientAuth      text `name:"client-auth" restart:"" group:"TLS" default:"required" enum:"optional,required" placeholder:"HOW" help:"Whether clients must show a certificate of --client-ca-file, optional or required (default ${default})."`
	ACMEDomains     list `name:"acme-domains" restart:"" group:"TLS" placeholder:"NAME,…" help:"Have an authority certify these names, and renew it, in the place of --tls-cert. Their port 443 must reach --listen. Accepts the authority's terms."`
	ACMECache       path `name:"acme-cache" restart:"" group:"TLS" placeholder:"DIR" help:"Folder, of this user only, where the account's key and the certificate are kept."`
	ACMEEmail       text `name:"acme-email" restart:"" group:"TLS" placeholder:"ADDRESS" help:"Whom the authority may write to (default nobody)."`
	ACMEDirectory   text `name:"acme-directory" restart:"" group:"TLS" placeholder:"URL" help:"Where the authority is, https (default Let's Encrypt)."`
	APITLSCert      path `name:"api-tls-cert" restart:"" group:"TLS" placeholder:"FILE" help:"Certificate chain of --api-listen, PEM (default: that of --tls-cert, if --api-client-ca-file is set; else --api-listen is plain)."`
	APITLSKey       path `name:"api-tls-key" restart:"" group:"TLS" placeholder:"FILE" help:"Private key of --api-tls-cert."`
	APIClientCAFile path `name:"api-client-ca-file" restart:"" group:"TLS" placeholder:"FILE" help:"Authorities, PEM, of the certificates that callers of --api-listen must show, beside the API key. An address that is not loopback needs it."`

	apiKeyOptions
	secretOptions
	claimOptions
	TokenKeyFile path `name:"token-key-file" group:"Keys" placeholder:"FILE" help:"Public keys of ES256, RS256, PS256 and EdDSA tokens, PEM or a JSON Web Key Set."`
	JWKSURL      text `name:"jwks-url" restart:"" group:"Keys" placeholder:"URL" help:"Where to fetch public keys, https, a JSON Web Key Set; every ten minutes, and when a token has a key that is not known."`
	JWKSCAFile   path `name:"jwks-ca-file" restart:"" group:"Keys" placeholder:"FILE" help:"Certificates, PEM, that the server of --jwks-url is checked against instead of the system's."`
	PolicyFile   path `name:"policy-file" restart:"" group:"Who may connect" placeholder:"FILE" help:"What the roles of tokens grant, YAML (docs/access.md). Reread when it changes and on SIGHUP."`

	AllowedOrigins  list `name:"allowed-origins" group:"Who may connect" placeholder:"ORIGIN,…" help:"Origins of the pages that may connect, exact, as in https://app.example.com."`
	AllowNoOrigin   bool `name:"allow-no-origin" group:"Who may connect" help:"Accept clients that send no Origin, as native ones do."`
	AllowAnonymous  bool `name:"allow-anonymous" group:"Who may connect" help:"Accept connections without a token, as user \"\" with what the namespaces allow to clients."`
	AllowTokenInURL bool `name:"allow-token-in-url" group:"Who may connect" help:"Accept a token in the URL; it then stands in the logs of every proxy on the way."`

	proxyOptions

	hookOptions

	Connections       count    `name:"connections" restart:"" group:"Limits of the node" default:"0" placeholder:"N" help:"Connections open at once; 0 is as many as descriptors allow (default ${default})."`
	HandshakesMax     count    `name:"handshakes-max" restart:"" group:"Limits of the node" default:"4096" placeholder:"N" help:"TLS handshakes that wait for their client (default ${default})."`
	PartialBytes      size     `name:"partial-bytes" group:"Limits of the node" default:"32MiB" placeholder:"SIZE" help:"Memory for half records, frames and messages of all connections (default ${default})."`
	OutboxBudget      share    `name:"outbox-budget" group:"Limits of the node" default:"25%" placeholder:"SIZE" help:"Memory for what waits to be sent to all connections, a size or a part of --memory-limit (default ${default})."`
	MemoryLimit       share    `name:"memory-limit" group:"Limits of the node" default:"80%" placeholder:"SIZE" restart:"" help:"Memory of the process, a size or a part of what the cgroup or the machine has; budgets that are not set follow from it (default ${default})."`
	IPConnectRate     rate     `name:"ip-connect-rate" group:"Limits per address" default:"50/s" placeholder:"RATE" help:"Connects of one IPv4 address or IPv6 /64; 0 is no limit (default ${default})."`
	IPConnectBurst    count    `name:"ip-connect-burst" group:"Limits per address" default:"200" placeholder:"N" help:"Connects at once before the rate counts (default ${default})."`
	IPConnections     count    `name:"ip-connections" group:"Limits per address" default:"1000" placeholder:"N" help:"Connections open at once; 0 is no limit (default ${default})."`
	IPHandshakes      count    `name:"ip-handshakes" restart:"" group:"Limits per address" default:"64" placeholder:"N" help:"Handshakes in flight; 0 is no limit (default ${default})."`
	LimitExempt       networks `name:"limit-exempt" group:"Limits per address" placeholder:"CIDR,…" help:"Networks that limits per address and user pass over: load tests, health checkers."`
	UserConnections   count    `name:"user-connections" restart:"" group:"Limits per user" default:"0" placeholder:"N" help:"Connections of one user open at once, the anonymous one excepted; one more is closed with 3504. 0 is no limit (default ${default})."`
	UserMessageRate   rate     `name:"user-message-rate" group:"Limits per user" default:"0" placeholder:"RATE" help:"Messages from all connections of one user, the anonymous one excepted, beside --message-rate; bursts of twice that. 0 is no limit (default ${default})."`
	UserByteRate      byteRate `name:"user-byte-rate" group:"Limits per user" default:"0" placeholder:"RATE" help:"Bytes from all connections of one user, beside --byte-rate; bursts of twice that. 0 is no limit (default ${default})."`
	UserSubscribeRate rate     `name:"user-subscribe-rate" group:"Limits per user" default:"0" placeholder:"RATE" help:"Subscribe commands of all connections of one user, beside --subscribe-rate; bursts of twice that. 0 is no limit (default ${default})."`
	UserConnectRate   rate     `name:"user-connect-rate" group:"Limits per user" default:"0" placeholder:"RATE" help:"Sessions that one user may begin; one more is closed with 3013, on /feed refused with 429. Bursts of twice that. 0 is no limit (default ${default})."`
	MessageRate       rate     `name:"message-rate" group:"Limits per connection" default:"100/s" placeholder:"RATE" help:"Messages from a client, bursts of twice that; 0 is no limit (default ${default})."`
	ByteRate          byteRate `name:"byte-rate" group:"Limits per connection" default:"1MiB/s" placeholder:"RATE" help:"Bytes from a client, bursts of twice that; 0 is no limit (default ${default})."`
	SubscribeRate     rate     `name:"subscribe-rate" group:"Limits per connection" default:"50/s" placeholder:"RATE" help:"Subscribe commands; 0 is no limit (default ${default})."`
	PublishRate       rate     `name:"publish-rate" group:"Limits per connection" default:"0" placeholder:"RATE" help:"Publish commands, beside what they count as messages, bursts of twice that; one more is answered with error 111. 0 is no limit (default ${default})."`
	PingRate          rate     `name:"ping-rate" group:"Limits per connection" default:"2/s" placeholder:"RATE" help:"WebSocket pings from a client; 0 is no limit (default ${default})."`
	MessageSizeLimit  size     `name:"message-size-limit" group:"Limits per connection" default:"65536" placeholder:"SIZE" help:"Size of one message from a client (default ${default})."`
	MaxFragments      count    `name:"max-fragments" group:"Limits per connection" default:"64" placeholder:"N" help:"Frames of one message; 0 is no limit (default ${default})."`
	MaxJSONDepth      count    `name:"max-json-depth" group:"Limits per connection" default:"16" placeholder:"N" help:"Nesting of JSON; 0 is no limit (default ${default})."`
	MaxJSONMembers    count    `name:"max-json-members" group:"Limits per connection" default:"1024" placeholder:"N" help:"Members of one JSON object; 0 is no limit (default ${default})."`
	MaxOutboxBytes    size     `name:"max-outbox-bytes" group:"Limits per connection" default:"1MiB" placeholder:"SIZE" help:"What may wait for one connection before it counts as slow and is closed with 3008 (default ${default})."`
	RecoveryMax       count    `name:"recovery-max-publication-limit" group:"Limits per connection" default:"300" placeholder:"N" help:"Missed publications that a subscribe may bring back (default ${default})."`

	HandshakeTimeout  span `name:"handshake-timeout" group:"Times" default:"3s" placeholder:"TIME" help:"From accept to the end of the TLS handshake (default ${default})."`
	HeadTimeout       span `name:"head-timeout" group:"Times" default:"3s" placeholder:"TIME" help:"From there to a whole request head (default ${default})."`
	StaleCloseDelay   span `name:"stale-close-delay" group:"Times" default:"10s" placeholder:"TIME" help:"From the upgrade to an accepted connect command (default ${default})."`
	PartialTimeout    span `name:"partial-timeout" group:"Times" default:"10s" placeholder:"TIME" help:"From the first to the last byte of a record, frame or message (default ${default})."`
	WriteTimeout      span `name:"write-timeout" group:"Times" default:"30s" placeholder:"TIME" help:"How long data may wait of which the client takes no byte (default ${default})."`
	IdleTimeout       span `name:"idle-timeout" group:"Times" default:"60s" placeholder:"TIME" help:"How long a client of /echo may be silent; others answer pings (default ${default})."`
	SessionMax        span `name:"session-max" group:"Times" default:"24h" placeholder:"TIME" help:"Longest life of a connection (default ${default})."`
	PingInterval      span `name:"ping-interval" group:"Times" default:"25s" placeholder:"TIME" help:"Between pings to a client (default ${default})."`
	PongTimeout       span `name:"pong-timeout" group:"Times" default:"8s" placeholder:"TIME" help:"From a ping to its pong (default ${default})."`
	ExpiredCloseDelay span `name:"expired-close-delay" group:"Times" default:"25s" placeholder:"TIME" help:"How long a connection or a subscription outlives its token (default ${default})."`
	DrainPeriod       span `name:"drain-period" group:"Times" default:"30s" placeholder:"TIME" help:"Over which a stopping server closes its connections (default ${default})."`

	Compression   bool `name:"compression" restart:"" group:"Features" help:"permessage-deflate for clients that offer it."`
	EnableEcho    bool `name:"enable-echo" restart:"" group:"Features" help:"/echo, which sends every message back, for conformance runs; asks for no token."`
	EchoSizeLimit size `name:"echo-size-limit" restart:"" group:"Features" default:"16MiB" placeholder:"SIZE" help:"Size of one message on /echo (default ${default})."`
	Broker        text `name:"broker" group:"Features" default:"memory" enum:"memory,nats" placeholder:"NAME" later:"more than one node" help:"What carries publications between nodes, memory or nats (default ${default})."`

	LogFormat text `name:"log-format" restart:"" group:"Logs" default:"json" enum:"json,text" placeholder:"FORMAT" help:"json or text (default ${default})."`
	LogLevel  text `name:"log-level" restart:"" group:"Logs" default:"info" enum:"debug,info,warn,error" placeholder:"LEVEL" help:"debug, info, warn or error (default ${default})."`

	auditOptions
	anomalyOptions
	captureOptions
}

// apiKeyOptions is the key that the server asks for and weir pub sends.
type apiKeyOptions struct {
	APIKey     text `name:"api-key" group:"Keys" placeholder:"KEY" help:"Key of the server API, sent as X-API-Key."`
	APIKeyFile path `name:"api-key-file" group:"Keys" placeholder:"FILE" help:"File with the API key, so that it stands in no process list."`
}

// hookOptions say what the operator's own application is asked.
type hookOptions struct {
	ConnectHook     text  `name:"connect-hook" restart:"" group:"Backend" placeholder:"URL" help:"Asked who it is that connects without a token. Hooks are https, or http on this machine."`
	RPCHook         text  `name:"rpc-hook" restart:"" group:"Backend" placeholder:"URL" help:"Answers the rpc of clients."`
	SendHook        text  `name:"send-hook" restart:"" group:"Backend" placeholder:"URL" help:"Takes the messages that clients send without wanting an answer."`
	SubscribeHook   text  `name:"subscribe-hook" restart:"" group:"Backend" placeholder:"URL" help:"Asked about subscriptions in namespaces with subscribe_hook."`
	PublishHook     text  `name:"publish-hook" restart:"" group:"Backend" placeholder:"URL" help:"Asked about what clients publish in namespaces with publish_hook."`
	HookTimeout     span  `name:"hook-timeout" restart:"" group:"Backend" default:"1s" placeholder:"TIME" help:"For one question, up to 30s; without an answer it is refused (default ${default})."`
	HookConcurrency count `name:"hook-concurrency" restart:"" group:"Backend" default:"64" placeholder:"N" help:"Questions to one hook at once; four times as many wait, one more is refused (default ${default})."`
	HookHeader      text  `name:"hook-header" restart:"" group:"Backend" placeholder:"NAME:VALUE" help:"Header sent with every question, by which the backend knows the server."`
	HookHeaderFile  path  `name:"hook-header-file" restart:"" group:"Backend" placeholder:"FILE" help:"File with that header, so that its value stands in no process list."`
}

// secretOptions is the secret that weir token signs with and the server verifies with.
type secretOptions struct {
	TokenHMACSecret     text `name:"token-hmac-secret" group:"Keys" placeholder:"SECRET" help:"Secret of HS256 tokens, 32 bytes or more."`
	TokenHMACSecretFile path `name:"token-hmac-secret-file" group:"Keys" placeholder:"FILE" help:"File with that secret."`
}

// claimOptions are what weir token writes into a token and the server wants to see there.
type claimOptions struct {
	TokenIssuer   text `name:"token-issuer" group:"Keys" placeholder:"NAME" help:"Issuer, which the claim iss of every token must name (default any)."`
	TokenAudience list `name:"token-audience" group:"Keys" placeholder:"NAME,…" help:"Audiences, of which the claim aud of every token must name one (default any). An issuer that signs for others too needs it."`
}

// tokenCommand signs a token; the secret is the server's.
type tokenCommand struct {
	secretOptions
	claimOptions
	Subject        text `name:"sub" placeholder:"USER" help:"User the token is for; empty is anonymous."`
	Channels       list `name:"channels" placeholder:"PATTERN,…" help:"Channels the token grants; * stands for any run of characters."`
	Allow          list `name:"allow" default:"sub" placeholder:"VERB,…" help:"What it grants there: sub, pub, hst, prs (default ${default})."`
	Roles          list `name:"roles" placeholder:"ROLE,…" help:"Roles of the user, which grant what the server's policy file says."`
	ServerChannels list `name:"server-channels" placeholder:"CHANNEL,…" help:"Channels the server subscribes the connection to by itself."`
	Channel        text `name:"channel" placeholder:"CHANNEL" help:"Make a subscription token for this channel instead, as one that begins with $ needs."`
	Info           text `name:"info" placeholder:"JSON" help:"What others are told of the user: with --channel in that channel (chan_info), else in all (conn_info)."`
	TTL            span `name:"ttl" default:"1h" placeholder:"TIME" help:"How long the token is good for (default ${default})."`
}

// pubCommand publishes one value.
type pubCommand struct {
	Channel string `arg:"" help:"Channel to publish to."`
	Data    string `arg:"" name:"json" help:"The value, any JSON."`
	API     text   `name:"api" default:"http://127.0.0.1:9000" placeholder:"URL" help:"Server API (default ${default})."`
	apiKeyOptions
	trustOptions
}

// subCommand follows channels.
type subCommand struct {
	Channels  []string `arg:"" name:"channel" help:"Channels to subscribe to."`
	URL       text     `name:"url" default:"wss://localhost:8443/connection/websocket" placeholder:"URL" help:"Server (default ${default})."`
	Token     text     `name:"token" placeholder:"TOKEN" help:"Token of the connection, as weir token prints it."`
	TokenFile path     `name:"token-file" placeholder:"FILE" help:"File with the token; reread on each connect."`
	Count     count    `name:"count" default:"0" placeholder:"N" help:"Stop after that many publications; 0 goes on (default ${default})."`
	trustOptions
}

// trustOptions are those of a client: whom it trusts, and whose page it is.
type trustOptions struct {
	chainOptions
	Origin text `name:"origin" placeholder:"ORIGIN" help:"Origin to send (default https and the host of the URL)."`
}

// chainOptions say whom a client trusts. The chain and the host name are
// always verified; there is no option to skip that.
type chainOptions struct {
	CAFile path `name:"ca-file" placeholder:"FILE" help:"Certificates, PEM, trusted beside the system's."`
	Pins   list `name:"pin" placeholder:"sha256/…" help:"Public key that must be in the verified chain; several may be given."`

	ClientCert path `name:"client-cert" placeholder:"FILE" help:"Certificate to show, PEM, for a server that asks for one."`
	ClientKey  path `name:"client-key" placeholder:"FILE" help:"Private key of --client-cert, not readable by others."`
}
