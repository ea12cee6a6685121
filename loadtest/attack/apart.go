package attack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// Apart says how a process of attackers is started: it calls Serve with its standard input and output. Attackers
// that compute as fast as they can would otherwise have the honest clients beside them wait for their turn
// in one process, and the figures would tell of that.
type Apart struct {
	Program     string // "": there is none, attackers live in this process
	Environment []string
	Stderr      io.Writer
}

// order is the one value on the standard input of such a process; where the input ends, the flood does.
type order struct {
	Kind   string
	Target Target
}

// outcome is the one value on its standard output.
type outcome struct {
	Tally   Tally
	Failure string
}

// RunApart is Run in a process of its own.
func (k Kind) RunApart(ctx context.Context, t Target, a Apart) (tally Tally, err error) {
	if a.Program == "" {
		return k.Run(ctx, t)
	}
	p := exec.Command(a.Program)
	p.Env = append(os.Environ(), a.Environment...)
	p.Stderr = a.Stderr
	in, err := p.StdinPipe()
	if err != nil {
		return tally, err
	}
	out, err := p.StdoutPipe()
	if err != nil {
		return tally, err
	}
	if err := p.Start(); err != nil {
		return tally, err
	}
	ended := context.AfterFunc(ctx, func() { _ = in.Close() })
	defer ended()
	var o outcome
	err = errors.Join(json.NewEncoder(in).Encode(order{k.Name, t}), json.NewDecoder(out).Decode(&o))
	_ = in.Close()
	if err = errors.Join(err, p.Wait()); err != nil {
		return tally, fmt.Errorf("attackers: %w", err)
	}
	if o.Failure != "" {
		return o.Tally, errors.New(o.Failure)
	}
	return o.Tally, nil
}

// Serve is a process of attackers: it floods as in says, until in ends, and tells out what came of it.
func Serve(ctx context.Context, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var w order
	orders := json.NewDecoder(in)
	if err := orders.Decode(&w); err != nil {
		return err
	}
	k, ok := Named(w.Kind)
	if !ok {
		return fmt.Errorf("attack: no flood is named %q", w.Kind)
	}
	go func() { // ends with the input, as this process does
		_ = orders.Decode(new(json.RawMessage))
		cancel()
	}()
	var o outcome
	var err error
	if o.Tally, err = k.Run(ctx, w.Target); err != nil {
		o.Failure = err.Error()
	}
	return json.NewEncoder(out).Encode(o)
}
