package engine

import (
	"context"
	"errors"

	"weir/engine/backend"
	"weir/engine/broker"
	"weir/engine/clientproto"
	"weir/engine/hub"
	"weir/engine/session"
	"weir/engine/stats"
	"weir/engine/ws"
	"weir/security/audit"
	"weir/security/token"
)

// lines handles the commands of one message, in order. A command that is with
// the workers holds back those behind it: connect is finished before the next.
func (s *shard) lines(c *conn, message []byte) {
	for len(message) > 0 && c.phase == phaseOpen {
		if c.busy {
			c.waitings().lines = append([]byte(nil), message...)
			return
		}
		var line []byte
		line, message = clientproto.NextLine(message)
		s.line(c, line)
	}
}

func (s *shard) line(c *conn, line []byte) {
	// Each line is charged, not each frame: a frame holds thousands of them.
	if !take(&s.charged(c).messages, s.rates.messages, 1, s.now) {
		s.tooMany(c, limitMessages)
		return
	}
	if !s.userTakes(c, s.byUser.messages, 1) {
		s.tooMany(c, limitUserMessages)
		return
	}
	if !s.stillGood(c) {
		return
	}
	cmd := &s.command
	if v := s.parser.Parse(line, cmd); v != nil {
		s.violated(c, v.Label)
		if v.Close != nil {
			s.close(c, v.Close)
			return
		}
		s.stats.Code(stats.CommandErrors, v.Error.Code)
		s.send(c, clientproto.AppendError(s.replies[:0], cmd.ID, v.Error))
		return
	}
	s.stats.Label(stats.Commands, cmd.Method.String())
	if cmd.Method == clientproto.Pong {
		s.pong(c)
		return
	}
	if over := s.overRate(c, cmd.Method); over != "" {
		s.notice(c, audit.LimitHit, over)
		s.fail(c, cmd.ID, clientproto.ErrTooManyRequests)
		return
	}
	reply, step := c.session.Command(s.replies[:0], cmd, s.rules)
	if step.Error != nil && (s.audit != nil || c.traced) {
		s.refusedCommand(c, cmd.Method, channelOf(cmd), step.Error)
	}
	s.outcome(c, reply, &step)
}

// outcome gives the client the session's replies, or the close that step says,
// and does what step asks for.
func (s *shard) outcome(c *conn, reply []byte, step *session.Step) {
	if step.Close != nil {
		s.close(c, step.Close)
		return
	}
	if step.Error != nil {
		s.stats.Code(stats.CommandErrors, step.Error.Code)
	}
	s.send(c, reply)
	if c.phase == phaseOpen { // the reply may have been one too many
		s.carryOut(c, step)
	}
}

// carryOut does what a command needs beyond the session's own state.
func (s *shard) carryOut(c *conn, step *session.Step) {
	switch step.Kind {
	case session.Authenticate:
		s.authenticate(c, step)
	case session.Refresh:
		s.check(c, authRefresh, step)
	case session.SubToken, session.SubRefresh:
		s.check(c, authSubscription, step)
	case session.Subscribe:
		s.subscribe(c, step)
	case session.Unsubscribe:
		s.leave(c, step.Sub)
		s.send(c, clientproto.AppendEmpty(s.replies[:0], step.ID, clientproto.Unsubscribe))
	case session.Publish:
		if s.takes(c, step) {
			s.publish(c, step, append([]byte(nil), step.Data...))
		}
	case session.AskConnect:
		s.ask(c, backend.Connect, step)
	case session.AskSubscribe:
		s.ask(c, backend.Subscribe, step)
	case session.AskPublish:
		if s.takes(c, step) {
			s.ask(c, backend.Publish, step)
		}
	case session.RPC:
		s.ask(c, backend.RPC, step)
	case session.Send:
		s.ask(c, backend.Send, step)
	case session.History:
		step.Filter.Bytes = min(step.Filter.Bytes, max(s.free(c), 1)) // 0 is no bound
		s.queue(c, step.ID, &historyJob{id: step.ID, channel: step.Channel, filter: step.Filter})
	case session.Presence:
		s.survey(c, step)
	}
}

// publish hands data, which is given away and which the channel takes, to the broker in the place of step's.
func (s *shard) publish(c *conn, step *session.Step, data []byte) {
	rule := s.rules.Content(step.Channel)
	s.queue(c, step.ID, &publishJob{id: step.ID, channel: step.Channel, keep: step.Keep, message: broker.Message{
		Data: rule.Clean(data), Info: rule.Clean(c.session.PublishInfo(step.Channel)), Delta: s.rules.Delta(step.Channel),
	}})
}

// authenticate has the token checked, unless the handshake brought one: that
// one counts then. Without either the client's certificate says who it is.
func (s *shard) authenticate(c *conn, step *session.Step) {
	switch {
	case c.waiting != nil && c.waiting.claims != nil:
		s.welcome(c, &welcome{id: step.ID, claims: c.waiting.claims, held: step.Recover})
	case len(step.Token) > 0:
		c.by = audit.ByConnect
		s.check(c, authConnect, step)
	default:
		c.by = audit.Anonymous
		if c.certificate() != nil {
			c.by = audit.ByClientCert
		}
		s.welcome(c, &welcome{id: step.ID, claims: c.certificate(), held: step.Recover})
	}
}

// welcome is how a connect ends well.
type welcome struct {
	id     uint32           // of the command
	client session.ClientID // id of the connection; none: a new one
	claims *token.Claims
	held   []session.Recover // positions that the client holds
	data   []byte            // JSON for the client
}

// welcome makes the session's server-side subscriptions, from the positions that
// the client holds, and answers connect.
func (s *shard) welcome(c *conn, w *welcome) {
	if c.waiting != nil {
		c.waiting.claims = nil
	}
	if !s.identify(c, w.claims) {
		s.unauthenticated(c, c.by, reasonRevoked)
		s.close(c, clientproto.CloseInvalidToken)
		return
	}
	channels := c.session.Authenticated(w.claims, s.rules)
	switch over := s.admitUser(c); over {
	case "":
	case limitUser:
		s.notice(c, audit.LimitHit, over)
		s.close(c, clientproto.CloseConnectionLimit)
		return
	default:
		s.tooMany(c, over)
		return
	}
	var subs []clientproto.ServerSub
	left := s.rules.RecoveryBytes // for all of them: they share one reply
	for _, channel := range channels {
		if e := s.rules.Subscribable(channel); e != nil || !c.session.Admitted(channel, s.rules) {
			continue // a token may name channels of namespaces that are gone, or not for this page
		}
		if c.session.Room(channel, s.rules) != nil {
			s.close(c, clientproto.CloseChannelLimit)
			return
		}
		plan := s.rules.ServerPlan(channel, w.held)
		if plan.Since != nil {
			plan.Since.Bytes = left
		}
		at, e := s.join(c, channel, plan.Since)
		left -= session.Size(&at)
		if e != nil {
			c.session.Rejected(nil, w.id, e)
			s.close(c, clientproto.CloseServerError)
			return
		}
		sub, said := c.session.Sub(len(c.session.Subs())-1), w.claims.Subs[channel]
		sub.Server = true
		sub.SetInfo(said.Info)
		result := plan.Result(&at)
		result.Data = said.Data
		subs = append(subs, clientproto.ServerSub{Channel: channel, SubscribeResult: result})
	}
	s.begun(c)
	if w.client == (session.ClientID{}) {
		w.client = session.NewClientID()
	}
	reply := c.session.Welcome(s.replies[:0], w.id, w.client, subs, w.data, s.rules, s.wall())
	s.notice(c, audit.Authenticated, "")
	s.traceUser(c)
	s.allJoined(c)
	s.send(c, reply)
}

// begun starts the clocks of a session that is now authenticated.
func (s *shard) begun(c *conn) {
	if c.waiting != nil {
		c.waiting.certificate = nil
	}
	s.stats.Move(stats.Sessions, 1)
	c.phaseBy = 0
	if s.limits.PingInterval > 0 {
		c.pingAt = s.after(s.spread(int64(s.limits.PingInterval)))
	}
	s.expiry(c)
}

func (s *shard) subscribe(c *conn, step *session.Step) {
	form := hub.Protocol
	if step.Plan.Delta {
		form = hub.Delta
	}
	if since := step.Plan.Since; since != nil { // several of one frame share the room
		room := s.free(c)
		if form == hub.Delta {
			room /= 2 // as text its quotes are escaped
		}
		since.Bytes = min(since.Bytes, room)
	}
	at, e := s.joinAs(c, step.Channel, step.Plan.Since, form)
	if e != nil {
		s.fail(c, step.ID, e)
		return
	}
	result := c.session.Subscribed(step, &at, s.wall())
	if step.Plan.Reject && result.WasRecovering && !result.Recovered {
		s.drop(c, len(c.session.Subs())-1)
		s.fail(c, step.ID, clientproto.ErrUnrecoverable)
		return
	}
	i := len(c.session.Subs()) - 1
	if step.Watch {
		s.watch(c, i)
	}
	s.joined(c, i)
	s.send(c, clientproto.AppendSubscribe(s.replies[:0], step.ID, &result))
}

// join is joinAs in the form in which the connection is told of everything.
func (s *shard) join(c *conn, channel string, since *broker.Since) (broker.Attached, *clientproto.Error) {
	return s.joinAs(c, channel, since, c.kind.form())
}

// joinAs subscribes the session to a channel, live from the position returned,
// and brings what since asks for.
// The memory broker answers from this process; one that has to ask another
// would do so from a worker.
func (s *shard) joinAs(c *conn, channel string, since *broker.Since, form hub.Form) (broker.Attached, *clientproto.Error) {
	if len(c.session.Subs()) >= hub.MaxSubs {
		return broker.Attached{}, clientproto.ErrLimitExceeded
	}
	ch := s.hub.Join(s.id, channel, form)
	if ch == nil {
		return broker.Attached{}, clientproto.ErrLimitExceeded
	}
	at, err := s.follow(ch, since)
	if err != nil {
		s.hub.Leave(s.id, ch, form)
		return at, errorOf(err)
	}
	members := ch.Members(s.id, form)
	i := c.session.Add(session.Sub{Channel: ch, Form: form})
	// With what was missed comes the publication that the next one follows.
	synced := at.Recovered && len(at.Missed) > 0
	c.session.Sub(i).Member = members.Add(hub.Member{Slot: c.Slot, Sub: uint16(i), From: at.Offset, Synced: synced})
	s.stats.Move(stats.Subscriptions, 1)
	return at, nil
}

// follow has the broker deliver what is published to a channel, or to all that
// match a pattern, in which there is no position.
func (s *shard) follow(ch *hub.Channel, since *broker.Since) (broker.Attached, error) {
	if ch.Pattern {
		return broker.Attached{}, s.broker.Watch(context.Background(), ch.Name)
	}
	return s.broker.Attach(context.Background(), ch.Name, since)
}

// unfollow takes one follow back.
func (s *shard) unfollow(ch *hub.Channel) {
	if ch.Pattern {
		s.broker.Unwatch(ch.Name)
		return
	}
	s.broker.Detach(ch.Name)
}

// leave ends subscription i, and those are told who asked for it.
func (s *shard) leave(c *conn, i int) {
	s.unwatch(c, i)
	s.left(c, i)
	s.drop(c, i)
}

// drop is leave for a subscription that nobody was told of. Publications of it
// that still wait are taken out, so none follows the reply.
func (s *shard) drop(c *conn, i int) {
	sub := *c.session.Sub(i)
	if moved, ok := sub.Channel.Members(s.id, sub.Form).Remove(sub.Member); ok {
		s.conns.at(moved.Slot).session.Sub(int(moved.Sub)).Member = sub.Member
	}
	if c.session.Drop(i) {
		other := c.session.Sub(i)
		other.Channel.Members(s.id, other.Form).SetSub(other.Member, uint16(i))
		if n, watches := other.Watcher(); watches {
			other.Channel.Rewatch(s.id, n, uint16(i))
		}
	}
	s.queued -= int64(sub.Channel.Rise(s.id, c.Slot))
	s.hub.Leave(s.id, sub.Channel, sub.Form)
	s.unfollow(sub.Channel)
	s.stats.Move(stats.Subscriptions, -1)
	s.takeOut(c, sub.Channel.ID)
}

// evict ends subscription i and tells the client.
func (s *shard) evict(c *conn, i int, code uint32, reason string) {
	channel := c.session.Sub(i).Channel.Name
	s.leave(c, i)
	s.send(c, clientproto.AppendUnsubscribePush(s.replies[:0], channel, code, reason))
}

// errorOf is what a client is told of a broker's error.
func errorOf(err error) *clientproto.Error {
	switch {
	case errors.Is(err, broker.ErrFull):
		return clientproto.ErrTooManyRequests
	case errors.Is(err, broker.ErrUnrecoverable):
		return clientproto.ErrUnrecoverable
	default:
		return clientproto.ErrInternal
	}
}

// fail answers a command with an error.
func (s *shard) fail(c *conn, id uint32, e *clientproto.Error) {
	s.stats.Code(stats.CommandErrors, e.Code)
	s.send(c, clientproto.AppendError(s.replies[:0], id, e))
}

// send queues one text message of replies; none if b is empty. b may be the
// shard's reply scratch.
func (s *shard) send(c *conn, b []byte) {
	s.replies = b[:0]
	if len(b) > 0 {
		if c.traced {
			s.traceReply(c, b)
		}
		s.reply(c, ws.OpText, b)
	}
}
