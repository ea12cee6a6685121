// Package dialect is what the load generator says to a server and what it
// understands: Weir's and Centrifugo's protocol, Weir's push-only /feed, and plain
// echo. It is pure: bytes in, values out.
//
// A connection is asked for by Request and Hello. Then each line of each message
// has a Kind; a Delivery is searched for payloads (loadtest/payload) where it
// stands, with Offset for its position, and only the rare rest is decoded, by Read.
package dialect
