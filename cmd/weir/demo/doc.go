// Package demo is what `weir serve --dev` shows and feeds: one HTML page that draws a live feed, and the sample feed.
//
// The page is whole in itself: style, the client SDK and the page's script stand in it, and its Content-Security-Policy
// admits exactly these by their hashes, and connections to where it came from. It asks nothing of any other host. The SDK is
// the browser build of the npm package centrifuge, version 5.8.0, unchanged but for its source map comment (MIT licence, kept beside it
// and in the page). The development token enters as an escaped attribute, so the hashes do not depend on it.
package demo
