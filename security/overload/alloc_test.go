package overload

import (
	"os"
	"runtime"
	"testing"
	"time"
)

// TestReadLeavesLittleGarbage: a node looks at its figures every second of its life.
func TestReadLeavesLittleGarbage(t *testing.T) {
	root := os.DirFS("/")
	m := NewMeter(root, Capacity{Memory: 1 << 30, Cores: 1, Machine: FindMemory(root)})
	m.Read(1, time.Now())
	const reads = 100
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range reads {
		m.Read(1, time.Now())
	}
	runtime.ReadMemStats(&after)
	if n := (after.TotalAlloc - before.TotalAlloc) / reads; n > 3<<10 {
		t.Errorf("a look at the figures leaves %d bytes", n)
	}
}
