package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"weir/loadtest/attack"
	"weir/loadtest/fleet"
	"weir/loadtest/report"
)

// Exit statuses.
const (
	statusFailed  = 1 // a threshold, the scenario, or something on the way
	statusMistake = 2 // whoever called it must change something; the message says what
)

// workerVariable makes this program a worker, or a process of attackers.
const (
	workerVariable = "WEIR_LOAD_WORKER"
	attackers      = "attackers"
)

// process is what a command has of the world.
type process struct {
	args           []string // without the program's name
	stdout, stderr io.Writer
	terminal       bool   // stderr is one
	self           string // this program, which a worker is too; "": there is none
}

func main() {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	if part := os.Getenv(workerVariable); part != "" {
		signal.Ignore(os.Interrupt) // which the coordinator gets too: it ends a worker by ending its orders
		if err := work(part, log); err != nil {
			fmt.Fprintf(os.Stderr, "weir-load: worker: %v\n", err)
			os.Exit(statusFailed)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	self, err := os.Executable()
	if err != nil {
		self = os.Args[0]
	}
	status := run(ctx, &process{args: os.Args[1:], stdout: os.Stdout, stderr: os.Stderr, terminal: terminal(os.Stderr), self: self})
	stop()
	os.Exit(status)
}

func work(part string, log *slog.Logger) error {
	if part == attackers {
		return attack.Serve(context.Background(), os.Stdin, os.Stdout)
	}
	return fleet.Serve(context.Background(), os.Stdin, os.Stdout, log)
}

func terminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// configError is a mistake of whoever called: exit status 2.
type configError struct{ err error }

func (e *configError) Error() string { return e.err.Error() }
func (e *configError) Unwrap() error { return e.err }

func mistake(format string, args ...any) error { return &configError{fmt.Errorf(format, args...)} }

// exited is thrown out of the parser when it has printed help.
type exited struct{ status int }

// run executes one command line and returns its exit status.
func run(ctx context.Context, p *process) int {
	c, name, err := parse(p)
	if err == nil && c != nil {
		err = c.execute(ctx, p, name)
	}
	if err == nil {
		return 0
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		fmt.Fprintf(p.stderr, "weir-load: %s\n", report.Printable(line)) // a server's words may be in it
	}
	var wrong *configError
	if errors.As(err, &wrong) {
		return statusMistake
	}
	return statusFailed
}

// parse reads the command line; after --help the options are nil.
func parse(p *process) (c *cli, scenario string, err error) {
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(exited); !ok {
				panic(r)
			}
			c, err = nil, nil
		}
	}()
	c = &cli{}
	parser, err := kong.New(c, kong.Name("weir-load"),
		kong.Description("Puts load on a WebSocket server and checks what comes of it."),
		kong.Writers(p.stdout, p.stderr),
		kong.Exit(func(status int) { panic(exited{status}) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true, WrapUpperBound: 120}),
	)
	if err != nil {
		return nil, "", err
	}
	args := p.args
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		return nil, "", &configError{err}
	}
	return c, parsed.Selected().Name, nil
}
