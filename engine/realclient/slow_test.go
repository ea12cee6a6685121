package realclient

import (
	"bufio"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"weir/engine"
	"weir/security/grant"
	"weir/security/token"
)

// slowly is a server whose namespace feeds treats slow consumers by ns.
func slowly(t testing.TB, ns engine.Namespace) *server {
	t.Helper()
	ns.Name, ns.HistorySize, ns.HistoryTTL, ns.ForceRecovery = "feeds", 1000, time.Hour, true
	return serve(t, func(c *engine.Config) {
		l := &c.Limits
		l.MessageSize, l.MaxOutboxBytes, l.RecoveryMax = 8<<10, 8<<20, 1000
		l.PingInterval, l.WriteTimeout = 0, time.Hour
		c.Namespaces = []engine.Namespace{ns, {Name: "fill"}}
	})
}

// asleep is an SDK that subscribed to feeds:a and then stopped reading, so that its
// socket takes nothing more.
func (s *server) asleep(t testing.TB) *script {
	t.Helper()
	jwt, err := token.Sign(secret, token.SignClaims{Subject: "z", ExpiresAt: s.clock.now().Add(time.Hour).Unix(),
		Caps: []grant.Capability{{Channels: []string{"feeds:*", "fill:*"}, Match: "wildcard", Allow: []string{"sub"}}}})
	if err != nil {
		t.Fatal(err)
	}
	n := s.connected(t, order{"token": jwt}, "feeds:a")
	n.do(order{"do": "subscribe", "channel": "fill:z", "quiet": true})
	n.next("subscribed", append(chatter, "subscribing")...)
	n.do(order{"do": "pause"})
	n.next("paused", chatter...)
	data := `"` + strings.Repeat("x", 8000) + `"`
	for s.metric("weir_outbox_bytes") < 512<<10 {
		for range 16 {
			s.publish("fill:z", data)
		}
	}
	return n
}

// metric is a number of the metrics page.
func (s *server) metric(name string) float64 {
	s.t.Helper()
	res, err := http.Get("http://" + s.APIAddr().String() + "/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				s.t.Fatal(err)
			}
			return n
		}
	}
	s.t.Fatalf("no metric %s", name)
	return 0
}

const slowPublications = 400

// TestSDKRecoversWhatWasDropped: it did not read while its outbox was full. The
// SDK is told with 2500, subscribes again by itself, and has every publication, once
// and in order.
func TestSDKRecoversWhatWasDropped(t *testing.T) {
	for _, policy := range []string{engine.SlowDropOldest, engine.SlowDropNewest} {
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			s := slowly(t, engine.Namespace{SlowConsumer: policy, MaxOutboxBytes: 10 << 10})
			n := s.asleep(t)
			for i := range slowPublications {
				s.publish("feeds:a", fmt.Sprintf(`{"n":%d,"pad":"%s"}`, i+1, strings.Repeat("y", 80)))
			}
			n.do(order{"do": "resume"})
			ended, recovered := false, false
			for next := uint64(1); next <= slowPublications; {
				switch e := n.event("publication", time.After(longest)); {
				case e.Event == "publication" && e.Offset == next:
					next++
				case e.Event == "subscribing" && e.Code == 2500 && !ended:
					ended = true
				case e.Event == "subscribed" && e.Recovered && ended:
					recovered = true
				case !slices.Contains(chatter, e.Event):
					t.Fatalf("%+v where offset %d was due", e, next)
				}
			}
			if !recovered {
				t.Error("the SDK did not recover")
			}
			if s.metric(`weir_slow_consumers_total{action="unsubscribe"}`) != 1 || s.metric(fmt.Sprintf("weir_outbox_dropped_total{reason=%q}", policy)) == 0 {
				t.Error("nothing was dropped")
			}
			s.mustReceive(n, "feeds:a", `"live"`)
		})
	}
}

// TestSDKConflated: of each key the SDK gets the newest when it reads again, in
// order, and then everything.
func TestSDKConflated(t *testing.T) {
	t.Parallel()
	s := slowly(t, engine.Namespace{SlowConsumer: engine.SlowConflate, ConflateKey: "/symbol"})
	n := s.asleep(t)
	const keys, each = 5, 200
	pad := strings.Repeat("y", 200)
	for i := range keys * each {
		s.publish("feeds:a", fmt.Sprintf(`{"symbol":"S%d","n":%d,"pad":%q}`, i%keys, i, pad))
	}
	n.do(order{"do": "resume"})
	last, got := uint64(0), 0
	for newest := map[string]uint64{}; len(newest) < keys; {
		e := n.next("publication", chatter...)
		if e.Offset <= last {
			t.Fatalf("offset %d behind %d", e.Offset, last)
		}
		last = e.Offset
		if got++; e.Offset > keys*(each-1) {
			newest[string(e.Data)] = e.Offset
		}
	}
	if got > keys*each/2 {
		t.Errorf("%d of %d publications came: nothing was conflated", got, keys*each)
	}
	if n := s.metric(`weir_outbox_dropped_total{reason="conflated"}`); int(n) != keys*each-got {
		t.Errorf("%v are counted as conflated, want %d", n, keys*each-got)
	}
	s.mustReceive(n, "feeds:a", `{"symbol":"S0"}`)
}
