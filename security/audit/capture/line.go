package capture

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"
)

// Bounds of a file that is read.
const (
	// maxLineBytes is the longest line: a message of connectionBytes, each of its bytes
	// an escape.
	maxLineBytes = 8 << 20
	maxWordBytes = 512 // labels, names and addresses
)

// Version is that of the format.
const Version = 1

// Line is one line of a capture file: when, of which connection, and one of its parts. The
// first line of each file is its Begin.
type Line struct {
	At   int64  `json:"at"`             // microseconds since the capture was begun
	Conn string `json:"conn,omitempty"` // id of the connection, as in the audit log

	Begin      *Begin      `json:"begin,omitempty"`
	Request    *Request    `json:"request,omitempty"`
	Answer     *Answer     `json:"answer,omitempty"`     // what it was answered
	User       *User       `json:"user,omitempty"`       // whose connection it is
	Credential *Credential `json:"credential,omitempty"` // what became of a token or ticket
	Message    *Text       `json:"message,omitempty"`    // text that the client sent
	Frame      *Frame      `json:"frame,omitempty"`      // another frame that it sent
	Broken     string      `json:"broken,omitempty"`     // it broke the rules of frames: a label of the metric weir_protocol_errors_total
	Reply      *Reply      `json:"reply,omitempty"`      // to a command
	End        *End        `json:"end,omitempty"`
	Cut        string      `json:"cut,omitempty"`  // nothing more is known of the connection, and why
	Lost       uint64      `json:"lost,omitempty"` // lines of any connection that were not written, so far
	Full       bool        `json:"full,omitempty"` // there is no room for more: the capture ends
}

// Begin is the first line of a file.
type Begin struct {
	Version int       `json:"version"`
	Run     string    `json:"run"`  // of the server; names the capture
	Part    int       `json:"part"` // of its files, from 1
	Time    time.Time `json:"time"` // of the capture
	Server  string    `json:"server,omitempty"`
}

// Answer is the verdict on a request.
type Answer struct {
	Status int    `json:"status"`
	Reason string `json:"reason,omitempty"` // of a refusal: a label, as in the audit log
}

// User is whose connection it is.
type User struct {
	ID string `json:"id"`
	By string `json:"by,omitempty"` // what said so, as in the audit log
}

// States of a credential.
const (
	Accepted   = "accepted"
	Expired    = "expired" // it was good once
	Invalid    = "invalid"
	UnknownKey = "unknown_key"
)

// Credential is what became of one that a message or the request before it brought.
type Credential struct {
	Name   string  `json:"name"`
	By     string  `json:"by,omitempty"`
	State  string  `json:"state"`
	Claims *Claims `json:"claims,omitempty"` // of one that was accepted or expired
}

// Kinds of a Frame.
const (
	FramePing   = "ping"
	FramePong   = "pong" // that nobody asked for
	FrameBinary = "binary"
	FrameAnswer = "answer" // to the server's ping: who replays has pings of his own
)

// Frame is one of which only the length matters.
type Frame struct {
	Kind  string `json:"kind"`
	Bytes int    `json:"bytes,omitempty"`
}

// Reply is the verdict on a command.
type Reply struct {
	ID   uint32 `json:"id"`
	Code uint32 `json:"code,omitempty"` // of the error; 0: there was none
}

// Who ended a connection.
const (
	ByServer = "server"
	ByClient = "client"
)

// End is the end of a connection.
type End struct {
	By     string `json:"by"`
	Code   uint16 `json:"code,omitempty"`   // of the close frame; 0: there was none
	Reason string `json:"reason,omitempty"` // a label, as in the audit log
}

// ErrFormat is what every error of ParseLine is.
var ErrFormat = errors.New("no line of a capture")

// append writes the line with its end.
func (l *Line) append(dst []byte) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(l) // there is nothing in it that could not be
	return append(dst, b.Bytes()...)
}

// ParseLine reads a line, without its end. The error is ErrFormat and repeats nothing of
// the line.
func ParseLine(text []byte) (l Line, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if d.Decode(&l) != nil {
		return Line{}, ErrFormat
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Line{}, ErrFormat
	}
	if why := l.fault(); why != "" {
		return Line{}, fmt.Errorf("%w: %s", ErrFormat, why)
	}
	return l, nil
}

// fault says what is wrong with a line; "": nothing.
func (l *Line) fault() string {
	parts := 0
	for _, there := range []bool{
		l.Begin != nil, l.Request != nil, l.Answer != nil, l.User != nil, l.Credential != nil, l.Message != nil, l.Frame != nil,
		l.Broken != "", l.Reply != nil, l.End != nil, l.Cut != "", l.Lost > 0, l.Full,
	} {
		if there {
			parts++
		}
	}
	alone := l.Begin != nil || l.Lost > 0 || l.Full
	switch {
	case parts != 1:
		return "it needs one part"
	case alone != (l.Conn == ""):
		return "whose it is"
	case l.At < 0 || l.At > int64(1000*24*time.Hour/time.Microsecond):
		return "at"
	case len(l.Conn) > maxWordBytes || len(l.Broken) > maxWordBytes || len(l.Cut) > maxWordBytes:
		return "a word is too long"
	}
	return l.partFault()
}

func (l *Line) partFault() string {
	switch {
	case l.Begin != nil && (l.Begin.Version != Version || l.Begin.Part < 1 || l.Begin.Run == "" || len(l.Begin.Run) > maxWordBytes):
		return "begin: another version, or no capture"
	case l.Request != nil && !l.Request.good():
		return "request"
	case l.Answer != nil && (l.Answer.Status < 0 || l.Answer.Status > 999 || len(l.Answer.Reason) > maxWordBytes):
		return "answer"
	case l.Credential != nil && !l.Credential.good():
		return "credential"
	case l.Message != nil && !l.Message.good():
		return "message"
	case l.Frame != nil && !l.Frame.good():
		return "frame"
	case l.End != nil && (l.End.By != ByServer && l.End.By != ByClient || len(l.End.Reason) > maxWordBytes):
		return "end"
	}
	return ""
}

func (o *Request) good() bool {
	for _, t := range []*Text{o.Path, o.Query, o.Origin, o.Protocols, o.Authorization} {
		if t != nil && (len(t.Text) > 4*headTextBytes || !t.good() || !printable(t.Text)) {
			return false
		}
	}
	return len(o.Peer) <= maxWordBytes && len(o.Why) <= maxWordBytes
}

// printable reports whether a text can stand in a request head: it ends no line.
func printable(s string) bool {
	for _, c := range []byte(s) {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

func (c *Credential) good() bool {
	name, ok := nameAt(c.Name)
	switch {
	case !ok || name != c.Name, len(c.By) > maxWordBytes:
		return false
	}
	return c.State == Accepted || c.State == Expired || c.State == Invalid || c.State == UnknownKey
}

func (f *Frame) good() bool {
	switch f.Kind {
	case FramePing, FramePong, FrameAnswer:
		return f.Bytes >= 0 && f.Bytes <= 125 // RFC 6455 §5.5
	case FrameBinary:
		return f.Bytes >= 0 && f.Bytes <= connectionBytes
	}
	return false
}

// Numbered is a line with its number, from 1.
type Numbered struct {
	Line
	Number int
}

// ErrCut is about a last line that has no end: the server was killed while it wrote.
var ErrCut = errors.New("the last line is not whole")

// Lines iterates over the lines of a file. An error is about one line, and ends it but for
// a line that is none of ours: those after it still follow.
func Lines(r io.Reader) iter.Seq2[Numbered, error] {
	return func(yield func(Numbered, error) bool) {
		in := bufio.NewReader(r)
		for n := 1; ; n++ {
			text, err := readLine(in)
			switch {
			case errors.Is(err, io.EOF) && len(text) == 0:
				return
			case errors.Is(err, io.EOF):
				yield(Numbered{Number: n}, ErrCut)
				return
			case err != nil:
				yield(Numbered{Number: n}, err)
				return
			}
			l, err := ParseLine(text)
			if !yield(Numbered{l, n}, err) {
				return
			}
		}
	}
}

var errLong = fmt.Errorf("%w: it is too long", ErrFormat)

// readLine returns the next line without its end; with io.EOF what is left.
func readLine(in *bufio.Reader) (line []byte, err error) {
	for {
		part, err := in.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > maxLineBytes:
			return nil, errLong
		case err == nil:
			return line[:len(line)-1], nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return line, err
		}
	}
}
