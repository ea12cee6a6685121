//go:build linux

package faults

import (
	"bufio"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// TestReaderOfTheLogGoesAway: nobody holds the other end of standard error any more, which
// ends a process that does not see to it. The server goes on, and stops as ever.
func TestReaderOfTheLogGoesAway(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(weir(t), "serve", "--dev", "--listen=127.77.0.1:0", "--api-listen=127.0.0.1:0", "--log-format=json", "--audit-file=stderr")
	c.Stderr = write
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill() })
	_ = write.Close() // the child has its own
	var entry struct{ Msg, API string }
	for lines := bufio.NewScanner(read); entry.Msg != "serving"; {
		if !lines.Scan() {
			t.Fatalf("the server ended before it served: %v", lines.Err())
		}
		_ = json.Unmarshal(lines.Bytes(), &entry) // what is no JSON is no line of the log
	}
	_ = read.Close()
	for range 10 {
		if err := c.Process.Signal(syscall.SIGHUP); err != nil { // a line each
			t.Fatal(err)
		}
		resp, err := http.Get("http://" + entry.API + "/health")
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
	}
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
}
