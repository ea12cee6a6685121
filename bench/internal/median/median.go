// Package median is the middle of figures that were taken several times.
package median

import "slices"

// Of returns the middle; of an even number the mean of the two there, so that neither the better nor the worse of two rounds
// counts. values, of which there must be one, stay as they are.
func Of(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 0 {
		return (sorted[middle-1] + sorted[middle]) / 2
	}
	return sorted[middle]
}
