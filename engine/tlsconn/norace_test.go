//go:build !race

package tlsconn

const raceDetector = false
