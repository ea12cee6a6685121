package api

import (
	"context"
	"testing"

	"weir/engine/clientproto"
)

// Presence of the tests' node: nobody in "empty", two in "c".
func (n *memoryNode) Presence(_ context.Context, channel string) ([]byte, *clientproto.Error) {
	switch channel {
	case "c":
		return []byte(`"1":{"user":"u","client":"1"},"2":{"user":"","client":"2","conn_info":{"a": 1}}`), nil
	case "empty":
		return nil, nil
	case "crowd":
		return nil, clientproto.ErrLimitExceeded
	}
	return nil, clientproto.ErrNotAvailable
}

func (n *memoryNode) PresenceStats(_ context.Context, channel string) (clientproto.PresenceStatsResult, *clientproto.Error) {
	if channel == "none" {
		return clientproto.PresenceStatsResult{}, clientproto.ErrNotAvailable
	}
	return clientproto.PresenceStatsResult{Clients: 2, Users: 1}, nil
}

func TestPresence(t *testing.T) {
	s := newService(t, nil)
	for _, c := range []struct{ method, body, want string }{
		{"presence", `{"channel":"c"}`, `{"result":{"presence":{"1":{"user":"u","client":"1"},"2":{"user":"","client":"2","conn_info":{"a":1}}}}}`},
		{"presence", `{"channel":"empty"}`, `{"result":{"presence":{}}}`},
		{"presence_stats", `{"channel":"c"}`, `{"result":{"num_clients":2,"num_users":1}}`},
	} {
		if r := s.call(t, c.method, c.body); r.status != 200 || r.raw != c.want {
			t.Errorf("%s %s: %d\n%s, want\n%s", c.method, c.body, r.status, r.raw, c.want)
		}
	}
	for _, c := range []struct {
		method, channel string
		code            int
	}{
		{"presence", `"none"`, 108}, {"presence_stats", `"none"`, 108}, {"presence", `"crowd"`, 106},
		{"presence", `""`, 107}, {"presence_stats", `""`, 107}, {"presence", `7`, 107}, {"presence_stats", `7`, 107},
	} {
		if r := s.call(t, c.method, `{"channel":`+c.channel+`}`); r.code() != c.code {
			t.Errorf("%s of %s: %s, want error %d", c.method, c.channel, r.raw, c.code)
		}
	}
}
