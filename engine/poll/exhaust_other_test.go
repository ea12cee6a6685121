//go:build !linux

package poll

const exhaustEnv = "WEIR_POLL_TEST_EXHAUST"

func exhaustChild() int { return 0 }
