package main

import (
	"testing"
	"time"

	"weir/engine/clientproto"
)

func TestParse(t *testing.T) {
	data := appendData(nil, 17, 3*time.Second)
	push := clientproto.AppendPublication(nil, channel, &clientproto.Publication{Offset: 9, Data: data})
	if p, err := parse(push); err != nil || p != (publication{9, 17, 3 * time.Second}) {
		t.Fatalf("%s: %+v, %v", push, p, err)
	}
	for n := range len(push) - 4 {
		if p, err := parse(push[:n]); err == nil && p.offset != 9 {
			t.Fatalf("%s: %+v", push[:n], p)
		}
	}
	for _, other := range []string{"{}", `{"id":1,"subscribe":{}}`, ""} {
		if _, err := parse([]byte(other)); err == nil {
			t.Errorf("%q is taken for a publication", other)
		}
	}
}

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		name               string
		offsets            []int
		everything, newest bool
	}{
		{"all", []int{1, 2, 3, 4, 5, 6}, true, true},
		{"the newest of each", []int{1, 2, 4, 5, 6}, false, true},
		{"one key is missing", []int{1, 2, 4, 6}, false, false},
		{"one twice", []int{1, 2, 3, 4, 5, 5, 6}, false, false},
		{"out of order", []int{1, 2, 3, 5, 4, 6}, false, false},
		{"the end is missing", []int{1, 2, 3, 4, 5}, false, false},
	} {
		r := reader{offsets: c.offsets}
		for _, o := range c.offsets {
			r.keys = append(r.keys, (o-1)%3)
		}
		if err := r.everything(6); (err == nil) != c.everything {
			t.Errorf("%s: everything: %v", c.name, err)
		}
		if err := r.newest(6, 3); (err == nil) != c.newest {
			t.Errorf("%s: newest: %v", c.name, err)
		}
	}
}
