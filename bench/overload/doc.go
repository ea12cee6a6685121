// Command overload measures how a real `weir serve` fares when more is asked of it than it can do. It works on Linux only.
//
//	goodput  TLS handshakes a second of clients that come as fast as the server takes them, and of ten times as many, each from
//	         another address, that come whether or not it does, and give up after a second. Both are compared by the processor
//	         time that the server had, for its clients are on the same cores; so that they can be ten times as many as it can
//	         take, it has a part of one core only, where this program may say so (as root)
//	floods   what its resident memory grows by in each of the floods that `weir-load attack` has, against before the first
//
// Beside both are subscribers who receive all the while: of them it tells how many were lost or missed anything.
//
//	go run ./bench/overload -parts goodput -rounds 5
//	go run ./bench/overload -parts floods -flood 10s
//
// The clients of an overload make their hellos before they come, and who was not answered leaves his to the next: they could not
// be ten times as many otherwise. Who is answered goes on with a whole handshake.
package main
