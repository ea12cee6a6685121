// Package peer starts servers by name for the benchmarks that compare: Weir itself, and those of bench/peers. Whatever runs, a
// client needs to know the same few things of it. It works on Linux only, and needs the working directory inside the repository.
package peer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"weir/bench/internal/node"
	"weir/security/certs"
)

// Weir's own names: one server, by what its clients speak.
const (
	Weir     = "weir"      // /connection/websocket
	WeirFeed = "weir-feed" // /feed
)

// Protocols of a Server.
const (
	Feed       = "feed"       // /feed?channel=, messages only
	Centrifugo = "centrifugo" // /connection/websocket, commands in JSON
)

const (
	certificateValid = 60 * 24 * time.Hour
	maxAnswerBytes   = 64 << 10
	publishersKept   = 64 // idle connections to the API
)

// Bench is a folder with everything that is needed to start the servers that it was opened for, again and again.
type Bench struct {
	folder   string
	commands map[string][]string // of bench/peers, by name
}

// Names lists all servers: Weir's first, then those of bench/peers.
func Names(ctx context.Context) ([]string, error) {
	_, commands, err := read(ctx)
	return append([]string{Weir, WeirFeed}, slices.Sorted(maps.Keys(commands))...), err
}

// read finds the module of the peers and what it has.
func read(ctx context.Context) (folder string, commands map[string][]string, err error) {
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "weir").Output()
	if err != nil {
		return "", nil, fmt.Errorf("the repository is not found: %w", err)
	}
	folder = filepath.Join(strings.TrimSpace(string(root)), "bench", "peers")
	text, err := os.ReadFile(filepath.Join(folder, "peers.json"))
	if err != nil {
		return "", nil, err
	}
	return folder, commands, json.Unmarshal(text, &commands)
}

// Open builds the named servers. The caller closes the Bench.
func Open(ctx context.Context, names []string) (*Bench, error) {
	source, commands, err := read(ctx)
	if err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp("", "weir-peers-")
	if err != nil {
		return nil, err
	}
	b := &Bench{folder, commands}
	if err := errors.Join(b.certify(), b.build(ctx, source, names)); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// Close removes the folder. No server may run any more.
func (b *Bench) Close() error { return os.RemoveAll(b.folder) }

func (b *Bench) file(name string) string { return filepath.Join(b.folder, name) }

// certify writes the peers' certificate: of the same kind as Weir's here.
func (b *Bench) certify() error {
	cert, key, err := certs.SelfSigned([]string{"localhost", "127.0.0.1"}, time.Now().Add(-time.Hour), certificateValid)
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(b.file("cert.pem"), cert, 0o600), os.WriteFile(b.file("key.pem"), key, 0o600))
}

func (b *Bench) build(ctx context.Context, source string, names []string) error {
	for _, name := range names {
		if name == Weir || name == WeirFeed {
			if err := node.Build(ctx, b.file("weir")); err != nil {
				return err
			}
			continue
		}
		command, ok := b.commands[name]
		if !ok {
			return fmt.Errorf("there is no server %q", name)
		}
		build := exec.CommandContext(ctx, "go", "build", "-o", b.file(command[0]), "./"+command[0])
		build.Dir = source
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("building %s: %w\n%s", name, err, out)
		}
	}
	return nil
}

// Server is one that runs. What is exported is for clients and does not change.
type Server struct {
	Name, Version string
	URL           string // of subscribers, wss
	Protocol      string // Feed or Centrifugo
	API           string // base URL of the server API
	PID           int    // of the process that serves
	CAFile        string // certificate to trust, PEM
	Token         string // for channels that begin with the prefix; "": nobody asks for one
	KeyFile       string // key of the server API; the peers ask for none, but a file is there

	key  string // in KeyFile
	http *http.Client
	stop func() error
}

// Start runs a server until Stop, or until ctx ends. Weir gets flags in addition to what the benchmarks always set; its clients get
// a token for the channels that begin with prefix.
func (b *Bench) Start(ctx context.Context, name, prefix string, log io.Writer, flags ...string) (s *Server, err error) {
	if name == Weir || name == WeirFeed {
		s, err = b.startWeir(ctx, name, prefix, log, flags)
	} else {
		s, err = b.startPeer(ctx, name, log)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	s.http = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: publishersKept}}
	return s, nil
}

func (b *Bench) startWeir(ctx context.Context, name, prefix string, log io.Writer, flags []string) (*Server, error) {
	n, err := node.Start(ctx, node.Options{Binary: b.file("weir"), Log: log, Flags: flags})
	if err != nil {
		return nil, err
	}
	token, err := n.Token(prefix, "sub")
	key, err2 := os.ReadFile(n.KeyFile())
	if err := errors.Join(err, err2); err != nil {
		return nil, errors.Join(err, n.Stop())
	}
	s := &Server{
		Name: name, URL: "wss://" + n.Addr + "/connection/websocket", Protocol: Centrifugo, API: "http://" + n.API, PID: n.PID(),
		CAFile: n.Authority(), Token: token, KeyFile: n.KeyFile(), key: string(key), stop: n.Stop,
	}
	if name == WeirFeed {
		s.URL, s.Protocol = "wss://"+n.Addr+"/feed", Feed
	}
	return s, nil
}

// CPU is the processor time that the server has used so far, RSS its resident memory in bytes.
func (s *Server) CPU() (time.Duration, error) { return node.ProcessCPU(s.PID) }
func (s *Server) RSS() (int64, error)         { return node.ProcessRSS(s.PID) }

// Stop ends the server. Before that every connection should be closed: Weir would wait for them.
func (s *Server) Stop() error {
	s.http.CloseIdleConnections()
	return s.stop()
}

// Publish posts one publication, of JSON data. It returns once the server has acknowledged it.
func (s *Server) Publish(ctx context.Context, channel string, data []byte) error {
	body := fmt.Appendf(nil, `{"channel":%q,"data":%s}`, channel, data)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.API+"/api/publish", bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("X-API-Key", s.key)
	request.Header.Set("Content-Type", "application/json")
	response, err := s.http.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes))
	if err != nil {
		return err
	}
	var reply struct{ Result json.RawMessage }
	if err := json.Unmarshal(answer, &reply); err != nil || response.StatusCode != http.StatusOK || reply.Result == nil {
		return fmt.Errorf("%s: publishing was answered %s %s", s.Name, response.Status, answer)
	}
	return nil
}
