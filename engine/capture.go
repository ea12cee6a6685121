package engine

import (
	"bytes"
	"errors"
	"strconv"

	"weir/engine/stats"
	"weir/engine/upgrade"
	"weir/engine/ws"
	"weir/security/audit"
	"weir/security/audit/capture"
	"weir/security/token"
)

// A connection that is captured (SECURITY.md R5) is told of to its trace, from the request on. All others
// pay for a look at conn.traced.

// trace is that of a connection with conn.traced.
func (s *shard) trace(c *conn) *capture.Trace { return s.traces[c.Slot] }

// untrace forgets the trace of a connection.
func (s *shard) untrace(c *conn) {
	delete(s.traces, c.Slot)
	c.traced = false
}

// traceRequest begins the trace of a connection if it may be wanted. whole is false for a head that was
// malformed, of which nothing is kept.
func (s *shard) traceRequest(c *conn, req *upgrade.Request, whole bool) {
	if s.capture == nil || c.link == linkProxy { // whose it is is not known
		return
	}
	var h capture.Head
	if whole {
		if path := string(req.Path); path == pathEcho && s.echo || path == pathDemo && s.page != nil {
			return
		}
		h = capture.Head{Path: req.Path, Query: req.RawQuery, Origin: req.Origin, HasOrigin: req.HasOrigin, Protocols: req.Protocols, Authorization: req.Authorization}
	}
	t := s.capture.Begin(s.connNumber(c), c.peer, &h, s.wall())
	if t == nil {
		return
	}
	if s.traces == nil {
		s.traces = make(map[uint32]*capture.Trace)
	}
	s.traces[c.Slot], c.traced = t, true
}

// traceLeft forgets a trace that is of no more use.
func (s *shard) traceLeft(c *conn, t *capture.Trace) {
	if t.Left() {
		s.untrace(c)
	}
}

// traceEvent tells the trace what the client sent.
func (s *shard) traceEvent(c *conn, ev *ws.Event) {
	t, now := s.trace(c), s.wall()
	switch {
	case ev.Kind == ws.Text && c.awaitPong && c.kind == kindProtocol && string(bytes.TrimSpace(ev.Payload)) == "{}",
		ev.Kind == ws.Pong && c.awaitPong && c.kind == kindFeed:
		t.Frame(capture.FrameAnswer, 0, now)
	case ev.Kind == ws.Text:
		t.Message(ev.Payload, now)
	case ev.Kind == ws.Binary:
		t.Frame(capture.FrameBinary, len(ev.Payload), now)
	case ev.Kind == ws.Ping:
		t.Frame(capture.FramePing, len(ev.Payload), now)
	case ev.Kind == ws.Pong:
		t.Frame(capture.FramePong, len(ev.Payload), now)
	}
	s.traceLeft(c, t)
}

// traceReply tells the trace of the reply to a command. What is no reply (pushes, pings) depends on
// others, or on the clock, and is left out.
func (s *shard) traceReply(c *conn, b []byte) {
	if id, code, ok := verdict(b); ok {
		t := s.trace(c)
		t.Reply(id, code, s.wall())
		s.traceLeft(c, t)
	}
}

// verdict reads the id and the error code, 0 for none, of a reply that clientproto has written.
func verdict(reply []byte) (id, code uint32, ok bool) {
	rest, ok := bytes.CutPrefix(reply, []byte(`{"id":`))
	if !ok {
		return 0, 0, false
	}
	id, rest, ok = number(rest)
	if rest, failed := bytes.CutPrefix(rest, []byte(`,"error":{"code":`)); ok && failed {
		code, _, ok = number(rest)
	}
	return id, code, ok
}

// number reads digits.
func number(b []byte) (n uint32, rest []byte, ok bool) {
	end := 0
	for end < len(b) && '0' <= b[end] && b[end] <= '9' {
		end++
	}
	v, err := strconv.ParseUint(string(b[:end]), 10, 32)
	return uint32(v), b[end:], err == nil
}

// traceCredential tells the trace what became of a token or ticket.
func (s *shard) traceCredential(c *conn, secret []byte, by audit.Auth, err error) {
	state := capture.Accepted
	switch {
	case errors.Is(err, token.ErrExpired):
		state = capture.Expired
	case errors.Is(err, token.ErrUnknownKey):
		state = capture.UnknownKey
	case err != nil:
		state = capture.Invalid
	}
	t := s.trace(c)
	t.Credential(secret, by, state, s.wall())
	s.traceLeft(c, t)
}

// traceUser tells the trace whose connection it is.
func (s *shard) traceUser(c *conn) {
	if c.traced {
		t := s.trace(c)
		t.User(c.session.User(), c.by, s.wall())
		s.traceLeft(c, t)
	}
}

// happened tells the trace of an event of the audit log.
func (s *shard) happened(c *conn, e audit.Event) {
	if c.traced {
		t := s.trace(c)
		t.Happened(e)
		s.traceLeft(c, t)
	}
}

// traceEnd tells the trace of the end, as ended has it.
func (s *shard) traceEnd(c *conn, code uint16, reason string) {
	by := capture.ByServer
	if reason == endByPeer || reason == endHungUp || reason == endGone {
		by = capture.ByClient
	}
	s.trace(c).End(by, code, reason, s.wall())
	s.untrace(c)
}

// captureSources are the figures of the capture.
func captureSources(r *capture.Recorder) []stats.Source {
	if r == nil {
		return nil
	}
	source := func(name, help string, of func(capture.Counters) uint64) stats.Source {
		return stats.Source{Name: name, Help: help, Kind: stats.SourceCounter, Read: func() float64 { return float64(of(r.Counters())) }}
	}
	return []stats.Source{
		source("weir_capture_connections_total", "Connections that are captured.", func(c capture.Counters) uint64 { return c.Connections }),
		source("weir_capture_bytes_total", "Bytes written to capture files.", func(c capture.Counters) uint64 { return c.Bytes }),
		source("weir_capture_dropped_total", "Messages and verdicts for which the capture had no room.", func(c capture.Counters) uint64 { return c.Dropped }),
		source("weir_capture_cut_total", "Captured connections of which the end is not captured.", func(c capture.Counters) uint64 { return c.Cut }),
		source("weir_capture_missed_total", "Connections that a user or a rule might have chosen, and for which there was no room until that was known.",
			func(c capture.Counters) uint64 { return c.Missed }),
		{Name: "weir_capture_stopped", Help: "1: the capture has ended, because it is full or its disk is.", Read: func() float64 {
			return float64(b2i(r.Counters().Stopped))
		}},
	}
}
