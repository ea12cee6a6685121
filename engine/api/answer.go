package api

import (
	"encoding/json"
	"net/http"

	"weir/engine/clientproto"
)

// Faults of a caller. Static; messages never hold a byte of the request.
var (
	errNotPost      = &clientproto.Error{Code: 107, Message: "bad request: the server API takes POST only"}
	errBodyTooLarge = &clientproto.Error{Code: 106, Message: "limit exceeded: body too large"}
	errBodyCut      = &clientproto.Error{Code: 107, Message: "bad request: body ended early"}
	errNotObject    = &clientproto.Error{Code: 107, Message: "bad request: body must be a JSON object"}
	errChannel      = &clientproto.Error{Code: 107, Message: "bad request: channel must be 1 to 255 bytes of printable ASCII"}
	errChannels     = &clientproto.Error{Code: 107, Message: "bad request: channels must be a non-empty array of strings"}
	errManyChannels = &clientproto.Error{Code: 106, Message: "limit exceeded: too many channels in one broadcast"}
	errNoData       = &clientproto.Error{Code: 107, Message: "bad request: data is required"}
	errTwoData      = &clientproto.Error{Code: 107, Message: "bad request: data and b64data exclude each other"}
	errBase64       = &clientproto.Error{Code: 107, Message: "bad request: b64data is not standard base64"}
	errBinary       = &clientproto.Error{Code: 107, Message: "bad request: b64data must decode to valid JSON, the JSON protocol carries no binary"}
	errDataTooLarge = &clientproto.Error{Code: 106, Message: "limit exceeded: data too large"}
	errTags         = &clientproto.Error{Code: 107, Message: "bad request: tags must be an object with string values"}
	errNobody       = &clientproto.Error{Code: 107, Message: "bad request: user or client is required"}
	errDisconnect   = &clientproto.Error{Code: 107, Message: "bad request: disconnect must be an object with code and reason"}
	errCode         = &clientproto.Error{Code: 107, Message: "bad request: disconnect.code must be 3000 to 4999"}
	errReason       = &clientproto.Error{Code: 107, Message: "bad request: disconnect.reason must be 1 to 123 bytes of printable ASCII and not JSON"}
	errSession      = notAvailable("session")
	errExpireAt     = &clientproto.Error{Code: 107, Message: "bad request: expire_at must be a time in unix seconds, up to the year 9999"}
	errNoExpiry     = &clientproto.Error{Code: 107, Message: "bad request: expired or expire_at is required"}
	errNoTokenID    = &clientproto.Error{Code: 107, Message: "bad request: jti or client is required"}
	errTwoTokens    = &clientproto.Error{Code: 107, Message: "bad request: jti and client exclude each other"}
	errNoSubject    = &clientproto.Error{Code: 107, Message: "bad request: sub is required"}
	errCaps         = &clientproto.Error{Code: 107, Message: "bad request: caps must be an array of objects with channels, match and allow"}
	errEmptyTicket  = &clientproto.Error{Code: 107, Message: "bad request: channels, caps or roles is required, without them a ticket opens nothing"}
	errRoles        = &clientproto.Error{Code: 107, Message: "bad request: roles must be an array of at most 64 names of roles"}
	errTTL          = &clientproto.Error{Code: 107, Message: "bad request: ttl must be whole seconds, 30 at most"}
	errPattern      = &clientproto.Error{Code: 107, Message: "bad request: pattern must be at most 255 bytes of printable ASCII"}
	errManyListed   = &clientproto.Error{Code: 106, Message: "limit exceeded: too many to list, ask for fewer by pattern or user"}
	errCommands     = &clientproto.Error{Code: 107, Message: "bad request: commands must be a non-empty array"}
	errManyCommands = &clientproto.Error{Code: 106, Message: "limit exceeded: too many commands in one batch"}
	errCommand      = &clientproto.Error{Code: 107, Message: "bad request: a command must be an object with one method"}
	errNested       = &clientproto.Error{Code: 107, Message: "bad request: a batch cannot hold a batch"}
	errBatchAnswer  = &clientproto.Error{Code: 106, Message: "limit exceeded: the replies before fill the answer; not carried out"}
	errManyKeys     = &clientproto.Error{Code: 111, Message: "too many requests: too many idempotency keys in use", Temporary: true}
)

// answer is the body of every response of the server API.
type answer struct {
	Error  *wireError `json:"error,omitempty"`
	Result any        `json:"result,omitempty"`
}

type wireError struct {
	Code    uint32 `json:"code"`
	Message string `json:"message"`
}

// notAvailable refuses an option that Centrifugo has.
func notAvailable(option string) *clientproto.Error {
	return &clientproto.Error{Code: clientproto.ErrNotAvailable.Code, Message: "not available: " + option}
}

func failed(err *clientproto.Error) answer {
	return answer{Error: &wireError{err.Code, err.Message}}
}

// statusOf is the HTTP status of an error in transport mode.
func statusOf(err *clientproto.Error) int {
	switch err.Code {
	case clientproto.ErrUnauthorized.Code:
		return http.StatusUnauthorized
	case clientproto.ErrPermissionDenied.Code:
		return http.StatusForbidden
	case clientproto.ErrUnknownChannel.Code, clientproto.ErrMethodNotFound.Code:
		return http.StatusNotFound
	case clientproto.ErrBadRequest.Code, clientproto.ErrNotAvailable.Code, clientproto.ErrLimitExceeded.Code:
		return http.StatusBadRequest
	case clientproto.ErrTooManyRequests.Code:
		return http.StatusTooManyRequests
	case clientproto.ErrUnrecoverable.Code:
		return http.StatusRequestedRangeNotSatisfiable
	default:
		return http.StatusInternalServerError
	}
}

// writeJSON sends v. A failed write is the peer's: there is nobody to tell.
func writeJSON(w http.ResponseWriter, status int, v any) {
	body := encode(v)
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

func encode(v any) json.RawMessage {
	text, err := json.Marshal(v)
	if err != nil {
		panic("api: an answer of ours is not JSON: " + err.Error())
	}
	return text
}
