package clientproto

import (
	"testing"

	"github.com/tidwall/gjson"
)

// BenchmarkReference looks at the syntax of Parse's publish command, and at nothing else.
func BenchmarkReference(b *testing.B) {
	text := []byte(`{"publish":{"channel":"feeds:prices","data":{"symbol":"ACME","price":101.25,"change":-0.1}},"id":9}`)
	for b.Loop() {
		if !gjson.ValidBytes(text) {
			b.Fatal("refused")
		}
	}
}
