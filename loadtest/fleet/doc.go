// Package fleet holds the connections of a load test: a coordinator, and workers
// that hold up to some eighteen thousand connections each on one event loop.
//
// A worker is this program run once more (Serve), or lives in this process. It
// obeys Orders one after the other and answers each at once with a Report; what
// takes longer, like opening connections, goes on meanwhile and shows in later
// Reports. The coordinator is a Fleet: it spreads orders over the workers and adds
// their reports up. A Publisher posts to a server's API at a rate that does not
// wait for answers.
package fleet
