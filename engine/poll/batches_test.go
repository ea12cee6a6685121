package poll

import (
	"bytes"
	"testing"
)

func TestBatchClasses(t *testing.T) {
	for _, tc := range []struct{ size, capacity int }{
		{0, 4 << 10}, {1, 4 << 10}, {4 << 10, 4 << 10}, {4<<10 + 1, 8 << 10},
		{64 << 10, 64 << 10}, {64<<10 + 1, 128 << 10}, {128 << 10, 128 << 10}, {128<<10 + 1, 128<<10 + 1},
	} {
		a := newBatches()
		p := a.Malloc(tc.size)
		if len(*p) != tc.size || cap(*p) < tc.size || tc.size <= 128<<10 && cap(*p) != tc.capacity {
			t.Errorf("Malloc(%d): length %d, capacity %d, want %d", tc.size, len(*p), cap(*p), tc.capacity)
		}
		a.Free(p)
		q := a.Malloc(max(tc.size, 1))
		if reused := p == q; reused != (tc.size <= 128<<10) {
			t.Errorf("size %d: reused: %v", tc.size, reused)
		}
	}
}

func TestBatchesKeepABound(t *testing.T) {
	a := newBatches()
	var all []*[]byte
	for range 100 {
		all = append(all, a.Malloc(64<<10))
	}
	for _, p := range all {
		a.Free(p)
	}
	if a.kept != keptBatches || len(a.free[class(64<<10)]) != keptBatches/(64<<10) {
		t.Errorf("kept %d bytes in %d buffers", a.kept, len(a.free[class(64<<10)]))
	}
	for range 100 {
		a.Malloc(64 << 10)
	}
	if a.kept != 0 {
		t.Errorf("%d bytes are counted, nothing is kept", a.kept)
	}
	odd := make([]byte, 5000)
	a.Free(&odd)
	a.Free(nil)
	if a.kept != 0 {
		t.Error("a buffer of an odd size was kept: its class would lie about it")
	}
}

func TestBatchGrows(t *testing.T) {
	a := newBatches()
	p := a.Malloc(0)
	var want []byte
	for i := range 300 {
		piece := bytes.Repeat([]byte{byte(i)}, 1000)
		p = a.Append(p, piece...)
		want = append(want, piece...)
	}
	p = a.AppendString(p, "end")
	want = append(want, "end"...)
	if !bytes.Equal(*p, want) {
		t.Error("Append lost or changed bytes")
	}
	if p = a.Realloc(p, 10); !bytes.Equal(*p, want[:10]) {
		t.Error("Realloc changed what it kept")
	}
}
