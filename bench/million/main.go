// Command million opens a million wss connections, authenticated and subscribed, on one machine,
// and publishes once to all of them.
//
//	go run ./bench/million -connections 1000000 -servers 60
//
// A process has a limit of descriptors, so the server is many `weir serve` processes with one port (--reuse-port),
// certificate and ticket keys, and the clients are many processes with a source address for each thousand
// connections. Each server process has the publication by its own API. Pings are off: 40,000 a second
// would be what is measured. A handshake may take longer than by default: a process that waits for its turn on a processor is not a
// peer that is slow. All other controls are in force.
//
// It fails if a connection could not be opened or was lost, or the publication did not reach all.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"weir/bench/internal/node"
	"weir/bench/internal/program"
	"weir/loadtest/client"
	"weir/loadtest/fleet"
	"weir/loadtest/report"
	"weir/loadtest/scenario"
	"weir/loadtest/tally"
)

const (
	// workerVariable in the environment makes this program a process of clients.
	workerVariable = "WEIR_BENCH_MILLION"

	origin  = "https://million.example"
	channel = "million-"

	dialTimeout   = time.Minute
	settleTime    = 30 * time.Second
	interval      = 2 * time.Second
	sourceEach    = 1000 // connections from one address
	workersEach   = 17_500
	payloadBytes  = 256
	publishCalls  = 1
	serverThreads = "GOMAXPROCS=1"
	patience      = "15s" // --handshake-timeout
)

func main() {
	if os.Getenv(workerVariable) != "" {
		program.Worker("million", func(ctx context.Context, in io.Reader, out io.Writer) error {
			return fleet.Serve(ctx, in, out, slog.New(slog.DiscardHandler))
		})
	}
	program.Main("million", run)
}

// plan is the command line.
type plan struct {
	connections, servers, atOnce int
	resume                       float64
	rest, slack                  time.Duration
	weir, json, html, groups     string
	serverFlags                  []string
}

func run(ctx context.Context, args []string, out, log io.Writer) error {
	var p plan
	flags := flag.NewFlagSet("million", flag.ContinueOnError)
	flags.SetOutput(log)
	flags.IntVar(&p.connections, "connections", 1_000_000, "connections in all")
	flags.IntVar(&p.servers, "servers", 60, "server processes; each gets at most some 18,000 connections with 20,000 descriptors, and not evenly")
	flags.IntVar(&p.atOnce, "dials", 768, "connections being established at the same time")
	flags.Float64Var(&p.resume, "resume", 0, "share of the connections that offer a session ticket, 0 to 1")
	flags.StringVar(&p.groups, "groups", "X25519", "groups that the clients offer for the key exchange; \"\" are those of Go, X25519MLKEM768 first, which takes twice the time")
	flags.DurationVar(&p.rest, "rest", 5*time.Second, "wait after the last connect before memory is looked at")
	flags.DurationVar(&p.slack, "timer-slack", 4*time.Millisecond, "how much longer than asked the processes may sleep: else the monitors of Go's runtime in them wake each other all the time")
	flags.StringVar(&p.weir, "weir", "", "server binary; the default builds weir/cmd/weir")
	flags.StringVar(&p.json, "json", "", "write the run as JSON")
	flags.StringVar(&p.html, "html", "", "write a page with charts")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if p.connections < 1 || p.servers < 1 || p.atOnce < 1 || p.resume < 0 || p.resume > 1 || p.slack < 0 {
		return errors.New("-connections, -servers and -dials must be at least 1, -resume from 0 to 1, -timer-slack not negative")
	}
	p.serverFlags = flags.Args()
	return p.measure(ctx, out, log)
}

func (p *plan) measure(ctx context.Context, out, log io.Writer) (err error) {
	folder, err := os.MkdirTemp("", "weir-million-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	if p.weir == "" {
		p.weir = filepath.Join(folder, "weir")
		if err := node.Build(ctx, p.weir); err != nil {
			return err
		}
	}
	undo, err := timerSlack(p.slack)
	if err != nil {
		return err
	}
	defer undo()
	before, err := scenario.Available()
	if err != nil {
		return err
	}
	servers, err := p.start(ctx, log)
	defer func() { err = errors.Join(err, stop(servers)) }()
	if err != nil {
		return err
	}
	todo, err := p.scenario(servers, log)
	if err != nil {
		return err
	}
	todo.Before = before
	progress := report.NewProgress(log, false)
	result, err := scenario.Million(ctx, todo, progress.Interval)
	if result == nil {
		return err
	}
	p.describe(result, servers[0].Addr)
	report.NewProgress(out, false).Done(result)
	if len(result.Failures) > 0 {
		err = errors.Join(err, errors.New("the run failed"))
	}
	return errors.Join(err, write(p.json, func(w io.Writer) error { return report.WriteJSON(w, result) }),
		write(p.html, func(w io.Writer) error { return report.WriteHTML(w, result) }))
}

// describe adds what the scenario does not know.
func (p *plan) describe(r *tally.Run, addr string) {
	r.Target = "wss://" + addr
	r.Machine = tally.ThisMachine()
	r.Machine.Congestion = "cubic"
	r.Options = map[string]string{
		"connections": fmt.Sprint(p.connections), "servers": fmt.Sprint(p.servers), "dials": fmt.Sprint(p.atOnce),
		"resume": fmt.Sprint(p.resume), "groups": p.groups, "timer-slack": p.slack.String(),
	}
}

// start runs the server's processes.
func (p *plan) start(ctx context.Context, log io.Writer) (servers []*node.Node, err error) {
	options := node.Options{Binary: p.weir, Log: log, Env: []string{serverThreads}, Flags: append([]string{
		"--reuse-port", "--pollers", "1", "--ping-interval", "0", "--handshake-timeout", patience, "--allowed-origins", origin,
	}, p.serverFlags...)}
	for range p.servers {
		s, err := node.Start(ctx, options)
		if err != nil {
			return servers, err
		}
		servers = append(servers, s)
		options.Like = servers[0]
	}
	return servers, nil
}

// stop ends them, the first one last: the others use its files.
func stop(servers []*node.Node) error {
	var errs []error
	for i := len(servers) - 1; i >= 0; i-- {
		errs = append(errs, servers[i].Stop())
	}
	return errors.Join(errs...)
}

func (p *plan) scenario(servers []*node.Node, log io.Writer) (*scenario.Plan, error) {
	first := servers[0]
	signed, err := first.Token(channel, "sub")
	if err != nil {
		return nil, err
	}
	authority, err := os.ReadFile(first.Authority())
	if err != nil {
		return nil, err
	}
	key, err := os.ReadFile(first.KeyFile())
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	groups, err := client.Groups(strings.FieldsFunc(p.groups, func(r rune) bool { return r == ',' }))
	if err != nil {
		return nil, fmt.Errorf("-groups: %w", err)
	}
	todo := &scenario.Plan{
		Connections: p.connections, AtOnce: p.atOnce, Resume: p.resume, Rest: p.rest, Size: payloadBytes, Lanes: publishCalls,
		Settle: settleTime, Overrun: settleTime, Every: interval,
		API: fleet.API{Key: string(key), Congestion: "cubic", Timeout: dialTimeout},
		Fleet: fleet.Options{
			Plan: fleet.Plan{
				Targets: []client.Target{{
					URL: "wss://" + first.Addr + "/connection/websocket", Origin: origin, CAs: authority, Timeout: dialTimeout,
					Congestion: "cubic", Sources: sourceEach, Groups: groups,
				}},
				Protocol: "weir", Token: signed, Channel: channel, Channels: 1, Each: 1, Numbered: true,
			},
			Connections: p.connections, Processes: max(1, (p.connections+workersEach-1)/workersEach),
			Program: self, Environment: []string{workerVariable + "=1", serverThreads}, Stderr: log,
		},
	}
	for _, s := range servers {
		todo.PIDs = append(todo.PIDs, s.PID())
		todo.API.URLs = append(todo.API.URLs, "http://"+s.API)
	}
	return todo, nil
}

func write(name string, to func(io.Writer) error) error {
	if name == "" {
		return nil
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(to(f), f.Close())
}
