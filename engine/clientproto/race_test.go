//go:build race

package clientproto

const raceEnabled = true
