// Package faults holds a real `weir serve` to SECURITY.md D1 and D2 while it is killed,
// stopped, and cut off from its clients: a history checker over all that subscribers saw
// and all that was acknowledged. It is tests only, and works on Linux only.
package faults
