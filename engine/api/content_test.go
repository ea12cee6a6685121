package api

import (
	"fmt"
	"strings"
	"testing"

	"weir/engine/stats"
	"weir/security/schema"
)

// TestContentIsAskedOnce: a broadcast has each rule look at its data once, and all
// channels of a rule share what it makes of it.
func TestContentIsAskedOnce(t *testing.T) {
	numbers, err := schema.Compile([]byte(`{"type":"number"}`))
	if err != nil {
		t.Fatal(err)
	}
	number, html := &schema.Rule{Schema: numbers}, &schema.Rule{HTML: true, Bytes: 100}
	s := newService(t, func(c *Config) {
		c.Content = func(channel string) *schema.Rule {
			return map[byte]*schema.Rule{'n': number, 'h': html}[channel[0]]
		}
	})
	var channels []string
	for i := range 30 {
		channels = append(channels, fmt.Sprintf(`"%c%d"`, "nhx"[i%3], i))
	}
	r := s.call(t, "broadcast", `{"channels":[`+strings.Join(channels, ",")+`],"data":"<","tags":{"a":"&"}}`)
	if strings.Count(r.raw, `{"code":107,"message":"bad request: type"}`) != 10 || strings.Count(r.raw, `"offset":1`) != 20 {
		t.Errorf("answer %s", r.raw)
	}
	if n := s.set.LabelTotal(stats.PayloadsRefused, stats.Other); n != 1 { // this set has no list for it
		t.Errorf("%d payloads were refused, want 1", n)
	}
	if n := s.set.LabelTotal(stats.PublishRefused, "bad_request"); n != 10 {
		t.Errorf("%d publications were refused, want 10", n)
	}
	first := s.node.last("h1")
	for i := range 30 {
		p := s.node.last(fmt.Sprintf("%c%d", "nhx"[i%3], i))
		switch i % 3 {
		case 0:
			if p.data != "" {
				t.Errorf("n%d got %s", i, p.data)
			}
		case 1:
			if p.data != `"\u003c"` || string(p.options.Tags) != `{"a":"\u0026"}` || &p.options.Tags[0] != &first.options.Tags[0] {
				t.Errorf("h%d got %s with %s", i, p.data, p.options.Tags)
			}
		case 2:
			if p.data != `"<"` || string(p.options.Tags) != `{"a":"&"}` {
				t.Errorf("x%d got %s with %s", i, p.data, p.options.Tags)
			}
		}
	}
}
