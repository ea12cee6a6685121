package clientproto

import (
	"strings"
	"testing"
)

func BenchmarkParse(b *testing.B) {
	for name, line := range map[string]string{
		"pong":      `{}`,
		"connect":   `{"connect":{"token":"` + strings.Repeat("x", 300) + `","name":"js"},"id":1}`,
		"subscribe": `{"subscribe":{"channel":"feeds:prices","recover":true,"offset":12,"epoch":"abcd","flag":1},"id":3}`,
		"publish":   `{"publish":{"channel":"feeds:prices","data":{"symbol":"ACME","price":101.25,"change":-0.1}},"id":9}`,
		"64 KiB":    `{"publish":{"channel":"c","data":[` + strings.Repeat(`{`+members(1024)+`},`, 2) + `{ }]},"id":9}`,
		"refused":   `{"publish":{"channel":"c","data":` + nest(17) + `},"id":9}`,
		"garbage":   strings.Repeat("A", 100),
	} {
		b.Run(name, func(b *testing.B) {
			p := newParser()
			var cmd Command
			text := []byte(line)
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				p.Parse(text, &cmd)
			}
		})
	}
}

func BenchmarkAppendPublication(b *testing.B) {
	pub := &Publication{Offset: 123456, Data: []byte(`{"symbol":"ACME","price":101.25,"change":-0.1,"time":1735689600000}`)}
	buf := make([]byte, 0, 512)
	b.ReportAllocs()
	for b.Loop() {
		AppendPublication(buf, "feeds:prices", pub)
	}
}
