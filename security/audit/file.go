package audit

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// FileOptions say how a log file is kept. Zero is no bound.
type FileOptions struct {
	Format  Format
	MaxSize int64         // bytes after which it is ended, compressed and another begun
	MaxAge  time.Duration // the same, since it was begun
	Key     []byte        // of checkpoints and the seal
}

// file is a log file with those that were before it.
type file struct {
	name    string
	options FileOptions
	f       *os.File
	size    int64
	begun   time.Time
	regular bool

	compressing sync.WaitGroup
}

// OpenFile goes on with a log file, or begins it: readable by its owner only, in a
// folder of which the same is asked. Errors say the mend. The chain goes on where
// the file, or its seal, says that it ended.
func OpenFile(name string, o FileOptions, now time.Time) (Destination, error) {
	d := Destination{format: o.Format, key: o.Key}
	f := &file{name: name, options: o}
	info, err := os.Stat(name)
	if err == nil && !info.Mode().IsRegular() {
		f.f, err = os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
		d.sink = f
		return d, err
	}
	if err := PrivateFolder(filepath.Dir(name)); err != nil {
		return Destination{}, err
	}
	if d.at, d.notice, err = resume(name, o.Key, now); err != nil {
		return Destination{}, err
	}
	if err := f.open(now); err != nil {
		return Destination{}, err
	}
	f.compress()
	d.sink = f
	return d, nil
}

// PrivateFolder makes the folder, or refuses one that others may look into.
func PrivateFolder(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return checkFolder(dir)
}

// CheckFile says why a log could not be kept in this file, as far as can be seen
// without making anything.
func CheckFile(name string) error {
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
		return nil
	}
	err := checkFolder(filepath.Dir(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it will be made
	}
	return err
}

func checkFolder(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("others may look into the folder %s; choose one of its own, or chmod 700 %s", dir, dir)
	}
	return nil
}

// resume finds where the chain goes on, and makes the file end with a whole line.
func resume(name string, key []byte, now time.Time) (p place, notice string, err error) {
	tail, at, err := lastLines(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return place{}, "", err
	}
	if whole := bytes.LastIndexByte(tail, '\n') + 1; whole < len(tail) { // killed while it wrote
		notice = "the last line was not whole and is cut off"
		if err := os.Truncate(name, at+int64(whole)); err != nil {
			return place{}, "", err
		}
		tail = tail[:whole]
	}
	if len(tail) > 0 {
		last := bytes.TrimSuffix(tail, []byte("\n"))
		e, err := ParseLine(last[bytes.LastIndexByte(last, '\n')+1:])
		p.seq = e.Seq
		if err != nil || parseHex(p.hash[:], e.Hash) != nil {
			notice = "the file before does not end in a record and was put aside"
			p = place{}
			if err := os.Rename(name, aside(name, now, 0)); err != nil {
				return place{}, "", err
			}
		}
	}
	seal, err := readSeal(name+".seal", key)
	switch {
	case err != nil:
		notice = "the seal of the log was changed"
	case len(tail) == 0 && seal.seq > 0 && lastEnded(name) == seal: // killed between the end of a file and the next
		p = seal
	case seal.seq > p.seq: // verify will find what is missing
		notice = "records were taken away from the end of the log"
		p = seal
	}
	return p, notice, nil
}

// lastEnded is where the newest of the files that were ended ends; the zero place if there
// is none, or it does not end in a record.
func lastEnded(name string) (p place) {
	all, _ := filepath.Glob(globQuote(name) + ".2*-*") // the pattern is good
	all = slices.DeleteFunc(all, func(f string) bool { return strings.HasSuffix(f, ".new") })
	if len(all) == 0 {
		return place{}
	}
	r, err := Open(slices.Max(all))
	if err != nil {
		return place{}
	}
	defer r.Close()
	for e, err := range Entries(r) {
		p.seq = e.Seq
		if err != nil || parseHex(p.hash[:], e.Hash) != nil {
			p = place{}
		}
	}
	return p
}

// lastLines returns the last bytes of a file, and where they begin.
func lastLines(name string) (tail []byte, at int64, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	at = max(info.Size()-maxLine, 0)
	tail, err = io.ReadAll(io.NewSectionReader(f, at, maxLine))
	return tail, at, err
}

func (f *file) open(now time.Time) (err error) {
	if f.f, err = os.OpenFile(f.name, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600); err != nil {
		return err
	}
	if err := f.f.Chmod(0o600); err != nil {
		return err
	}
	info, err := f.f.Stat()
	if err != nil {
		return err
	}
	f.size, f.begun, f.regular = info.Size(), now, true
	if f.size > 0 {
		f.begun = firstTime(f.name, now)
	}
	return nil
}

// firstTime is when the first record of a file was written; now if it has none.
func firstTime(name string, now time.Time) time.Time {
	r, err := Open(name)
	if err != nil {
		return now
	}
	defer r.Close()
	for e, err := range Entries(r) {
		if err == nil {
			return e.Time
		}
		break
	}
	return now
}

func (f *file) write(b []byte) (int, error) {
	if f.f == nil { // it could not be opened after the last one was ended
		if err := f.open(f.begun); err != nil {
			return 0, err
		}
	}
	n, err := f.f.Write(b)
	f.size += int64(n)
	return n, err
}

func (f *file) due(now time.Time, pending int) bool {
	if !f.regular || f.size == 0 {
		return false
	}
	return f.options.MaxSize > 0 && f.size+int64(pending) >= f.options.MaxSize ||
		f.options.MaxAge > 0 && now.Sub(f.begun) >= f.options.MaxAge
}

// aside is the name of a file that was ended. In the order of names they are in
// the order of their records.
func aside(name string, now time.Time, seq uint64) string {
	return fmt.Sprintf("%s.%s-%012d", name, now.UTC().Format("20060102T150405Z"), seq)
}

func (f *file) rotate(now time.Time, p place) error {
	err := errors.Join(f.f.Sync(), f.f.Close())
	f.f, f.begun, f.size = nil, now, 0
	if err := errors.Join(err, os.Rename(f.name, aside(f.name, now, p.seq))); err != nil {
		return err
	}
	f.compressing.Wait()
	f.compress()
	return f.open(now)
}

func (f *file) sealed(p place) error {
	if !f.regular {
		return nil
	}
	return writeSeal(f.name+".seal", f.options.Key, p)
}

func (f *file) close() error {
	f.compressing.Wait()
	if f.f == nil {
		return nil
	}
	err := f.f.Sync()
	if !f.regular {
		err = nil // devices need not know it
	}
	return errors.Join(err, f.f.Close())
}

// compress compresses, on a goroutine of its own, files that were ended. One that
// it cannot compress stays as it is.
func (f *file) compress() {
	f.compressing.Go(func() {
		ended, _ := filepath.Glob(globQuote(f.name) + ".2*-*") // the pattern is good
		for _, name := range ended {
			if !strings.HasSuffix(name, ".gz") && !strings.HasSuffix(name, ".new") {
				_ = compressFile(name)
			}
		}
	})
}

// globQuote escapes what filepath.Glob takes for more than a name.
func globQuote(name string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(name)
}

func compressFile(name string) (err error) {
	in, err := os.Open(name)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(name+".gz.new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	z := gzip.NewWriter(out)
	_, err = io.Copy(z, in)
	if err = errors.Join(err, z.Close(), out.Sync(), out.Close()); err != nil {
		return errors.Join(err, os.Remove(name+".gz.new"))
	}
	if err := os.Rename(name+".gz.new", name+".gz"); err != nil {
		return err
	}
	return os.Remove(name)
}

// plain writes to something that is not ours to keep, such as standard error.
type plain struct{ w io.Writer }

// Writer makes a destination of w, which is not closed. It is not chained.
func Writer(w io.Writer, f Format) Destination {
	return Destination{format: f, sink: plain{w}}
}

func (p plain) write(b []byte) (int, error)   { return p.w.Write(b) }
func (p plain) due(time.Time, int) bool       { return false }
func (p plain) rotate(time.Time, place) error { return nil }
func (p plain) sealed(place) error            { return nil }
func (p plain) close() error                  { return nil }
