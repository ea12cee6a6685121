// Package report tells people and programs what a load test saw: lines while it
// runs, a summary at its end, one JSON document, one HTML page, and thresholds
// that fail it. It computes; what it writes goes to a writer that it is given.
//
//	Figures    the results that every run has, from its counts and latencies
//	Threshold  what may not be: "p99>50ms"
//	Progress   lines for a terminal or a log
//	WriteJSON  a tally.Run, to be kept and compared; ReadJSON reads it back
//	WriteHTML  one page for one run or several, with charts, that needs no network
package report
