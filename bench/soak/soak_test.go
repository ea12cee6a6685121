package main

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"weir/engine/clientproto"
)

func push(channel string, offset uint64, data []byte) []byte {
	return clientproto.AppendPublication(nil, channel, &clientproto.Publication{Offset: offset, Data: data, Tags: []byte(`{"k":"v"}`)})
}

func TestParsePublication(t *testing.T) {
	for _, c := range []publication{{0, 0, 1}, {7, 123456789, 42}, {12, 1 << 60, 1 << 40}} {
		data := appendData(nil, c.at, 256)
		if len(data) != 256 {
			t.Errorf("%d bytes of data, want 256", len(data))
		}
		message := push(channelName(c.channel), c.offset, data)
		if got, ok := parsePublication(message); !ok || got != c {
			t.Errorf("%s: %+v, %v; want %+v", message, got, ok, c)
		}
	}
}

func TestParseNoPublication(t *testing.T) {
	whole := push("soak3", 9, appendData(nil, 5, 60))
	end := bytes.Index(whole, []byte(`"offset":9`)) + len(`"offset":`)
	for n := range end {
		if p, ok := parsePublication(whole[:n]); ok {
			t.Fatalf("%s: parsed as %+v", whole[:n], p)
		}
	}
	for _, other := range []string{"{}", `{"id":1,"subscribe":{}}`, string(clientproto.AppendUnsubscribePush(nil, "soak0", 2500, "behind"))} {
		if p, ok := parsePublication([]byte(other)); ok {
			t.Errorf("%s: parsed as %+v", other, p)
		}
	}
}

func TestLedger(t *testing.T) {
	for _, c := range []struct {
		offsets        []uint64
		lost, repeated int64
	}{
		{nil, 0, 0},
		{[]uint64{1, 2, 3}, 0, 0},
		{[]uint64{2, 3}, 1, 0},
		{[]uint64{1, 4}, 2, 0},
		{[]uint64{1, 2, 2}, 0, 1},
		{[]uint64{1, 3, 2}, 1, 1},
	} {
		var l ledger
		for i, offset := range c.offsets {
			l.enter(0, offset)
			l.enter(3, uint64(i+1)) // another channel is another account
		}
		if l.lost != c.lost || l.repeated != c.repeated {
			t.Errorf("%v: %d lost, %d repeated; want %d and %d", c.offsets, l.lost, l.repeated, c.lost, c.repeated)
		}
	}
}

func TestMemoryJudge(t *testing.T) {
	for _, c := range []struct {
		rss  []int64
		flat bool
	}{
		{[]int64{1, 5}, true},
		{[]int64{10, 50, 100, 100, 104, 104}, true},
		{[]int64{10, 50, 100, 100, 106, 106}, false},
		{[]int64{10, 50, 100, 100, 80, 80}, true},
	} {
		if err := (&memory{rss: c.rss}).judge(0.05, io.Discard); (err == nil) != c.flat {
			t.Errorf("%v: %v; flat should be %v", c.rss, err, c.flat)
		}
	}
}

// TestAudienceJudge: each kind of fault fails the run.
func TestAudienceJudge(t *testing.T) {
	for name, c := range map[string]struct {
		offsets []uint64
		err     error
		failure error
		ok      bool
	}{
		"whole":        {offsets: []uint64{1, 2, 3}, ok: true},
		"gap":          {offsets: []uint64{1, 3}},
		"tail missing": {offsets: []uint64{1, 2}},
		"twice":        {offsets: []uint64{1, 2, 2, 3}},
		"disconnect":   {offsets: []uint64{1, 2, 3}, err: io.EOF},
		"refused":      {offsets: []uint64{1, 2, 3}, failure: io.EOF},
	} {
		p := &plan{subscribers: 1, channels: 1, rate: 3, duration: 1e9}
		a := newAudience(p)
		s := &subscriber{err: c.err}
		for _, offset := range c.offsets {
			s.ledger.enter(0, offset)
		}
		a.seats[0] = s
		w := publishedThree(c.failure)
		if err := a.judge(p, w, 0, io.Discard); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func publishedThree(failure error) *published {
	w := newPublished(1, nil)
	for range 3 {
		w.account(0, nil)
	}
	if failure != nil {
		w.account(0, failure)
	}
	return w
}

// TestSoakASecond runs the whole program against a real server.
func TestSoakASecond(t *testing.T) {
	var out, log strings.Builder
	err := run(t.Context(), []string{"-subscribers", "50", "-channels", "3", "-rate", "90", "-for", "1s", "-max-growth", "10", "-drain", "2m",
		"--", "--handshake-timeout=2m", "--head-timeout=2m"}, &out, &log)
	if err != nil {
		t.Fatalf("%v\n%s%s", err, &out, &log)
	}
	if !strings.Contains(out.String(), "4500 of 4500; 0 lost, 0 repeated or out of order, 0 disconnects") {
		t.Errorf("not everything was delivered:\n%s", &out)
	}
}

func TestMistakes(t *testing.T) {
	for _, args := range []string{"-subscribers 0", "-channels 0", "-size 3", "-for 0s", "-every 0s"} {
		if _, err := parse(strings.Fields(args), io.Discard); err == nil {
			t.Errorf("%s was accepted", args)
		}
	}
}
