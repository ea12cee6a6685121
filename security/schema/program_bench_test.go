package schema

import (
	"testing"
	"time"

	"github.com/tidwall/gjson"
)

// tick is a message of 256 bytes as a feed of prices has it.
const tick = `{"symbol":"ACME","price":101.25,"bid":101.24,"ask":101.26,"volume":1250,"side":"buy","venue":"XNAS",` +
	`"time":"2026-11-05T14:30:00.125Z","id":"0b4e7a3c-5d1f-4f7e-9a51-6a0c2d9be7f1","tags":["tech"],` +
	`"session":{"open":99.5,"high":102,"halted":false},"note":null}`

const tickSchema = `{
	"$schema": "https://json-schema.org/draft/2020-12/schema",
	"title": "A trade and the quote around it",
	"type": "object",
	"properties": {
		"symbol": {"type": "string", "pattern": "^[A-Z]{1,6}$"},
		"price": {"type": "number", "exclusiveMinimum": 0, "maximum": 1000000},
		"bid": {"type": "number", "minimum": 0},
		"ask": {"type": "number", "minimum": 0},
		"volume": {"type": "integer", "minimum": 0},
		"side": {"enum": ["buy", "sell"]},
		"venue": {"type": "string", "minLength": 1, "maxLength": 8},
		"time": {"type": "string", "format": "date-time"},
		"id": {"type": "string", "format": "uuid"},
		"tags": {"type": "array", "items": {"type": "string", "maxLength": 16}, "maxItems": 8},
		"session": {
			"type": "object",
			"properties": {"open": {"type": "number"}, "high": {"type": "number"}, "halted": {"type": "boolean"}},
			"required": ["open", "high"],
			"additionalProperties": false
		},
		"note": {"type": ["string", "null"], "maxLength": 200}
	},
	"required": ["symbol", "price", "time"],
	"additionalProperties": false
}`

// chat is one as people write them.
const chat = `{"id":"0b4e7a3c-5d1f-4f7e-9a51-6a0c2d9be7f1","room":"support:47","from":{"user":"u-18843","name":"Zoë"},"sent":"2026-11-05T14:30:00Z",` +
	`"text":"The parcel has arrived, thank you very much! One of the two cups is broken, though: what shall I do?","seen":false}`

const chatSchema = `{
	"type": "object",
	"properties": {
		"id": {"type": "string", "format": "uuid"},
		"room": {"type": "string", "pattern": "^[a-z]+:[0-9]+$"},
		"from": {"$ref": "#/$defs/person"},
		"sent": {"type": "string", "format": "date-time"},
		"text": {"type": "string", "minLength": 1, "maxLength": 2000},
		"seen": {"type": "boolean"}
	},
	"required": ["id", "room", "from", "text"],
	"additionalProperties": false,
	"$defs": {"person": {"type": "object", "properties": {"user": {"type": "string"}, "name": {"type": "string", "maxLength": 60}}, "required": ["user"]}}
}`

var typical = []struct{ name, schema, text string }{
	{"tick", tickSchema, tick},
	{"chat", chatSchema, chat},
	{"tick, members turned round", tickSchema, turned(tick)},
	{"tick, all optional left out", tickSchema, `{"symbol":"ACME","price":101.25,"time":"2026-11-05T14:30:00.125Z","note":"` + chat[146:200] + `"}`},
}

// turned is an object with its members in the opposite order.
func turned(text string) string {
	v := Validator{taping: true}
	v.begin([]byte(text), Limits{})
	v.walk(0)
	all, inner := tapedText{[]byte(text), v.tape}, ""
	for name, value := range all.members(0) {
		inner = `,"` + name + `":` + string(all.raw(value)) + inner
	}
	return "{" + inner[1:] + "}"
}

func TestTypical(t *testing.T) {
	for _, c := range typical {
		if got := verdictOf(t, c.schema, c.text); got != "" {
			t.Errorf("%s: %s", c.name, got)
		}
	}
	if len(tick) != 256 || len(turned(tick)) != 256 || len(chat) < 250 || len(chat) > 260 {
		t.Errorf("%d and %d bytes", len(tick), len(chat))
	}
}

func verdictOf(t *testing.T, schema, text string) string {
	s, err := Compile([]byte(schema))
	if err != nil {
		t.Fatal(err)
	}
	return verdict(s, &Validator{}, text)
}

// BenchmarkValidate takes turns with gjson.Valid, which looks at syntax alone,
// and reports the ratio: at least 1.5 is the goal (PERFORMANCE.md).
func BenchmarkValidate(b *testing.B) {
	for _, c := range typical {
		s, err := Compile([]byte(c.schema))
		if err != nil {
			b.Fatal(err)
		}
		text := []byte(c.text)
		b.Run(c.name, func(b *testing.B) {
			const turn = 100
			var v Validator
			ours, theirs := time.Hour, time.Hour // the best turn of each is free of what else the machine does
			b.SetBytes(int64(len(text)))
			for range b.N/turn + 1 {
				began := time.Now()
				for range turn {
					if r := s.Validate(&v, text, usual); r.Fault != nil {
						b.Fatal(r.Fault)
					}
				}
				middle := time.Now()
				for range turn {
					if !gjson.ValidBytes(text) {
						b.Fatal("gjson")
					}
				}
				ours = min(ours, middle.Sub(began))
				theirs = min(theirs, time.Since(middle))
			}
			b.ReportMetric(float64(ours.Nanoseconds())/turn, "ns/text")
			b.ReportMetric(float64(theirs.Nanoseconds())/turn, "ns/gjson")
			b.ReportMetric(float64(theirs)/float64(ours), "x-gjson")
		})
	}
}
