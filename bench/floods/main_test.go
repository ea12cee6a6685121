//go:build linux

package floods

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"weir/bench/internal/node"
	"weir/loadtest/attack"
)

var (
	full = flag.Bool("full", false, "every flood, at the scale of CI")
	long = flag.Duration("flood", 5*time.Second, "with -full: how long each flood is held at least")
)

// childVariable in the environment makes this binary the attackers' process:
// its value is an order in JSON.
const childVariable = "WEIR_FLOODS_CHILD"

// order says what a child does until its input ends.
type order struct {
	Kind   string // of attack; "" computes, for nothing
	Target attack.Target
}

func TestMain(m *testing.M) {
	if text := os.Getenv(childVariable); text != "" {
		if err := obey(text, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "floods:", err)
			os.Exit(1)
		}
		return
	}
	code := m.Run()
	if built != "" {
		_ = os.RemoveAll(filepath.Dir(built))
	}
	os.Exit(code)
}

// built is the server's binary, once it is; tests of this package do not run in parallel.
var built string

// weir builds the server, once.
func weir(t *testing.T) string {
	t.Helper()
	if given := os.Getenv(binaryVariable); given != "" {
		return given
	}
	if built == "" {
		folder, err := os.MkdirTemp("", "weir-floods-")
		if err != nil {
			t.Fatal(err)
		}
		built = filepath.Join(folder, "weir")
		if err := node.Build(t.Context(), built); err != nil {
			t.Fatal(err)
		}
	}
	return built
}

// obey carries out an order until in ends, and writes what it came to.
func obey(text string, in io.Reader, out io.Writer) error {
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, in)
		cancel()
	}()
	if o.Kind == "" {
		compute(ctx)
		return nil
	}
	kind, ok := attack.Named(o.Kind)
	if !ok {
		return fmt.Errorf("no attack is called %s", o.Kind)
	}
	tally, err := kind.Run(ctx, o.Target)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(tally)
}

// compute keeps every core busy.
func compute(ctx context.Context) {
	var all sync.WaitGroup
	for range runtime.NumCPU() {
		all.Go(func() {
			for n := uint64(1); ctx.Err() == nil; {
				for range 1 << 20 {
					n = n*6364136223846793005 + 1
				}
			}
		})
	}
	all.Wait()
}

// child is a process with the least priority that does an order.
type child struct {
	process *exec.Cmd
	end     io.Closer
	out     *bufio.Reader
}

func (o order) start(t *testing.T) *child {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	c := &child{process: exec.Command("nice", "-n", "19", os.Args[0])}
	c.process.Env = append(os.Environ(), childVariable+"="+string(text))
	c.process.Stderr = os.Stderr
	c.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := c.process.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.process.Start(); err != nil {
		t.Fatal(err)
	}
	c.end, c.out = in, bufio.NewReader(out)
	return c
}

// stop ends it and waits until it is gone.
func (c *child) stop() (tally attack.Tally, err error) {
	err = c.end.Close()
	told, readErr := io.ReadAll(c.out)
	if err = errors.Join(err, readErr, c.process.Wait()); err == nil && len(told) > 0 {
		err = json.Unmarshal(told, &tally)
	}
	return tally, err
}
