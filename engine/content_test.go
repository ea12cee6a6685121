package engine

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"weir/engine/backend"
	"weir/engine/clientproto"
	"weir/engine/session"
	"weir/engine/stats"
	"weir/engine/ws"
	"weir/security/audit"
	"weir/security/grant"
	"weir/security/schema"
	"weir/security/token"
)

const priceSchema = `{
	"type": "object",
	"properties": {"symbol": {"type": "string", "maxLength": 10}, "price": {"type": "number", "minimum": 0}},
	"required": ["symbol", "price"],
	"additionalProperties": {"type": "array", "items": {"type": "string"}}
}`

func compiled(t testing.TB, text string) *schema.Schema {
	t.Helper()
	s, err := schema.Compile([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// pricing makes a server whose namespace prices has a schema and history; html is sanitized, with deltas.
func pricing(t testing.TB, change func(*Config)) func(*Config) {
	return func(c *Config) {
		c.Namespaces = append(c.Namespaces,
			Namespace{Name: "prices", Schema: compiled(t, priceSchema), HistorySize: 10, HistoryTTL: time.Hour},
			Namespace{Name: "html", SanitizeHTML: true, ForceRecovery: true, HistorySize: 10, HistoryTTL: time.Hour, AllowDelta: true, DeltaPublish: true})
		if change != nil {
			change(c)
		}
	}
}

// offers are payloads with what is said of those that the schema refuses.
var offers = []struct{ data, reason string }{
	{`{"symbol":"ACME","price":101.25}`, ""},
	{`{"price":0,"symbol":"","more":["x"]}`, ""},
	{`{"symbol":"ACME","price":-31337}`, "minimum at /price"},
	{`{"symbol":"ACME"}`, "required"},
	{`{"symbol":"hunter2hunter2","price":1}`, "maxLength at /symbol"},
	{`{"symbol":"ACME","price":1,"a/b~":["x",31337]}`, "type at /a~1b~0/1"},
	{`{"symbol":"ACME","price":1,"\n\"<é":"hunter2"}`, "type at /\n\"<é"},
	{`[31337]`, "type"},
	{`null`, "type"},
}

// TestSchemaGuardsPublications: whoever publishes, what the schema refuses is
// answered with why and where, never with a value, and reaches nobody.
func TestSchemaGuardsPublications(t *testing.T) {
	s := start(t, pricing(t, nil))
	c := s.connected(t, sign(t, "u", "prices:*", "feeds:*"))
	r := s.connected(t, sign(t, "v", "prices:*", "feeds:*"))
	r.mustDo(`"subscribe":{"channel":"prices:a"}`)
	r.mustDo(`"subscribe":{"channel":"prices:*"}`)
	feed := s.feed(t, sign(t, "w", "prices:*"), "channel=prices:a")
	good, offset := 0, uint64(0)
	for _, o := range offers {
		message := string(clientproto.AppendString(nil, "bad request: "+o.reason))
		reply := c.do(`"publish":{"channel":"prices:a","data":` + o.data + `}`)
		call := toJSON(t, s.api("publish", `{"channel":"prices:a","data": `+o.data+` }`))
		_, _, err := s.Server.Publish(context.Background(), "prices:a", []byte(o.data))
		if o.reason != "" {
			if want := fmt.Sprintf(`{"id":%d,"error":{"code":107,"message":%s}}`, c.id, message); reply != want {
				t.Errorf("%s by a client: %s, want %s", o.data, reply, want)
			}
			if want := toJSON(t, map[string]any{"error": map[string]any{"code": 107, "message": "bad request: " + o.reason}}); call != want {
				t.Errorf("%s by the API: %s, want %s", o.data, call, want)
			}
			if err == nil || strings.Contains(err.Error(), "31337") || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s by the process: %v", o.data, err)
			}
			continue
		}
		if strings.Contains(reply+call, "error") || err != nil {
			t.Fatalf("%s: %s, %s, %v", o.data, reply, call, err)
		}
		for range 3 {
			good++
			offset++
			for range 2 { // by name and by pattern
				r.wantPush(`"data":`+o.data, `prices:a`)
			}
			if m := feed.want("prices:a", false, offset); string(m.Data) != o.data {
				t.Errorf("/feed got %s", m.Data)
			}
		}
	}
	// Nothing of what was refused is in the history, and what comes next is next.
	if got := toJSON(t, s.api("history", `{"channel":"prices:a","limit":100}`)); strings.Count(got, `"data"`) != good || strings.Contains(got, "31337") || strings.Contains(got, "hunter2") {
		t.Errorf("history: %s", got)
	}
	refused := len(offers) - good/3
	m := s.metrics(t)
	total := 0
	for _, keyword := range schema.Keywords() {
		var n int
		if _, err := fmt.Sscan(m[`weir_payloads_refused_total{keyword="`+keyword+`"}`], &n); err != nil {
			t.Errorf("%s is not counted: %v", keyword, err)
		}
		total += n
	}
	if total != 3*refused || m[`weir_payloads_refused_total{keyword="minimum"}`] != "3" || m[`weir_payloads_refused_total{keyword="other"}`] != "0" ||
		m[`weir_publications_refused_total{reason="bad_request"}`] != fmt.Sprint(refused) || m[`weir_publications_total`] != fmt.Sprint(good) {
		t.Errorf("%d refused are counted as %d", refused, total)
	}
	// Other namespaces ask nothing.
	c.mustDo(`"publish":{"channel":"feeds:a","data":[31337]}`)
}

// TestSchemaInBroadcastAndBatch: what one channel refuses the others get.
func TestSchemaInBroadcastAndBatch(t *testing.T) {
	s := start(t, pricing(t, nil))
	bad := `{"symbol":"ACME","price":-1}`
	got := toJSON(t, s.api("broadcast", `{"channels":["prices:a","feeds:a","prices:b","feeds:b"],"data":`+bad+`}`))
	if strings.Count(got, `minimum at /price`) != 2 || strings.Count(got, `"offset"`) != 2 {
		t.Errorf("broadcast: %s", got)
	}
	got = toJSON(t, s.api("batch", `{"commands":[{"publish":{"channel":"prices:a","data":`+bad+`}},{"publish":{"channel":"prices:a","data":{"symbol":"A","price":1}}},
		{"broadcast":{"channels":["prices:a"],"b64data":"bnVsbA=="}}]}`))
	if strings.Count(got, `minimum at /price`) != 1 || strings.Count(got, `"offset":1`) != 1 || strings.Count(got, `"message":"bad request: type"`) != 1 {
		t.Errorf("batch: %s", got)
	}
	// A refusal is not what an idempotency key keeps.
	for i, data := range []string{bad, `{"symbol":"A","price":1}`, bad} {
		got := toJSON(t, s.api("publish", `{"channel":"prices:b","idempotency_key":"k","data":`+data+`}`))
		if strings.Contains(got, `"offset":1`) != (i == 1) {
			t.Errorf("publication %d: %s", i, got)
		}
	}
}

// TestSchemaBeforeTheHook: the application is not asked about what the schema
// refuses, and what it puts in the place of the client's data is held to it too.
func TestSchemaBeforeTheHook(t *testing.T) {
	app := newApplication(t)
	var trail *auditTrail
	s := app.start(pricing(t, func(c *Config) {
		trail = audited(t, c, audit.Flood{})
		c.Namespaces = append(c.Namespaces, Namespace{Name: "both", PublishHook: true, Schema: compiled(t, priceSchema), SanitizeHTML: true,
			HistorySize: 10, HistoryTTL: time.Hour})
	}))
	c := s.connected(t, sign(t, "u", "feeds:*"))
	publish := func(data string) {
		c.send(`{"id":9,"publish":{"channel":"both:a","data":` + data + `}}`)
	}
	publish(`{"symbol":"ACME","price":-1}`)
	c.wantPush(`{"id":9,"error":{"code":107,"message":"bad request: minimum at /price"}}`)
	publish(`{"symbol":"ACME","price":1,"x":["` + strings.Repeat("<", 20_000) + `"]}`) // too long once it is sanitized
	c.wantPush(`{"id":9,"error":{"code":107,"message":"bad request: sanitize"}}`)

	publish(`{"symbol":"<","price":1}`)
	if q := app.says(backend.Publish, `{"result":{"data":{"symbol":"hunter2hunter2","price":1}}}`); !strings.Contains(q.body, `{"symbol":"<","price":1}`) {
		t.Errorf("the application was asked %s", q.body)
	}
	c.wantPush(`{"id":9,"error":{"code":100,"message":"internal server error","temporary":true}}`) // not the client's fault
	publish(`{"symbol":"<","price":1}`)
	app.says(backend.Publish, `{"result":{"data":{"symbol":">","price":2}}}`)
	c.wantPush(`{"id":9,"publish":{}}`)
	publish(`{"symbol":"<","price":3}`)
	app.says(backend.Publish, `{"result":{}}`)
	c.wantPush(`{"id":9,"publish":{}}`)

	// A schema that comes while the application is asked counts.
	publish(`{"symbol":"<","price":4}`)
	q := app.next(backend.Publish)
	s.reload(func(cfg *Config) {
		cfg.Namespaces = append([]Namespace(nil), cfg.Namespaces...)
		cfg.Namespaces[len(cfg.Namespaces)-1].Schema = compiled(t, `{"properties":{"price":{"maximum":3}}}`)
	})
	q.answer <- `{"result":{}}`
	c.wantPush(`"code":100`)

	got := toJSON(t, s.api("history", `{"channel":"both:a","limit":100}`))
	if strings.Count(got, `"data"`) != 2 || !strings.Contains(got, `"offset":2`) {
		t.Errorf("history: %s", got)
	}
	if m := s.metrics(t); m[`weir_payloads_refused_total{keyword="maxLength"}`] != "1" || m[`weir_payloads_refused_total{keyword="sanitize"}`] != "1" || m[`weir_hook_calls_total{hook="publish",result="ok"}`] != "4" {
		t.Error("refused payloads, or questions, are counted otherwise")
	}
	unfit := uint64(0) // two of the client's, two of the application's
	for _, e := range trail.entries(t) {
		if e.Event == audit.PublishRefused && e.Reason == reasonSchema {
			unfit += e.N()
		}
	}
	if unfit != 4 {
		t.Errorf("%d refused payloads are written down, want 4", unfit)
	}
	select {
	case q := <-app.asked[backend.Publish]:
		t.Errorf("the application was also asked %s", q.body)
	default:
	}
}

// TestSanitizeHTML: what goes out is what was published, with no markup in it, for
// every kind of reader, with all that stands beside the data.
func TestSanitizeHTML(t *testing.T) {
	s := start(t, pricing(t, nil))
	c := s.connected(t, signClaims(t, token.SignClaims{Subject: "<u>", Info: []byte(`{"name":"</script>"}`), ExpiresAt: time.Now().Add(time.Hour).Unix(),
		Caps: []grant.Capability{{Channels: []string{"html:*", "feeds:*"}, Match: "wildcard", Allow: []string{"sub", "pub"}}}}))
	r := s.connected(t, sign(t, "v", "html:*", "feeds:*"))
	r.mustDo(`"subscribe":{"channel":"html:a"}`)
	r.mustDo(`"subscribe":{"channel":"html:*"}`)
	d := s.connected(t, sign(t, "w", "html:*"))
	d.mustDo(`"subscribe":{"channel":"html:a","delta":"fossil"}`)
	feed := s.feed(t, sign(t, "x", "html:*"), "channel=html:a")

	const raw = `{"<b>":["a<!--","&amp;` + "\u2028\u2029" + `",{"long":"` + `0123456789012345678901234567890123456789012345678901234567890123456789` + `"},%d]}`
	const clean = `{"\u003cb\u003e":["a\u003c!--","\u0026amp;\u2028\u2029",{"long":"0123456789012345678901234567890123456789012345678901234567890123456789"},%d]}`
	var deltas reader
	for i := range 6 {
		in, want, beside := fmt.Sprintf(raw, i), fmt.Sprintf(clean, i), ""
		switch i % 3 {
		case 0:
			c.mustDo(`"publish":{"channel":"html:a","data":` + in + `}`)
			beside = `"user":"\u003cu\u003e"`
		case 1:
			s.api("publish", `{"channel":"html:a","data":`+in+`,"tags":{"<t>":"&"}}`)
			beside = `"tags":{"\u003ct\u003e":"\u0026"}`
		case 2:
			s.publish("html:a", in)
		}
		for range 2 { // by name and by pattern
			line := r.mustNext()
			if !strings.Contains(line, `"data":`+want) || !strings.Contains(line, beside) || strings.ContainsAny(line, "<>&\u2028\u2029") {
				t.Errorf("a subscriber got %s", line)
			}
		}
		if m := feed.want("html:a", false, uint64(i+1)); string(m.Data) != want {
			t.Errorf("/feed got %s", m.Data)
		}
		d.wantDelta(&deltas, want, i > 0)
	}
	late := s.connected(t, sign(t, "y", "html:*"))
	if line := late.mustDo(`"subscribe":{"channel":"html:a","recover":true,"offset":0,"epoch":""}`); strings.Count(line, `\u003cb\u003e`) != 6 || strings.ContainsAny(line, "<>&\u2028\u2029") {
		t.Errorf("recovered: %s", line)
	}

	// What escaping makes too long for readers is refused.
	room := s.config.Limits.MessageSize
	fits := `"` + strings.Repeat("<", (room-2)/6) + `"`
	c.mustDo(`"publish":{"channel":"html:b","data":` + fits + `}`)
	if got := toJSON(t, s.api("publish", `{"channel":"html:b","data":`+fits+`}`)); strings.Contains(got, "error") {
		t.Error(got)
	}
	over := `"<` + fits[1:]
	if reply := c.do(`"publish":{"channel":"html:b","data":` + over + `}`); !strings.Contains(reply, `{"code":107,"message":"bad request: sanitize"}`) {
		t.Errorf("too long: %.200s", reply)
	}
	if got := toJSON(t, s.api("publish", `{"channel":"html:b","data":`+over+`}`)); !strings.Contains(got, `bad request: sanitize`) {
		t.Error(got)
	}
	// Elsewhere nothing is touched.
	r.mustDo(`"subscribe":{"channel":"feeds:a"}`)
	c.mustDo(`"publish":{"channel":"feeds:a","data":"<"}`)
	line := r.mustNext()
	for strings.Contains(line, `"channel":"html:*"`) { // what fits comes in its own time
		line = r.mustNext()
	}
	if !strings.Contains(line, `"data":"<"`) {
		t.Errorf("a subscriber got %.200s", line)
	}
}

// TestSchemaReload: from a reload on another schema counts, for connections that
// are there too; a configuration that is refused changes nothing.
func TestSchemaReload(t *testing.T) {
	s := start(t, nil)
	c := s.connected(t, sign(t, "u", "feeds:*"))
	both := func(data string) (byClient, byAPI bool) {
		t.Helper()
		byClient = !strings.Contains(c.do(`"publish":{"channel":"feeds:a","data":`+data+`}`), "error")
		return byClient, s.api("publish", `{"channel":"feeds:a","data":`+data+`}`)["error"] == nil
	}
	for _, step := range []struct {
		schema          string
		number, boolean bool
	}{{"", true, true}, {`{"type":"number"}`, true, false}, {`{"type":"boolean"}`, false, true}, {"", true, true}} {
		s.reload(func(cfg *Config) {
			cfg.Namespaces = []Namespace{{Name: "feeds"}}
			if step.schema != "" {
				cfg.Namespaces[0].Schema = compiled(t, step.schema)
			}
		})
		if a, b := both("1"); a != step.number || b != step.number {
			t.Errorf("%q and a number: %v and %v", step.schema, a, b)
		}
		if a, b := both("true"); a != step.boolean || b != step.boolean {
			t.Errorf("%q and a boolean: %v and %v", step.schema, a, b)
		}
	}
	cfg := s.config
	cfg.Namespaces = []Namespace{{Name: "feeds", Schema: compiled(t, `false`), MaxOutboxBytes: 1}}
	if s.Reload(context.Background(), cfg) == nil {
		t.Error("an outbox of one byte was taken")
	}
	if a, b := both("1"); !a || !b {
		t.Errorf("after a refused reload: %v and %v", a, b)
	}
}

// TestSchemaStepsAreCharged: a small payload that its schema has to look at again
// and again costs its sender as much as a long one; others are not charged for it.
func TestSchemaStepsAreCharged(t *testing.T) {
	nested := `{"anyOf":[{"items":{"$ref":"#"},"minItems":3},{"items":{"$ref":"#"},"minItems":2},{"items":{"$ref":"#"},"minItems":1}]}`
	s := start(t, func(c *Config) {
		c.Namespaces = append(c.Namespaces, Namespace{Name: "costly", Schema: compiled(t, nested)})
		c.Limits.MessageRate, c.Limits.ByteRate = 0, 1<<20
	})
	honest := s.connected(t, sign(t, "u", "costly:*"))
	c := s.connected(t, sign(t, "v", "costly:*"))
	deep := strings.Repeat("[", 15) + strings.Repeat("]", 15)
	for range 12 { // a burst is two seconds' worth
		if reply := c.do(`"publish":{"channel":"costly:a","data":` + deep + `}`); !strings.Contains(reply, `"bad request: steps`) {
			t.Fatalf("the reply is %s", reply)
		}
	}
	c.send(strings.Repeat(`{"id":9,"publish":{"channel":"costly:a","data":`+deep+`}}`+"\n", 10))
	c.wantClose(3013)
	for range 100 {
		honest.mustDo(`"publish":{"channel":"costly:a","data":[[1]]}`)
	}
}

// TestNoAllocationPerCheckedPublication: what the schema looks at, accepts or
// refuses, costs no memory; a whole refused publication, from frame to reply, none.
func TestNoAllocationPerCheckedPublication(t *testing.T) {
	if raceEnabled {
		t.Skip("skipped: the race detector allocates")
	}
	s := start(t, pricing(t, func(c *Config) {
		l := &c.Limits
		c.Pollers, l.PingInterval, l.MessageRate, l.ByteRate, l.PingRate = 1, 0, 0, 0, 0
		c.Namespaces = append(c.Namespaces, Namespace{Name: "both", Schema: compiled(t, priceSchema), SanitizeHTML: true, AllowPublishForClient: true})
	}))
	s.subscribers(t, 1, "feeds:a")
	s.onLoops(func(sh *shard) {
		c := sh.conns.at(firstOpen(sh))
		for _, o := range offers {
			step := &session.Step{Kind: session.Publish, ID: 7, Channel: "both:a", Data: []byte(o.data)}
			check := func() {
				if sh.takes(c, step) != (o.reason == "") {
					t.Errorf("%s", o.data)
				}
				sh.settle(c)
			}
			for range 5 {
				check()
			}
			if n := testing.AllocsPerRun(100, check); n != 0 {
				t.Errorf("%s: %v allocations, want 0", o.data, n)
			}
		}
		// The command's channel becomes a string before its namespace is known.
		frame := masked(ws.Header{Fin: true, Opcode: ws.OpText}, `{"id":7,"publish":{"channel":"both:a","data":{"symbol":"A","price":-1}}}`)
		in := make([]byte, len(frame))
		receive := func() {
			copy(in, frame) // it is unmasked in place
			sh.read(c, in)
			sh.settle(c)
		}
		for range 5 {
			receive()
		}
		if n := testing.AllocsPerRun(100, receive); n > 1 {
			t.Errorf("%v allocations for a refused publication, want the channel's name", n)
		}
		if c.phase != phaseOpen {
			t.Error("the connection was closed")
		}
	})
	if n := s.stats.LabelTotal(stats.PayloadsRefused, "minimum"); n == 0 {
		t.Error("nothing was refused")
	}
}
