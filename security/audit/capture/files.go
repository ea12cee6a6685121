package capture

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"weir/security/audit"
)

const (
	// partBytes is the size at which a file is ended and another begun.
	partBytes = 64 << 20
	// lastBytes is room for the last line of a capture.
	lastBytes = 256
	// leastRoom must be there for a capture to begin.
	leastRoom = 4 << 10
)

// files are those of one capture. Owned by the writer.
type files struct {
	dir     string
	begin   Begin
	room    int64  // bytes that may still be written
	written uint64 // bytes
	f       *os.File
	size    int64  // of f, with pending
	pending []byte // whole lines
}

// openFiles begins the first file. Errors say the mend.
func openFiles(dir string, limit int64, begin Begin) (*files, error) {
	if err := audit.PrivateFolder(dir); err != nil {
		return nil, err
	}
	f := &files{dir: dir, begin: begin}
	there, err := size(dir)
	if err != nil {
		return nil, err
	}
	f.room = limit - there
	if f.full() {
		return f, nil
	}
	return f, f.next()
}

// size is how many bytes the capture files of a folder have.
func size(dir string) (sum int64, err error) {
	names, err := filepath.Glob(filepath.Join(globQuote(dir), "capture-*.jsonl"))
	for _, name := range names {
		info, err := os.Lstat(name)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return 0, err
		}
		if err == nil {
			sum += info.Size()
		}
	}
	return sum, err
}

// globQuote escapes what filepath.Glob takes for more than a name.
func globQuote(name string) string {
	var out []byte
	for _, c := range []byte(name) {
		if c == '\\' || c == '*' || c == '?' || c == '[' {
			out = append(out, '\\')
		}
		out = append(out, c)
	}
	return string(out)
}

func (f *files) full() bool { return f.room < leastRoom }

// next begins another file: one that was not there, readable by its owner only.
func (f *files) next() error {
	if err := f.close(); err != nil {
		return err
	}
	f.begin.Part++
	name := fmt.Sprintf("capture-%s-%s-%03d.jsonl", f.begin.Time.Format("20060102T150405Z"), f.begin.Run, f.begin.Part)
	file, err := os.OpenFile(filepath.Join(f.dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	f.f, f.size = file, 0
	if err := file.Chmod(0o600); err != nil { // whatever the umask
		return err
	}
	begin := f.begin
	begin.Time = begin.Time.Round(time.Microsecond)
	first := Line{Begin: &begin}
	f.take(first.append(nil))
	return f.flush()
}

func (f *files) take(line []byte) {
	f.pending = append(f.pending, line...)
	f.size += int64(len(line))
	f.room -= int64(len(line))
}

// add takes a line; false if there is no room for it.
func (f *files) add(line []byte) (fits bool, err error) {
	if int64(len(line))+lastBytes > f.room {
		return false, nil
	}
	if f.size+int64(len(line)) > partBytes {
		if err := f.next(); err != nil {
			return true, err
		}
	}
	f.take(line)
	if len(f.pending) >= connectionBytes {
		err = f.flush()
	}
	return true, err
}

// last takes the last line of the capture.
func (f *files) last(line []byte) error {
	f.take(line)
	return f.flush()
}

// flush writes what is pending. Of lines that the disk did not take whole, none stays if it can be helped.
func (f *files) flush() error {
	if len(f.pending) == 0 || f.f == nil {
		return nil
	}
	n, err := f.f.Write(f.pending)
	if err != nil {
		whole := 0
		for i, c := range f.pending[:n] {
			if c == '\n' {
				whole = i + 1
			}
		}
		_ = f.f.Truncate(f.size - int64(len(f.pending)) + int64(whole)) // who reads it passes over a line that is cut
		n = whole
	}
	f.pending = f.pending[:0]
	f.written += uint64(n)
	return err
}

func (f *files) close() error {
	if f.f == nil {
		return nil
	}
	err := errors.Join(f.flush(), f.f.Sync(), f.f.Close())
	f.f = nil
	return err
}
