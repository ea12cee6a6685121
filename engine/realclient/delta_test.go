package realclient

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"weir/engine"
	"weir/engine/delta"
)

// TestSDKAppliesDeltas: the SDK's reader makes of our deltas what we published,
// byte by byte, and refuses one of another base.
func TestSDKAppliesDeltas(t *testing.T) {
	t.Parallel()
	n := serve(t, nil).node(t, "delta.mjs", nil)
	rng := rand.New(rand.NewPCG(1, 2))
	var e delta.Encoder
	before, deltas := "", 0
	for i := range 300 {
		text := document(rng, i)
		pub := order{"data": text}
		if d, ok := e.Append(nil, []byte(before), []byte(text)); ok {
			pub = order{"data": string(d), "delta": true}
			deltas++
		}
		n.do(order{"do": "publication", "pub": pub})
		if got := n.next("publication"); got.Text != text || got.Delta != (pub["delta"] != nil) || !sameJSON(t, got.Data, []byte(text)) {
			t.Fatalf("%s after %s became %s", text, before, got.Text)
		}
		before = text
	}
	if deltas < 200 {
		t.Errorf("%d deltas among 300 publications that change a little", deltas)
	}
	other, ok := e.Append(nil, []byte("more"+before), []byte(before))
	if !ok {
		t.Fatal("no delta of another base")
	}
	n.do(order{"do": "refused", "pub": order{"data": string(other), "delta": true}})
	n.next("refused")
}

// TestSDKDeltas: through reconnects, recoveries, publications beside the stream
// and subscribing anew, plain and compressed, the SDK hands its application what
// was published.
func TestSDKDeltas(t *testing.T) {
	t.Parallel()
	for name, compressed := range map[string]bool{"plain": false, "compressed": true} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, func(c *engine.Config) {
				c.Compression = true
				c.Namespaces = []engine.Namespace{{Name: "feeds", HistorySize: 50, HistoryTTL: time.Hour, ForceRecovery: true, AllowDelta: true, DeltaPublish: true}}
			})
			n := s.connected(t, order{"compression": compressed})
			n.do(order{"do": "subscribe", "channel": "feeds:a", "options": order{"delta": "fossil"}})
			n.next("subscribed", append(chatter, "subscribing")...)
			rng := rand.New(rand.NewPCG(3, 4))
			var due []string
			publish := func(extra string) {
				due = append(due, document(rng, len(due)))
				s.api("publish", fmt.Sprintf(`{"channel":"feeds:a","data":%s%s}`, due[len(due)-1], extra))
			}
			taken := 0
			take := func() {
				t.Helper()
				for ; taken < len(due); taken++ {
					p := n.next("publication", append(chatter, "connecting", "connected", "subscribing", "subscribed", "error", "unsubscribed", "published")...)
					if !sameJSON(t, p.Data, []byte(due[taken])) {
						t.Fatalf("publication %d is %s, want %s", taken, p.Data, due[taken])
					}
				}
			}
			for round := range 6 {
				for range 15 {
					publish("")
				}
				take()
				switch round {
				case 0: // closed, and back with what it missed
					s.api("disconnect", `{"user":"alice","disconnect":{"code":3011,"reason":"force reconnect"}}`)
				case 1: // away for longer
					n.do(order{"do": "disconnect"})
					n.next("disconnected", append(chatter, "subscribing")...)
					for range 5 {
						publish("")
					}
					n.do(order{"do": "connect"})
				case 2:
					publish(`,"skip_history":true`)
				case 3: // subscribed anew: nothing is missed, nothing known
					n.do(order{"do": "unsubscribe", "channel": "feeds:a"})
					n.next("unsubscribed", chatter...)
					n.do(order{"do": "subscribe again", "channel": "feeds:a"})
					n.next("subscribed", append(chatter, "subscribing")...)
				case 4: // by itself
					due = append(due, document(rng, len(due)))
					n.do(order{"do": "publish", "channel": "feeds:a", "data": json.RawMessage(due[len(due)-1])})
				}
				take()
			}
			n.do(order{"do": "delta stats", "channel": "feeds:a"})
			if e := n.next("delta stats", append(chatter, "published")...); e.NumDeltaPayloads < 60 || e.NumDeltaPayloads+e.NumFullPayloads != len(due) {
				t.Errorf("%d deltas and %d in full, for %d publications", e.NumDeltaPayloads, e.NumFullPayloads, len(due))
			}
		})
	}
}

// TestSDKDeltasThatAreNotAllowed: the SDK asks, is not told of any, and gets
// what it always does.
func TestSDKDeltasThatAreNotAllowed(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	n := s.connected(t, order{})
	n.do(order{"do": "subscribe", "channel": "feeds:a", "options": order{"delta": "fossil"}})
	n.next("subscribed", append(chatter, "subscribing")...)
	for range 3 {
		s.mustReceive(n, "feeds:a", `"text that stays the same, and is long enough"`)
	}
}

// document is JSON that changes from one to the next: numbers, rows, text in
// several scripts, escapes, and now and then all of it.
func document(rng *rand.Rand, i int) string {
	rows := make([]any, 0, 12)
	for k := range 10 + i/7%3 {
		rows = append(rows, order{"symbol": fmt.Sprint("S", k), "price": float64(rng.IntN(3)*(k%2)) + 100.25, "note": notes[(k+i/11)%len(notes)]})
	}
	if i%37 == 36 {
		rows = append(rows, strings.Repeat(notes[rng.IntN(len(notes))], 100+rng.IntN(400)))
	}
	b, _ := json.Marshal(order{"seq": i, "rows": rows, "mood": notes[rng.IntN(len(notes))]}) // maps and strings can be marshalled
	if rng.IntN(4) == 0 {
		return strings.ReplaceAll(string(b), `ż`, `\u017c`) // written otherwise, the same value
	}
	return string(b)
}

// notes share bytes of their UTF-8 forms, and have what JSON escapes.
var notes = []string{"zażółć gęślą jaźń", "zażółc gęślą jaźn", "日本語", "日木語", "😀😁", "😁😀", "a\"b\\c", "line\nbreak\ttab", "\u2028\u2029", "", "\x7f\x01", "plain"}
