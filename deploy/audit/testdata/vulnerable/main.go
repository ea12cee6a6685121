// Command vulnerable calls what testdata/vulndb says is vulnerable, which is invented.
package main

import "container/ring"

func main() { println(ring.New(1).Len()) }
