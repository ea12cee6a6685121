package capture

import (
	"net/netip"
	"slices"
	"time"

	"weir/security/audit"
)

type stepKind uint8

const (
	stepRequest stepKind = iota
	stepAnswer
	stepUser
	stepCredential
	stepMessage
	stepFrame
	stepBroken
	stepReply
	stepEnd
	stepCut
)

// step is what becomes a line. Owned bytes.
type step struct {
	kind  stepKind
	code  uint32
	id    uint32
	conn  audit.ConnID
	at    time.Duration // since the capture was begun
	wall  time.Time     // of a credential
	word  string        // a label of ours, a name, a state
	by    string
	text  []byte
	head  *Head // of stepRequest
	peer  netip.Addr
	bytes int
}

func (s *step) size() int {
	n := stepBytes + len(s.text) + len(s.word)
	if h := s.head; h != nil {
		n += stepBytes + len(h.Path) + len(h.Query) + len(h.Origin) + len(h.Protocols) + len(h.Authorization)
	}
	return n
}

// line writes a step anew, without its secrets.
func (s *step) line(h *hider) (l Line) {
	l = Line{At: max(s.at.Microseconds(), 0), Conn: s.conn.String()}
	switch s.kind {
	case stepRequest:
		l.Request = &Request{Peer: s.peer.String(), Why: s.word}
		h.request(s.head, l.Request)
	case stepAnswer:
		l.Answer = &Answer{Status: int(s.code), Reason: s.word}
	case stepUser:
		l.User = &User{ID: s.word, By: s.by}
	case stepCredential:
		kind := KindToken
		if s.by == audit.ByTicket.String() {
			kind = KindTicket
		}
		l.Credential = &Credential{Name: h.name(kind, s.text), By: s.by, State: s.word}
		if kind == KindToken && (s.word == Accepted || s.word == Expired) {
			l.Credential.Claims = claimsOf(s.text, s.wall)
		}
	case stepMessage:
		r := redaction{hider: h}
		r.message(s.text)
		t := r.text()
		l.Message = &t
	case stepFrame:
		l.Frame = &Frame{Kind: s.word, Bytes: s.bytes}
	case stepBroken:
		l.Broken = s.word
	case stepReply:
		l.Reply = &Reply{ID: s.id, Code: s.code}
	case stepEnd:
		l.End = &End{By: s.by, Code: uint16(s.code), Reason: s.word}
	case stepCut:
		l.Cut = s.word
	}
	return l
}

// Trace is what is captured of one connection. It belongs to the loop that owns the connection. Once
// End was called, or Left says so, it is of no more use. All bytes that are given to it are borrowed.
type Trace struct {
	r    *Recorder
	conn audit.ConnID

	chosen    bool
	over      bool // nothing more is kept
	owesCut   bool // the file does not know that yet
	bytes     int  // kept so far
	undecided []step
	held      int // bytes of undecided
}

// Begin begins the trace of a connection with its request; nil if it is not wanted. It is nil too on
// a nil Recorder.
func (r *Recorder) Begin(conn uint64, peer netip.Addr, h *Head, now time.Time) *Trace {
	if r == nil || r.stopped.Load() {
		return nil
	}
	why, chosen := r.choice.byAddress(peer, now)
	if !chosen && !r.choice.later() {
		return nil
	}
	t := &Trace{r: r, conn: audit.ConnID{Run: r.cfg.Run, Number: conn}, chosen: chosen}
	if chosen {
		r.connections.Add(1)
	}
	head := Head{Path: slices.Clone(h.Path), Query: slices.Clone(h.Query), Origin: slices.Clone(h.Origin), Protocols: slices.Clone(h.Protocols),
		Authorization: slices.Clone(h.Authorization), HasOrigin: h.HasOrigin}
	t.add(now, step{kind: stepRequest, word: why, head: &head, peer: peer})
	return t
}

// add keeps a step.
func (t *Trace) add(now time.Time, s step) {
	s.conn, s.at = t.conn, now.Sub(t.r.begun)
	if t.over {
		t.cut(s.at)
		return
	}
	n := s.size()
	if t.bytes += n; t.bytes > connectionBytes {
		t.lose("size", s.at)
		return
	}
	switch {
	case !t.chosen && (t.held+n > undecidedEach || t.r.undecided.Add(int64(n)) > undecidedBytes):
		if t.held+n <= undecidedEach {
			t.r.undecided.Add(-int64(n))
		}
		t.r.missed.Add(1)
		t.forget()
		t.over = true
	case !t.chosen:
		t.undecided = append(t.undecided, s)
		t.held += n
	case !t.r.put(s):
		t.lose("queue", s.at)
	}
}

// lose ends what is kept of the connection. That it was cut is told at once or as soon as there is room.
func (t *Trace) lose(why string, at time.Duration) {
	t.over = true
	if !t.chosen {
		t.r.missed.Add(1)
		t.forget()
		return
	}
	t.r.cut.Add(1)
	t.owesCut = true
	if why == "size" {
		t.cut(at)
	}
}

// cut tells the file that the connection is cut, if it does not know.
func (t *Trace) cut(at time.Duration) {
	if t.owesCut && t.r.put(step{kind: stepCut, conn: t.conn, at: at, word: "no room for more of it"}) {
		t.owesCut = false
	}
}

// forget gives back what is undecided.
func (t *Trace) forget() {
	t.r.undecided.Add(-int64(t.held))
	t.undecided, t.held = nil, 0
}

// choose has the connection captured from its beginning on.
func (t *Trace) choose(why string) {
	if t.chosen || t.over {
		return
	}
	t.chosen = true
	t.r.connections.Add(1)
	kept := t.undecided
	t.forget()
	for i := range kept {
		if i == 0 {
			kept[i].word = why
		}
		if !t.r.put(kept[i]) {
			t.lose("queue", kept[i].at)
			return
		}
	}
}

// Left reports whether the trace is of no more use: the connection is not wanted, or there was no room
// for it.
func (t *Trace) Left() bool { return t.over && !t.owesCut }

// Happened tells of an event, by which the connection may be chosen.
func (t *Trace) Happened(e audit.Event) {
	if !t.chosen && slices.Contains(t.r.choice.Events, e) {
		t.choose(e.String())
	}
}

// Answer tells how the request was answered; reason is a label.
func (t *Trace) Answer(status int, reason string, now time.Time) {
	t.add(now, step{kind: stepAnswer, code: uint32(status), word: reason})
}

// User tells whose connection it is, by which it may be chosen; if it is not, and nothing else can
// choose it any more, the trace is Left.
func (t *Trace) User(id string, by audit.Auth, now time.Time) {
	t.add(now, step{kind: stepUser, word: id, by: by.String()})
	switch {
	case t.chosen || t.over:
	case id != "" && slices.Contains(t.r.choice.Users, id):
		t.choose("user")
	case len(t.r.choice.Events) == 0:
		t.forget()
		t.over = true
	}
}

// Credential tells what became of a token or ticket; state is one of those of Credential.
func (t *Trace) Credential(secret []byte, by audit.Auth, state string, now time.Time) {
	t.add(now, step{kind: stepCredential, text: slices.Clone(secret), by: by.String(), word: state, wall: now})
}

// Message tells of a text message.
func (t *Trace) Message(text []byte, now time.Time) {
	t.add(now, step{kind: stepMessage, text: slices.Clone(text)})
}

// Frame tells of another frame of the client, of so many bytes.
func (t *Trace) Frame(kind string, bytes int, now time.Time) {
	t.add(now, step{kind: stepFrame, word: kind, bytes: bytes})
}

// Broken tells of frames that broke the rules; label is which.
func (t *Trace) Broken(label string, now time.Time) {
	t.add(now, step{kind: stepBroken, word: label})
}

// Reply tells of the reply to a command; code 0 is no error.
func (t *Trace) Reply(id, code uint32, now time.Time) {
	t.add(now, step{kind: stepReply, id: id, code: code})
}

// End tells of the end of the connection.
func (t *Trace) End(by string, code uint16, reason string, now time.Time) {
	t.add(now, step{kind: stepEnd, by: by, code: uint32(code), word: reason})
	if !t.chosen {
		t.forget()
	}
	t.over = true
}
