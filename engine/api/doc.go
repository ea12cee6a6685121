// Package api answers publishers and operators over plain HTTP/1.1 on the internal listener: the server API, health and
// metrics (PROTOCOL.md section 4). It is the only package with net/http handlers; the listener, its timeouts and its
// TLS belong to the engine.
//
// The mental model of a call is a funnel, cheapest check first:
//
//	path → key → method POST → known API method → body within its bound → strict JSON → fields → the node
//
// The key is compared in constant time before anything of the request but its path and headers is read; without a configured key
// every call is refused. The body passes the validator of security/schema, so what the field reader and the subscribers see
// has no duplicate names, no depth beyond the limit and valid UTF-8; a publication's data is compacted, hence without a raw newline.
//
// An answer is {"result":…} (a batch's {"replies":[…]}) or {"error":{"code":…,"message":…}} with status 200; with the header
// X-Centrifugo-Error-Mode: transport the status says it too. A request that did not become a call (no key, not a POST,
// no such path, body over its bound) gets its status in both modes.
//
// An idempotency key makes a repeat return the first answer and publish nothing: finished answers are kept for five minutes in
// a bounded store, and callers that arrive while the first one is still publishing wait for it. Failures are not kept. A full
// store refuses new keys (error 111, temporary): the promise is kept for those that have it.
package api
