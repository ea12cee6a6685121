// Package upgrade reads the one HTTP/1.1 request that a connection may send and writes the one answer it gets: the 101
// that begins the WebSocket (RFC 6455 §4.2), a refusal, or a page. It is pure: bytes in, values out.
//
// The mental model: a head is complete at its first empty line, or refused. Parse looks at the lines as they arrive and
// answers one of three things: a Request that borrows the head, "need more" (n is 0), or a *Refusal. What a prefix is
// refused for, the whole head is refused for. Where other servers are lenient, this one refuses (RFC 9112 §2.2, §3, §5):
// smuggling lives in what two readers understand differently. There is no body, no second request and no other version.
//
// Then the engine asks in the order of cost: the path, Request.WebSocket, the Origin (package origin), the credential
// (SelectProtocol, Bearer, QueryValue), its limits; and answers by AppendSwitching or AppendRefusal.
//
// Nothing the peer sent is ever sent back: protocol and extension of a 101 are values of this program, and the reasons of
// refusals are constants. Slices of a Request alias the buffer given to Parse and live as long as that does.
//
// All functions may be called at the same time.
package upgrade
