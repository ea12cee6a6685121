package replay

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"weir/engine/upgrade"
	"weir/engine/ws"
	"weir/security/audit/capture"
)

// field is a line of a request head.
type field struct{ name, value string }

// head writes a request as it was captured. label is why it was refused; "": it was not. ok is false for one
// that cannot be made again.
func head(host, origin string, q *capture.Request, live credentials, label string) (b []byte, ok bool) {
	if q.Path == nil {
		return brokenHead(host, label)
	}
	target := live.fill(q.Path)
	if q.Query != nil {
		target += "?" + live.fill(q.Query)
	}
	fields := []field{{"Host", host}, {"Upgrade", "websocket"}, {"Connection", "Upgrade"}, {"Sec-WebSocket-Version", "13"}, {"Sec-WebSocket-Key", newKey()}}
	if q.Origin != nil {
		if origin == "" || label == upgrade.ForbiddenOrigin.Label {
			origin = live.fill(q.Origin)
		}
		fields = append(fields, field{"Origin", origin})
	}
	if q.Protocols != nil {
		fields = append(fields, field{"Sec-WebSocket-Protocol", live.fill(q.Protocols)})
	}
	switch ticket := liveTicket(q, live); {
	case q.Authorization != nil:
		fields = append(fields, field{"Authorization", live.fill(q.Authorization)})
	case ticket != "":
		fields = append(fields, field{"Authorization", "Bearer " + ticket}) // it counts before the one in the query
	}
	fields, ok = spoilt(fields, label)
	return request("GET "+target+" HTTP/1.1", fields), ok
}

// liveTicket is what to send in the place of a ticket that was accepted; "": there was none.
func liveTicket(q *capture.Request, live credentials) (found string) {
	if q.Query != nil {
		q.Query.Names(func(name string) {
			if isTicket(name) && live[name] != "" && live[name] != name {
				found = live[name]
			}
		})
	}
	return found
}

func newKey() string {
	var key [16]byte
	rand.Read(key[:]) // never fails
	return base64.StdEncoding.EncodeToString(key[:])
}

func request(line string, fields []field) []byte {
	b := []byte(line + "\r\n")
	for _, f := range fields {
		b = append(b, f.name+": "+f.value+"\r\n"...)
	}
	return append(b, "\r\n"...)
}

// spoilt makes a good head one that is refused for label, where the label is about fields that are not
// captured. ok is false where they cannot be known.
func spoilt(fields []field, label string) (_ []field, ok bool) {
	without := func(name string) []field {
		return slices.DeleteFunc(fields, func(f field) bool { return f.name == name })
	}
	switch label {
	case upgrade.ErrNotUpgrade.Label:
		return without("Upgrade"), true
	case upgrade.ErrMissingVersion.Label:
		return without("Sec-WebSocket-Version"), true
	case upgrade.UpgradeRequired.Label:
		return append(without("Sec-WebSocket-Version"), field{"Sec-WebSocket-Version", "8"}), true
	case upgrade.ErrKey.Label:
		return append(without("Sec-WebSocket-Key"), field{"Sec-WebSocket-Key", "c2hvcnQ="}), true
	case upgrade.ErrExtensionList.Label:
		return append(fields, field{"Sec-WebSocket-Extensions", "permessage-deflate; ="}), true
	case upgrade.UnprovenProxy.Label, upgrade.PlainClient.Label, upgrade.ErrForwarded.Label:
		return fields, false // it was a proxy's
	}
	return fields, true
}

// brokenHead is a head that is malformed in the way that label names.
func brokenHead(host, label string) (b []byte, ok bool) {
	const first = "GET /connection/websocket HTTP/1.1"
	with := func(more ...field) []byte { return request(first, append([]field{{"Host", host}}, more...)) }
	switch label {
	case upgrade.ErrHeadTooLong.Label:
		return with(field{"X", strings.Repeat("x", 9<<10)}), true
	case upgrade.ErrTooManyHeaders.Label:
		return with(slices.Repeat([]field{{"X", "y"}}, 100)...), true
	case upgrade.ErrRequestLine.Label:
		return request("GET  / HTTP/1.1", nil), true
	case upgrade.ErrHTTPVersion.Label:
		return request("GET / HTTP/1.0", []field{{"Host", host}}), true
	case upgrade.ErrTarget.Label:
		return request("GET http://a/ HTTP/1.1", []field{{"Host", host}}), true
	case upgrade.ErrBareLF.Label:
		return []byte(first + "\nHost: a\n\n"), true
	case upgrade.ErrFolding.Label:
		return []byte(first + "\r\nHost: a\r\n b\r\n\r\n"), true
	case upgrade.ErrHeaderName.Label:
		return []byte(first + "\r\nHost: a\r\nX : y\r\n\r\n"), true
	case upgrade.ErrHeaderValue.Label:
		return []byte(first + "\r\nHost: a\r\nX: \x00\r\n\r\n"), true
	case upgrade.ErrDuplicate.Label:
		return with(field{"Host", host}), true
	case upgrade.ErrBody.Label:
		return with(field{"Content-Length", "1"}), true
	case upgrade.ErrHost.Label:
		return request(first, nil), true
	case upgrade.MethodNotAllowed.Label:
		return request("POST /connection/websocket HTTP/1.1", []field{{"Host", host}}), true
	}
	return nil, false
}

// labelOf is why a server that is a Weir refused a request; "" if that cannot be told.
func labelOf(status int, body string) string {
	for _, f := range upgrade.Refusals() {
		if f.Status == status && strings.TrimSpace(body) == f.Reason {
			return f.Label
		}
	}
	return ""
}

// fragmentsSent are more frames than any server should take for one message.
const fragmentsSent = 5000

// brokenFrames are frames that break the rules in the way that label names; nil for one that cannot be made again.
func brokenFrames(label string) []byte {
	text := ws.Header{Fin: true, Masked: true, Opcode: ws.OpText}
	closing := func(body ...byte) []byte { return ws.AppendMasked(nil, ws.OpClose, [4]byte{}, body) }
	switch label {
	case ws.ErrLengthForm.Label:
		return []byte{0x81, 0xFE, 0, 5, 0, 0, 0, 0}
	case ws.ErrLengthRange.Label:
		return append([]byte{0x81, 0xFF}, bytes.Repeat([]byte{0xFF}, 12)...)
	case ws.ErrReservedBits.Label:
		text.Rsv2 = true
		return ws.AppendHeader(nil, text)
	case ws.ErrReservedOpcode.Label:
		text.Opcode = 3
		return ws.AppendHeader(nil, text)
	case ws.ErrUnmasked.Label:
		text.Masked = false
		return ws.AppendHeader(nil, text)
	case ws.ErrControlLength.Label:
		return ws.AppendMasked(nil, ws.OpPing, [4]byte{}, make([]byte, 126))
	case ws.ErrControlFragment.Label:
		return ws.AppendHeader(nil, ws.Header{Masked: true, Opcode: ws.OpPing})
	case ws.ErrContinuation.Label:
		return ws.AppendHeader(nil, ws.Header{Fin: true, Masked: true, Opcode: ws.OpContinuation})
	case ws.ErrInterleaved.Label:
		return ws.AppendHeader(ws.AppendHeader(nil, ws.Header{Masked: true, Opcode: ws.OpText}), text)
	case ws.ErrCloseLength.Label:
		return closing(3)
	case ws.ErrCloseCode.Label:
		return closing(1005>>8, 1005&0xFF)
	case ws.ErrCloseReason.Label:
		return closing(1000>>8, 1000&0xFF, 0xFF)
	case ws.ErrText.Label:
		return ws.AppendMasked(nil, ws.OpText, [4]byte{}, []byte{0xFF})
	case ws.ErrTooManyFragments.Label:
		b := ws.AppendHeader(nil, ws.Header{Masked: true, Opcode: ws.OpText})
		return append(b, bytes.Repeat(ws.AppendHeader(nil, ws.Header{Masked: true, Opcode: ws.OpContinuation}), fragmentsSent)...)
	case ws.ErrTooBig.Label:
		text.Length = 1 << 40
		return ws.AppendHeader(nil, text)
	}
	return nil
}

// frame is what the client of a step sends; nil: nothing.
func frame(s *step, live credentials) []byte {
	var key [4]byte
	rand.Read(key[:]) // never fails
	switch f := s.Frame; {
	case s.Message != nil:
		return ws.AppendMasked(nil, ws.OpText, key, []byte(live.fill(s.Message)))
	case s.Broken != "":
		return brokenFrames(s.Broken)
	case f == nil:
		return nil
	case f.Kind == capture.FramePing:
		return ws.AppendMasked(nil, ws.OpPing, key, make([]byte, f.Bytes))
	case f.Kind == capture.FramePong:
		return ws.AppendMasked(nil, ws.OpPong, key, make([]byte, f.Bytes))
	case f.Kind == capture.FrameBinary:
		return ws.AppendMasked(nil, ws.OpBinary, key, make([]byte, f.Bytes))
	}
	return nil
}

// code names a close code or error code for people.
func code(c uint32) string {
	if c == 0 {
		return "no error"
	}
	return fmt.Sprintf("error %d", c)
}
