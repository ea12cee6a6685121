package upgrade

// Refusal is why a request is not answered by a 101: a static value. Status is the HTTP status; Reason is the body, short
// plain text; Label names the refusal in metrics; RetryAfter, in seconds, is sent if it is not 0.
type Refusal struct {
	Status     int
	Reason     string
	Label      string
	RetryAfter int
}

// The head is malformed or not for us: 400. Read only, as are all refusals.
var (
	ErrHeadTooLong    = &Refusal{Status: 400, Label: "head_too_long", Reason: "request head too long"}
	ErrTooManyHeaders = &Refusal{Status: 400, Label: "too_many_headers", Reason: "too many header fields"}
	ErrRequestLine    = &Refusal{Status: 400, Label: "request_line", Reason: "malformed request line"}
	ErrHTTPVersion    = &Refusal{Status: 400, Label: "http_version", Reason: "only HTTP/1.1 is served here"}
	ErrTarget         = &Refusal{Status: 400, Label: "target", Reason: "the request target must be a path"}
	ErrBareLF         = &Refusal{Status: 400, Label: "bare_lf", Reason: "a line does not end in CR LF"}
	ErrFolding        = &Refusal{Status: 400, Label: "folding", Reason: "folded header fields are not accepted"}
	ErrHeaderName     = &Refusal{Status: 400, Label: "header_name", Reason: "malformed header field name"}
	ErrHeaderValue    = &Refusal{Status: 400, Label: "header_value", Reason: "control character in a header field"}
	ErrDuplicate      = &Refusal{Status: 400, Label: "duplicate_header", Reason: "a header field that may come once came twice"}
	ErrBody           = &Refusal{Status: 400, Label: "body", Reason: "a request body is not accepted"}
	ErrHost           = &Refusal{Status: 400, Label: "host", Reason: "missing or malformed Host"}
	ErrNotUpgrade     = &Refusal{Status: 400, Label: "not_upgrade", Reason: "not a WebSocket handshake: Upgrade: websocket and Connection: Upgrade are needed"}
	ErrKey            = &Refusal{Status: 400, Label: "key", Reason: "Sec-WebSocket-Key must be 16 bytes in base64"}
	ErrMissingVersion = &Refusal{Status: 400, Label: "missing_version", Reason: "Sec-WebSocket-Version is missing"}
	ErrProtocolList   = &Refusal{Status: 400, Label: "protocol_list", Reason: "malformed Sec-WebSocket-Protocol"}
	ErrBearerProtocol = &Refusal{Status: 400, Label: "bearer_protocol", Reason: "Sec-WebSocket-Protocol: write one bearer.<token>, nothing else named bearer"}
	ErrBearerAlone    = &Refusal{Status: 400, Label: "bearer_alone", Reason: "Sec-WebSocket-Protocol: bearer.<token> alone cannot be answered, browsers drop a 101 that selects no protocol: offer a protocol of this endpoint beside it"}
	ErrExtensionList  = &Refusal{Status: 400, Label: "extension_list", Reason: "malformed Sec-WebSocket-Extensions"}
	ErrQuery          = &Refusal{Status: 400, Label: "query", Reason: "malformed query"}
	ErrQueryDuplicate = &Refusal{Status: 400, Label: "query_duplicate", Reason: "a query parameter that may come once came twice"}
	ErrNoChannel      = &Refusal{Status: 400, Label: "no_channel", Reason: "name what to receive: ?channel=a&channel=b"}
	ErrChannel        = &Refusal{Status: 400, Label: "channel", Reason: "channel: a name or pattern is 1 to 255 bytes of printable ASCII, %-encoded"}
	ErrChannels       = &Refusal{Status: 400, Label: "channels", Reason: "channel: too many for one connection"}
	ErrSince          = &Refusal{Status: 400, Label: "since", Reason: "since: must be channel:offset@epoch, once for a channel that is asked for, none for a pattern"}
	ErrForwarded      = &Refusal{Status: 400, Label: "forwarded", Reason: "X-Forwarded-For must name a client behind the trusted proxies, and one X-Forwarded-Proto its scheme"}
	ErrAuthorization  = &Refusal{Status: 401, Label: "authorization", Reason: "Authorization must be Bearer and a token"}
	BadRequest        = &Refusal{Status: 400, Label: "bad_request", Reason: "bad request"}
	Unauthorized      = &Refusal{Status: 401, Label: "unauthorized", Reason: "a valid credential is needed"}
	ForbiddenOrigin   = &Refusal{Status: 403, Label: "origin", Reason: "this Origin is not allowed"}
	Forbidden         = &Refusal{Status: 403, Label: "forbidden", Reason: "not permitted"}
	UnknownChannel    = &Refusal{Status: 403, Label: "unknown_channel", Reason: "unknown channel: there is no such namespace"}
	PlainClient       = &Refusal{Status: 403, Label: "plain_client", Reason: "the proxy does not say that the client came over TLS"}
	UnprovenProxy     = &Refusal{Status: 403, Label: "proxy_secret", Reason: "the proxy did not show its secret"}
	NotFound          = &Refusal{Status: 404, Label: "not_found", Reason: "nothing is served at this path"}
	MethodNotAllowed  = &Refusal{Status: 405, Label: "method", Reason: "only GET is served here"}
	UpgradeRequired   = &Refusal{Status: 426, Label: "version", Reason: "only WebSocket version 13 is served here"}
	TooManyRequests   = &Refusal{Status: 429, Label: "rate", Reason: "too many requests", RetryAfter: 5}
	ConnectionLimit   = &Refusal{Status: 429, Label: "connection_limit", Reason: "this user has as many connections open as one may have", RetryAfter: 10}
	KeyPending        = &Refusal{Status: 503, Label: "key_pending", Reason: "the key of the token is not here yet, try again", RetryAfter: 1}
	Overloaded        = &Refusal{Status: 503, Label: "overload", Reason: "overloaded, try again later", RetryAfter: 10}
)

// Refusals is the closed list of all refusals of this package, for metrics that register their labels at start.
func Refusals() []*Refusal {
	return []*Refusal{
		ErrHeadTooLong, ErrTooManyHeaders, ErrRequestLine, ErrHTTPVersion, ErrTarget, ErrBareLF, ErrFolding, ErrHeaderName,
		ErrHeaderValue, ErrDuplicate, ErrBody, ErrHost, ErrNotUpgrade, ErrKey, ErrMissingVersion, ErrProtocolList,
		ErrBearerProtocol, ErrBearerAlone, ErrExtensionList, ErrQuery, ErrQueryDuplicate, ErrNoChannel, ErrChannel,
		ErrChannels, ErrSince, ErrForwarded, ErrAuthorization, BadRequest, Unauthorized, ForbiddenOrigin, Forbidden, UnknownChannel,
		PlainClient, UnprovenProxy, NotFound,
		MethodNotAllowed, UpgradeRequired, TooManyRequests, ConnectionLimit, KeyPending, Overloaded,
	}
}
