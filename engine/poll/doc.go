// Package poll owns the kernel side of a connection: descriptors, readiness,
// accepting. It is the only package that sees nbio or a system call; it knows
// nothing of TLS, HTTP or WebSocket.
//
// # Mental model
//
// A [Loop] is one goroutine around one epoll (or kqueue) descriptor, and the
// owner of every [Conn] it was given. All of a [Handler]'s methods run on that
// goroutine, so what belongs to a connection needs no lock. The only methods
// that other goroutines may call are [Loop.Add], [Loop.Wake], [Loop.Len] and
// [Loop.Stop].
//
// Work from outside reaches the loop in turns. Whoever has something for it
// puts it where the handler finds it and calls Wake; any number of calls before
// the next turn are one turn. A turn goes, in this order:
//
//  1. connections whose queued bytes all went out: Writable, or SHUT_WR after Finish;
//  2. connections that are gone: Closed, after which their storage is free;
//  3. newcomers handed over by Add: Open, then registration;
//  4. Wake.
//
// Between turns the kernel's readiness is answered: queued bytes are written,
// input is read into the loop's one buffer and lent to Data. With nothing to do the
// loop rests as any goroutine does, watched by the runtime's poller; see bell.
//
// # Descriptor numbers
//
// The kernel reports readiness by descriptor number, up to 1,024 reports at a
// time. When the loop closes a descriptor while it works on another one's report,
// the rest of the reports may still name the number, which by then may belong to
// somebody new: a stale hang-up would close a stranger. So a number freed that way
// is remembered for two turns, and a newcomer that was given it waits unregistered
// until then; see freed.
//
// # How a connection ends
//
// A peer that closes, also only its sending half, is gone: what is still queued for it is
// dropped, and Closed follows. An answer to its last bytes has to be written inside Data.
// We end it with Finish, which loses nothing, or with Abort. What comes after Ignore or Finish is
// read and dropped up to a bound, then it is not read any more.
//
// # What is bounded
//
// One read takes at most ReadBuffer bytes, one report at most three reads; a
// connection whose reports go on bringing no input is closed. One connection has at
// most MaxUnsent bytes waiting here. Connections are bounded by the listener's MaxConns,
// and so are all lists kept here, which hold a connection at most once.
//
// # Systems
//
// Linux is what this runs on. The kqueue build exists so that the code can be
// built and tried on a workstation.
package poll
