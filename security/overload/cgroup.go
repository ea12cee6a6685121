package overload

import (
	"bytes"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Memory is what the kernel lets this process have.
type Memory struct {
	// Bytes is the least of what the machine has and of the limits of the process's cgroup and of
	// those that it is in. 0 is not known: it is found on Linux only.
	Bytes int

	groups []group
}

// group is a cgroup with a limit.
type group struct {
	dir   string
	files *groupFiles
	limit int  // bytes
	own   bool // the process's own; else one that it is in with others
}

// groupFiles names what a version of cgroups calls its files.
type groupFiles struct {
	base                 string
	limit, usage         string
	inactive, activeFile string // fields of memory.stat: pages of files, which cost nobody anything
}

// groupDepth is how many cgroups inside each other are looked at.
const groupDepth = 32

// FindMemory reads below root, which is os.DirFS("/") but in tests. Version 1 and 2 of
// cgroups are known. A path that a container does not see is looked for from the root of what it sees.
func FindMemory(root fs.FS) Memory {
	machine := machineBytes(root)
	m := Memory{Bytes: machine}
	files, dir := ownGroup(root)
	own := true
	for range groupDepth {
		if n, ok := limitOf(root, path.Join(files.base, dir, files.limit)); ok && (machine == 0 || n < machine) {
			m.groups = append(m.groups, group{path.Join(files.base, dir), files, n, own})
			if m.Bytes == 0 || n < m.Bytes {
				m.Bytes = n
			}
		}
		if dir == "/" {
			break
		}
		if _, err := fs.Stat(root, path.Join(files.base, dir)); err == nil {
			own = false // that was it; what a container does not see it has at the root of what it sees
		}
		dir = path.Dir(dir)
	}
	return m
}

// ownGroup finds the process's cgroup for memory in /proc/self/cgroup: lines of
// hierarchy:controllers:path (cgroups(7)).
func ownGroup(root fs.FS) (files *groupFiles, dir string) {
	v2 := &groupFiles{"sys/fs/cgroup", "memory.max", "memory.current", "inactive_file", "active_file"}
	v1 := &groupFiles{"sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file", "total_active_file"}
	files, dir = v2, "/"
	if _, err := fs.Stat(root, path.Join(v1.base, v1.limit)); err == nil {
		files = v1
	}
	text, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return files, dir
	}
	for line := range strings.Lines(string(text)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		for controller := range strings.SplitSeq(parts[1], ",") {
			if controller == "memory" {
				return v1, path.Clean("/" + parts[2])
			}
		}
		if parts[0] == "0" && files == v2 {
			dir = path.Clean("/" + parts[2])
		}
	}
	return files, dir
}

// limitOf reads a limit; false if there is none, or it is no number below what version 1 writes for none.
func limitOf(root fs.FS, name string) (bytes int, ok bool) {
	const none = 1 << 60
	var r reader
	n, err := r.number(root, name)
	return n, err == nil && n > 0 && n < none
}

// reader reads one small file after the other into the same room: what is looked at every second leaves next to no garbage.
type reader struct{ room []byte }

// whole is a file's text, until the next one is read.
func (r *reader) whole(root fs.FS, name string) ([]byte, error) {
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	const least = 512
	text := r.room[:0]
	for {
		text = slices.Grow(text, least)
		n, err := f.Read(text[len(text):cap(text)])
		text = text[:len(text)+n]
		r.room = text
		if err == io.EOF {
			return text, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

func (r *reader) number(root fs.FS, name string) (int, error) {
	b, err := r.whole(root, name)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(string(bytes.TrimSpace(b)))
}

// machineBytes is the machine's memory; 0: not known.
func machineBytes(root fs.FS) int {
	b, err := fs.ReadFile(root, "proc/meminfo")
	if err != nil {
		return 0
	}
	kilobytes, err := field(b, "MemTotal:")
	if err != nil || kilobytes < 0 {
		return 0
	}
	return kilobytes << 10
}

// shares are how full the process's own cgroup is, page cache aside, and the fullest of
// those that it is in with others.
func (m *Memory) shares(r *reader, root fs.FS) (own, around float64) {
	for i := range m.groups {
		g := &m.groups[i]
		if g.own {
			own = g.share(r, root)
		} else {
			around = max(around, g.share(r, root))
		}
	}
	return own, around
}

func (g *group) share(r *reader, root fs.FS) float64 {
	used, err := r.number(root, path.Join(g.dir, g.files.usage))
	if err != nil {
		return 0
	}
	if stat, err := r.whole(root, path.Join(g.dir, "memory.stat")); err == nil {
		for _, name := range []string{g.files.inactive, g.files.activeFile} {
			if n, err := field(stat, name); err == nil {
				used -= n
			}
		}
	}
	return share(used, g.limit)
}
