package api

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"weir/engine/broker"
	"weir/engine/clientproto"
	"weir/engine/stats"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testKey = "the key of the tests"

// memoryNode is a whole node in memory: channels with offsets and history, and connections that can be disconnected.
type memoryNode struct {
	mu           sync.Mutex
	channels     map[string][]published
	connections  []connection
	closed       []DisconnectRequest
	orders       []ordered
	revocations  []Revocation
	tickets      []Ticket
	notReady     string
	refuse       *clientproto.Error // what Publish answers instead
	hold         chan struct{}      // if set, Publish waits until it is closed or its context is done
	asked        broker.Filter      // of the last History
	removed      []string           // by RemoveHistory
	historyFails bool
	begun        chan struct{} // if set, gets one value for each Publish that began
}

type published struct {
	data    string
	options PublishOptions
}

type connection struct{ user, client string }

func (n *memoryNode) Publish(ctx context.Context, channel string, data []byte, o PublishOptions) (Position, *clientproto.Error) {
	if n.begun != nil {
		n.begun <- struct{}{}
	}
	if n.hold != nil {
		select {
		case <-n.hold:
		case <-ctx.Done():
			return Position{}, clientproto.ErrInternal
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.refuse != nil {
		return Position{}, n.refuse
	}
	if n.channels == nil {
		n.channels = make(map[string][]published)
	}
	n.channels[channel] = append(n.channels[channel], published{string(data), o})
	return Position{Offset: uint64(len(n.channels[channel])), Epoch: "e-" + channel}, nil
}

func (n *memoryNode) Disconnect(_ context.Context, d DisconnectRequest) *clientproto.Error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = append(n.closed, d)
	n.connections = slices.DeleteFunc(n.connections, func(c connection) bool {
		return (d.User == "" || d.User == c.user) && (d.Client == "" || d.Client == c.client) &&
			!slices.Contains(d.Whitelist, c.client)
	})
	return nil
}

func (n *memoryNode) Info(context.Context) []NodeInfo {
	n.mu.Lock()
	defer n.mu.Unlock()
	return []NodeInfo{{UID: "u1", Name: "n1", Version: "v0", NumClients: uint32(len(n.connections)), NumChannels: uint32(len(n.channels)), Uptime: 7}}
}

func (n *memoryNode) Ready() (bool, string) { return n.notReady == "", n.notReady }

func (n *memoryNode) published(channel string) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var list []string
	for _, p := range n.channels[channel] {
		list = append(list, p.data)
	}
	return list
}

// last is the newest publication of a channel; the zero value if there is none.
func (n *memoryNode) last(channel string) (p published) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if list := n.channels[channel]; len(list) > 0 {
		p = list[len(list)-1]
	}
	return p
}

func (n *memoryNode) total() (count int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, list := range n.channels {
		count += len(list)
	}
	return count
}

// clock is a time that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Unix(1_700_000_000, 0)} }

func (c *clock) read() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// service is the API on a real listener.
type service struct {
	*httptest.Server
	node  *memoryNode
	clock *clock
	set   *stats.Set
}

func newService(t *testing.T, change func(*Config)) *service {
	t.Helper()
	s := &service{node: &memoryNode{}, clock: newClock(), set: newTestStats()}
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(s.set.Collector())
	cfg := Config{Node: s.node, APIKey: testKey, Metrics: registry, Now: s.clock.read, Stats: s.set.Shard(0)}
	if change != nil {
		change(&cfg)
	}
	s.Server = httptest.NewServer(New(cfg).API())
	t.Cleanup(s.Close)
	return s
}

func newTestStats() *stats.Set {
	return stats.New(1, stats.Labels{stats.APIRequests: MethodNames(), stats.PublishRefused: RefusalReasons()})
}

// reply is an answer as a caller sees it.
type reply struct {
	status int
	header http.Header
	raw    string
	Error  *struct {
		Code    int
		Message string
	}
	Result json.RawMessage
}

func (r reply) code() int {
	if r.Error == nil {
		return 0
	}
	return r.Error.Code
}

// do sends one request. headers are name, value pairs; the right key is sent unless one of them is X-API-Key.
func (s *service) do(t *testing.T, method, path, body string, headers ...string) reply {
	t.Helper()
	request, err := http.NewRequest(method, s.URL+path, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set(keyHeader, testKey)
	for i := 0; i < len(headers); i += 2 {
		request.Header.Del(headers[i])
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i+1] != "" {
			request.Header.Add(headers[i], headers[i+1])
		}
	}
	response, err := s.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	r := reply{status: response.StatusCode, header: response.Header, raw: string(text)}
	if response.Header.Get("Content-Type") == "application/json" && json.Unmarshal(text, &r) != nil {
		t.Fatalf("answer is not JSON: %q", text)
	}
	return r
}

func (s *service) call(t *testing.T, method, body string, headers ...string) reply {
	t.Helper()
	return s.do(t, http.MethodPost, "/api/"+method, body, headers...)
}
