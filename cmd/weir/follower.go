package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/coder/websocket"
)

const (
	dialTimeout   = 15 * time.Second
	replyTimeout  = 10 * time.Second // for the answer to connect, and for each write
	pingGrace     = 10 * time.Second // past the announced ping before a connection counts as lost
	maxFrameIn    = 16 << 20         // of one frame from the server
	maxRetryAfter = 5 * time.Minute
	connectID     = 1 // of the connect command; channel i is subscribed with connectID+1+i
)

// follower subscribes to channels over the client protocol (version 2 of
// Centrifugo's, JSON) and prints what comes. It is used by one goroutine.
type follower struct {
	url, origin   string
	shown         string // the URL for messages: without its query, which may hold a token or ticket
	token         func() ([]byte, error)
	tokenIsFile   bool
	subscriptions []*subscription
	count         int // publications to print; 0 is no end
	printed       int

	http   *http.Client
	out    io.Writer
	note   func(format string, args ...any)
	wait   func(ctx context.Context, d time.Duration)
	random func() float64 // in [0, 1)

	conn *websocket.Conn // of the running session
	ping time.Duration   // between the server's pings; 0 is none
	pong bool            // pings want an answer
}

// subscription is a channel and the position reached in it.
type subscription struct {
	channel string
	recover bool // the server keeps a history to recover from
	offset  uint64
	epoch   string
}

// The server's frames, as far as they are read here.
type serverMessage struct {
	ID        uint32           `json:"id"`
	Error     *protocolError   `json:"error"`
	Connect   *connectResult   `json:"connect"`
	Subscribe *subscribeResult `json:"subscribe"`
	Push      *pushMessage     `json:"push"`
}

type protocolError struct {
	Code      uint32 `json:"code"`
	Message   string `json:"message"`
	Temporary bool   `json:"temporary"`
}

func (e *protocolError) Error() string { return fmt.Sprintf("error %d: %q", e.Code, e.Message) }

// mend is what may help, where that is known of a channel.
func (e *protocolError) mend(channel string) string {
	namespace, _, found := strings.Cut(channel, ":")
	if e.Code != codeUnknownChannel || !found {
		return ""
	}
	return fmt.Sprintf("; the server's configuration has no namespace %q, which is what stands before the colon", strings.TrimPrefix(namespace, "$"))
}

type connectResult struct {
	Client string `json:"client"`
	Ping   uint32 `json:"ping"`
	Pong   bool   `json:"pong"`
}

type subscribeResult struct {
	Recoverable  bool          `json:"recoverable"`
	Recovered    bool          `json:"recovered"`
	Offset       uint64        `json:"offset"`
	Epoch        string        `json:"epoch"`
	Publications []publication `json:"publications"`
}

type pushMessage struct {
	Channel     string       `json:"channel"`
	Pub         *publication `json:"pub"`
	Unsubscribe *endReason   `json:"unsubscribe"`
	Disconnect  *endReason   `json:"disconnect"`
}

type endReason struct {
	Code   uint32 `json:"code"`
	Reason string `json:"reason"`
}

type publication struct {
	Channel string          `json:"channel"` // set under a pattern
	Offset  uint64          `json:"offset"`
	Data    json.RawMessage `json:"data"`
}

// printedLine is a publication as it is printed.
type printedLine struct {
	Channel string          `json:"channel"`
	Offset  uint64          `json:"offset,omitempty"`
	Epoch   string          `json:"epoch,omitempty"`
	Data    json.RawMessage `json:"data"`
}

// session is one connection from dial to its end. connected tells whether the
// server accepted the connect command.
func (f *follower) session(ctx context.Context) (connected bool, err error) {
	if err := f.dial(ctx); err != nil {
		return false, err
	}
	defer f.conn.CloseNow()
	if err := f.connect(ctx); err != nil {
		return false, err
	}
	if err := f.subscribeAll(ctx); err != nil {
		return true, err
	}
	for {
		b, err := f.read(ctx, f.patience())
		if err != nil {
			return true, err
		}
		if err := f.takeFrame(ctx, b); err != nil {
			if errors.Is(err, errCounted) {
				_ = f.conn.Close(websocket.StatusNormalClosure, "") // the run is over whether or not the server answers
			}
			return true, err
		}
	}
}

func (f *follower) dial(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, response, err := websocket.Dial(ctx, f.url, &websocket.DialOptions{
		HTTPClient: f.http,
		HTTPHeader: http.Header{"Origin": {f.origin}},
	})
	if err == nil {
		conn.SetReadLimit(maxFrameIn)
		f.conn = conn
		return nil
	}
	if response != nil && response.StatusCode != http.StatusSwitchingProtocols {
		return refusal(response, f.origin)
	}
	err = withoutURL(err)
	if fatal, explained := explainTLS(err); fatal {
		return &finalError{explained}
	}
	return fmt.Errorf("no connection to %s: %w", f.shown, err)
}

// refusal reads an HTTP answer that is not the upgrade.
func refusal(response *http.Response, origin string) error {
	var body []byte
	if response.Body != nil {
		body, _ = io.ReadAll(io.LimitReader(response.Body, 200)) // a text for the message; none will do
	}
	said, _, _ := strings.Cut(string(body), "\n")
	err := fmt.Errorf("the server refuses the connection: %d %s: %q", response.StatusCode, http.StatusText(response.StatusCode), said)
	switch response.StatusCode {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		seconds, _ := strconv.Atoi(response.Header.Get("Retry-After")) // 0 if it is not there
		return &retryAfterError{err, min(time.Duration(max(seconds, 0))*time.Second, maxRetryAfter)}
	case http.StatusForbidden:
		return final("%w; --origin must be one of the server's --allowed-origins, %s was sent", err, origin)
	}
	return &finalError{err}
}

func (f *follower) connect(ctx context.Context) error {
	token, err := f.token()
	if err != nil {
		return &finalError{err}
	}
	type request struct {
		Token string `json:"token,omitempty"`
		Name  string `json:"name"`
	}
	err = f.send(ctx, struct {
		ID      uint32  `json:"id"`
		Connect request `json:"connect"`
	}{connectID, request{string(token), "weir"}})
	if err != nil {
		return err
	}
	b, err := f.read(ctx, replyTimeout)
	if err != nil {
		return err
	}
	first, rest, _ := bytes.Cut(b, []byte{'\n'})
	var m serverMessage
	if err := json.Unmarshal(first, &m); err != nil || m.ID != connectID {
		return final("the server does not speak the client protocol")
	}
	if m.Error != nil {
		return f.connectError(m.Error)
	}
	if m.Connect == nil {
		return final("the server's answer to connect has no result")
	}
	f.ping, f.pong = time.Duration(m.Connect.Ping)*time.Second, m.Connect.Pong
	f.note("connected to %s as client %q", f.shown, m.Connect.Client)
	return f.takeFrame(ctx, rest)
}

const (
	codeUnauthorized   = 101
	codeUnknownChannel = 102
	codeTokenExpired   = 109
)

func (f *follower) connectError(e *protocolError) error {
	err := fmt.Errorf("connect: %w", e)
	switch {
	case e.Code == codeTokenExpired && f.tokenIsFile, e.Temporary, e.Code < 100:
		return err
	case e.Code == codeTokenExpired, e.Code == codeUnauthorized:
		return final("%w; give a new token with --token or --token-file", err)
	}
	return &finalError{err}
}

// subscribeAll asks for every channel in one frame, from the position reached.
func (f *follower) subscribeAll(ctx context.Context) error {
	type request struct {
		Channel string `json:"channel"`
		Recover bool   `json:"recover,omitempty"`
		Offset  uint64 `json:"offset,omitempty"`
		Epoch   string `json:"epoch,omitempty"`
	}
	type command struct {
		ID        uint32  `json:"id"`
		Subscribe request `json:"subscribe"`
	}
	var commands []any
	for i, s := range f.subscriptions {
		r := request{Channel: s.channel}
		if s.recover {
			r.Recover, r.Offset, r.Epoch = true, s.offset, s.epoch
		}
		commands = append(commands, command{uint32(connectID + 1 + i), r})
	}
	return f.send(ctx, commands...)
}

// patience is how long the server may be silent.
func (f *follower) patience() time.Duration {
	if f.ping == 0 {
		return 0
	}
	return f.ping + pingGrace
}

// read returns the next frame; within bounds the wait, 0 does not.
func (f *follower) read(ctx context.Context, within time.Duration) ([]byte, error) {
	if within > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, within, errSilent)
		defer cancel()
	}
	_, b, err := f.conn.Read(ctx)
	if err == nil {
		return b, nil
	}
	if errors.Is(context.Cause(ctx), errSilent) {
		return nil, errSilent
	}
	var closed websocket.CloseError
	if errors.As(err, &closed) {
		return nil, closedWith(uint32(closed.Code), closed.Reason)
	}
	return nil, fmt.Errorf("the connection is lost: %w", err)
}

var errSilent = errors.New("the server is silent")

// closedWith makes an error of a close code; which codes are final is part of
// the protocol.
func closedWith(code uint32, reason string) error {
	err := fmt.Errorf("closed by the server (%d %q)", code, reason)
	switch {
	case code >= 3500 && code < 4000, code >= 4500 && code < 5000, code == uint32(websocket.StatusMessageTooBig):
		return &finalError{err}
	}
	return err
}

// send writes commands as one frame.
func (f *follower) send(ctx context.Context, commands ...any) error {
	ctx, cancel := context.WithTimeout(ctx, replyTimeout)
	defer cancel()
	var frame []byte
	for i, c := range commands {
		b, err := json.Marshal(c)
		if err != nil {
			return &finalError{err}
		}
		if i > 0 {
			frame = append(frame, '\n')
		}
		frame = append(frame, b...)
	}
	if err := f.conn.Write(ctx, websocket.MessageText, frame); err != nil {
		return fmt.Errorf("the connection is lost: %w", err)
	}
	return nil
}
