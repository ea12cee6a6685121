// Package engine is the server: it accepts wss connections on an event loop,
// authenticates them and carries publications to their subscribers.
//
// A Server is a set of shards. A shard is one loop goroutine (package poll)
// that owns its connections: only it reads, seals, writes, closes them and
// touches their sessions, so none of that needs a lock. Everybody else (the
// handshake pool, the workers, the API, the publishers, the clock) leaves an
// entry in the shard's mailbox and wakes it.
//
// A frame's way in, each step a file of this package:
//
//	poll → shard.go        bytes of a connection, by its phase (Data)
//	       handshake.go    ClientHello collected, crypto/tls off the loop
//	       head.go         request head, Origin, credential → 101 or a refusal;
//	                       feed_query.go and feed_only.go for /feed
//	       inbound.go      records → frames → messages, charged to their buckets
//	       commands.go     a command into session, its effects carried out
//
// A publication's way out: broker gives it an offset, hub encodes it once and
// leaves it in the mailbox of each shard that has a subscriber, deliver.go
// appends the reference to each outbox, flush.go seals and writes everything
// that a connection has pending in one go.
package engine
