package engine

import (
	"context"
	"errors"

	"weir/engine/broker"
	"weir/engine/clientproto"
	"weir/engine/session"
	"weir/engine/stats"
	"weir/engine/work"
	"weir/security/audit"
	"weir/security/token"
)

// job is a command's part that may take long: it is done elsewhere, mostly on a
// worker, then finishes on the loop of its connection. A connection has one at a
// time.
type job interface {
	of() handle
	bind(*shard, handle)
	finish(*shard, *conn)
}

// workerJob is a job for a worker, which leaves it for the loop when done.
type workerJob interface {
	work.Job
	job
}

// ticket says whose job it is.
type ticket struct {
	shard *shard
	conn  handle
}

func (t *ticket) of() handle              { return t.conn }
func (t *ticket) bind(s *shard, h handle) { t.shard, t.conn = s, h }

// begin hands a job to the workers; false if they have too much to do.
func (s *shard) begin(c *conn, j workerJob) bool { return s.beginOn(s.work, c, j) }

func (s *shard) beginOn(pool *work.Pool, c *conn, j workerJob) bool {
	j.bind(s, c.handle())
	if !pool.Try(j) {
		s.stats.Inc(stats.WorkRefused)
		return false
	}
	c.busy = true
	return true
}

// queue is begin for a command: a full pool is answered with 111.
func (s *shard) queue(c *conn, id uint32, j workerJob) {
	if s.begin(c, j) {
		return
	}
	s.stats.Code(stats.CommandErrors, clientproto.ErrTooManyRequests.Code)
	s.send(c, c.session.Rejected(s.replies[:0], id, clientproto.ErrTooManyRequests))
}

type authUse uint8

const (
	authHead authUse = iota
	authConnect
	authRefresh
	authSubscription
)

// authJob checks the token of a step.
type authJob struct {
	ticket
	use    authUse
	step   session.Step
	claims *token.Claims    // of a connection
	sub    *token.SubClaims // of a subscription
	err    error
}

// mayFail reports whether c may bring another credential: that its address, or the session of a user itself, has not brought too
// many that were none.
func (s *shard) mayFail(c *conn) bool {
	switch {
	case c.exempt:
		return true
	case c.ofUser():
		return c.wrong < sessionFailures
	default:
		return s.fails.May(c.peer, s.now)
	}
}

// failed charges a credential that was none.
func (s *shard) failed(c *conn) {
	s.fails.Note(c.peer, s.now)
	if c.ofUser() && c.wrong < sessionFailures {
		c.wrong++
	}
}

// check has the token of a step looked at.
func (s *shard) check(c *conn, use authUse, step *session.Step) {
	if !s.mayFail(c) {
		s.tooMany(c, limitFailures)
		return
	}
	if !s.checkAtOnce(c, use, step) {
		s.queue(c, step.ID, newAuthJob(use, step))
	}
}

// checkAtOnce is for tokens of which the check is done before a worker would be awake: those by a shared secret. false: it is
// another's.
func (s *shard) checkAtOnce(c *conn, use authUse, step *session.Step) bool {
	if use == authSubscription {
		return false
	}
	claims, err := s.tokens.ConnectionAtOnce(step.Token, s.wall())
	if errors.Is(err, token.ErrCostly) {
		return false
	}
	j := authJob{use: use, step: *step, claims: claims, err: err}
	j.finish(s, c)
	return true
}

func newAuthJob(use authUse, step *session.Step) *authJob {
	j := &authJob{use: use, step: *step}
	j.step.Token = append([]byte(nil), step.Token...) // it is borrowed from the command
	return j
}

// Run implements work.Job.
func (j *authJob) Run() {
	// A panic in the verifier must not leave the connection busy for ever.
	j.err = errors.New("engine: token check did not finish")
	defer j.shard.post(post{job: j})
	if j.use == authSubscription {
		j.sub, j.err = j.shard.tokens.Subscription(j.step.Token, j.shard.wall())
		return
	}
	j.claims, j.err = j.shard.tokens.Connection(j.step.Token, j.shard.wall())
}

// by is how the token came.
func (j *authJob) by(c *conn) audit.Auth {
	return [...]audit.Auth{authHead: c.by, authConnect: audit.ByConnect, authRefresh: audit.ByRefresh, authSubscription: audit.BySubToken}[j.use]
}

func (j *authJob) finish(s *shard, c *conn) {
	early := s.early(c, j.err)
	if c.traced {
		s.traceCredential(c, j.step.Token, j.by(c), j.err)
	}
	if errors.Is(j.err, token.ErrInvalid) || errors.Is(j.err, token.ErrUnknownKey) && !early {
		s.failed(c)
	}
	switch {
	case early && j.use == authHead: // its refusal tells it
	case early:
		s.notice(c, audit.CommandRefused, reasonUnknown)
	case j.err != nil && (j.use != authHead || errors.Is(j.err, token.ErrUnknownKey)): // those of a head are told with it
		s.unauthenticated(c, j.by(c), authReason(j.err))
	}
	switch {
	case j.use == authHead:
		s.headAuthenticated(c, j.claims, j.err)
	case errors.Is(j.err, token.ErrUnknownKey):
		s.stats.Code(stats.CommandErrors, errKeyPending.Code)
		s.send(c, c.session.Rejected(s.replies[:0], j.step.ID, errKeyPending))
	case j.use == authSubscription:
		s.subChecked(c, j)
	case errors.Is(j.err, token.ErrExpired) && j.use == authConnect:
		s.stats.Code(stats.CommandErrors, clientproto.ErrTokenExpired.Code)
		s.send(c, c.session.Rejected(s.replies[:0], j.step.ID, clientproto.ErrTokenExpired))
	case errors.Is(j.err, token.ErrExpired):
		s.close(c, clientproto.CloseExpired)
	case j.err != nil:
		s.close(c, clientproto.CloseInvalidToken)
	case j.use == authConnect && session.Over(j.claims, s.wall()):
		s.unauthenticated(c, audit.ByConnect, reasonExpired)
		s.stats.Code(stats.CommandErrors, clientproto.ErrExpired.Code)
		s.send(c, c.session.Rejected(s.replies[:0], j.step.ID, clientproto.ErrExpired))
	case j.use == authConnect:
		s.welcome(c, &welcome{id: j.step.ID, claims: j.claims, held: j.step.Recover})
	default:
		s.refreshed(c, j)
	}
}

// early reports whether err is that the key of a token is not here, while the address of c has not sent too many such tokens: it may
// come. More of them are failures.
func (s *shard) early(c *conn, err error) bool {
	if !errors.Is(err, token.ErrUnknownKey) || !s.pending.May(c.peer, s.now) {
		return false
	}
	s.pending.Note(c.peer, s.now)
	return true
}

// errKeyPending is told to who may come again soon: the key of the token is asked for.
var errKeyPending = &clientproto.Error{Code: clientproto.ErrInternal.Code, Message: "the key of the token is not here yet", Temporary: true}

func (s *shard) refreshed(c *conn, j *authJob) {
	reply, end := c.session.Refreshed(s.replies[:0], j.step.ID, j.claims, s.rules, s.wall())
	if end == nil && !s.identify(c, j.claims) {
		end = clientproto.CloseInvalidToken
	}
	if end != nil {
		s.unauthenticated(c, audit.ByRefresh, closeReason(end.Code))
		s.close(c, end)
		return
	}
	s.notice(c, audit.TokenRefreshed, "")
	s.expiry(c)
	s.send(c, reply)
	s.revise(c, j.claims.ServerChannels())
}

// revise ends the subscriptions that a newer token, with these server-side
// channels, no longer covers.
func (s *shard) revise(c *conn, channels []string) {
	if c.phase != phaseOpen { // the reply was one too many
		return
	}
	for i := len(c.session.Subs()) - 1; i >= 0 && c.phase == phaseOpen; i-- { // the last takes the place of one that ends
		if !c.session.Keeps(i, channels, s.rules) {
			s.evict(c, i, clientproto.UnsubscribePermission, "permission denied")
		} else {
			s.stopWatching(c, i)
		}
	}
}

func (s *shard) subChecked(c *conn, j *authJob) {
	reply, step := c.session.SubChecked(s.replies[:0], j.step, j.sub, j.err, s.rules, s.wall())
	s.outcome(c, reply, &step)
	if c.phase == phaseOpen {
		s.expiry(c)
	}
}

// publishJob hands a client's publication to the broker.
type publishJob struct {
	ticket
	id      uint32
	channel string
	keep    broker.Retention
	message broker.Message
	err     error
}

// Run implements work.Job.
func (j *publishJob) Run() {
	j.err = errors.New("engine: publish did not finish")
	defer j.shard.post(post{job: j})
	_, j.err = j.shard.broker.Publish(context.Background(), j.channel, j.message, j.keep)
}

func (j *publishJob) finish(s *shard, c *conn) {
	if j.err != nil {
		s.fail(c, j.id, errorOf(j.err))
		return
	}
	s.stats.Inc(stats.Publications)
	s.send(c, clientproto.AppendEmpty(s.replies[:0], j.id, clientproto.Publish))
}

// historyJob reads what is kept of a channel.
type historyJob struct {
	ticket
	id      uint32
	channel string
	filter  broker.Filter
	result  clientproto.HistoryResult
	err     error
}

// Run implements work.Job.
func (j *historyJob) Run() {
	j.err = errors.New("engine: history did not finish")
	defer j.shard.post(post{job: j})
	at, list, err := j.shard.broker.History(context.Background(), j.channel, j.filter)
	j.result = clientproto.HistoryResult{Offset: at.Offset, Epoch: at.Epoch, Publications: session.Publications(list)}
	j.err = err
}

func (j *historyJob) finish(s *shard, c *conn) {
	if j.err != nil {
		s.fail(c, j.id, errorOf(j.err))
		return
	}
	s.send(c, clientproto.AppendHistory(s.replies[:0], j.id, &j.result))
}
