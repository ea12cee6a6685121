//go:build race

package deploy

// raceEnabled: whether the race detector is in this binary.
const raceEnabled = true
