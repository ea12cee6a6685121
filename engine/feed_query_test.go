package engine

import (
	"bytes"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"weir/engine/broker"
	"weir/engine/upgrade"
)

var feedQueries = []struct {
	query string
	want  string // what describe writes
}{
	{"channel=a", "a"},
	{"channel=feeds:a&channel=b", "feeds:a b"},
	{"channel=b&channel=a&channel=b", "b a"},
	{"channel=a%20b&channel=%61+b", "a b"},
	{"x=y&&channel=a&token=t&channel", "channel"}, // refused: an empty name
	{"channel=a&chan%6eel=b&Channel=c", "a"},
	{"channel=" + strings.Repeat("x", 255), strings.Repeat("x", 255)},
	{"channel=a&since=a:7@e", "a>7@e"},
	{"since=a:0@e&channel=a&channel=b", "a>0@e b"},
	{"channel=feeds:a@b:c@d&since=feeds:a@b:c@d:18446744073709551615@e", "feeds:a@b:c@d>18446744073709551615@e"},
	{"channel=a:1&since=a:1:2@e%2Bf%40", "since"}, // the last @ is the epoch's own: it is empty
	{"channel=a&channel=b&since=b:1@e&since=a:2@f", "a>2@f b>1@e"},

	{"", "no_channel"},
	{"since=a:1@e", "no_channel"},
	{"channel=", "channel"},
	{"channel=a&channel=feeds:*&channel=%2a", "a feeds:* *"},
	{"channel=feeds:*&channel=a&since=a:7@e", "feeds:* a>7@e"},
	{"channel=feeds:*&since=feeds:*:7@e", "since"}, // there is no position in a pattern
	{"channel=*&channel=a&since=*:0@e", "since"},
	{"channel=%c3%a9", "channel"},
	{"channel=" + strings.Repeat("x", 256), "channel"},
	{"channel=a%00", "query"},
	{"channel=%4", "query"},
	{"channel=a&since=%zz", "query"},
	{"channel=a&channel=b&channel=c&channel=d", "channels"},
	{"channel=a&channel=b&channel=c&channel=a", "a b c"},
	{"channel=a&since", "since"},
	{"channel=a&since=", "since"},
	{"channel=a&since=a:1", "since"},
	{"channel=a&since=a:1@", "since"},
	{"channel=a&since=a@1", "since"},
	{"channel=a&since=a:@e", "since"},
	{"channel=a&since=a:-1@e", "since"},
	{"channel=a&since=a:%2B1@e", "since"},
	{"channel=a&since=a:0x1@e", "since"},
	{"channel=a&since=a:18446744073709551616@e", "since"},
	{"channel=a&since=1@e", "since"},
	{"channel=a&since=:1@e", "since"},
	{"channel=a&since=b:1@e", "since"},
	{"channel=a&since=a:1@e&since=a:1@e", "since"},
}

const feedTestLimit = 3

func describe(plan feedPlan, f *upgrade.Refusal) string {
	if f != nil {
		return f.Label
	}
	var list []string
	for _, c := range plan {
		text := c.name
		if c.since != (broker.Position{}) {
			text += fmt.Sprintf(">%d@%s", c.since.Offset, c.since.Epoch)
		}
		list = append(list, text)
	}
	return strings.Join(list, " ")
}

func TestFeedQuery(t *testing.T) {
	for _, c := range feedQueries {
		if got := describe(parseFeed([]byte(c.query), feedTestLimit)); got != c.want {
			t.Errorf("%.80s: %s, want %s", c.query, got, c.want)
		}
	}
	if plan, f := parseFeed([]byte(strings.Repeat("channel=a&", 3)+"channel=b"), 0); f != nil || len(plan) != 2 {
		t.Errorf("without a limit: %v, %v", plan, f)
	}
}

// naiveFeed reads the same query by the standard library, without care for cost.
func naiveFeed(query string) (string, bool) {
	var names []string
	since := map[string]string{}
	var marks []string
	for pair := range strings.SplitSeq(query, "&") {
		name, raw, _ := strings.Cut(pair, "=")
		if name != "channel" && name != "since" {
			continue
		}
		value, err := url.QueryUnescape(raw)
		if err != nil || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return "", false
		}
		if name == "since" {
			marks = append(marks, value)
			continue
		}
		if value == "" || len(value) > 255 || strings.ContainsFunc(value, func(r rune) bool { return r > '~' }) {
			return "", false
		}
		if !slices.Contains(names, value) {
			names = append(names, value)
		}
	}
	for _, mark := range marks {
		parts := strings.Split(mark, "@")
		epoch := parts[len(parts)-1]
		parts = strings.Split(strings.TrimSuffix(mark, "@"+epoch), ":")
		offset := parts[len(parts)-1]
		channel := strings.TrimSuffix(mark, ":"+offset+"@"+epoch)
		n, err := strconv.ParseUint(offset, 10, 64)
		if epoch == "" || err != nil || channel == mark || !slices.Contains(names, channel) || since[channel] != "" || strings.Contains(channel, "*") {
			return "", false
		}
		since[channel] = fmt.Sprintf(">%d@%s", n, epoch)
	}
	for i, name := range names {
		names[i] += since[name]
	}
	return strings.Join(names, " "), len(names) > 0 && len(names) <= feedTestLimit
}

func checkFeedQuery(t *testing.T, query []byte) {
	before := bytes.Clone(query)
	plan, f := parseFeed(query, feedTestLimit)
	if !bytes.Equal(query, before) {
		t.Fatalf("%q was changed to %q", before, query)
	}
	want, ok := naiveFeed(string(query))
	if ok != (f == nil) || ok && describe(plan, nil) != want {
		t.Fatalf("%q: %s, want %q, %v", query, describe(plan, f), want, ok)
	}
	clear(query)
	if ok && describe(plan, nil) != want {
		t.Fatalf("%q: the plan borrows the query", before)
	}
}

// TestFeedQueryCutShort: every prefix is read as the naive reader reads it.
func TestFeedQueryCutShort(t *testing.T) {
	for _, c := range feedQueries {
		for n := range len(c.query) + 1 {
			checkFeedQuery(t, []byte(c.query[:n]))
		}
	}
}

func FuzzFeedQuery(f *testing.F) {
	for _, c := range feedQueries {
		f.Add([]byte(c.query))
	}
	f.Fuzz(checkFeedQuery)
}
