package main

import (
	"fmt"
	"io"
	"time"
)

// lookEvery is how often the server's memory is read.
const lookEvery = 250 * time.Millisecond

// memory is the server's resident memory while it was published to.
type memory struct {
	rss []int64 // bytes, at even distances
}

// judge compares the last third with the middle one. The first is warm-up.
func (m *memory) judge(maxGrowth float64, out io.Writer) error {
	third := len(m.rss) / 3
	if third == 0 {
		fmt.Fprintln(out, "memory        too short a run to tell")
		return nil
	}
	middle, last := mean(m.rss[third:2*third]), mean(m.rss[len(m.rss)-third:])
	growth := last/middle - 1
	verdict := "flat"
	if growth > maxGrowth {
		verdict = "not flat"
	}
	fmt.Fprintf(out, "memory        middle third %.1f MiB, last third %.1f MiB, %+.1f %%: %s\n", middle/(1<<20), last/(1<<20), 100*growth, verdict)
	if growth > maxGrowth {
		return fmt.Errorf("memory grew by %.1f %%, at most %.1f %%", 100*growth, 100*maxGrowth)
	}
	return nil
}

func mean(of []int64) float64 {
	sum := 0.0
	for _, n := range of {
		sum += float64(n)
	}
	return sum / float64(len(of))
}
