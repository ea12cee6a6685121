//go:build race

package ws

// raceEnabled: allocations are not counted under the race detector, which adds its own.
const raceEnabled = true
