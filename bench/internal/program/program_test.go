package program

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"testing"
)

func TestStatus(t *testing.T) {
	flags := flag.NewFlagSet("soak", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	for _, c := range []struct {
		err  error
		want int
		says string
	}{
		{nil, 0, ""},
		{flags.Parse([]string{"-h"}), 0, ""},
		{fmt.Errorf("of a part: %w", flag.ErrHelp), 0, ""},
		{errors.New("lost 3"), 1, "soak: lost 3\n"},
	} {
		var log strings.Builder
		if got := status("soak", c.err, &log); got != c.want || log.String() != c.says {
			t.Errorf("%v: status %d, said %q", c.err, got, &log)
		}
	}
}
