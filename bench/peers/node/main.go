// Command node runs the feed on ws or uWebSockets.js, of which -server says the name. Node.js has no way to choose the
// congestion control of a socket, so this program does it from outside, before it passes the server's line on.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"

	"weir/bench/peers/internal/feed"
	"weir/bench/peers/internal/socket"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("node: ")
	server := flag.String("server", "ws", "ws or uws")
	scripts := flag.String("scripts", here(), "folder of the scripts and their node_modules")
	o := feed.Flags()
	flag.Parse()
	runtime.LockOSThread() // the child dies with the thread that started it, not only with the process
	if err := run(filepath.Join(*scripts, *server+".mjs"), o); err != nil {
		log.Fatal(err)
	}
}

// here is the folder of this source file.
func here() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(file)
}

func run(script string, o *feed.Options) (err error) {
	over := feed.End()
	node := exec.Command("node", script, "--listen", o.Listen, "--api", o.API, "--cert", o.Cert, "--key", o.Key)
	node.Stderr = os.Stderr
	node.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := node.StdinPipe() // its end ends the child
	if err != nil {
		return err
	}
	out, err := node.StdoutPipe()
	if err != nil {
		return err
	}
	if err := node.Start(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close(), node.Wait()) }()
	if err := passOn(bufio.NewReader(out), o.Congestion); err != nil {
		return err
	}
	<-over
	return nil
}

// passOn reads the server's line, sets the congestion control of the listener that it names, and prints it.
func passOn(out *bufio.Reader, congestion string) error {
	text, err := out.ReadBytes('\n')
	if err != nil && err != io.EOF {
		return err
	}
	var line feed.Line
	if err := json.Unmarshal(text, &line); err != nil {
		return fmt.Errorf("the server said %q: %w", text, err)
	}
	at, err := url.Parse(line.URL)
	if err != nil {
		return err
	}
	port, err := strconv.Atoi(at.Port())
	if err != nil {
		return err
	}
	if err := socket.SetForeign(line.PID, port, congestion); err != nil {
		return err
	}
	_, err = os.Stdout.Write(text)
	return err
}
