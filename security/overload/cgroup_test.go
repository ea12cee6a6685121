package overload

import (
	"testing"
	"testing/fstest"
)

const (
	meminfo = "MemFree: 1 kB\nMemTotal:       8388608 kB\n" // 8 GiB
	gib     = 1 << 30
)

func files(pairs ...string) fstest.MapFS {
	m := fstest.MapFS{"proc/meminfo": {Data: []byte(meminfo)}}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1])}
	}
	return m
}

func TestFindMemory(t *testing.T) {
	for name, c := range map[string]struct {
		files  fstest.MapFS
		want   int
		groups int
	}{
		"nothing":         {fstest.MapFS{}, 0, 0},
		"no cgroup files": {files(), 8 * gib, 0},
		"garbage":         {fstest.MapFS{"proc/meminfo": {Data: []byte("MemTotal: much kB")}, "proc/self/cgroup": {Data: []byte("::\n:\n\n0::")}}, 0, 0},
		"v2, a container": {files("proc/self/cgroup", "0::/\n", "sys/fs/cgroup/memory.max", "1073741824\n"), gib, 1},
		"v2, no limit":    {files("proc/self/cgroup", "0::/\n", "sys/fs/cgroup/memory.max", "max\n"), 8 * gib, 0},
		"v2, a service": {files("proc/self/cgroup", "0::/system.slice/weir.service\n",
			"sys/fs/cgroup/system.slice/weir.service/memory.max", "max\n", "sys/fs/cgroup/system.slice/memory.max", "2147483648\n"), 2 * gib, 1},
		"v2, both limited": {files("proc/self/cgroup", "0::/a/b\n",
			"sys/fs/cgroup/a/b/memory.max", "1073741824", "sys/fs/cgroup/a/memory.max", "2147483648\n"), gib, 2},
		"v2, the path of another namespace": {files("proc/self/cgroup", "0::/../../docker/0123\n", "sys/fs/cgroup/memory.max", "1073741824\n"), gib, 1},
		"v2, above the machine":             {files("proc/self/cgroup", "0::/\n", "sys/fs/cgroup/memory.max", "1099511627776\n"), 8 * gib, 0},
		"v1": {files("proc/self/cgroup", "5:cpu,cpuacct:/x\n4:hugetlb,memory:/x\n0::/\n",
			"sys/fs/cgroup/memory/x/memory.limit_in_bytes", "1073741824\n", "sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"), gib, 1},
		"v1, a container": {files("proc/self/cgroup", "4:memory:/docker/0123\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes", "1073741824\n"), gib, 1},
		"v1, no /proc/self/cgroup": {files("sys/fs/cgroup/memory/memory.limit_in_bytes", "1073741824\n"), gib, 1},
		"a limit of nothing":       {files("proc/self/cgroup", "0::/\n", "sys/fs/cgroup/memory.max", "0\n"), 8 * gib, 0},
		"a limit that is none":     {files("proc/self/cgroup", "0::/\n", "sys/fs/cgroup/memory.max", "1 GiB\n"), 8 * gib, 0},
		"only a limit": {fstest.MapFS{"proc/self/cgroup": {Data: []byte("0::/a\n")},
			"sys/fs/cgroup/a/memory.max": {Data: []byte("1073741824")}}, gib, 1},
	} {
		if m := FindMemory(c.files); m.Bytes != c.want || len(m.groups) != c.groups {
			t.Errorf("%s: %d bytes by %d cgroups, want %d by %d", name, m.Bytes, len(m.groups), c.want, c.groups)
		}
	}
}

// TestFullGroup: who else is in the cgroup counts, page cache does not, and those that
// the process is in with others stand apart.
func TestFullGroup(t *testing.T) {
	v2 := files("proc/self/cgroup", "0::/a/b\n", "proc/self/status", "VmRSS: 1024 kB\n",
		"sys/fs/cgroup/a/b/memory.max", "1000", "sys/fs/cgroup/a/b/memory.current", "800",
		"sys/fs/cgroup/a/b/memory.stat", "anon 100\ninactive_file 200\nactive_file 100\n",
		"sys/fs/cgroup/a/memory.max", "1000", "sys/fs/cgroup/a/memory.current", "750")
	v1 := files("proc/self/cgroup", "4:memory:/\n",
		"sys/fs/cgroup/memory/memory.limit_in_bytes", "1000", "sys/fs/cgroup/memory/memory.usage_in_bytes", "900",
		"sys/fs/cgroup/memory/memory.stat", "inactive_file 1\ntotal_inactive_file 50\ntotal_active_file 100\n")
	hidden := files("proc/self/cgroup", "0::/../../docker/0123\n", "sys/fs/cgroup/memory.max", "1000", "sys/fs/cgroup/memory.current", "600")
	slice := files("proc/self/cgroup", "0::/s/weir\n", "sys/fs/cgroup/s/weir/memory.max", "max\n", "sys/fs/cgroup/s/memory.max", "1000",
		"sys/fs/cgroup/s/memory.current", "900", "sys/fs/cgroup/memory.max", "1000", "sys/fs/cgroup/memory.current", "910")
	for name, c := range map[string]struct {
		files       fstest.MapFS
		own, around float64
	}{
		"v2": {v2, 0.5, 0.75}, "v1": {v1, 0.75, 0}, "a container that does not see its path": {hidden, 0.6, 0},
		"only what is around has a limit": {slice, 0, 0.91},
	} {
		m := NewMeter(c.files, Capacity{Machine: FindMemory(c.files)})
		if u := m.Read(0, start); u.Memory != c.own || u.Around != c.around {
			t.Errorf("%s: %v in use and %v around, want %v and %v", name, u.Memory, u.Around, c.own, c.around)
		}
	}
	delete(v2, "sys/fs/cgroup/a/memory.current")
	m := NewMeter(v2, Capacity{Machine: FindMemory(v2)})
	delete(v2, "sys/fs/cgroup/a/b/memory.stat")
	if u := m.Read(0, start); u.Memory != 0.8 {
		t.Errorf("without memory.stat %v is in use, want 0.8", u.Memory)
	}
}
