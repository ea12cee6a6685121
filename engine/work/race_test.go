//go:build race

package work

// raceEnabled: allocations are not counted under the race detector, which adds its own.
const raceEnabled = true
