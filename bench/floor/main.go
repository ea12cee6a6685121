// Command floor measures how far a real `weir serve` is from the least that its work can cost, in processor time of
// the server's process. What it is compared with runs beside it in the same run, in turns:
//
//	fan-out  publications to subscribers over TLS 1.3; the floor is a process that made the same handshakes and then, for
//	         each publication, only seals one record of the same length for each connection, with a cipher that is kept, and
//	         writes it with a plain system call
//	batch    the same, with several publications at once, against one by one
//	storm    the same, while clients connect and leave all the time: how long it is to the last subscriber
//	halfload publications at half of the rate at which the machine can deliver them one by one, with and without such a storm: how
//	         long it is from when each was due to the last subscriber; only where -parts asks for it, with fewer subscribers
//	accept   connections made: TCP, a full handshake, upgrade, connect with a token; the floor is one thread that does nothing
//	         but crypto/tls handshakes in memory with the same certificate, whose bytes come from the client's process by the
//	         hundred, and computes the token's signature; that it collects their garbage is part of it
//
// Pings are off, clients are verified event loops or crypto/tls, congestion control is cubic everywhere.
//
//	go run ./bench/floor -subscribers 10000 -max-delivery 1.4 -min-batch 5 -max-accept 1.4
//	go run ./bench/floor -parts halfload -subscribers 2000
//
// Compare the ratios: times depend on what else the machine does.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"weir/bench/internal/node"
	"weir/bench/internal/program"
)

func main() {
	if role := os.Getenv(roleVariable); role != "" {
		program.Worker("floor", func(ctx context.Context, in io.Reader, out io.Writer) error { return serveRole(ctx, role, in, out) })
	}
	program.Main("floor", run)
}

// origin is what the clients of the fan-out send.
const origin = "https://floor.example"

// plan is the command line.
type plan struct {
	subscribers, rounds, publications, batch int
	rate                                     float64
	accepts, dials                           int
	half                                     time.Duration
	parts                                    []string
	maxDelivery, minBatch, maxAccept         float64
	weir                                     string
	serverFlags                              []string
	log                                      io.Writer
}

func parse(args []string, log io.Writer) (*plan, error) {
	p := plan{log: log}
	flags := flag.NewFlagSet("floor", flag.ContinueOnError)
	flags.SetOutput(log)
	parts := flags.String("parts", "fanout,storm,accept", "what to measure, of these and halfload; storm goes with fanout")
	flags.IntVar(&p.subscribers, "subscribers", 10000, "connections of the fan-out, up to 18000 with 20,000 descriptors")
	flags.IntVar(&p.rounds, "rounds", 5, "turns of each side")
	flags.IntVar(&p.publications, "publications", 24, "publications in a turn")
	flags.IntVar(&p.batch, "batch", 8, "publications at once in a batch")
	flags.Float64Var(&p.rate, "rate", 4, "publications a second, well below what the machine can do; a batch counts as one")
	flags.IntVar(&p.accepts, "accepts", 2000, "connections made in a turn")
	flags.IntVar(&p.dials, "dials", 16, "connections being made at the same time")
	flags.DurationVar(&p.half, "half", 3*time.Second, "how long a turn of halfload is")
	flags.Float64Var(&p.maxDelivery, "max-delivery", 0, "CPU of a delivery against the floor above which it fails; 0 only prints")
	flags.Float64Var(&p.minBatch, "min-batch", 0, "deliveries per CPU second of a batch against single ones below which it fails")
	flags.Float64Var(&p.maxAccept, "max-accept", 0, "CPU of a connection against its cryptography above which it fails")
	flags.StringVar(&p.weir, "weir", "", "server binary; the default builds weir/cmd/weir")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	p.parts, p.serverFlags = strings.Split(*parts, ","), flags.Args()
	for _, part := range p.parts {
		if !slices.Contains([]string{"fanout", "storm", "accept", "halfload"}, part) {
			return nil, fmt.Errorf("-parts: no part %q", part)
		}
	}
	if slices.Contains(p.parts, "storm") && !slices.Contains(p.parts, "fanout") {
		return nil, errors.New("-parts: storm is measured beside fanout")
	}
	if p.subscribers < 1 || p.rounds < 1 || p.publications < p.batch || p.batch < 1 || p.rate <= 0 || p.accepts < 1 || p.dials < 1 || p.half <= 0 {
		return nil, errors.New("every number must be at least 1, -publications at least -batch")
	}
	return &p, nil
}

func run(ctx context.Context, args []string, out, log io.Writer) (err error) {
	p, err := parse(args, log)
	if err != nil {
		return err
	}
	server, err := node.Start(ctx, node.Options{
		Binary: p.weir, Log: log, Flags: append([]string{"--ping-interval", "0", "--allowed-origins", origin}, p.serverFlags...),
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	if slices.Contains(p.parts, "accept") { // before the fan-out: the server's heap is small
		err = p.accept(ctx, server, out)
	}
	if slices.Contains(p.parts, "fanout") {
		err = errors.Join(err, p.fanout(ctx, server, out))
	}
	if slices.Contains(p.parts, "halfload") {
		err = errors.Join(err, p.halfload(ctx, server, out))
	}
	return err
}
