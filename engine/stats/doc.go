// Package stats counts what a node does, in shards that are added up on scrape.
//
// The mental model is a sheet of numbers per writer. A [Set] hands out one [Shard] to each event loop (and one to
// whoever else counts: the listener, the API, the workers). A shard is a fixed row of 64-bit cells: counters, gauges
// and, for each [Family], one cell per label of a list that was closed when the set was made, and one for "other". So a peer
// can make a number grow, never the table: a label nobody registered, a close code nobody knows count as "other".
//
// Ownership: the cells are atomic, the tables behind them immutable. Every method may be called from any goroutine;
// a shard is meant for one writer only because then its cache lines stay with one core. Counting allocates nothing
// and takes no lock. Cells of two shards never stand on one cache line.
//
// Nothing is global: the set is passed in, and [Set.Collector] is registered where the caller wants it. Gauges of shards are
// summed, so each shard says its own part ([Shard.Move] or [Shard.Set]). Figures that another part holds anyway (a listener's counters,
// a certificate's expiry) enter as a [Source], read on scrape.
package stats
