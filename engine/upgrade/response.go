package upgrade

import (
	"crypto/sha1"
	"encoding/base64"
	"strconv"
)

// acceptGUID is appended to the client's key: RFC 6455 §1.3.
const acceptGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

// AppendSwitching appends the whole 101 (RFC 6455 §4.2.2) for a key that Request.WebSocket has accepted; it panics for
// another length. protocol and extension are left out if empty and must be values of this program, never the peer's.
func AppendSwitching(dst []byte, key []byte, protocol, extension string) []byte {
	if len(key) != keyLen {
		panic("upgrade: AppendSwitching of a key that was not checked")
	}
	var text [keyLen + len(acceptGUID)]byte
	copy(text[copy(text[:], key):], acceptGUID)
	sum := sha1.Sum(text[:])
	dst = append(dst, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "...)
	dst = base64.StdEncoding.AppendEncode(dst, sum[:])
	if protocol != "" {
		dst = append(append(dst, "\r\nSec-WebSocket-Protocol: "...), protocol...)
	}
	if extension != "" {
		dst = append(append(dst, "\r\nSec-WebSocket-Extensions: "...), extension...)
	}
	return append(dst, "\r\n\r\n"...)
}

// AppendRefusal appends a whole response: the reason as text, and the fields that its status asks for (RFC 9110 §15.5.2,
// §15.5.6, §15.5.22, RFC 6455 §4.4). The connection is to be closed behind it.
func AppendRefusal(dst []byte, f *Refusal) []byte {
	dst = appendStatus(dst, f.Status)
	switch f.Status {
	case 401:
		dst = append(dst, "WWW-Authenticate: Bearer\r\n"...)
	case 405:
		dst = append(dst, "Allow: GET\r\n"...)
	case 426:
		dst = append(dst, "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nConnection: close, Upgrade\r\n"...)
	}
	if f.Status != 426 {
		dst = append(dst, "Connection: close\r\n"...)
	}
	if f.RetryAfter > 0 {
		dst = append(strconv.AppendInt(append(dst, "Retry-After: "...), int64(f.RetryAfter), 10), "\r\n"...)
	}
	dst = appendLength(dst, "text/plain; charset=utf-8", len(f.Reason)+1)
	return append(append(append(dst, "\r\n"...), f.Reason...), '\n')
}

// AppendPage appends a whole 200 with a page of this program and its content security policy. The connection is to be
// closed behind it.
func AppendPage(dst []byte, contentType string, body []byte, csp string) []byte {
	dst = append(appendStatus(dst, 200), "Connection: close\r\nReferrer-Policy: no-referrer\r\nX-Frame-Options: DENY\r\nContent-Security-Policy: "...)
	dst = appendLength(append(append(dst, csp...), "\r\n"...), contentType, len(body))
	return append(append(dst, "\r\n"...), body...)
}

// appendLength appends the fields that every response with a body has.
func appendLength(dst []byte, contentType string, length int) []byte {
	dst = append(append(dst, "Content-Type: "...), contentType...)
	dst = append(dst, "\r\nX-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\nContent-Length: "...)
	return append(strconv.AppendInt(dst, int64(length), 10), "\r\n"...)
}

// appendStatus appends the status line.
func appendStatus(dst []byte, status int) []byte {
	dst = strconv.AppendInt(append(dst, "HTTP/1.1 "...), int64(status), 10)
	return append(append(append(dst, ' '), statusText(status)...), "\r\n"...)
}

// statusText: RFC 9110 §15, RFC 6585 §4, for the statuses of this package.
func statusText(status int) string {
	switch status {
	case 200:
		return "OK"
	case 400:
		return "Bad Request"
	case 401:
		return "Unauthorized"
	case 403:
		return "Forbidden"
	case 404:
		return "Not Found"
	case 405:
		return "Method Not Allowed"
	case 426:
		return "Upgrade Required"
	case 429:
		return "Too Many Requests"
	case 503:
		return "Service Unavailable"
	}
	panic("upgrade: status " + strconv.Itoa(status) + " has no text here")
}
