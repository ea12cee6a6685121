package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"weir/engine/backend"
	"weir/engine/stats"
	"weir/security/token"
)

// application is a backend whose answers the test gives.
type application struct {
	t     testing.TB
	url   string
	asked [backend.Kinds]chan *question
}

type question struct {
	body   string
	answer chan string // "" is status 503
}

func newApplication(t testing.TB) *application {
	t.Helper()
	a := &application{t: t}
	kinds := map[string]chan *question{}
	for k := range a.asked {
		a.asked[k] = make(chan *question, 64)
		kinds["/"+backend.Kind(k).String()] = a.asked[k]
	}
	over := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		q := &question{body: string(body), answer: make(chan string, 1)}
		kinds[r.URL.Path] <- q
		select {
		case answer := <-q.answer:
			if answer == "" {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
			_, _ = io.WriteString(w, answer)
		case <-over:
		}
	}))
	a.url = s.URL
	t.Cleanup(func() {
		close(over)
		s.Close()
	})
	return a
}

// start runs a server that asks the application everything, and about the namespace asked.
func (a *application) start(change func(*Config)) *testServer {
	a.t.Helper()
	return start(a.t, func(c *Config) {
		for k := range backend.Kinds {
			c.Hooks.URLs[k] = a.url + "/" + k.String()
		}
		c.Hooks.Timeout = testWait
		c.Namespaces = append(c.Namespaces, Namespace{Name: "asked", SubscribeHook: true, PublishHook: true})
		if change != nil {
			change(c)
		}
	})
}

func (a *application) next(k backend.Kind) *question {
	a.t.Helper()
	select {
	case q := <-a.asked[k]:
		return q
	case <-time.After(testWait):
		a.t.Fatalf("no %s was asked in %v", k, testWait)
	}
	panic("not reached")
}

func (a *application) says(k backend.Kind, answer string) *question {
	a.t.Helper()
	q := a.next(k)
	q.answer <- answer
	return q
}

// TestHooksStarveNobody: with one hook that hangs and all its places taken, one more question is refused at once; the
// other hooks, token checks, publications and history go on.
func TestHooksStarveNobody(t *testing.T) {
	app := newApplication(t)
	s := app.start(func(c *Config) {
		c.Hooks.Concurrency = 1
		c.Namespaces[0].HistorySize, c.Namespaces[0].HistoryTTL = 10, time.Hour
	})
	c := s.connected(t, sign(t, "alice", "feeds:*"))
	var stuck []*client
	for i := range 1 + hookQueue {
		d := s.connected(t, sign(t, fmt.Sprint("user", i), "feeds:*"))
		d.send(`{"id":7,"rpc":{"method":"m"}}`)
		stuck = append(stuck, d)
		// One is being asked, the others stand behind it.
		eventually(t, "the next question", func() bool {
			return s.shared.hooks.pools[backend.RPC].Queued() == i && len(app.asked[backend.RPC]) == 1
		})
	}
	if reply := c.do(`"rpc":{"method":"m"}`); !strings.Contains(reply, `"error":{"code":111,"message":"too many requests","temporary":true}`) {
		t.Errorf("one question too many: %s", reply)
	}
	c.mustDo(`"subscribe":{"channel":"feeds:a"}`)
	c.mustDo(`"publish":{"channel":"feeds:a","data":1}`)
	named := s.client(t)
	named.send(`{"id":1,"connect":{}}`)
	app.says(backend.Connect, `{"result":{"user":"bob"}}`)
	if reply := named.mustNext(); !strings.HasPrefix(reply, `{"id":1,"connect":{`) {
		t.Errorf("connecting by another hook: %s", reply)
	}
	s.connected(t, sign(t, "carol", "feeds:*"))
	if n := s.metrics(t)[`weir_hook_queue_calls{hook="rpc"}`]; n != fmt.Sprint(hookQueue) {
		t.Errorf("%s questions wait", n)
	}
	for range stuck {
		app.says(backend.RPC, `{"result":{}}`)
	}
	for _, d := range stuck {
		if reply := d.mustNext(); reply != `{"id":7,"rpc":{}}` {
			t.Errorf("the answer is %s", reply)
		}
	}
}

// TestFullConnectHook: who cannot be asked about is not let in, and may try again.
func TestFullConnectHook(t *testing.T) {
	app := newApplication(t)
	s := app.start(func(c *Config) { c.Hooks.Concurrency = 1 })
	for i := range 1 + hookQueue {
		s.client(t).send(`{"id":1,"connect":{}}`)
		eventually(t, "the next question", func() bool {
			return s.shared.hooks.pools[backend.Connect].Queued() == i && len(app.asked[backend.Connect]) == 1
		})
	}
	c := s.client(t)
	if reply := c.do(`"connect":{}`); !strings.Contains(reply, `"code":111`) || !strings.Contains(reply, `"temporary":true`) {
		t.Errorf("one too many: %s", reply)
	}
	if reply := c.do(`"connect":{"token":"` + sign(t, "alice", "feeds:*") + `"}`); !strings.Contains(reply, `"client"`) {
		t.Errorf("with a token: %s", reply)
	}
}

// TestCommandsBehindAHook wait for its answer, and keep their order.
func TestCommandsBehindAHook(t *testing.T) {
	app := newApplication(t)
	s := app.start(nil)
	c := s.connected(t, sign(t, "alice", "feeds:*"))
	c.send(`{"id":2,"rpc":{"method":"first"}}` + "\n" + `{"id":3,"subscribe":{"channel":"asked:a"}}` + "\n" + `{"send":{"data":4}}`)
	c.send(`{"id":5,"publish":{"channel":"asked:a","data":5}}` + "\n" + `{"id":6,"unsubscribe":{"channel":"asked:a"}}`)
	c.send(`{"id":7,"rpc":{"method":"last"}}`)
	app.says(backend.RPC, `{"result":{"data":2}}`)
	app.says(backend.Subscribe, `{"result":{}}`)
	app.says(backend.Send, `{"result":{}}`)
	app.says(backend.Publish, `{"result":{}}`)
	app.says(backend.RPC, `{"result":{"data":7}}`)
	var replies []string
	for len(replies) < 5 {
		if line := c.mustNext(); !strings.HasPrefix(line, `{"push"`) { // its own publication comes, or is taken out by the unsubscribe
			replies = append(replies, line)
		}
	}
	if got := strings.Join(replies, ""); !strings.HasPrefix(got, `{"id":2,"rpc":{"data":2}}{"id":3,"subscribe":{`) || !strings.HasSuffix(got, `{"id":5,"publish":{}}{"id":6,"unsubscribe":{}}{"id":7,"rpc":{"data":7}}`) {
		t.Errorf("the replies are %s", got)
	}
}

// TestGoneWhileAsked: an answer for somebody who left changes nothing.
func TestGoneWhileAsked(t *testing.T) {
	app := newApplication(t)
	s := app.start(nil)
	for _, command := range []string{`"connect":{}`, `"subscribe":{"channel":"asked:a"}`, `"publish":{"channel":"asked:a","data":1}`, `"rpc":{}`} {
		kind := backend.Connect
		c := s.client(t)
		if !strings.HasPrefix(command, `"connect"`) {
			c.mustDo(`"connect":{"token":"` + sign(t, "alice", "feeds:*") + `"}`)
			kind = map[byte]backend.Kind{'s': backend.Subscribe, 'p': backend.Publish, 'r': backend.RPC}[command[1]]
		}
		c.send(`{"id":9,` + command + `}`)
		q := app.next(kind)
		_ = c.ws.CloseNow()
		eventually(t, "the end of the connection", func() bool { return s.Server.stats.Level(stats.Connections) == 0 })
		q.answer <- `{"result":{"user":"u","data":1}}`
		eventually(t, "the answer", func() bool { return s.shared.hooks.Calls(kind, "ok") == 1 })
	}
	s.onLoops(func(*shard) {}) // the answers were looked at
	if n := s.Server.stats.Level(stats.Sessions) + s.Server.stats.Level(stats.Subscriptions); n != 0 {
		t.Errorf("%d sessions and subscriptions", n)
	}
	if n := s.Server.stats.Total(stats.Publications); n != 0 {
		t.Errorf("%d publications", n)
	}
}

// TestServerStopsWhileAsked: nobody waits for the backend.
func TestServerStopsWhileAsked(t *testing.T) {
	app := newApplication(t)
	s := app.start(func(c *Config) { c.Hooks.Timeout = time.Hour })
	c := s.connected(t, sign(t, "alice", "feeds:*"))
	c.send(`{"id":9,"rpc":{}}`)
	app.next(backend.RPC)
	if err := s.stop(); err != nil {
		t.Error(err)
	}
}

// TestBreaker: a backend that is not there is left alone for a while; what needs it is refused meanwhile.
func TestBreaker(t *testing.T) {
	app := newApplication(t)
	s := app.start(nil)
	c := s.connected(t, sign(t, "alice", "feeds:*"))
	for range 5 {
		c.send(`{"id":9,"rpc":{}}`)
		app.says(backend.RPC, "")
		c.wantPush(`"code":100`)
	}
	c.send(`{"id":9,"rpc":{}}`)
	c.wantPush(`"code":100`)
	samples := s.metrics(t)
	for name, want := range map[string]string{
		`weir_hook_calls_total{hook="rpc",result="unavailable"}`: "5", `weir_hook_calls_total{hook="rpc",result="open"}`: "1",
		`weir_hook_calls_total{hook="publish",result="ok"}`: "0", `weir_hook_breaker_open{hook="rpc"}`: "1", `weir_hook_breaker_open{hook="publish"}`: "0",
	} {
		if samples[name] != want {
			t.Errorf("%s is %q, want %s", name, samples[name], want)
		}
	}
	s.clock.move(time.Second)
	c.send(`{"id":9,"rpc":{}}`)
	app.says(backend.RPC, `{"result":{"data":1}}`)
	c.wantPush(`{"id":9,"rpc":{"data":1}}`)
	if n := s.metrics(t)[`weir_hook_breaker_open{hook="rpc"}`]; n != "0" {
		t.Errorf("weir_hook_breaker_open is %s", n)
	}
}

// TestConnectHook: what the application says of a connection bounds it like a token.
func TestConnectHook(t *testing.T) {
	app := newApplication(t)
	s := app.start(func(c *Config) { c.Limits.UserConnections, c.Limits.ChannelsPerSession = 1, 2 })
	ask := func(result string) *client {
		c := s.client(t)
		c.send(`{"id":1,"connect":{"subs":{"feeds:a":{"recover":true,"offset":1,"epoch":"e"}}}}`)
		if q := app.says(backend.Connect, `{"result":`+result+`}`); !strings.Contains(q.body, `"channels":["feeds:a"]`) || strings.Contains(q.body, `"user"`) {
			t.Errorf("asked %s", q.body)
		}
		return c
	}
	until := s.clock.in(time.Minute).Unix()
	c := ask(fmt.Sprintf(`{"user":"alice","expire_at":%d,"subs":{"feeds:a":{"data":1}}}`, until))
	if reply := c.mustNext(); strings.Contains(reply, "expires") || !strings.Contains(reply, `"subs":{"feeds:a":{`) {
		t.Errorf("the reply is %s", reply)
	}
	ask(`{"user":"alice"}`).wantClose(3504)
	ask(`{"user":"bob","channels":["open:a","open:b","open:c"]}`).wantClose(3505)
	ask(fmt.Sprintf(`{"user":"bob","expire_at":%d}`, s.clock.now().Unix())).wantPush(`"error":{"code":110`)
	s.mustAPI("block_user", `{"user":"mallory"}`)
	ask(`{"user":"mallory"}`).wantClose(3500)

	s.clock.move(time.Minute + s.policy.Load().limits.ExpiredCloseDelay + time.Second)
	c.wantClose(3005)
}

// TestRefreshOfTheBackends: a token of the same user takes the place of what the application said, an older one does not.
func TestRefreshOfTheBackends(t *testing.T) {
	app := newApplication(t)
	s := app.start(nil)
	for _, ago := range []time.Duration{0, time.Hour} {
		c := s.client(t)
		c.send(`{"id":1,"connect":{}}`)
		app.says(backend.Connect, `{"result":{"user":"alice"}}`)
		c.mustNext()
		c.send(`{"id":2,"refresh":{"token":"` + signClaims(t, token.SignClaims{Subject: "alice", IssuedAt: s.clock.now().Add(-ago).Unix(), ExpiresAt: s.clock.in(time.Hour).Unix()}) + `"}}`)
		if ago > 0 {
			c.wantClose(3500)
		} else {
			c.wantPush(`{"id":2,"refresh":{`)
		}
	}
}

// TestSubscribedWhileAsked: what the server did meanwhile is not done twice.
func TestSubscribedWhileAsked(t *testing.T) {
	app := newApplication(t)
	s := app.start(nil)
	c := s.connected(t, sign(t, "alice", "feeds:*"))
	c.send(`{"id":9,"subscribe":{"channel":"asked:a"}}`)
	q := app.next(backend.Subscribe)
	s.mustAPI("subscribe", `{"user":"alice","channel":"asked:a"}`)
	c.wantPush(`"channel":"asked:a","subscribe"`)
	q.answer <- `{"result":{}}`
	c.wantPush(`{"id":9,"error":{"code":105`)
	if n := s.shared.hub.Subscribers("asked:a"); n != 1 {
		t.Errorf("%d subscribers", n)
	}
}

// TestFeedAndHooks: nobody is asked for /feed, so it opens no channel that the application decides about.
func TestFeedAndHooks(t *testing.T) {
	s := newApplication(t).start(func(c *Config) { c.AllowAnonymous = true })
	for _, jwt := range []string{"", sign(t, "alice", "*")} {
		header := http.Header{"Origin": {testOrigin}}
		if jwt != "" {
			header = bearer(jwt)
		}
		if _, response, err := s.dial(pathFeed+"?channel=asked:a", header); err == nil || response.StatusCode != http.StatusForbidden {
			t.Errorf("token %.5q: %v, %+v", jwt, err, response)
		}
	}
}

// TestLongAnswers: what the application puts in the place of a publication keeps to the limit of clients.
func TestLongAnswers(t *testing.T) {
	app := newApplication(t)
	s := app.start(nil)
	c := s.connected(t, sign(t, "alice", "feeds:*"))
	for _, x := range []struct {
		length int
		want   string
	}{{s.policy.Load().limits.MessageSize - 2, `{"id":9,"publish":{}}`}, {s.policy.Load().limits.MessageSize - 1, `"code":100`}} {
		c.send(`{"id":9,"publish":{"channel":"asked:a","data":1}}`)
		app.says(backend.Publish, `{"result":{"data":"`+strings.Repeat("x", x.length)+`"}}`)
		c.wantPush(x.want)
	}
	c.send(`{"id":9,"rpc":{}}`)
	app.says(backend.RPC, `{"result":{"data":"`+strings.Repeat("x", hookAnswerBytes)+`"}}`)
	c.wantPush(`"code":100`)
}

// TestPongBehindAHook: who answered the ping in time is not closed because we were waiting for the backend.
func TestPongBehindAHook(t *testing.T) {
	app := newApplication(t)
	s := app.start(func(c *Config) {
		c.Pollers, c.Limits.PingInterval, c.Limits.PongTimeout, c.Limits.PartialTimeout = 1, time.Minute, time.Second, 5*time.Second
	})
	c := s.connected(t, sign(t, "alice", "feeds:*"))
	c.send(`{"id":9,"rpc":{}}`)
	q := app.next(backend.RPC)
	s.clock.move(time.Minute)
	ctx, cancel := context.WithTimeout(context.Background(), testWait)
	defer cancel()
	if _, message, err := c.ws.Read(ctx); string(message) != "{}" {
		t.Fatalf("%s, %v where a ping was due", message, err)
	}
	c.send("{}")
	eventually(t, "the pong", func() (held bool) {
		s.theirs(func(_ *shard, c *conn) { held = len(c.partial()) > 0 })
		return held
	})
	for range 8 {
		s.clock.move(2 * time.Second)
		s.onLoops(func(*shard) {}) // and the timers behind it
	}
	q.answer <- `{"result":{}}`
	c.wantPush(`{"id":9,"rpc":{}}`)
	c.mustDo(`"subscribe":{"channel":"feeds:a"}`)
}

// TestHookBodies: a client's bytes stand in fields of JSON.
func TestHookBodies(t *testing.T) {
	app := newApplication(t)
	s := app.start(nil)
	c := s.connected(t, sign(t, "ali\"ce\n", "feeds:*"))
	c.send(`{"id":9,"rpc":{"method":"\",\"user\":\"root\"}\r\n\u0000","data":{ "a" : [ 1 , 2 ] }}}`)
	q := app.says(backend.RPC, `{"result":{}}`)
	var fields map[string]any
	if err := json.Unmarshal([]byte(q.body), &fields); err != nil || fields["user"] != "ali\"ce\n" || fields["method"] != "\",\"user\":\"root\"}\r\n\x00" || !strings.HasSuffix(q.body, `,"data":{"a":[1,2]}}`) {
		t.Errorf("%v: %s", err, q.body)
	}
}

// TestReloadOfHooks: what the application permitted stays as long as it is the one to permit; a hook that is not there
// cannot be asked by a reload.
func TestReloadOfHooks(t *testing.T) {
	app := newApplication(t)
	s := app.start(nil)
	c := s.connected(t, sign(t, "alice", "feeds:*"))
	subscribe := func(channel string) *question {
		c.send(`{"id":9,"subscribe":{"channel":"` + channel + `"}}`)
		return app.next(backend.Subscribe)
	}
	subscribe("asked:a").answer <- `{"result":{}}`
	c.wantPush(`{"id":9,"subscribe"`)
	s.reload(func(cfg *Config) { cfg.Limits.MessageRate = 50 })
	s.publish("asked:a", "1")
	c.wantPush(`"asked:a","pub"`)
	q := subscribe("asked:b")
	s.reload(func(cfg *Config) { cfg.Namespaces = []Namespace{{Name: "feeds"}, {Name: "asked"}} })
	c.wantPush(`{"push":{"channel":"asked:a","unsubscribe":{"code":2003`)
	q.answer <- `{"result":{}}` // to a question that is no longer its to answer
	c.wantPush(`{"id":9,"error":{"code":103`)

	bare := start(t, nil)
	cfg := bare.config
	cfg.Hooks.URLs[backend.Subscribe] = app.url + "/subscribe"
	cfg.Namespaces = []Namespace{{Name: "asked", SubscribeHook: true}}
	if err := bare.Reload(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "--subscribe-hook") {
		t.Errorf("a reload that would ask a hook of after the next start: %v", err)
	}
}
