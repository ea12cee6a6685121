package realclient

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"weir/security/oplog/logtest"
)

// process is a program of another, in a process group of its own that is
// killed when the test ends.
type process struct {
	t     testing.TB
	stdin io.WriteCloser
	out   logtest.Log // standard output and standard error
	ended chan struct{}
}

// run starts a program. stdout takes its standard output; nil is p.out.
func run(t testing.TB, stdout io.Writer, name string, args ...string) *process {
	t.Helper()
	return start(t, stdout, exec.Command(name, args...))
}

// start is run for a command that is made ready.
func start(t testing.TB, stdout io.Writer, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, ended: make(chan struct{})}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Stdout, cmd.Stderr = stdout, &p.out
	if stdout == nil {
		cmd.Stdout = &p.out
	}
	cmd.WaitDelay = longest // a grandchild may hold the pipes
	var err error
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		_ = cmd.Wait() // that it was killed, or what the test reads in its output
	}()
	t.Cleanup(func() {
		if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			t.Errorf("killing %s: %v", cmd.Path, err)
		}
		<-p.ended
	})
	return p
}

func (p *process) write(b []byte) {
	p.t.Helper()
	if _, err := p.stdin.Write(b); err != nil {
		p.t.Fatalf("writing to the client: %v; it said: %s", err, &p.out)
	}
}

// await returns the output once every word has come.
func (p *process) await(words ...string) string {
	p.t.Helper()
	timeout := time.After(longest)
	for {
		text, changed := p.out.Read()
		if logtest.Holds(text, words) {
			return text
		}
		select {
		case <-changed:
		case <-p.ended:
			if text = p.out.String(); !logtest.Holds(text, words) {
				p.t.Fatalf("the client ended without saying %q: %s", words, text)
			}
			return text
		case <-timeout:
			p.t.Fatalf("the client did not say %q in %v, but: %q", words, longest, text)
		}
	}
}

// exit returns the whole output once the process has ended by itself.
func (p *process) exit() string {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(longest):
		p.t.Fatalf("the client did not end in %v; it said: %s", longest, &p.out)
	}
	return p.out.String()
}

// script is one of testdata's scripts in Node.js.
type script struct {
	*process
	events chan event
}

// event is what a script tells; the fields are those of the kind in Event.
type event struct {
	Event, Channel, Reason, Text, Protocol, Extensions, SHA256 string
	Code, Status, Length, Received                             int
	NumDeltaPayloads, NumFullPayloads                          int
	Offset                                                     uint64
	Epoch                                                      string
	Binary, Recovered, Delta                                   bool
	Lines                                                      []string
	Data, Info, Clients                                        json.RawMessage
	Client                                                     string
	Users                                                      int
	Headers                                                    map[string]string
}

// order is a line for a script, or its first line.
type order map[string]any

// node starts a script with the place of the server, and more in where.
func (s *server) node(t testing.TB, name string, where order) *script {
	t.Helper()
	program, err := exec.LookPath("node")
	if err != nil {
		missing(t, "node", "install Node.js 20 or later")
	}
	if !installed("ws") || !installed("centrifuge") {
		missing(t, "node_modules", "npm ci --prefix engine/realclient")
	}
	cmd := exec.Command(program, filepath.Join("testdata", name))
	cmd.Env = append(os.Environ(), "TMPDIR="+scratch(t)) // a browser leaves its profile there when it is killed
	stdout, in := io.Pipe()
	n := &script{process: start(t, in, cmd), events: make(chan event, 64)}
	done := make(chan struct{})
	go func() {
		<-n.ended
		_ = in.Close() // never errs
	}()
	go n.listen(stdout, done)
	t.Cleanup(func() {
		close(done)
		_ = stdout.Close() // never errs
	})
	first := order{"url": s.url(""), "ca": string(s.Cert), "origin": ourOrigin}
	for k, v := range where {
		first[k] = v
	}
	n.do(first)
	n.next("ready")
	return n
}

// scratch is a folder that is gone when the test ends, soon after those that still write there. Its name is short: a browser's
// socket below it has 108 bytes.
func scratch(t testing.TB) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "weir-page-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		again, timeout := time.NewTicker(20*time.Millisecond), time.After(longest)
		defer again.Stop()
		for err := os.RemoveAll(folder); err != nil; err = os.RemoveAll(folder) {
			select {
			case <-again.C:
			case <-timeout:
				t.Error(err)
				return
			}
		}
	})
	return folder
}

func installed(module string) bool {
	_, err := os.Stat(filepath.Join("node_modules", module, "package.json"))
	return err == nil
}

// listen reads events until the script or the test ends.
func (n *script) listen(stdout io.Reader, done <-chan struct{}) {
	defer close(n.events)
	lines := bufio.NewScanner(stdout)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			e = event{Event: "garbage", Text: lines.Text()}
		}
		select {
		case n.events <- e:
		case <-done:
			return
		}
	}
}

func (n *script) do(o order) {
	n.t.Helper()
	line, err := json.Marshal(o)
	if err != nil {
		n.t.Fatal(err)
	}
	n.write(append(line, '\n'))
}

// next returns the next event of the kind. Those before it must be of the
// kinds in between; without any, nothing may come before it.
func (n *script) next(kind string, between ...string) event {
	n.t.Helper()
	for timeout := time.After(longest); ; {
		e := n.event(kind, timeout)
		if e.Event == kind {
			return e
		}
		if !slices.Contains(between, e.Event) {
			n.t.Fatalf("the script tells %+v where %q was due", e, kind)
		}
	}
}

// both returns the next events of two kinds, which may come in any order.
func (n *script) both(a, b string, between ...string) (ea, eb event) {
	n.t.Helper()
	for timeout := time.After(longest); ea.Event == "" || eb.Event == ""; {
		switch e := n.event(a+" and "+b, timeout); {
		case e.Event == a && ea.Event == "":
			ea = e
		case e.Event == b && eb.Event == "":
			eb = e
		case !slices.Contains(between, e.Event):
			n.t.Fatalf("the script tells %+v where %q and %q were due", e, a, b)
		}
	}
	return ea, eb
}

func (n *script) event(due string, timeout <-chan time.Time) event {
	n.t.Helper()
	select {
	case e, ok := <-n.events:
		if !ok {
			n.t.Fatalf("the script ended where %q was due: %s", due, n.exit())
		}
		return e
	case <-timeout:
		n.t.Fatalf("no %q in %v", due, longest)
	}
	panic("not reached")
}
