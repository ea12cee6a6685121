// Package scenario has what weir-load does with a fleet: each scenario is a
// function of a Plan that returns a tally.Run, and tells of every interval on the
// way. What a scenario itself calls wrong stands in Run.Failures; its results are
// Figures, named as thresholds name them (docs/load.md).
package scenario
