package replay

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"weir/engine/upgrade"
	"weir/engine/ws"
	"weir/security/audit/capture"
)

// Close codes that nothing a client sends brings about: the operator or the node did (PROTOCOL.md §2), or others
// who are not captured.
const (
	closeShutdown    = 3001
	closeServerError = 3004
	closeSlow        = 3008
	closeNoState     = 3010
	closeReconnect   = 3011
	closeNoPong      = 3012
	closeNoReconnect = 3503
	firstOwnCode     = 4000 // codes from here on are the application's

	closePolicy = 1008 // of RFC 6455 §7.4.1
	maxAnswer   = 1 << 10
	maxMessage  = 16 << 20 // from the server
)

// reply is the verdict on a command.
type reply struct{ id, code uint32 }

// session is one connection that is replayed.
type session struct {
	*runner
	script *script
	live   credentials
	conn   net.Conn

	mu      sync.Mutex
	got     []reply       // guarded by mu
	ended   bool          // guarded by mu: the server has, or the connection is lost
	code    uint16        // guarded by mu: of its close frame; 0: there was none
	changed chan struct{} // guarded by mu; closed at the next change
}

// run sends the head, and goes on as the capture does.
func (s *session) run(ctx context.Context, head []byte, answer *step) {
	in := bufio.NewReader(s.conn)
	_ = s.conn.SetDeadline(s.Now().Add(s.Patience + time.Minute))
	status, label, err := s.ask(in, head)
	if answer == nil {
		return // the client went before it had one
	}
	if byChance(answer.Answer.Reason) {
		s.note(answer.Place, "not compared: the server had too much to do")
		return
	}
	s.compared(1)
	if err != nil {
		s.differs(s.script, answer.Place, answered(answer.Answer.Status, answer.Answer.Reason), "no answer")
		return
	}
	if status != answer.Answer.Status || label != "" && label != answer.Answer.Reason {
		s.differs(s.script, answer.Place, answered(answer.Answer.Status, answer.Answer.Reason), answered(status, label))
		return
	}
	if status != http.StatusSwitchingProtocols {
		return
	}
	_ = s.conn.SetDeadline(time.Time{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.listen(in)
	}()
	s.talk(ctx)
	_ = s.conn.Close()
	<-done
}

// byChance tells refusals that another server gives for reasons of its own.
func byChance(label string) bool {
	return label == upgrade.Overloaded.Label || label == upgrade.KeyPending.Label || label == upgrade.TooManyRequests.Label
}

func answered(status int, label string) string {
	if label == "" {
		return fmt.Sprintf("answer %d", status)
	}
	return fmt.Sprintf("answer %d %q", status, label)
}

// ask sends the head and reads the answer.
func (s *session) ask(in *bufio.Reader, head []byte) (status int, label string, err error) {
	_, _ = s.conn.Write(head) // the server may have answered before it had all of it
	response, err := http.ReadResponse(in, &http.Request{Method: http.MethodGet})
	if err != nil {
		return 0, "", err
	}
	if response.StatusCode == http.StatusSwitchingProtocols {
		return response.StatusCode, "", nil
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		body = nil
	}
	return response.StatusCode, labelOf(response.StatusCode, string(body)), nil
}

// talk sends what the client sent, each at its time, and compares what was answered.
func (s *session) talk(ctx context.Context) {
	var wanted []*step
	whole := false
	last := s.script.steps[0].At // when the client last did something
	for i := range s.script.steps {
		one := &s.script.steps[i]
		switch {
		case one.Reply != nil:
			wanted = append(wanted, one)
		case one.End != nil:
			whole = true
			s.finish(ctx, one, wanted, last)
		case one.Cut != "":
			s.note(one.Place, "the capture was cut here, and is not compared from here on: "+fmt.Sprintf("%q", one.Cut))
			whole = true
			s.await(ctx, s.Now().Add(s.Patience), func() bool { return len(s.got) >= len(wanted) })
			s.compare(wanted, false)
		default:
			if one.Message != nil || one.Frame != nil || one.Broken != "" {
				last = one.At
			}
			if !s.send(ctx, one) {
				s.note(one.Place, fmt.Sprintf("not compared from here on: frames that are wrong in this way cannot be sent again: %q", one.Broken))
				s.compare(wanted, false)
				return
			}
		}
		if whole || ctx.Err() != nil {
			return
		}
	}
	at := s.script.steps[len(s.script.steps)-1].Place
	s.note(at, "the end of the connection is not captured")
	s.await(ctx, s.Now().Add(s.Patience), func() bool { return len(s.got) >= len(wanted) })
	s.compare(wanted, false)
}

// send does a step of the client at its time; false if it cannot be done.
func (s *session) send(ctx context.Context, one *step) bool {
	b := frame(one, s.live)
	if b == nil {
		return one.Broken == ""
	}
	if s.await(ctx, s.due(one.At), func() bool { return false }) {
		return true // the server has ended it: finish tells
	}
	s.write(b)
	return true
}

// write sends bytes. What the server takes no more of, listen finds out.
func (s *session) write(b []byte) {
	_ = s.conn.SetWriteDeadline(s.Now().Add(s.Patience + time.Minute))
	_, _ = s.conn.Write(b)
}

// await waits until ok, or the connection has ended, of which it tells, or a time.
func (s *session) await(ctx context.Context, until time.Time, ok func() bool) (ended bool) {
	timer := time.NewTimer(max(until.Sub(s.Now()), 0))
	defer timer.Stop()
	for {
		s.mu.Lock()
		done, ended, changed := ok(), s.ended, s.changed
		s.mu.Unlock()
		if done || ended {
			return ended
		}
		select {
		case <-changed:
		case <-timer.C:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// finish ends the connection as it ended then, and compares. last is when the client last did something.
func (s *session) finish(ctx context.Context, end *step, wanted []*step, last int64) {
	e := end.End
	patience := s.Now().Add(s.Patience)
	if e.By == capture.ByServer && !s.script.outside(e) {
		// What ends by a clock of the server's takes as long, at any speed.
		patience = patience.Add(time.Duration(end.At-last) * time.Microsecond)
		s.await(ctx, patience, func() bool { return false })
		s.compare(wanted, true)
		s.compared(1)
		if found := s.how(); found != ending(e.Code) {
			s.differs(s.script, end.Place, ending(e.Code), found)
		}
		return
	}
	s.await(ctx, s.due(end.At), func() bool { return false })
	s.await(ctx, patience, func() bool { return len(s.got) >= len(wanted) })
	s.mu.Lock()
	early := s.ended
	s.mu.Unlock()
	if e.By == capture.ByServer {
		s.note(end.Place, fmt.Sprintf("the end is not compared: not the client's doing (%s, %q)", ending(e.Code), e.Reason))
	} else if s.compared(1); early {
		s.differs(s.script, end.Place, "open until the client ended it", s.how())
	}
	if !early && e.By == capture.ByClient && e.Code != 0 {
		s.write(ws.AppendMasked(nil, ws.OpClose, [4]byte{}, ws.AppendCloseBody(nil, goodCode(e.Code), "")))
		s.await(ctx, s.Now().Add(s.Patience), func() bool { return false })
	}
	s.compare(wanted, true)
}

// goodCode is a close code that may be sent: a capture may say any.
func goodCode(c uint16) uint16 {
	if ws.ValidCloseCode(c) {
		return c
	}
	return ws.NoStatus
}

// outside reports whether an end came from elsewhere than the connection, or from what is not captured of it.
func (s *script) outside(e *capture.End) bool {
	switch e.Code {
	case 0, closeShutdown, closeServerError, closeSlow, closeNoState, closeReconnect, closeNoReconnect:
		return true
	case closePolicy:
		return !slices.ContainsFunc(s.steps, func(one step) bool { return one.Broken != "" }) // a message that took too long
	}
	return e.Code >= firstOwnCode
}

func ending(code uint16) string {
	if code == 0 {
		return "an end without a close frame"
	}
	return fmt.Sprintf("close %d", code)
}

// how is how the server ended the connection.
func (s *session) how() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		return "open"
	}
	return ending(s.code)
}

// compare holds the replies against those that were captured: those with one id in their order. all says that no more
// are captured.
func (s *session) compare(wanted []*step, all bool) {
	s.mu.Lock()
	got := s.got
	s.mu.Unlock()
	byID := map[uint32][]uint32{}
	for _, r := range got {
		byID[r.id] = append(byID[r.id], r.code)
	}
	for _, w := range wanted {
		id := w.Reply.ID
		expected := fmt.Sprintf("%s in reply %d", code(w.Reply.Code), id)
		switch codes := byID[id]; {
		case len(codes) == 0:
			s.differs(s.script, w.Place, expected, "no reply")
		default:
			byID[id] = codes[1:]
			if codes[0] != w.Reply.Code {
				s.differs(s.script, w.Place, expected, code(codes[0]))
			}
		}
	}
	s.compared(len(wanted))
	if !all {
		return
	}
	for _, r := range got { // in the order in which they came
		if len(byID[r.id]) > 0 {
			s.differs(s.script, s.script.steps[len(s.script.steps)-1].Place, fmt.Sprintf("no reply %d", r.id), code(byID[r.id][0]))
			byID[r.id] = nil
		}
	}
}

// listen reads what the server sends, and answers its pings.
func (s *session) listen(in *bufio.Reader) {
	reader, scratch := ws.Reader{}, ws.Scratch{}
	limits := ws.Limits{Message: maxMessage, Client: true}
	buffer := make([]byte, 16<<10)
	left := s.script.answers()
	code := uint16(0)
	for ended := false; !ended; {
		n, err := in.Read(buffer)
		for b := buffer[:n]; ; {
			ev, rest, v := reader.Next(b, &limits, &scratch)
			if v != nil {
				ended = true
				break
			}
			if ev.Kind == ws.None {
				break
			}
			b = rest
			left = s.take(&ev, left)
			if ev.Kind == ws.Close {
				code, ended = ev.Code, true
			}
		}
		ended = ended || err != nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		s.ended, s.code = true, code
		s.tell()
	}
}

// take answers a ping, if there are answers left, and keeps replies.
func (s *session) take(ev *ws.Event, left int) int {
	switch ev.Kind {
	case ws.Ping:
		return s.pong(ws.OpPong, ev.Payload, left)
	case ws.Text:
		for line := range bytes.SplitSeq(ev.Payload, []byte("\n")) {
			if string(line) == "{}" {
				left = s.pong(ws.OpText, line, left)
				continue
			}
			var r struct {
				ID    uint32 `json:"id"`
				Error struct {
					Code uint32 `json:"code"`
				} `json:"error"`
			}
			if json.Unmarshal(line, &r) == nil && r.ID > 0 {
				s.mu.Lock()
				s.got = append(s.got, reply{r.ID, r.Error.Code})
				s.tell()
				s.mu.Unlock()
			}
		}
	}
	return left
}

func (s *session) pong(op ws.Opcode, payload []byte, left int) int {
	if left == 0 {
		return 0
	}
	s.write(ws.AppendMasked(nil, op, [4]byte{}, payload))
	return left - 1
}

// tell wakes await. s.mu is held.
func (s *session) tell() {
	close(s.changed)
	s.changed = make(chan struct{})
}
