// Package tlsconn is TLS for connections that an event loop owns: crypto/tls makes the handshake on a goroutine off
// the loop, then a compact record layer (package record) takes the connection over, on the loop and without a
// goroutine.
//
// The mental model, in the order of a connection's life:
//
//	Hello      the loop collects bytes until the ClientHello is whole; nothing else is spent on the peer before
//	Pool       bounds and orders handshakes: so many computing, so many in all, so many for each address prefix
//	Handshake  one of them: the loop feeds it what the socket reads, it gives flights to a Sink
//	Conn       the established state, embedded by value in the loop's own connection: Open, Seal
//	Shared     what all Conns of a loop have in common: scratch room and the ciphers of those in use
//
// A handshake holds one of the Pool's computing slots only while it computes. Waiting for the peer's next flight it
// holds a goroutine and no slot, and it is not woken before that flight's next record is whole; so a peer that sends
// a hello and then nothing, or one byte at a time, keeps nobody else waiting. Among hellos not yet begun the newest
// goes first, and stale ones are dropped: under a storm fresh handshakes complete.
//
// For TLS 1.3 the traffic secrets leave crypto/tls through the KeyLogWriter of a configuration that belongs to that
// one handshake, so no secret is ever looked up by anything that a peer chose. The tls.Conn is dropped. crypto/tls
// reads at most one record at a time, hence never more than the handshake; what is left is the Conn's (Leftover).
// For TLS 1.2 the tls.Conn stays, fed with whole records, and costs 7 to 14 KB a connection; it keeps room for the longest
// record that came, so a peer can make that 33 KB.
//
// Ownership: a Conn and its Shared belong to one loop goroutine. Feed, Abort, Take and Leftover of a Handshake are
// that loop's calls too. Pool is safe for concurrent use. Locks are leaves: a Sink is called with none held.
package tlsconn
