package median

import (
	"slices"
	"testing"
)

func TestOf(t *testing.T) {
	for want, values := range map[float64][]float64{3: {3}, 2: {1, 3}, 4: {9, 4, 1}, 5: {1, 4, 6, 9}} {
		before := slices.Clone(values)
		if got := Of(values); got != want || !slices.Equal(values, before) {
			t.Errorf("%v: %v", values, got)
		}
	}
}
