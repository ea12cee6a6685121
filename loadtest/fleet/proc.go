package fleet

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"weir/loadtest/tally"
)

const (
	// clockTick is the unit of times in /proc/PID/stat: USER_HZ, 100 on every Linux that Go runs on.
	clockTick = time.Second / 100

	// self is this process.
	self = 0
)

// ReadProcess reads what a process takes, from /proc; 0 is this one. Only Linux has it.
func ReadProcess(pid int) (p tally.Process, err error) {
	folder := "/proc/self"
	if pid != self {
		folder = fmt.Sprintf("/proc/%d", pid)
	}
	statm, err := os.ReadFile(folder + "/statm")
	if err != nil {
		return p, err
	}
	stat, err := os.ReadFile(folder + "/stat")
	if err != nil {
		return p, err
	}
	return parseProcess(string(statm), string(stat))
}

// parseProcess reads statm, whose second field is the resident set in pages, and
// stat, whose fields 14 and 15 are times; its second one, in brackets, may hold anything.
func parseProcess(statm, stat string) (p tally.Process, err error) {
	sizes := strings.Fields(statm)
	times := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(sizes) < 2 || len(times) < 13 {
		return p, errors.New("/proc is not as Linux has it")
	}
	pages, err := strconv.ParseInt(sizes[1], 10, 64)
	user, err2 := strconv.ParseInt(times[11], 10, 64)
	system, err3 := strconv.ParseInt(times[12], 10, 64)
	return tally.Process{RSS: pages * int64(os.Getpagesize()), CPU: time.Duration(user+system) * clockTick}, errors.Join(err, err2, err3)
}

// ReadProcesses adds up several processes.
func ReadProcesses(pids []int) (sum tally.Process, err error) {
	for _, pid := range pids {
		p, err := ReadProcess(pid)
		if err != nil {
			return sum, err
		}
		sum.RSS += p.RSS
		sum.CPU += p.CPU
	}
	return sum, nil
}
