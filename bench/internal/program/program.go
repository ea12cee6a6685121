// Package program is what main does in each program that measures.
package program

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
)

// Main gives run the command line and ends the process with what it came to: 0, also when only help was asked for, or 1 and the
// error behind the name. An interrupt ends the context.
func Main(name string, run func(ctx context.Context, args []string, out, log io.Writer) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(status(name, err, os.Stderr))
}

// Worker is Main of a process that the program itself started, and that lives as long as its input: an interrupt at the terminal
// reaches it too, and is the other's to act upon.
func Worker(name string, serve func(ctx context.Context, in io.Reader, out io.Writer) error) {
	signal.Ignore(os.Interrupt)
	os.Exit(status(name, serve(context.Background(), os.Stdin, os.Stdout), os.Stderr))
}

func status(name string, err error, log io.Writer) int {
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return 0
	}
	fmt.Fprintf(log, "%s: %v\n", name, err)
	return 1
}
