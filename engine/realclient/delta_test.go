package realclient

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

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
