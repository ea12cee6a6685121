package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"weir/bench/internal/node"
)

// roleVariable in the environment makes this program one of its own children.
const roleVariable = "WEIR_BENCH_FLOOR"

// The children.
const (
	roleAudience = "audience" // subscribers of a fan-out
	roleBare     = "bare"     // the floor of a fan-out
	roleVisitors = "visitors" // clients that connect
	roleCrypto   = "crypto"   // the floor of a connect, the server's end
	roleHellos   = "hellos"   // the client's end of it
)

// child is another process of this program: it answers each order with one report, in lines of JSON.
type child struct {
	process *exec.Cmd
	orders  io.WriteCloser
	reports *json.Decoder
}

func startChild(ctx context.Context, role string, log io.Writer) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &child{process: exec.CommandContext(ctx, self)}
	c.process.Env = append(os.Environ(), roleVariable+"="+role)
	c.process.Stderr = log
	if c.orders, err = c.process.StdinPipe(); err != nil {
		return nil, err
	}
	reports, err := c.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.reports = json.NewDecoder(reports)
	return c, c.process.Start()
}

// answer is a child's report on an order.
type answer[T any] struct {
	Failure string
	Report  T
}

// ask gives an order and waits for the report.
func ask[T any](c *child, order any) (T, error) {
	var a answer[T]
	if err := json.NewEncoder(c.orders).Encode(order); err != nil {
		return a.Report, err
	}
	if err := c.reports.Decode(&a); err != nil {
		return a.Report, fmt.Errorf("a child process: %w", err)
	}
	if a.Failure != "" {
		return a.Report, errors.New(a.Failure)
	}
	return a.Report, nil
}

// cpu is the processor time of the child so far.
func (c *child) cpu() (time.Duration, error) { return node.ProcessCPU(c.process.Process.Pid) }

func (c *child) close() error { return errors.Join(c.orders.Close(), c.process.Wait()) }

func serveRole(ctx context.Context, role string, orders io.Reader, reports io.Writer) error {
	switch role {
	case roleAudience:
		a := &audience{}
		defer a.dismiss()
		return serve(orders, reports, func(o audienceOrder) (audienceReport, error) { return a.obey(ctx, o) })
	case roleBare:
		b := &bare{}
		return serve(orders, reports, b.obey)
	case roleVisitors:
		v := &visitors{}
		return serve(orders, reports, func(o visitorsOrder) (int, error) { return v.obey(ctx, o) })
	case roleCrypto:
		c := &cryptoFloor{}
		return serve(orders, reports, func(o cryptoOrder) (int, error) { return c.obey(ctx, o) })
	case roleHellos:
		return serveHellos(orders, reports)
	}
	return fmt.Errorf("no role %q", role)
}

// serve obeys orders until they end.
func serve[O, R any](orders io.Reader, reports io.Writer, obey func(O) (R, error)) error {
	in, out := json.NewDecoder(bufio.NewReader(orders)), json.NewEncoder(reports)
	for {
		var o O
		if err := in.Decode(&o); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		var a answer[R]
		var err error
		if a.Report, err = obey(o); err != nil {
			a.Failure = err.Error()
		}
		if err := out.Encode(a); err != nil {
			return err
		}
	}
}
