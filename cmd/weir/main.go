package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"weir/security/oplog"
)

// Exit statuses.
const (
	statusFailed  = 1 // something went wrong while running
	statusMistake = 2 // the operator must change something; the message says what
)

// process is what a command has of the world.
type process struct {
	program        string   // as it was called
	args           []string // without the program's name
	env            []string
	stdout, stderr io.Writer
	log            *oplog.Queue // of serve: what stderr is then; nil elsewhere
	logRoom        int          // bytes of it; 0: oplog.QueueBytes

	// notify delivers the given signals until stop is called.
	notify func(...os.Signal) (received <-chan os.Signal, stop func())
}

func main() {
	os.Exit(run(&process{
		program: os.Args[0],
		args:    os.Args[1:],
		env:     os.Environ(),
		stdout:  os.Stdout,
		stderr:  os.Stderr,
		notify:  notifySignals,
	}))
}

func notifySignals(signals ...os.Signal) (<-chan os.Signal, func()) {
	received := make(chan os.Signal, 4)
	signal.Notify(received, signals...)
	return received, func() { signal.Stop(received) }
}

// run executes one command line and returns its exit status.
func run(p *process) int {
	cmd, err := parse(p)
	if err != nil {
		return p.fail("weir", err)
	}
	if cmd == nil {
		return 0
	}
	if cmd.name == "serve" {
		defer p.queueLog()()
	}
	if err := cmd.execute(p); err != nil {
		return p.fail("weir "+cmd.name, err)
	}
	return 0
}

// logPatience is how long the end of serve waits for who reads standard error.
const logPatience = 2 * time.Second

// queueLog puts a queue before standard error until done: nobody in the server waits
// for who reads it, and one that goes away does not end the server.
func (p *process) queueLog() (done func()) {
	stderr := p.stderr
	p.log = oplog.NewQueue(stderr, p.logRoom)
	p.stderr = p.log
	_, unheard := p.notify(syscall.SIGPIPE)
	return func() {
		p.log.Close(logPatience)
		unheard()
		p.stderr, p.log = stderr, nil
	}
}

func (c *command) execute(p *process) error {
	switch c.name {
	case "serve":
		return serve(p, c)
	case "check":
		return check(p, c)
	case "token":
		return printToken(p, &c.Token)
	case "pub":
		return publish(p, &c.Pub)
	case "sub":
		return subscribe(p, &c.Sub)
	case "audit verify":
		return auditVerify(p, &c.Audit.Verify)
	case "audit query":
		return auditQuery(p, &c.Audit.Query)
	case "audit replay":
		return auditReplay(p, &c.Audit.Replay)
	case "version":
		return printVersion(p, &c.Version)
	}
	return mistake("%s is not available yet", c.name)
}

// lookup returns an environment variable, "" if it is not set.
func (p *process) lookup(name string) string {
	for _, entry := range p.env {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value
		}
	}
	return ""
}

// fail prints every line of an error and returns its exit status.
func (p *process) fail(who string, err error) int {
	out := p.stderr
	if p.log != nil {
		out = p.log.Last() // it is told to a reader who was too slow for the rest
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		fmt.Fprintf(out, "%s: %s\n", who, printable([]byte(line)))
	}
	var c *configError
	if errors.As(err, &c) {
		return statusMistake
	}
	return statusFailed
}
