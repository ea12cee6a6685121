package engine

import (
	"cmp"
	"errors"
	"time"

	"weir/engine/backend"
	"weir/engine/clientproto"
	"weir/engine/session"
	"weir/engine/stats"
	"weir/engine/work"
	"weir/security/audit"
	"weir/security/schema"
)

// hooks are the questions to the operator's backend. Each kind has workers of
// its own: one that is slow keeps neither the others waiting nor token checks
// and history. Immutable.
type hooks struct {
	*backend.Client
	pools [backend.Kinds]*work.Pool // nil: not asked
	cfg   backend.Config
}

// hooks is the configuration of the backend's client.
func (cfg *Config) hooks() backend.Config {
	h := cfg.Hooks
	h.Timeout, h.Concurrency = cmp.Or(h.Timeout, time.Second), cmp.Or(h.Concurrency, 64)
	h.AnswerBytes = min(hookAnswerBytes, cfg.Limits.MaxOutboxBytes)
	h.Payload = schema.Limits{Depth: cfg.Limits.JSONDepth, Members: cfg.Limits.JSONMembers}
	h.Log, h.Now = cfg.Log, cfg.Now
	return h
}

// asks is what sessions have to know of it.
func (cfg *Config) asks() session.Asks {
	has := func(k backend.Kind) bool { return cfg.Hooks.URLs[k] != "" }
	return session.Asks{Connect: has(backend.Connect), RPC: has(backend.RPC), Send: has(backend.Send)}
}

// newHooks returns nil if nothing is asked.
func newHooks(cfg backend.Config, panicked func(v any, stack []byte)) *hooks {
	if !cfg.Any() {
		return nil
	}
	h := &hooks{Client: backend.New(cfg), cfg: cfg}
	for k := range h.pools {
		if h.Asks(backend.Kind(k)) {
			h.pools[k] = work.New(cfg.Concurrency, hookQueue*cfg.Concurrency)
			h.pools[k].Panic = panicked
		}
	}
	return h
}

// config is what they were made of: they stay through a Reload.
func (h *hooks) config() backend.Config {
	if h == nil {
		return backend.Config{}
	}
	return h.cfg
}

// close ends the calls under way and waits for the workers.
func (h *hooks) close() {
	h.Close()
	for _, pool := range h.pools {
		if pool != nil {
			pool.Close()
		}
	}
}

// hookJob asks the backend one question.
type hookJob struct {
	ticket
	kind   backend.Kind
	step   session.Step
	client session.ClientID // of the connection, also of one that is not welcomed yet
	body   []byte
	answer backend.Answer
	err    error
}

// ask has the backend asked what step is about.
func (s *shard) ask(c *conn, kind backend.Kind, step *session.Step) {
	if kind == backend.Connect && !s.mayFail(c) {
		s.tooMany(c, limitFailures)
		return
	}
	client := c.session.Client()
	req := backend.Request{User: c.session.User(), Channel: step.Channel, Data: step.Data}
	switch kind {
	case backend.Connect:
		client = session.NewClientID()
		req.Name, req.Version = step.Command.Connect.Name, step.Command.Connect.Version
		for i := range step.Recover {
			req.Channels = append(req.Channels, step.Recover[i].Channel)
		}
	case backend.RPC:
		req.Method = step.Command.RPC.Method
	}
	req.Client = client.String()
	j := &hookJob{kind: kind, step: *step, client: client, body: backend.AppendRequest(nil, kind, &req)}
	j.step.Command, j.step.Data = nil, nil // they are borrowed
	if kind == backend.Publish {
		j.step.Data = j.body[len(j.body)-1-len(step.Data) : len(j.body)-1] // the last member
	}
	if !s.beginOn(s.hooks.pools[kind], c, j) {
		s.unasked(c, j, clientproto.ErrTooManyRequests)
	}
}

// Run implements work.Job.
func (j *hookJob) Run() {
	j.err = errors.New("engine: hook did not finish")
	defer j.shard.post(post{job: j})
	j.answer, j.err = j.shard.hooks.Ask(j.kind, j.body)
}

func (j *hookJob) finish(s *shard, c *conn) {
	if j.denies() {
		s.failed(c)
	}
	switch {
	case j.err != nil: // nothing is permitted that nobody permitted
		s.unasked(c, j, clientproto.ErrInternal)
	case j.answer.Close != nil:
		if j.denies() {
			s.unauthenticated(c, audit.ByBackend, closeReason(j.answer.Close.Code))
		}
		s.close(c, j.answer.Close)
	case j.answer.Error != nil:
		s.unasked(c, j, j.answer.Error)
	default:
		s.answered(c, j)
	}
}

// denies reports whether the backend said that what the client brought is no credential: not that it cannot tell now.
func (j *hookJob) denies() bool {
	a := &j.answer
	return j.kind == backend.Connect && j.err == nil && (a.Close != nil || a.Error != nil && !a.Error.Temporary)
}

// unasked answers the command of j with an error: of the backend, or in its
// place. Send has no reply.
func (s *shard) unasked(c *conn, j *hookJob, e *clientproto.Error) {
	s.stats.Code(stats.CommandErrors, e.Code)
	s.unpermitted(c, j, e)
	if j.kind != backend.Send {
		s.send(c, c.session.Rejected(s.replies[:0], j.step.ID, e))
	}
}

// answered carries out what the backend permitted.
func (s *shard) answered(c *conn, j *hookJob) {
	a := &j.answer
	switch j.kind {
	case backend.Connect:
		s.vouched(c, j)
	case backend.RPC:
		s.send(c, clientproto.AppendRPC(s.replies[:0], j.step.ID, a.Data))
	case backend.Subscribe:
		approval := session.Approval{Info: a.Info, Data: a.Data, Expires: a.ExpireAt}
		reply, step := c.session.Approved(s.replies[:0], j.step, &approval, s.rules, s.wall())
		s.outcome(c, reply, &step)
		if c.phase == phaseOpen {
			s.expiry(c)
		}
	case backend.Publish:
		s.publishAnswered(c, j)
	}
}

// vouched welcomes a session that the backend has named.
func (s *shard) vouched(c *conn, j *hookJob) {
	now, claims := s.wall(), j.answer.Claims
	if session.Over(claims, now) {
		s.unasked(c, j, clientproto.ErrExpired)
		return
	}
	claims.IssuedAt = now.Unix() // older tokens of the user do not take its place
	c.session.Backed()
	c.by = audit.ByBackend
	s.welcome(c, &welcome{id: j.step.ID, client: j.client, claims: claims, held: j.step.Recover, data: j.answer.Data})
}

// publishAnswered publishes what the backend let through, or put in its place.
func (s *shard) publishAnswered(c *conn, j *hookJob) {
	data := j.answer.Data
	if e := c.session.ApprovedPublish(&j.step, s.rules); e != nil {
		s.unasked(c, j, e)
		return
	}
	switch {
	case data == nil:
		data = append([]byte(nil), j.step.Data...) // it is part of the question
	case len(data) > s.limits.MessageSize:
		s.unasked(c, j, clientproto.ErrInternal)
		return
	}
	// What the client sent was checked before; there may be another rule since.
	if r := s.refusal(c, j.step.Channel, data); r.Fault != nil {
		s.unasked(c, j, clientproto.ErrInternal)
		return
	}
	j.step.Keep.Skip = j.answer.SkipHistory && !j.step.Keep.None()
	s.publish(c, &j.step, data)
}

// sources are the figures of the hooks that are asked.
func (h *hooks) sources() (list []stats.Source) {
	if h == nil {
		return nil
	}
	for k, pool := range h.pools {
		if pool == nil {
			continue
		}
		kind := backend.Kind(k)
		label := [2]string{"hook", kind.String()}
		for _, result := range backend.Results() {
			list = append(list, stats.Source{Name: "weir_hook_calls_total", Help: "Questions to the backend, by hook and how they ended.",
				Kind: stats.SourceCounter, Label: label, Split: [2]string{"result", result},
				Read: func() float64 { return float64(h.Calls(kind, result)) }})
		}
		list = append(list,
			stats.Source{Name: "weir_hook_breaker_open", Help: "1 while a hook's backend is left alone because it did not answer.",
				Label: label, Read: func() float64 { return float64(b2i(h.Open(kind))) }},
			stats.Source{Name: "weir_hook_queue_calls", Help: "Questions waiting to be asked, by hook.",
				Label: label, Read: func() float64 { return float64(pool.Queued()) }})
	}
	return list
}
