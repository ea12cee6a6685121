package poll

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv(exhaustEnv) != "" {
		os.Exit(exhaustChild())
	}
	goleak.VerifyTestMain(m)
}
