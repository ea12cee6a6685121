package engine

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"weir/engine/api"
	"weir/engine/broker/memory"
	"weir/engine/clientproto"
	"weir/engine/hub"
	"weir/engine/poll"
	"weir/engine/stats"
	"weir/engine/tlsconn"
	"weir/engine/upgrade"
	"weir/engine/wheel"
	"weir/engine/work"
	"weir/security/audit"
	"weir/security/limit"
	"weir/security/origin"
	"weir/security/schema"
	"weir/security/token"
)

// Server is one node. New binds its listeners, Run serves until its context
// ends and then drains.
type Server struct {
	shared *shared // immutable
	policy atomic.Pointer[policy]
	shards []*shard
	log    *slog.Logger
	uid    string

	listeners []*poll.Listener // the public ones first
	proxies   int              // where those of --proxy-listen begin; 0: it is off
	internal  []*internalListener
	handlers  *api.Handlers
	memory    *memory.Broker
	classes   classes       // owned by New and Reload
	origins   origin.Ledger // also
	stats     *stats.Set
	apiStats  *stats.Shard // the set's last shard: what is not a loop's

	reusePort bool // one listener per shard and address

	pressure   pressure
	collection Collection // immutable

	full              atomic.Uint64 // connections refused by roomForOne for --connections
	untrusted         atomic.Uint64 // connections to --proxy-listen from elsewhere than a trusted proxy
	serving, draining atomic.Bool
	stopped           chan struct{} // closed when Run ends
}

// New checks cfg and binds the listeners. Errors name the option and the mend.
// Nothing is served before Run; a Server that is not run must be closed.
func New(cfg Config) (*Server, error) {
	cfg.Pollers = cmp.Or(cfg.Pollers, runtime.GOMAXPROCS(0))
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if err := cfg.check(); err != nil {
		return nil, err
	}
	s := &Server{
		log: cfg.Log, uid: rand.Text(), stopped: make(chan struct{}), reusePort: cfg.ReusePort,
		stats: stats.New(cfg.Pollers+1, labels()), classes: classes{},
	}
	s.apiStats = s.stats.Shard(cfg.Pollers)
	s.pressure.read, s.collection = cfg.Usage, cfg.Collection
	if err := s.build(&cfg); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// build makes the parts in the order of their dependence.
func (s *Server) build(cfg *Config) error {
	s.shared = newShared(cfg)
	p := newPolicy(cfg, s.nodeName(), len(s.shared.page), s.classes, &s.origins)
	p.byUser = cfg.userRates(userRates{})
	s.policy.Store(p)
	pool, err := tlsconn.NewPool(tlsconn.PoolConfig{
		TLS: cfg.TLS, ClientCAs: cfg.ClientCAs, Waiting: cfg.Limits.HandshakesMax, WaitingPerPrefix: cfg.Limits.IPHandshakes,
		StaleAfter: time.Duration(handshakeStaleShare * float64(cfg.Limits.HandshakeTimeout)), Exempt: s.shared.gate.Exempt, Panic: s.panicked, Now: cfg.Now,
	})
	if err != nil {
		return err
	}
	s.shared.pool = pool
	s.shared.work = work.New(workersPerCore*runtime.GOMAXPROCS(0), workQueue)
	s.shared.work.Panic = s.panicked
	s.shared.hooks = newHooks(cfg.hooks(), s.panicked)
	inboxes := make([]*hub.Inbox, cfg.Pollers)
	wakers := make([]*bells, cfg.Pollers)
	for i := range inboxes {
		wakers[i] = &bells{}
		inboxes[i] = hub.NewInbox(inboxEntries, cfg.Limits.MailboxBytes, wakers[i].ring)
	}
	s.shared.hub = hub.New(inboxes, hub.Limits{Patterns: patterns, Overlap: patternOverlap, BaseBytes: cfg.Limits.DeltaBaseBytes})
	s.shared.hub.SetPolicies(slowPolicies(cfg, s.classes))
	s.memory = memory.New(s.shared.hub, memory.Options{Streams: streams, IdleAfter: streamIdle, Bytes: cfg.Limits.HistoryBytes, Now: cfg.Now})
	s.shared.broker = s.memory
	s.shared.desk = newDesk(s.shared)
	for i := range inboxes {
		sh, err := s.newShard(i, inboxes[i])
		if err != nil {
			return err
		}
		wakers[i].shard = sh
		s.shards = append(s.shards, sh)
	}
	s.shared.desk.shards = s.shards
	if err := s.listen(cfg); err != nil {
		return err
	}
	return s.listenInternal(cfg)
}

func (s *Server) nodeName() string {
	if name, err := os.Hostname(); err == nil {
		return name
	}
	return "weir"
}

func newShared(cfg *Config) *shared {
	l := &cfg.Limits
	sh := &shared{
		wall: cfg.Now, start: cfg.Now(),
		audit: cfg.Audit, capture: cfg.Capture, tokens: cfg.Tokens, tickets: token.NewTickets(ticketsWaiting), revoked: token.NewRevocations(revocationsKept),
		compression: cfg.Compression, echo: cfg.EnableEcho, proxyProtocol: cfg.ProxyProtocol,
		gate:    limit.NewGate(cfg.gate()),
		users:   limit.NewUsers(l.UserConnections),
		fails:   limit.NewFailures(failureRate, failureEntries),
		pending: limit.NewFailures(pendingRate, failureEntries),
	}
	if cfg.Anomaly != nil {
		sh.bans = cfg.Anomaly.Bans
	}
	if sh.tokens == nil {
		sh.tokens = new(token.Verifier) // it refuses all until Reload brings keys
	}
	if cfg.Dev != nil {
		sh.page = upgrade.AppendPage(nil, "text/html; charset=utf-8", cfg.Dev.Page, cfg.Dev.CSP)
	}
	return sh
}

func (s *Server) newShard(i int, inbox *hub.Inbox) (*shard, error) {
	sh := &shard{
		shared: s.shared, policy: s.policy.Load(), id: i, inbox: inbox, stats: s.stats.Shard(i),
		wheel: wheel.New(s.shared.clock(), tick, wheelBuckets, 0),
		tls:   tlsconn.NewShared(s.policy.Load().perShard.keys),
		due:   make([]uint32, 0, 1024), panicked: s.panicked,
	}
	sh.blocks.Caps = sh.outboxCaps
	sh.parser.Limits.Depth, sh.parser.Limits.Members = sh.limits.JSONDepth, sh.limits.JSONMembers
	loop, err := poll.NewLoop(poll.LoopConfig{
		Name: fmt.Sprintf("shard %d", i), ReadBuffer: readBufferBytes, MaxUnsent: maxUnsentBytes,
		Log: s.log, Panic: s.panicked,
	}, sh)
	if err != nil {
		return nil, err
	}
	sh.loop = loop
	return sh, nil
}

// panicked is told of a panic that was contained to one connection or job. All
// are counted.
func (s *Server) panicked(v any, stack []byte) {
	s.apiStats.Inc(stats.Panics)
	s.log.Error("panic contained", "panic", fmt.Sprint(v), "stack", string(stack))
}

// internalListener is one of the plain HTTP listeners.
type internalListener struct {
	ln     net.Listener
	server *http.Server
}

func (s *Server) listenInternal(cfg *Config) error {
	s.handlers = api.New(api.Config{
		Node: node{s}, APIKey: cfg.APIKey, Metrics: s.gatherer(cfg), Log: s.log, Now: cfg.Now,
		Limits:   api.Limits{Data: cfg.Limits.MessageSize, Depth: cfg.Limits.JSONDepth, Members: cfg.Limits.JSONMembers},
		Channels: func(name string) *clientproto.Error { return s.policy.Load().rules.Known(name) }, Stats: s.apiStats,
		Subscriptions: func(name string) *clientproto.Error { return s.policy.Load().rules.Subscribable(name) },
		Unauthorized:  s.apiKeyless,
		Content:       func(channel string) *schema.Rule { return s.policy.Load().rules.Content(channel) },
	})
	for _, l := range []struct {
		flag, addr string
		handler    http.Handler
		tls        *tls.Config
	}{
		{"--api-listen", cfg.APIListen, s.handlers.API(), cfg.APITLS},
		{"--health-listen", cfg.HealthListen, s.handlers.Health(), nil},
	} {
		if l.addr == "" {
			s.internal = append(s.internal, nil)
			continue
		}
		ln, err := net.Listen("tcp", l.addr)
		if err != nil {
			return fmt.Errorf("%s %s: %w (choose a free address)", l.flag, l.addr, err)
		}
		bounded := newBoundedListener(ln, internalConnections)
		ln = bounded
		if l.tls != nil {
			ln = tls.NewListener(ln, l.tls)
		}
		s.internal = append(s.internal, &internalListener{ln: ln, server: &http.Server{
			Handler: l.handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: bodyTimeout,
			WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10, ConnState: bounded.state,
			ErrorLog: slog.NewLogLogger(internalErrors{s.log.Handler()}, slog.LevelWarn),
		}})
	}
	return nil
}

// Addr is where the public listener listens.
func (s *Server) Addr() netip.AddrPort { return s.listeners[0].Addr() }

// APIAddr is where the server API listens; the zero value if it is off.
func (s *Server) APIAddr() netip.AddrPort { return s.internalAddr(0) }

// HealthAddr is where the health listener listens; the zero value if it is off.
func (s *Server) HealthAddr() netip.AddrPort { return s.internalAddr(1) }

func (s *Server) internalAddr(i int) netip.AddrPort {
	if s.internal[i] == nil {
		return netip.AddrPort{}
	}
	return s.internal[i].ln.Addr().(*net.TCPAddr).AddrPort()
}

// Run serves until ctx is done, then drains and stops. It returns nil after an
// orderly end. It may be called once.
func (s *Server) Run(ctx context.Context) error {
	defer s.Close()
	loops := make([]*poll.Loop, len(s.shards))
	for i, sh := range s.shards {
		loops[i] = sh.loop
	}
	var wg sync.WaitGroup
	failed := make(chan error, len(s.listeners)+len(s.internal))
	for i, l := range s.listeners {
		to := loops
		if s.reusePort {
			to = loops[i%len(loops) : i%len(loops)+1]
		}
		wg.Go(func() {
			if err := l.Serve(to); err != nil {
				failed <- err
			}
		})
	}
	for _, in := range s.internal {
		if in == nil {
			continue
		}
		wg.Go(func() {
			if err := in.server.Serve(in.ln); !errors.Is(err, http.ErrServerClosed) {
				failed <- err
			}
		})
	}
	stop := make(chan struct{})
	wg.Go(func() { s.tick(stop) })
	s.serving.Store(true)
	s.told(audit.Started, "version "+s.policy.Load().rules.Version)
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	deadline, cancel := context.WithTimeout(context.Background(), s.policy.Load().limits.DrainPeriod+closeTimeout)
	defer cancel()
	if e := s.Drain(deadline); e != nil {
		s.log.Warn("drain not finished", "connections", s.connections())
	}
	s.told(audit.Stopped, fmt.Sprintf("%d connections left", s.connections()))
	close(stop)
	for _, in := range s.internal {
		if in != nil {
			_ = in.server.Shutdown(deadline) // what is left is closed with the process
			_ = in.server.Close()
		}
	}
	wg.Wait()
	return err
}

// tick is the clock of the loops: each call of Wake is a turn with the time in
// it. It also does what the node has to do now and then.
func (s *Server) tick(stop <-chan struct{}) {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	var h housekeeper
	p := newPace(runtime.GOMAXPROCS(0))
	for {
		select {
		case <-stop:
			return
		case <-ticker.C:
			late, now := false, s.shared.clock()
			for _, sh := range s.shards {
				late = sh.rouse(now) || late
			}
			s.shared.pool.SetComputing(p.next(late))
			h.tick(s, s.shared.wall())
		}
	}
}

// Close releases everything at once, without draining. Run does it at its end;
// call it for a Server that was not run. Further calls do nothing.
func (s *Server) Close() {
	select {
	case <-s.stopped:
		return
	default:
		close(s.stopped)
	}
	for _, l := range s.listeners {
		_ = l.Close() // only errs when closed before
	}
	for _, in := range s.internal {
		if in != nil {
			_ = in.ln.Close()
		}
	}
	for _, sh := range s.shards {
		sh.loop.Stop()
	}
	if s.shared == nil {
		return
	}
	if s.shared.pool != nil {
		s.shared.pool.Close()
	}
	if s.shared.work != nil {
		s.shared.work.Close()
	}
	if s.shared.hooks != nil {
		s.shared.hooks.close()
	}
	if s.memory != nil {
		_ = s.memory.Close() // never errs
	}
}
