package api

import (
	"context"
	"errors"
	"testing"

	"weir/engine/broker"
)

// History of the tests' node: all that was published, by the rules of broker.Filter.
func (n *memoryNode) History(_ context.Context, channel string, f broker.Filter) (broker.Position, []broker.Publication, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.historyFails {
		return broker.Position{}, nil, errors.New("broker is away")
	}
	top := broker.Position{Offset: uint64(len(n.channels[channel])), Epoch: "e-" + channel}
	if f.Since != nil && (f.Since.Offset > top.Offset || f.Since.Epoch != "" && f.Since.Epoch != top.Epoch) {
		return top, nil, broker.ErrUnrecoverable
	}
	n.asked = f
	var list []broker.Publication
	for i, p := range n.channels[channel] {
		if f.Since == nil || uint64(i+1) > f.Since.Offset {
			list = append(list, broker.Publication{Channel: channel, Position: broker.Position{Offset: uint64(i + 1), Epoch: top.Epoch},
				Message: broker.Message{Data: []byte(p.data), Tags: p.options.Tags}})
		}
	}
	if f.Limit >= 0 {
		list = list[:min(len(list), f.Limit)]
	}
	return top, list, nil
}

func (n *memoryNode) RemoveHistory(_ context.Context, channel string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.historyFails {
		return errors.New("broker is away")
	}
	n.removed = append(n.removed, channel)
	return nil
}

func TestHistory(t *testing.T) {
	s := newService(t, nil)
	s.call(t, "publish", `{"channel":"c","data":{"a":1}}`)
	s.call(t, "publish", `{"channel":"c","data":2,"tags":{"k":"v"}}`)
	one := `{"data":{"a":1},"offset":1}`
	two := `{"data":2,"offset":2,"tags":{"k":"v"}}`
	result := func(list string) string {
		return `{"result":{"publications":[` + list + `],"offset":2,"epoch":"e-c"}}`
	}
	for _, c := range []struct{ name, body, want string }{
		{"position only", `{"channel":"c"}`, result("")},
		{"all", `{"channel":"c","limit":-1}`, result(one + "," + two)},
		{"some", `{"channel":"c","limit":1}`, result(one)},
		{"since", `{"channel":"c","limit":-1,"since":{"offset":1,"epoch":"e-c"}}`, result(two)},
		{"since null is none", `{"channel":"c","limit":-1,"since":null}`, result(one + "," + two)},
	} {
		if r := s.call(t, "history", c.body); r.raw != c.want {
			t.Errorf("%s:\n%s, want\n%s", c.name, r.raw, c.want)
		}
	}
	s.call(t, "history", `{"channel":"c","limit":5,"reverse":true,"since":{"offset":2}}`)
	if f := s.node.asked; !f.Reverse || f.Limit != 5 || f.Since == nil || f.Since.Offset != 2 {
		t.Errorf("the node was asked for %+v", f)
	}
	for _, c := range []struct {
		body string
		code int
	}{
		{`{"channel":""}`, 107}, {`{"channel":7}`, 107}, {`{"channel":"c","limit":"x"}`, 107}, {`{"channel":"c","limit":1.5}`, 107},
		{`{"channel":"c","reverse":1}`, 107}, {`{"channel":"c","since":7}`, 107}, {`{"channel":"c","since":{"offset":-1}}`, 107},
		{`{"channel":"c","since":{"offset":1,"epoch":5}}`, 107}, {`{"channel":"c","since":{"offset":9}}`, 112},
		{`{"channel":"c","since":{"offset":1,"epoch":"other"}}`, 112},
	} {
		if r := s.call(t, "history", c.body); r.code() != c.code {
			t.Errorf("%s: %s, want error %d", c.body, r.raw, c.code)
		}
	}
	s.node.historyFails = true
	if r := s.call(t, "history", `{"channel":"c"}`); r.code() != 100 {
		t.Errorf("a broker that is away: %s, want error 100", r.raw)
	}
}

func TestHistoryRemove(t *testing.T) {
	s := newService(t, nil)
	if r := s.call(t, "history_remove", `{"channel":"c"}`); r.raw != `{"result":{}}` || len(s.node.removed) != 1 || s.node.removed[0] != "c" {
		t.Fatalf("%s, removed %q", r.raw, s.node.removed)
	}
	if r := s.call(t, "history_remove", `{}`); r.code() != 107 || len(s.node.removed) != 1 {
		t.Fatalf("no channel: %s, want 107", r.raw)
	}
	s.node.historyFails = true
	if r := s.call(t, "history_remove", `{"channel":"c"}`); r.code() != 100 {
		t.Fatalf("a broker that is away: %s, want error 100", r.raw)
	}
}
