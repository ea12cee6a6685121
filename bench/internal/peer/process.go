package peer

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
)

// startTimeout is how long a peer may take to serve, stopTimeout to end.
const (
	startTimeout = time.Minute
	stopTimeout  = time.Minute
)

// line is what a peer prints once it serves: see bench/peers/README.md.
type line struct {
	Version, URL, Protocol, API string
	PID                         int
}

func (b *Bench) startPeer(ctx context.Context, name string, log io.Writer) (*Server, error) {
	command, keyFile := b.commands[name], b.file("api-key")
	if command == nil {
		return nil, errors.New("there is no such server")
	}
	if err := os.WriteFile(keyFile, []byte("none"), 0o600); err != nil {
		return nil, err
	}
	process := exec.CommandContext(ctx, b.file(command[0]), append(command[1:len(command):len(command)],
		"-listen", "127.0.0.1:0", "-api", "127.0.0.1:0", "-cert", b.file("cert.pem"), "-key", b.file("key.pem"), "-congestion", "cubic")...)
	process.Stderr = log
	in, err := process.StdinPipe() // its end, with us too, ends the peer
	if err != nil {
		return nil, err
	}
	out, err := process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := process.Start(); err != nil {
		return nil, err
	}
	stop := func() error { return end(process, in) }
	said, err := await(out)
	if err != nil {
		return nil, errors.Join(err, stop())
	}
	return &Server{
		Name: name, Version: said.Version, URL: said.URL, Protocol: said.Protocol, API: said.API, PID: said.PID,
		CAFile: b.file("cert.pem"), KeyFile: keyFile, stop: stop,
	}, nil
}

// await reads the line.
func await(out io.ReadCloser) (line, error) {
	type outcome struct {
		line line
		err  error
	}
	read := make(chan outcome, 1)
	go func() {
		text, err := bufio.NewReader(out).ReadBytes('\n')
		var l line
		if err == nil {
			err = json.Unmarshal(text, &l)
		}
		if err != nil {
			err = fmt.Errorf("it said %q: %w", text, err)
		}
		read <- outcome{l, err}
	}()
	timeout := time.NewTimer(startTimeout)
	defer timeout.Stop()
	select {
	case o := <-read:
		return o.line, o.err
	case <-timeout.C:
		return line{}, errors.Join(errors.New("it does not say that it serves"), out.Close()) // which ends the reader
	}
}

// end closes the input of a peer and waits for its end.
func end(process *exec.Cmd, in io.Closer) error {
	err := in.Close()
	kill := time.AfterFunc(stopTimeout, func() { _ = process.Process.Kill() })
	defer kill.Stop()
	return errors.Join(err, process.Wait())
}
