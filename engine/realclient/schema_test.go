package realclient

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"weir/engine"
	"weir/security/schema"
)

// schemas is a configuration whose namespace feeds takes prices only, and lets no markup out.
func schemas(t testing.TB) func(*engine.Config) {
	s, err := schema.Compile([]byte(`{"type":"object","properties":{"price":{"type":"number","minimum":0},"note":{"type":"string"}},"required":["price"],"additionalProperties":false}`))
	if err != nil {
		t.Fatal(err)
	}
	return func(c *engine.Config) {
		c.Namespaces = []engine.Namespace{
			{Name: "feeds", Schema: s, SanitizeHTML: true, HistorySize: 10, HistoryTTL: time.Hour, ForceRecovery: true, AllowDelta: true, DeltaPublish: true},
		}
	}
}

// TestSDKSchema: the SDK's publisher learns why and where; readers see what was let
// through, live, as deltas and recovered, as the same data without markup.
func TestSDKSchema(t *testing.T) {
	t.Parallel()
	s := serve(t, schemas(t))
	n := s.connected(t, order{})
	reader := s.connected(t, order{})
	reader.do(order{"do": "subscribe", "channel": "feeds:a", "options": order{"delta": "fossil"}})
	reader.next("subscribed", append(chatter, "subscribing")...)

	refused := func(data any, text string) {
		t.Helper()
		n.do(order{"do": "publish", "channel": "feeds:a", "data": data})
		if e := n.next("publish error", chatter...); e.Code != 107 || e.Text != text {
			t.Errorf("%v: %d %q, want 107 %q", data, e.Code, e.Text, text)
		}
	}
	refused(order{"price": -31337}, "bad request: minimum at /price")
	refused(order{"note": "hunter2"}, "bad request: required")
	refused(order{"price": 1, "an\"other\n": "hunter2"}, "bad request: additionalProperties at /an\"other\n")
	refused([]int{1}, "bad request: type")
	refused("<", "bad request: type")
	refused(order{"price": 1, "note": strings.Repeat("<", 11_000)}, "bad request: sanitize")

	note := strings.Repeat("a long note that stays ", 10)
	see := func(price int, offset uint64) {
		t.Helper()
		p := reader.next("publication", chatter...)
		var got struct {
			Price int
			Note  string
		}
		if err := json.Unmarshal(p.Data, &got); err != nil || got.Price != price || got.Note != note+"</script>&" || p.Offset != offset {
			t.Errorf("the reader got %s at %d: %v", p.Data, p.Offset, err)
		}
	}
	for i := range 3 {
		n.do(order{"do": "publish", "channel": "feeds:a", "data": order{"price": i, "note": note + "</script>&"}})
		n.next("published", chatter...)
		see(i, uint64(i+1))
	}
	reader.do(order{"do": "disconnect"})
	reader.next("disconnected", append(chatter, "subscribing")...)
	s.api("publish", `{"channel":"feeds:a","data":{"price":3,"note":"`+note+`</script>&"}}`)
	reader.do(order{"do": "connect"})
	reader.next("subscribed", append(chatter, "connecting", "connected")...)
	see(3, 4)
}
