package schema

import (
	"testing"

	"github.com/tidwall/gjson"
)

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

const tick = `{"symbol":"ACME","price":101.25,"bid":101.24,"ask":101.26,"volume":1250300,"side":"buy","venue":"XNAS",` +
	`"time":"2026-11-05T14:30:00.125Z","id":"0b4e7a3c-5d1f-4f7e-9a51-6a0c2d9be7f1","tags":["equity","tech"],` +
	`"session":{"open":99.5,"high":102,"halted":false},"note":null}`

func BenchmarkValidate(b *testing.B) {
	s, err := Compile([]byte(tickSchema))
	if err != nil {
		b.Fatal(err)
	}
	text := []byte(tick)
	b.Run("gjson", func(b *testing.B) {
		for b.Loop() {
			gjson.ValidBytes(text)
		}
	})
	var v Validator
	b.Run("schema", func(b *testing.B) {
		for b.Loop() {
			if r := s.Validate(&v, text, usual); r.Fault != nil {
				b.Fatal(r, r.Fault)
			}
		}
	})
	b.Run("syntax", func(b *testing.B) {
		for b.Loop() {
			v.Check(text, usual)
		}
	})
}
