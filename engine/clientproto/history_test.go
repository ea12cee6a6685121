package clientproto

import "testing"

func TestAppendHistory(t *testing.T) {
	for _, c := range []struct {
		name string
		r    HistoryResult
		want string
	}{
		{"position only", HistoryResult{Offset: 7, Epoch: "e"}, `{"id":3,"history":{"publications":[],"offset":7,"epoch":"e"}}`},
		{"two", HistoryResult{Offset: 2, Epoch: "e", Publications: []Publication{
			{Offset: 1, Data: []byte(`{"a":1}`)}, {Offset: 2, Data: []byte(`2`), Tags: []byte(`{"k":"v"}`)}}},
			`{"id":3,"history":{"publications":[{"data":{"a":1},"offset":1},{"data":2,"offset":2,"tags":{"k":"v"}}],"offset":2,"epoch":"e"}}`},
	} {
		if got := string(AppendHistory(nil, 3, &c.r)); got != c.want {
			t.Errorf("%s:\n%s, want\n%s", c.name, got, c.want)
		}
	}
}
