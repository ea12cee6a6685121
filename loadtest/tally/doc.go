// Package tally adds up what a load test saw: counts, latencies and the figures of
// the processes under it, second by second and in all. It does no I/O and knows no
// connection; everything in it goes from a worker process to the coordinator, and
// from there into a file, as JSON.
//
//	Order      one subscription's view of its streams: what is missing, twice, late or foreign
//	Counters   events; they add up over connections, processes and time
//	Histogram  latencies; they merge
//	Interval   what happened between two moments
//	Run        a whole test: plan, machine, intervals, totals, figures
package tally
