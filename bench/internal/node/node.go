// Package node runs a real `weir serve` as a child process for the benchmarks:
// it builds the binary unless it is given one, writes the certificate and keys
// that a server asks for, learns the ports from its log, and reads its figures
// from /proc and /metrics. It works on Linux only.
package node

import (
	"bufio"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"weir/bench/internal/client"
	"weir/security/certs"
	"weir/security/grant"
	"weir/security/token"
)

const (
	startTimeout = time.Minute
	stopTimeout  = time.Minute
	tokenTTL     = 24 * time.Hour

	certificateValid = 60 * 24 * time.Hour // so that the server does not warn

	publishersKept = 64 // idle connections to the internal listener
)

// Options say what to run.
type Options struct {
	Binary string    // "" builds cmd/weir, which needs the working directory inside the repository
	Listen string    // public listener; "" is a port of the system's choice on 127.0.0.1
	Exempt string    // from limits per address and user; "" is all of 127/8
	Flags  []string  // more flags of weir serve
	Env    []string  // more of its environment
	Log    io.Writer // what the server logs above INFO
	// Like makes a second process of the same node: with the certificate, keys, ticket keys
	// and public address of another, which must stop last. Both need --reuse-port.
	Like *Node
}

// Node is a running server.
type Node struct {
	Addr, API string // host:port of the public and the internal listener

	process *exec.Cmd
	folder  string // everything that was written for it
	common  string // the folder of what it shares with those that are like it
	secret  []byte
	apiKey  string
	http    *http.Client
	exited  chan struct{} // closed when the process is gone; err is set then
	err     error
}

// Build makes a server's binary, for several that are started. The working directory must be inside the repository.
func Build(ctx context.Context, binary string) error {
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", binary, "weir/cmd/weir").CombinedOutput(); err != nil {
		return fmt.Errorf("go build weir/cmd/weir: %w\n%s", err, out)
	}
	return nil
}

// Start runs a server until Stop, or until ctx ends.
func Start(ctx context.Context, o Options) (*Node, error) {
	folder, err := os.MkdirTemp("", "weir-bench-")
	if err != nil {
		return nil, err
	}
	n := &Node{
		folder: folder, common: folder, exited: make(chan struct{}),
		http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: publishersKept}},
	}
	if o.Like == nil {
		err = n.identify()
	} else {
		n.common, n.secret, n.apiKey, o.Listen = o.Like.common, o.Like.secret, o.Like.apiKey, o.Like.Addr
	}
	if err := errors.Join(err, n.start(ctx, o)); err != nil {
		return nil, errors.Join(err, os.RemoveAll(folder))
	}
	return n, nil
}

// identify makes what proves who the server is and who may talk to it.
func (n *Node) identify() error {
	n.secret, n.apiKey = []byte(rand.Text()+rand.Text()), rand.Text()
	certPEM, keyPEM, err := certs.SelfSigned([]string{"localhost", "127.0.0.1"}, time.Now().Add(-time.Hour), certificateValid)
	if err != nil {
		return err
	}
	var ticketKeys [32]byte
	if _, err := rand.Read(ticketKeys[:]); err != nil {
		return err
	}
	for name, content := range map[string][]byte{
		"cert.pem": certPEM, "key.pem": keyPEM, "api-key": []byte(n.apiKey), "secret": n.secret, "ticket-keys": ticketKeys[:],
	} {
		if err := os.WriteFile(n.shared(name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (n *Node) start(ctx context.Context, o Options) error {
	if o.Binary == "" {
		o.Binary = n.file("weir")
		if err := Build(ctx, o.Binary); err != nil {
			return err
		}
	}
	n.process = exec.CommandContext(ctx, o.Binary, append([]string{
		"serve", "--listen", cmp.Or(o.Listen, "127.0.0.1:0"), "--api-listen", "127.0.0.1:0",
		"--tls-cert", n.shared("cert.pem"), "--tls-key", n.shared("key.pem"), "--allow-self-signed",
		"--api-key-file", n.shared("api-key"), "--token-hmac-secret-file", n.shared("secret"), "--allow-no-origin",
		"--ticket-key-file", n.shared("ticket-keys"),
		"--limit-exempt", cmp.Or(o.Exempt, "127.0.0.0/8"), "--tcp-congestion", "cubic", "--drain-period", "1s", "--audit-file", n.file("audit.log"),
	}, o.Flags...)...)
	n.process.Env = append(os.Environ(), o.Env...)
	n.process.Cancel = func() error { return n.process.Process.Signal(os.Interrupt) }
	n.process.WaitDelay = stopTimeout
	dieWithParent(n.process)
	log, err := n.process.StderrPipe()
	if err != nil {
		return err
	}
	if err := n.process.Start(); err != nil {
		return err
	}
	return n.awaitServing(log, o.Log)
}

func (n *Node) file(name string) string   { return filepath.Join(n.folder, name) }
func (n *Node) shared(name string) string { return filepath.Join(n.common, name) }

// Authority is the file of the certificate that clients must trust, KeyFile that of the
// server API's key, PID the process.
func (n *Node) Authority() string { return n.shared("cert.pem") }
func (n *Node) KeyFile() string   { return n.shared("api-key") }
func (n *Node) PID() int          { return n.process.Process.Pid }

// awaitServing reads the log until the server says where it listens, and
// passes the rest on.
func (n *Node) awaitServing(log io.Reader, rest io.Writer) error {
	serving := make(chan error, 1)
	go func() {
		defer close(n.exited)
		lines := bufio.NewReader(log)
		serving <- n.readAddresses(lines)
		passOn(lines, rest)
		n.err = n.process.Wait()
	}()
	timeout := time.NewTimer(startTimeout)
	defer timeout.Stop()
	var err error
	select {
	case err = <-serving:
	case <-timeout.C:
		err = errors.New("the server did not say where it listens")
	}
	if err != nil {
		err = errors.Join(err, n.process.Process.Kill())
		<-n.exited
	}
	return err
}

func (n *Node) readAddresses(log *bufio.Reader) error {
	said := ""
	for {
		line, err := log.ReadString('\n')
		said += line
		if err != nil {
			return fmt.Errorf("the server ended before it served: %s", said)
		}
		var entry struct{ Msg, Listen, API string }
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == "serving" {
			n.Addr, n.API = entry.Listen, entry.API
			return nil
		}
	}
}

// passOn copies the log until its end, without the lines of normal running.
func passOn(log *bufio.Reader, to io.Writer) {
	for {
		line, err := log.ReadString('\n')
		if !strings.Contains(line, `"level":"INFO"`) {
			_, _ = io.WriteString(to, line)
		}
		if err != nil {
			return
		}
	}
}

// Target is what a client needs to subscribe to channels, whose common prefix
// its token is for.
func (n *Node) Target(prefix string, channels []string) (client.Target, error) {
	signed, err := n.Token(prefix, "sub")
	return client.Target{Addr: n.Addr, Authority: n.Authority(), Token: signed, Channels: channels}, err
}

// Token signs one for the channels that begin with prefix.
func (n *Node) Token(prefix string, allow ...string) (string, error) {
	now := time.Now()
	return token.Sign(n.secret, token.SignClaims{
		Subject: "bench", ID: "bench", IssuedAt: now.Unix(), ExpiresAt: now.Add(tokenTTL).Unix(),
		Caps: []grant.Capability{{Channels: []string{prefix + "*"}, Match: "wildcard", Allow: allow}},
	})
}

// Certificate returns the files with the server's certificate and key, in PEM.
func (n *Node) Certificate() (cert, key string) { return n.file("cert.pem"), n.file("key.pem") }

// Secret is what the server's tokens are signed with.
func (n *Node) Secret() []byte { return n.secret }

// Exited is closed when the server is gone.
func (n *Node) Exited() <-chan struct{} { return n.exited }

// Stop ends the server and removes its files. Before that every connection
// should be closed: the drain would wait for them.
func (n *Node) Stop() error {
	err := n.process.Process.Signal(os.Interrupt)
	timeout := time.NewTimer(stopTimeout)
	defer timeout.Stop()
	select {
	case <-n.exited:
		err = n.err
	case <-timeout.C:
		err = errors.Join(err, errors.New("the server did not stop"), n.process.Process.Kill())
		<-n.exited
	}
	return errors.Join(err, os.RemoveAll(n.folder))
}
