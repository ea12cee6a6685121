package scenario

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"weir/engine/clientproto"
	"weir/loadtest/client"
	"weir/loadtest/fleet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// faulty is a server of another library that speaks as much of the protocol as
// the load generator asks for, over TLS, with its server API. Each fault is done on
// purpose, and counted here as it should be counted there.
type faulty struct {
	faults
	public, api *httptest.Server

	mu       sync.Mutex
	peers    []*peer                              // guarded by mu, in the order of their coming
	history  map[string][]clientproto.Publication // guarded by mu: by channel, offsets from 1 on
	upgrades int                                  // guarded by mu
	calls    int                                  // guarded by mu
	kept     map[*peer][]byte                     // guarded by mu: swap holds it back
}

// faults are what it does wrong; 0 is nothing. Publications are meant by their
// offset, of which it takes every n-th.
type faults struct {
	drop, twice, swap, flip, stray int
	rename, cut                    int // of the envelope: another channel, without its last byte
	delay                          time.Duration
	refuseUpgrades, refuseCalls    int // every n-th with 503
	close                          int // the first peer with 3008 at this offset
	forget                         bool
	plain                          bool // no positions
	refuseSubscribe                bool
}

// peer is one connection.
type peer struct {
	ws       *websocket.Conn
	channels map[string]bool // guarded by faulty.mu
	mu       sync.Mutex      // held while writing
}

func (p *peer) write(b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.ws.Write(context.Background(), websocket.MessageText, b)
}

func newFaulty(t *testing.T, f faults) *faulty {
	t.Helper()
	s := &faulty{faults: f, history: map[string][]clientproto.Publication{}, kept: map[*peer][]byte{}}
	s.public = httptest.NewUnstartedServer(http.HandlerFunc(s.upgrade))
	s.public.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	s.public.StartTLS()
	t.Cleanup(s.public.Close)
	s.api = httptest.NewServer(http.HandlerFunc(s.call))
	t.Cleanup(s.api.Close)
	return s
}

func (s *faulty) upgrade(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.upgrades++
	refuse := s.refuseUpgrades > 0 && s.upgrades%s.refuseUpgrades == 0
	s.mu.Unlock()
	if refuse {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer c.CloseNow()
	c.SetReadLimit(-1)
	p := &peer{ws: c, channels: map[string]bool{}}
	s.mu.Lock()
	s.peers = append(s.peers, p)
	s.mu.Unlock()
	for {
		_, message, err := c.Read(r.Context())
		if err != nil {
			break
		}
		if r.URL.Path == "/echo" {
			p.write(message)
			continue
		}
		for line := range strings.SplitSeq(string(message), "\n") {
			s.command(p, line)
		}
	}
	s.mu.Lock()
	clear(p.channels)
	s.mu.Unlock()
}

func (s *faulty) command(p *peer, line string) {
	var c struct {
		ID      uint32
		Connect *struct{ Token string }
		Publish *struct {
			Channel string
			Data    json.RawMessage
		}
		Subscribe *struct {
			Channel string
			Recover bool
			Offset  uint64
		}
	}
	if json.Unmarshal([]byte(line), &c) != nil {
		return
	}
	switch {
	case c.Connect != nil:
		p.write(clientproto.AppendConnect(nil, c.ID, &clientproto.ConnectResult{Client: "c"}))
	case c.Publish != nil:
		s.publish(c.Publish.Channel, c.Publish.Data)
		p.write(clientproto.AppendEmpty(nil, c.ID, clientproto.Publish))
	case c.Subscribe != nil && s.refuseSubscribe:
		p.write(clientproto.AppendError(nil, c.ID, clientproto.ErrPermissionDenied))
	case c.Subscribe != nil:
		s.mu.Lock()
		defer s.mu.Unlock()
		history := s.history[c.Subscribe.Channel]
		result := clientproto.SubscribeResult{Recoverable: true, Epoch: "e", Offset: uint64(len(history)), WasRecovering: c.Subscribe.Recover}
		if c.Subscribe.Recover && !s.forget {
			result.Recovered, result.Publications = true, history[c.Subscribe.Offset:]
			result.Offset = c.Subscribe.Offset
		}
		if s.plain {
			result = clientproto.SubscribeResult{}
		}
		p.channels[c.Subscribe.Channel] = true
		p.write(clientproto.AppendSubscribe(nil, c.ID, &result))
	}
}

// call is the server API: publish and batch.
func (s *faulty) call(w http.ResponseWriter, r *http.Request) {
	type order struct {
		Channel string
		Data    json.RawMessage
	}
	body, _ := io.ReadAll(r.Body)
	var one struct {
		order
		Commands []struct{ Publish order }
	}
	switch {
	case r.Header.Get("X-API-Key") != "key" || json.Unmarshal(body, &one) != nil:
		w.WriteHeader(http.StatusUnauthorized)
	case r.URL.Path == "/api/publish" && s.refused():
		w.WriteHeader(http.StatusServiceUnavailable)
	case r.URL.Path == "/api/publish":
		s.publish(one.Channel, one.Data)
		fmt.Fprint(w, `{"result":{}}`)
	default:
		var replies []string
		for _, c := range one.Commands {
			if s.refused() {
				replies = append(replies, `{"error":{"code":100,"message":"internal"}}`)
				continue
			}
			s.publish(c.Publish.Channel, c.Publish.Data)
			replies = append(replies, `{"publish":{}}`)
		}
		fmt.Fprintf(w, `{"replies":[%s]}`, strings.Join(replies, ","))
	}
}

// refused counts what is to be published, by calls and in batches.
func (s *faulty) refused() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	return s.refuseCalls > 0 && s.calls%s.refuseCalls == 0
}

// publish delivers to every subscriber before it returns, with what is done wrong.
func (s *faulty) publish(channel string, data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.delay > 0 {
		<-time.After(s.delay)
	}
	p := clientproto.Publication{Offset: uint64(len(s.history[channel]) + 1), Data: data}
	s.history[channel] = append(s.history[channel], p)
	due := func(every int) bool { return every > 0 && p.Offset%uint64(every) == 0 }
	push := clientproto.AppendPublication(nil, channel, &p)
	strayed := false
	for i, to := range s.peers {
		if !to.channels[channel] {
			if due(s.stray) && !strayed && len(to.channels) > 0 {
				strayed = true
				to.write(push)
			}
			continue
		}
		if s.close > 0 && i == 0 && p.Offset >= uint64(s.close) {
			go func() { _ = to.ws.Close(3008, "slow") }()
			clear(to.channels)
			continue
		}
		s.deliver(to, push, due)
	}
}

func (s *faulty) deliver(to *peer, push []byte, due func(int) bool) {
	switch {
	case due(s.drop):
		return
	case due(s.flip):
		push = append([]byte(nil), push...)
		push[strings.Index(string(push), `"pad":"`)+8] ^= 1
	case due(s.rename):
		push = []byte(strings.Replace(string(push), `"channel":"`, `"channel":"x`, 1))
	case due(s.cut):
		push = push[:len(push)-1]
	case due(s.twice):
		to.write(push)
	case due(s.swap):
		s.kept[to] = push
		return
	}
	to.write(push)
	if late := s.kept[to]; late != nil {
		to.write(late)
		delete(s.kept, to)
	}
}

// plan is one for this server: so many connections and channels, 100 publications.
func (s *faulty) plan(connections, channels int) *Plan {
	sources := 0
	if runtime.GOOS == "linux" { // where all of 127/8 is this machine
		sources = 2
	}
	return &Plan{
		Fleet: fleet.Options{
			Connections: connections,
			Plan: fleet.Plan{
				Protocol: "weir", Token: "secret-token", Channel: "c", Channels: channels, Each: 1, Stream0: 7, Numbered: true,
				Targets: []client.Target{{
					URL: "wss" + strings.TrimPrefix(s.public.URL, "https") + "/connection/websocket", Timeout: time.Hour, Sources: sources,
					CAs: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.public.Certificate().Raw}),
				}},
			},
		},
		API:         fleet.API{URLs: []string{s.api.URL}, Key: "key", Timeout: time.Hour},
		Connections: connections, Rate: 200, Size: 120, Duration: 500 * time.Millisecond, Settle: 10 * time.Second, Overrun: time.Hour, Every: 20 * time.Millisecond,
	}
}
