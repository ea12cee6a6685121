//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// periodMicroseconds is what a share of a core is counted over: so short that nobody waits long for his next.
const periodMicroseconds = 10_000

// controllers is where control groups of processor time are made: by version 1 and 2.
var controllers = []struct{ root, quota, period string }{
	{"/sys/fs/cgroup/cpu", "cpu.cfs_quota_us", "cpu.cfs_period_us"},
	{"/sys/fs/cgroup", "cpu.max", ""},
}

// confine holds a process to a share of one core, which needs root. release is called when the process is gone.
func confine(pid int, share float64) (release func() error, err error) {
	quota := strconv.Itoa(int(share * periodMicroseconds))
	for _, c := range controllers {
		folder := filepath.Join(c.root, fmt.Sprintf("weir-overload-%d", pid))
		if _, missing := os.Stat(filepath.Join(c.root, "cgroup.procs")); missing != nil {
			err = errors.Join(err, missing)
			continue
		}
		values := map[string]string{c.quota: quota + " " + strconv.Itoa(periodMicroseconds)}
		if c.period != "" {
			values = map[string]string{c.period: strconv.Itoa(periodMicroseconds), c.quota: quota}
		}
		failed := os.Mkdir(folder, 0o755)
		for name, value := range values {
			failed = errors.Join(failed, put(folder, name, value))
		}
		failed = errors.Join(failed, put(folder, "cgroup.procs", strconv.Itoa(pid)))
		if failed == nil {
			return func() error { return os.Remove(folder) }, nil
		}
		_ = os.Remove(folder) // it may not be there
		err = errors.Join(err, failed)
	}
	return nil, err
}

// put writes one value, to a file that is there.
func put(folder, name, value string) error {
	f, err := os.OpenFile(filepath.Join(folder, name), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}
