// Package record is the TLS 1.3 record layer (RFC 8446 §5) of an established connection: it splits a byte
// stream into records, seals and opens them in place, and rolls keys (§7.2). It is pure: bytes in, values out.
//
// The mental model: a Key is everything one direction of one connection must remember, about a hundred bytes
// without a pointer. The expanded cipher (Key.AEAD) costs a kilobyte and more, so it is not part of the Key: the
// caller makes it, keeps it for connections that are busy and drops it for those that are not. The cipher belongs to
// the key as it was when AEAD was called: after Update it must be made anew.
//
// Inbound: Split tells where the first record ends, Open turns exactly one record into its type and its
// plaintext, which aliases the record's own bytes. Outbound: Seal turns plaintext into a record where it stands.
//
// Three outcomes, never mixed: a value, "need more" (Split answers 0), or a *Violation, which is a static value
// that names the alert to send. After a violation the connection is over; a Key has no state that says so.
//
// What belongs to the layer above: what a KeyUpdate or an alert means, how often a peer may send one, and that a
// change_cipher_spec after the handshake is refused (§5).
//
// Nothing here is safe for concurrent use. A Key is owned by one goroutine, a Scratch by one event loop.
package record
