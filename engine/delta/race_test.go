//go:build race

package delta

// raceEnabled: allocations are not counted under the race detector, which adds its own.
const raceEnabled = true
