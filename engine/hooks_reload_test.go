package engine

import (
	"strings"
	"testing"
	"time"

	"weir/engine/backend"
)

// TestPublishHookReload: a reload while the application is asked about a publication counts: what the rules forbid when the answer
// comes is not published, and what they permit is kept as they say.
func TestPublishHookReload(t *testing.T) {
	for name, c := range map[string]struct {
		asked Namespace
		want  string // in the reply
		kept  bool
	}{
		"origin no longer allowed":           {Namespace{Name: "asked", PublishHook: true, AllowedOrigins: originList(t, otherOrigin)}, `"code":103`, false},
		"hook gone, clients may not publish": {Namespace{Name: "asked"}, `"code":103`, false},
		"hook gone, clients may publish":     {Namespace{Name: "asked", AllowPublishForClient: true}, `"publish"`, false},
		"namespace gone":                     {Namespace{Name: "elsewhere"}, `"code":103`, false},
		"history since":                      {Namespace{Name: "asked", PublishHook: true, HistorySize: 5, HistoryTTL: time.Hour}, `"publish"`, true},
	} {
		t.Run(name, func(t *testing.T) {
			app := newApplication(t)
			s := app.start(func(c *Config) { c.Origins = originList(t, testOrigin, otherOrigin) })
			client := s.from(t, testOrigin, sign(t, "alice", "feeds:*"))
			client.send(`{"id":9,"publish":{"channel":"asked:a","data":1}}`)
			q := app.next(backend.Publish)
			s.reload(func(cfg *Config) { cfg.Namespaces = []Namespace{{Name: "feeds"}, c.asked} })
			q.answer <- `{"result":{}}`
			if line := client.mustNext(); !strings.Contains(line, c.want) {
				t.Errorf("%s, want %s", line, c.want)
			}
			if c.kept {
				if answer := toJSON(t, s.api("history", `{"channel":"asked:a","limit":10}`)); !strings.Contains(answer, `"data":1`) {
					t.Errorf("not kept: %s", answer)
				}
			}
		})
	}
}
