package tally

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
)

// ThisMachine is what is known of the machine and of this program; what cannot be told is empty.
func ThisMachine() Machine {
	m := Machine{OS: runtime.GOOS, Arch: runtime.GOARCH, Cores: runtime.NumCPU(), Go: runtime.Version()}
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.OS = "Linux " + strings.TrimSpace(string(b))
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		m.Weir = info.Main.Version
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				m.Weir += " " + s.Value[:min(12, len(s.Value))]
			}
		}
	}
	m.CPU = procLine("/proc/cpuinfo", "model name")
	var kib int64
	if _, err := fmt.Sscanf(procLine("/proc/meminfo", "MemTotal"), "%d kB", &kib); err == nil {
		m.Memory = kib << 10
	}
	return m
}

// procLine is the first value of a name in a file of /proc; "" without.
func procLine(file, name string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		key, value, _ := strings.Cut(line, ":")
		if strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
