// Command weir-load puts load on a WebSocket server and reports what it saw: how
// fast connections open, how late publications come, and whether any is missing,
// twice, out of order, damaged or with the wrong receiver.
//
// Each scenario is a command; docs/load.md describes them. A large run is spread
// over worker processes, which are this program run once more; they get their
// orders, and with them tokens, by their standard input. The exit status is 0 if
// all went well, 1 if a threshold or the scenario itself failed, 2 for a mistake
// of whoever called it.
package main
