// Package client holds WebSocket connections over TLS, tens of thousands in one
// process and about a kilobyte for each.
//
// A connection has two lives:
//
//	Line  on the goroutine that dials: crypto/tls verifies the server, then the upgrade and the first commands are plain calls that wait
//	Conn  on a Loop: the keys alone, one read buffer for all, messages lent to a Handler
//
// Loop.Adopt is the step between them. It works for TLS 1.3 only: crypto/tls tells
// the traffic secrets through a KeyLogWriter of that one handshake, and a tap below
// it counts the records on both sides, which is all that a record.Key needs.
//
// A Loop is one goroutine and owns its Conns; Adopt and Do are for everybody else.
package client
