// Package clientproto is the client protocol's codec: Centrifugo's JSON
// protocol, version 2, as PROTOCOL.md section 2 promises it.
//
// A WebSocket text frame carries one or more JSON objects separated by '\n'.
// From the client they are commands; NextLine cuts a frame into lines, a Parser
// turns a line into a Command or a Violation. To the client they are replies,
// pushes and pings; the Append functions write them and are the mirror image
// of the parser.
//
// The package is pure: bytes in, values out. It knows nothing of connections,
// order of commands, grants or channels. A line has two outcomes:
//
//   - a Command, whose slices borrow the line and the parser until the next Parse;
//   - a *Violation, a static value: either it closes the connection, or it is
//     the error reply to the command's id.
//
// What the validator of security/schema refuses never reaches the field reader,
// so the reader walks text that is known to be well formed and whose member
// names are unique. Whatever the strings given to an Append function hold, no
// raw control character leaves: a newline inside a payload would end its line.
package clientproto
