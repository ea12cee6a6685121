package clientproto

import "encoding/json"

// Error is the error of a reply. The values below are static and immutable.
type Error struct {
	Code      uint32
	Message   string // short plain text
	Temporary bool   // true: the client may try the same again later
}

// The protocol's errors. On a connect command SDKs try again only after a
// temporary one, after ErrTokenExpired (with a new token) and after codes below 100.
var (
	ErrInternal          = &Error{Code: 100, Message: "internal server error", Temporary: true}
	ErrUnauthorized      = &Error{Code: 101, Message: "unauthorized"}
	ErrUnknownChannel    = &Error{Code: 102, Message: "unknown channel"}
	ErrPermissionDenied  = &Error{Code: 103, Message: "permission denied"}
	ErrMethodNotFound    = &Error{Code: 104, Message: "method not found"}
	ErrAlreadySubscribed = &Error{Code: 105, Message: "already subscribed"}
	ErrLimitExceeded     = &Error{Code: 106, Message: "limit exceeded"}
	ErrBadRequest        = &Error{Code: 107, Message: "bad request"}
	ErrNotAvailable      = &Error{Code: 108, Message: "not available"}
	ErrTokenExpired      = &Error{Code: 109, Message: "token expired"}
	ErrExpired           = &Error{Code: 110, Message: "expired"}
	ErrTooManyRequests   = &Error{Code: 111, Message: "too many requests", Temporary: true}
	ErrUnrecoverable     = &Error{Code: 112, Message: "unrecoverable position"}
)

// Close is a WebSocket close code with its reason. The values below are static
// and immutable. After 3000 to 3499 SDKs reconnect, after 3500 to 3999 they do
// not; they look at the code's class only if the reason is not empty, and take
// a reason that is JSON for advice of its own, so a reason is never either.
type Close struct {
	Code   uint16
	Reason string // short plain text, not empty, not JSON
}

// The protocol's closes. After those below 3500 clients reconnect.
var (
	CloseNormal              = &Close{3000, "connection closed"}
	CloseShutdown            = &Close{3001, "shutdown"}
	CloseServerError         = &Close{3004, "internal server error"}
	CloseExpired             = &Close{3005, "connection expired"}
	CloseSubscriptionExpired = &Close{3006, "subscription expired"}
	CloseSlow                = &Close{3008, "slow"}
	CloseWriteError          = &Close{3009, "write error"}
	CloseInsufficientState   = &Close{3010, "insufficient state"}
	CloseForceReconnect      = &Close{3011, "force reconnect"}
	CloseNoPong              = &Close{3012, "no pong"}
	CloseTooManyRequests     = &Close{3013, "too many requests"}

	CloseInvalidToken     = &Close{3500, "invalid token"}
	CloseBadRequest       = &Close{3501, "bad request"}
	CloseStale            = &Close{3502, "stale"}
	CloseForceNoReconnect = &Close{3503, "force disconnect"}
	CloseConnectionLimit  = &Close{3504, "connection limit"}
	CloseChannelLimit     = &Close{3505, "channel limit"}
	ClosePermissionDenied = &Close{3507, "permission denied"}
	CloseTooManyErrors    = &Close{3509, "too many errors"}
)

// Codes of an unsubscribe push. Below UnsubscribeInsufficient they are final:
// SDKs do not subscribe again.
const (
	UnsubscribeServer       uint32 = 2000 // by the server API
	UnsubscribePermission   uint32 = 2003 // a newer token no longer covers it
	UnsubscribeInsufficient uint32 = 2500 // publications were missed
	UnsubscribeExpired      uint32 = 2501 // the subscription's token expired
)

// MaxReason is the longest close reason in bytes: a control frame's 125 less
// the code (RFC 6455 §5.5).
const MaxReason = 123

// ValidReason reports whether a close reason is one that SDKs read as meant:
// not empty, at most MaxReason bytes, printable ASCII, and not JSON.
func ValidReason(reason string) bool {
	if reason == "" || len(reason) > MaxReason {
		return false
	}
	for i := 0; i < len(reason); i++ {
		if reason[i] < ' ' || reason[i] > '~' {
			return false
		}
	}
	return !json.Valid([]byte(reason))
}

// Closes is the closed list of the protocol's closes, for tests that each is reached and documented.
func Closes() []*Close {
	return []*Close{
		CloseNormal, CloseShutdown, CloseServerError, CloseExpired, CloseSubscriptionExpired, CloseSlow,
		CloseWriteError, CloseInsufficientState, CloseForceReconnect, CloseNoPong, CloseTooManyRequests,
		CloseInvalidToken, CloseBadRequest, CloseStale, CloseForceNoReconnect, CloseConnectionLimit,
		CloseChannelLimit, ClosePermissionDenied, CloseTooManyErrors,
	}
}
