// Package proxy tells who the client is when a reverse proxy stands before the
// server, and whom to believe about it (SECURITY.md T6).
//
// A proxy says it in one of two ways: with a PROXY protocol v2 header before the
// first byte of the client, or with X-Forwarded-For and X-Forwarded-Proto in the
// request head. Either counts only if the connection comes from an address that
// the operator named; from anywhere else the words are the client's own.
//
// Pure: bytes and addresses in, values out. The PROXY header is read by
// go-proxyproto, once this package has seen that all of it is there.
package proxy
