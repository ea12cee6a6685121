package node

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of times in /proc/PID/stat: USER_HZ, 100 on every
// Linux that Go runs on.
const clockTick = time.Second / 100

// maxAnswerBytes is the most that is read of an answer of the internal listener.
const maxAnswerBytes = 1 << 20

// RSS is the server's resident memory in bytes.
func (n *Node) RSS() (int64, error) { return ProcessRSS(n.process.Process.Pid) }

// ProcessRSS is the resident memory of a process in bytes.
func ProcessRSS(pid int) (int64, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(stat))
	if len(fields) < 2 {
		return 0, fmt.Errorf("statm: %q", stat)
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize()), err
}

// CPU is the processor time that the server has used so far.
func (n *Node) CPU() (time.Duration, error) { return ProcessCPU(n.process.Process.Pid) }

// ProcessCPU is the processor time that a process has used so far.
func ProcessCPU(pid int) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	stat := string(b)
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:]) // from the third on
	if len(fields) < 13 {
		return 0, fmt.Errorf("stat: %q", stat)
	}
	user, err := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * clockTick, errors.Join(err, err2)
}

// MachineIdle is the time that the cores of this machine have had nothing to do so far, all together.
func MachineIdle() (time.Duration, error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(string(b), "\n")
	fields := strings.Fields(first) // cpu user nice system idle …
	if len(fields) < 5 || fields[0] != "cpu" {
		return 0, fmt.Errorf("/proc/stat: %q", first)
	}
	idle, err := strconv.ParseInt(fields[4], 10, 64)
	return time.Duration(idle) * clockTick, err
}

// Metric reads one figure from /metrics, by its name with labels.
func (n *Node) Metric(ctx context.Context, name string) (float64, error) {
	all, err := n.Metrics(ctx)
	if err != nil {
		return 0, err
	}
	value, ok := all[name]
	if !ok {
		return 0, fmt.Errorf("/metrics has no %s", name)
	}
	return value, nil
}

// Metrics reads all figures of /metrics, by their names with labels.
func (n *Node) Metrics(ctx context.Context) (map[string]float64, error) {
	body, err := n.call(ctx, http.MethodGet, "/metrics", nil)
	if err != nil {
		return nil, err
	}
	all := make(map[string]float64)
	for line := range strings.Lines(string(body)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if figure, err := strconv.ParseFloat(value, 64); err == nil {
			all[name] = figure
		}
	}
	return all, nil
}

// Files is how many descriptors the server has open.
func (n *Node) Files() (int, error) {
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", n.process.Process.Pid))
	return len(list), err
}

// Publish posts one publication, of JSON data, to the server API. It returns
// once the server has acknowledged it.
func (n *Node) Publish(ctx context.Context, channel string, data []byte) error {
	return n.Order(ctx, "publish", fmt.Appendf(nil, `{"channel":%q,"data":%s}`, channel, data))
}

// Order calls a method of the server API that need only succeed.
func (n *Node) Order(ctx context.Context, method string, body []byte) error {
	answer, err := n.call(ctx, http.MethodPost, "/api/"+method, body)
	if err != nil {
		return err
	}
	var reply struct {
		Error json.RawMessage `json:"error"`
	}
	if err := json.Unmarshal(answer, &reply); err != nil || reply.Error != nil {
		return fmt.Errorf("%s was answered %s", method, answer)
	}
	return nil
}

func (n *Node) call(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://"+n.API+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("X-API-Key", n.apiKey)
	request.Header.Set("Content-Type", "application/json")
	response, err := n.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes))
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", path, response.Status, answer)
	}
	return answer, err
}
