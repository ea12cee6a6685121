package realclient

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"weir/engine"
	"weir/engine/backend"
)

// application is a backend whose answers the test gives.
type application struct {
	t      testing.TB
	url    string
	asked  chan *question
	absent atomic.Bool // connections are closed unanswered
}

// question is one call of a hook.
type question struct {
	kind   string // the last part of the path
	fields map[string]any
	answer chan string
}

func newApplication(t testing.TB) *application {
	t.Helper()
	a := &application{t: t, asked: make(chan *question, 64)}
	over := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a.absent.Load() {
			if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
				_ = conn.Close()
			}
			return
		}
		q := &question{kind: strings.TrimPrefix(r.URL.Path, "/"), answer: make(chan string, 1)}
		body, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(body, &q.fields); err != nil || r.Method != http.MethodPost || r.Header.Get("X-Key") != "of the server" {
			t.Errorf("asked %s %s %v: %s", r.Method, r.URL, r.Header, body)
		}
		a.asked <- q
		select {
		case answer := <-q.answer:
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

// serve runs a server that asks the application everything, and about the namespace asked.
func (a *application) serve(timeout time.Duration) *server {
	a.t.Helper()
	return serve(a.t, func(c *engine.Config) {
		for k := range backend.Kinds {
			c.Hooks.URLs[k] = a.url + "/" + k.String()
		}
		c.Hooks.HeaderName, c.Hooks.HeaderValue, c.Hooks.Timeout = "X-Key", "of the server", timeout
		c.Namespaces = append(c.Namespaces, engine.Namespace{Name: "asked", SubscribeHook: true, PublishHook: true, HistorySize: 10, HistoryTTL: time.Hour})
	})
}

// next returns the next question, which must be of the kind.
func (a *application) next(kind string) *question {
	a.t.Helper()
	select {
	case q := <-a.asked:
		if q.kind != kind || q.fields["client"] == "" || q.fields["transport"] != "websocket" || q.fields["protocol"] != "json" || q.fields["encoding"] != "json" {
			a.t.Fatalf("asked %s %v, want %s", q.kind, q.fields, kind)
		}
		return q
	case <-time.After(longest):
		a.t.Fatalf("no %s was asked in %v", kind, longest)
	}
	panic("not reached")
}

// says answers the next question and returns it.
func (a *application) says(kind, answer string) *question {
	a.t.Helper()
	q := a.next(kind)
	q.answer <- answer
	return q
}

// want checks a member of a question, as JSON.
func (q *question) want(t testing.TB, name, value string) {
	t.Helper()
	if got, err := json.Marshal(q.fields[name]); err != nil || string(got) != value {
		t.Errorf("%s of %s is %s, want %s", name, q.kind, got, value)
	}
}

// long is a timeout that no machine is too slow for; short one that is the subject.
const long, short = time.Minute / 2, 50 * time.Millisecond

func TestSDKConnectHook(t *testing.T) {
	t.Parallel()
	t.Run("accepted", func(t *testing.T) {
		t.Parallel()
		app := newApplication(t)
		s := app.serve(long)
		n := s.sdk(t, order{"options": order{"data": order{"ticket": 7}}})
		n.do(order{"do": "connect"})
		q := app.says("connect", `{"result":{"user":"alice","info":{"name":"Alice"},"data":{"hello":"you"},"channels":["feeds:server"],
			"caps":[{"channels":["feeds:*"],"match":"wildcard","allow":["sub","pub"]}]}}`)
		q.want(t, "name", `"realclient"`)
		q.want(t, "data", `{"ticket":7}`)
		q.want(t, "user", `null`)
		c, sub := n.both("connected", "server subscribed", append(chatter, "connecting")...)
		if string(c.Data) != `{"hello":"you"}` || sub.Channel != "feeds:server" || q.fields["client"] != c.Client {
			t.Errorf("connected as %s with %s, the application was asked about %v", c.Client, c.Data, q.fields["client"])
		}
		n.do(order{"do": "subscribe", "channel": "feeds:a"})
		n.next("subscribed", append(chatter, "subscribing")...)
		n.do(order{"do": "publish", "channel": "feeds:a", "data": 1})
		p, _ := n.both("publication", "published", chatter...)
		if info := string(p.Info); !strings.Contains(info, `"user":"alice"`) || !strings.Contains(info, `{"name":"Alice"}`) {
			t.Errorf("its publication tells %s", info)
		}
		n.do(order{"do": "subscribe", "channel": "other:a"})
		if e := n.next("unsubscribed", append(chatter, "subscribing")...); e.Code != 103 {
			t.Errorf("beyond what the application granted: %d, want 103", e.Code)
		}
		s.connected(t, order{}) // a token is enough
	})
	for name, c := range map[string]struct {
		answer string
		code   int
	}{
		"refused":      {`{"error":{"code":403,"message":"not you"}}`, 403},
		"disconnected": {`{"disconnect":{"code":4501,"reason":"unauthorized"}}`, 4501},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			app := newApplication(t)
			n := app.serve(long).sdk(t, order{})
			n.do(order{"do": "connect"})
			app.says("connect", c.answer)
			if e := n.next("disconnected", append(chatter, "connecting")...); e.Code != c.code {
				t.Errorf("disconnected with %d %s, want %d", e.Code, e.Reason, c.code)
			}
		})
	}
	t.Run("down", func(t *testing.T) {
		t.Parallel()
		app := newApplication(t)
		app.absent.Store(true)
		s := app.serve(long)
		n := s.sdk(t, order{})
		n.do(order{"do": "connect"})
		for range 2 { // it comes back by itself
			if e := n.next("error", append(chatter, "connecting")...); e.Code != 100 {
				t.Errorf("error %d %s, want 100", e.Code, e.Text)
			}
		}
		app.absent.Store(false)
		s.clock.run() // so that the application is tried again
		app.says("connect", `{"result":{"user":"alice"}}`)
		n.next("connected", append(chatter, "connecting", "error")...)
	})
	t.Run("no answer", func(t *testing.T) {
		t.Parallel()
		app := newApplication(t)
		n := app.serve(short).sdk(t, order{})
		n.do(order{"do": "connect"})
		if e := n.next("error", append(chatter, "connecting")...); e.Code != 100 {
			t.Errorf("error %d %s, want 100", e.Code, e.Text)
		}
	})
}

func TestSDKRPCHook(t *testing.T) {
	t.Parallel()
	app := newApplication(t)
	n := app.serve(long).connected(t, order{})
	ask := func(answer string) event {
		t.Helper()
		n.do(order{"do": "rpc", "method": "price", "data": order{"of": "ACME"}})
		q := app.says("rpc", answer)
		q.want(t, "user", `"alice"`)
		q.want(t, "method", `"price"`)
		q.want(t, "data", `{"of":"ACME"}`)
		if strings.Contains(answer, "error") {
			return n.next("rpc error", chatter...)
		}
		return n.next("rpc answered", chatter...)
	}
	if e := ask(`{"result":{"data":{"price": 101.25}}}`); string(e.Data) != `{"price":101.25}` {
		t.Errorf("the answer is %s", e.Data)
	}
	if e := ask(`{"result":{"b64data":"WzFd"}}`); string(e.Data) != `[1]` {
		t.Errorf("the answer in base64 is %s", e.Data)
	}
	if e := ask(`{"error":{"code":1000,"message":"no such share"}}`); e.Code != 1000 || e.Text != "no such share" {
		t.Errorf("the refusal is %d %s", e.Code, e.Text)
	}
	if e := ask(`error 500`); e.Code != 100 {
		t.Errorf("after an answer that is none: %d %s, want 100", e.Code, e.Text)
	}
	app.absent.Store(true)
	n.do(order{"do": "rpc", "method": "price"})
	if e := n.next("rpc error", chatter...); e.Code != 100 {
		t.Errorf("nobody there: %d %s, want 100", e.Code, e.Text)
	}
	app.absent.Store(false)
	ask(`{"result":{}}`)
	n.do(order{"do": "rpc", "method": "price"})
	app.says("rpc", `{"disconnect":{"code":4500,"reason":"go away"}}`)
	if e := n.next("disconnected", append(chatter, "rpc error")...); e.Code != 4500 || e.Reason != "go away" {
		t.Errorf("disconnected with %d %s", e.Code, e.Reason)
	}
}

// TestSDKHooksWithoutAnswer: what nobody answers in time is refused, and costs nothing else.
func TestSDKHooksWithoutAnswer(t *testing.T) {
	t.Parallel()
	app := newApplication(t)
	s := app.serve(short)
	n := s.connected(t, order{}, "feeds:a")
	n.do(order{"do": "rpc", "method": "m"})
	if e := n.next("rpc error", chatter...); e.Code != 100 {
		t.Errorf("rpc: %d %s, want 100", e.Code, e.Text)
	}
	n.do(order{"do": "publish", "channel": "asked:a", "data": 1})
	if e := n.next("publish error", chatter...); e.Code != 100 {
		t.Errorf("publish: %d %s, want 100", e.Code, e.Text)
	}
	n.do(order{"do": "send", "data": 1})
	n.do(order{"do": "subscribe", "channel": "asked:a"})
	if e := n.next("subscription error", append(chatter, "subscribing")...); e.Code != 100 {
		t.Errorf("subscribe: %d %s, want 100", e.Code, e.Text)
	}
	s.publish("feeds:a", `"still here"`)
	if e := n.next("publication", append(chatter, "subscription error")...); e.Channel != "feeds:a" {
		t.Errorf("%+v", e)
	}
}

func TestSDKSendHook(t *testing.T) {
	t.Parallel()
	app := newApplication(t)
	s := app.serve(long)
	n := s.connected(t, order{})
	send := func(answer string) {
		t.Helper()
		n.do(order{"do": "send", "data": order{"typed": true}})
		q := app.says("send", answer)
		q.want(t, "user", `"alice"`)
		q.want(t, "data", `{"typed":true}`)
		q.want(t, "method", `null`)
	}
	send(`{"result":{}}`)
	send(`{"error":{"code":1000}}`) // who sends is told nothing
	send(`nonsense`)
	app.absent.Store(true)
	n.do(order{"do": "send", "data": 1})
	n.do(order{"do": "rpc", "method": "m"}) // behind it
	if e := n.next("rpc error", chatter...); e.Code != 100 {
		t.Errorf("%d %s, want 100", e.Code, e.Text)
	}
	app.absent.Store(false)
	send(`{"disconnect":{"code":4001,"reason":"come back"}}`)
	if e := n.next("connecting", chatter...); e.Code != 4001 {
		t.Errorf("%d %s, want 4001", e.Code, e.Reason)
	}
	n.next("connected", append(chatter, "error")...)
}

func TestSDKSubscribeHook(t *testing.T) {
	t.Parallel()
	app := newApplication(t)
	s := app.serve(long)
	n := s.connected(t, order{})
	n.do(order{"do": "subscribe", "channel": "asked:a", "options": order{"data": order{"seat": 1}}})
	q := app.says("subscribe", `{"result":{"info":{"role":"host"},"data":{"topic":"x"}}}`)
	q.want(t, "user", `"alice"`)
	q.want(t, "channel", `"asked:a"`)
	q.want(t, "data", `{"seat":1}`)
	if e := n.next("subscribed", append(chatter, "subscribing")...); string(e.Data) != `{"topic":"x"}` {
		t.Errorf("subscribed with %s", e.Data)
	}
	s.mustReceive(n, "asked:a", `1`)
	n.do(order{"do": "publish", "channel": "asked:a", "data": 2})
	app.says("publish", `{"result":{}}`)
	if p, _ := n.both("publication", "published", chatter...); !strings.Contains(string(p.Info), `"chanInfo":{"role":"host"}`) {
		t.Errorf("its publication tells %s", p.Info)
	}

	n.do(order{"do": "subscribe", "channel": "asked:b"})
	app.says("subscribe", `{"error":{"code":403,"message":"not yours"}}`)
	if e := n.next("unsubscribed", append(chatter, "subscribing")...); e.Channel != "asked:b" || e.Code != 403 || e.Reason != "not yours" {
		t.Errorf("%+v, want 403", e)
	}
	n.do(order{"do": "subscribe", "channel": "$asked:c"})
	if e := n.next("unsubscribed", append(chatter, "subscribing")...); e.Code != 103 {
		t.Errorf("%+v: no hook stands for a subscription token", e)
	}

	app.absent.Store(true)
	n.do(order{"do": "subscribe", "channel": "asked:d"})
	if e := n.next("subscription error", append(chatter, "subscribing")...); e.Code != 100 {
		t.Errorf("%+v, want 100", e)
	}
	app.absent.Store(false)
	s.clock.run()
	app.says("subscribe", `{"result":{}}`).want(t, "channel", `"asked:d"`) // it comes back by itself
	n.next("subscribed", append(chatter, "subscribing", "subscription error")...)
	s.mustReceive(n, "asked:d", `2`)

	n.do(order{"do": "subscribe", "channel": "asked:e"})
	app.says("subscribe", `{"disconnect":{"code":4500,"reason":"go away"}}`)
	if e := n.next("disconnected", append(chatter, "subscribing")...); e.Code != 4500 {
		t.Errorf("%+v, want 4500", e)
	}
}

// TestSDKSubscribeHookExpires: a subscription that the application bounds ends with 2501, and it is asked again.
func TestSDKSubscribeHookExpires(t *testing.T) {
	t.Parallel()
	app := newApplication(t)
	s := serve(t, func(cfg *engine.Config) {
		cfg.Hooks.URLs[backend.Subscribe] = app.url + "/subscribe"
		cfg.Hooks.HeaderName, cfg.Hooks.HeaderValue, cfg.Hooks.Timeout = "X-Key", "of the server", long
		cfg.Namespaces = append(cfg.Namespaces, engine.Namespace{Name: "asked", SubscribeHook: true})
	})
	n := s.sdk(t, order{"token": signUntil(t, "alice", s.clock.in(time.Hour))})
	n.do(order{"do": "subscribe", "channel": "asked:a"})
	n.do(order{"do": "connect"})
	until, err := json.Marshal(s.clock.in(time.Minute).Unix())
	if err != nil {
		t.Fatal(err)
	}
	app.says("subscribe", `{"result":{"expire_at":`+string(until)+`}}`)
	n.next("subscribed", append(chatter, "connecting", "subscribing", "connected")...)
	s.clock.move(2 * time.Minute)
	if e := n.next("subscribing", chatter...); e.Code != 2501 {
		t.Errorf("%+v, want 2501", e)
	}
	app.says("subscribe", `{"result":{}}`)
	n.next("subscribed", chatter...)
	s.mustReceive(n, "asked:a", `"again"`)
}

func TestSDKPublishHook(t *testing.T) {
	t.Parallel()
	app := newApplication(t)
	s := app.serve(long)
	n := s.connected(t, order{})
	n.do(order{"do": "subscribe", "channel": "asked:a"})
	app.says("subscribe", `{"result":{}}`)
	n.next("subscribed", append(chatter, "subscribing")...)
	publish := func(answer string) {
		t.Helper()
		n.do(order{"do": "publish", "channel": "asked:a", "data": order{"text": "hi"}})
		q := app.says("publish", answer)
		q.want(t, "user", `"alice"`)
		q.want(t, "channel", `"asked:a"`)
		q.want(t, "data", `{"text":"hi"}`)
	}
	for answer, want := range map[string]string{
		`{"result":{}}`: `{"text":"hi"}`, `{"result":{"data":{"text":"checked"}}}`: `{"text":"checked"}`,
	} {
		publish(answer)
		if p, _ := n.both("publication", "published", chatter...); string(p.Data) != want || p.Offset == 0 {
			t.Errorf("%s: published %s at %d, want %s", answer, p.Data, p.Offset, want)
		}
	}
	publish(`{"result":{"skip_history":true}}`)
	if p, _ := n.both("publication", "published", chatter...); p.Offset != 0 {
		t.Errorf("published at %d, want no history", p.Offset)
	}
	publish(`{"error":{"code":1001,"message":"mind your words"}}`)
	if e := n.next("publish error", chatter...); e.Code != 1001 || e.Text != "mind your words" {
		t.Errorf("%+v, want 1001", e)
	}
	app.absent.Store(true)
	n.do(order{"do": "publish", "channel": "asked:a", "data": 1})
	if e := n.next("publish error", chatter...); e.Code != 100 {
		t.Errorf("%+v, want 100", e)
	}
	app.absent.Store(false)
	s.mustReceive(n, "asked:a", `"nothing that was refused"`)
	publish(`{"disconnect":{"code":4500,"reason":"go away"}}`)
	if e := n.next("disconnected", append(chatter, "subscribing", "publish error")...); e.Code != 4500 {
		t.Errorf("%+v, want 4500", e)
	}
}

// TestSDKWithoutHooks: who asks for what is not there is told so.
func TestSDKWithoutHooks(t *testing.T) {
	t.Parallel()
	n := serve(t, nil).connected(t, order{})
	n.do(order{"do": "send", "data": 1})
	n.do(order{"do": "rpc", "method": "m"})
	if e := n.next("rpc error", chatter...); e.Code != 108 {
		t.Errorf("%d %s, want 108", e.Code, e.Text)
	}
}
