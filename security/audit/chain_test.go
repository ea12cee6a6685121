package audit

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// testClock is a clock in seconds that stands until the test moves it.
type testClock struct{ atomic.Int64 }

func (c *testClock) time() time.Time { return at(int(c.Load())) }

// written makes a log of several files, closed in order, and returns them, the
// oldest first, with its seal.
func written(t *testing.T, f Format, key []byte) (files []string, seal string) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "logs", "audit.log")
	now := new(testClock)
	l := opened(t, name, FileOptions{Format: f, Key: key, MaxSize: 3 << 10}, now)
	for i := range 90 {
		now.Store(int64(i))
		l.Add(&Record{Time: now.time(), Event: ConnectionAccepted, Conn: l.Conn(uint64(i)), UserAgent: fmt.Sprintf("agent %d", i)})
		if i%10 == 0 {
			l.Flush()
		}
	}
	l.Close()
	return logFiles(t, name), name + ".seal"
}

func opened(t *testing.T, name string, o FileOptions, now *testClock) *Log {
	t.Helper()
	d, err := OpenFile(name, o, now.time())
	if err != nil {
		t.Fatal(err)
	}
	return quiet(Config{Destinations: []Destination{d}, Now: now.time})
}

// logFiles lists the files of a log but for its seal, the newest last.
func logFiles(t *testing.T, name string) []string {
	t.Helper()
	files, err := filepath.Glob(name + "*")
	if err != nil {
		t.Fatal(err)
	}
	files = slices.DeleteFunc(files, func(f string) bool { return f == name || strings.HasSuffix(f, ".seal") || strings.HasSuffix(f, ".key") })
	if _, err := os.Stat(name); err == nil {
		files = append(files, name)
	}
	return files
}

func testKey() []byte { return bytes.Repeat([]byte{7}, 32) }

func TestVerifyGoodLogs(t *testing.T) {
	for f := range formats {
		files, seal := written(t, f, testKey())
		if len(files) < 3 || !strings.HasSuffix(files[0], ".gz") {
			t.Fatalf("%s: files %v", f, files)
		}
		shuffled := slices.Clone(files)
		slices.Reverse(shuffled)
		report, err := Verify(shuffled, VerifyOptions{Key: testKey(), Seal: seal})
		if err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		if report.Records < 90 || report.First != 1 || int(report.Last) != report.Records || !report.Closed || !report.Sealed || report.Unsealed != 0 {
			t.Errorf("%s: %+v", f, report)
		}
		if _, err := Verify(files[1:], VerifyOptions{Key: testKey(), Seal: seal}); err != nil {
			t.Errorf("%s: without the oldest file: %v", f, err)
		}
		if _, err := Verify(files, VerifyOptions{}); err != nil {
			t.Errorf("%s: without key and seal: %v", f, err)
		}
		wrong := bytes.Repeat([]byte{8}, 32)
		if _, err := Verify(files, VerifyOptions{Key: wrong}); err == nil {
			t.Errorf("%s: good with another key", f)
		}
	}
}

// lines reads all lines of a file with their ends.
func lines(t *testing.T, name string) []string {
	t.Helper()
	r, err := Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return slices.Collect(strings.Lines(string(b)))
}

func store(t *testing.T, name string, list []string) {
	t.Helper()
	var b bytes.Buffer
	var w io.Writer = &b
	if strings.HasSuffix(name, ".gz") {
		z := gzip.NewWriter(&b)
		defer func() {
			_ = z.Close()
			if err := os.WriteFile(name, b.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
		}()
		w = z
	}
	_, _ = io.WriteString(w, strings.Join(list, ""))
	if w == &b {
		if err := os.WriteFile(name, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestVerifyNamesTheFirstBadRecord: every line of every file deleted, changed and
// moved, in all formats, compressed or not.
func TestVerifyNamesTheFirstBadRecord(t *testing.T) {
	for f := range formats {
		files, seal := written(t, f, testKey())
		seq := uint64(0)
		for n, name := range files {
			list := lines(t, name)
			for i := range list {
				seq++
				if i%9 != 0 && i != 1 && i < len(list)-2 {
					continue // every line would take minutes
				}
				for how, change := range changes() {
					broken, bad := change(slices.Clone(list), i)
					if broken == nil {
						continue
					}
					store(t, name, broken)
					_, err := Verify(files, VerifyOptions{Key: testKey(), Seal: seal})
					fault := (*Fault)(nil)
					if !errors.As(err, &fault) {
						t.Fatalf("%s, %s of line %d of file %d: %v", f, how, i+1, n, err)
					}
					if i == 0 && len(broken) < 2 { // nothing in it says where it stood
						continue
					}
					if at := int(seq) + bad; fault.Seq != uint64(at) && fault.Seq != uint64(at+1) {
						t.Fatalf("%s, %s of record %d: blamed %v", f, how, seq, fault)
					}
				}
			}
			store(t, name, list)
		}
	}
}

// changes are what may be done to line i; each returns where, counted from i, the
// first bad record is; nil: not possible there.
func changes() map[string]func(list []string, i int) ([]string, int) {
	return map[string]func(list []string, i int) ([]string, int){
		"deletion":    func(list []string, i int) ([]string, int) { return slices.Delete(list, i, i+1), 0 },
		"duplication": func(list []string, i int) ([]string, int) { return slices.Insert(list, i, list[i]), 0 },
		"swap": func(list []string, i int) ([]string, int) {
			if i+1 == len(list) {
				return nil, 0
			}
			list[i], list[i+1] = list[i+1], list[i]
			return list, 0
		},
		"change": func(list []string, i int) ([]string, int) {
			at := strings.Index(list[i], "agent ")
			if at < 0 {
				return nil, 0
			}
			list[i] = list[i][:at] + "axent " + list[i][at+6:]
			return list, 0
		},
		"truncation": func(list []string, i int) ([]string, int) { return list[:i:i], 0 },
		"half a line": func(list []string, i int) ([]string, int) {
			list[i] = list[i][:len(list[i])/2]
			return list[: i+1 : i+1], 0
		},
		"garbage": func(list []string, i int) ([]string, int) { return slices.Insert(list, i, "garbage\n"), 0 },
	}
}

// TestHashesMadeAnewAreFound: who may write the files can make all hashes anew, but
// has no key for the checkpoints.
func TestHashesMadeAnewAreFound(t *testing.T) {
	name := filepath.Join(t.TempDir(), "logs", "audit.log")
	now := new(testClock)
	l := opened(t, name, FileOptions{Key: testKey()}, now)
	for i := range 10 {
		l.Add(&Record{Time: now.time(), Event: Authenticated, User: fmt.Sprintf("user%d", i)})
	}
	l.Close()
	forged := filepath.Join(t.TempDir(), "forged.log")
	out, err := os.Create(forged)
	if err != nil {
		t.Fatal(err)
	}
	s := newStream(Destination{sink: plain{out}, key: bytes.Repeat([]byte{9}, 32)}, textLog(io.Discard), now.time())
	for i := range 10 {
		s.append(&Record{Time: now.time(), Event: Authenticated, User: fmt.Sprintf("other%d", i)})
	}
	s.close(now.time())
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Verify([]string{forged}, VerifyOptions{}); err != nil {
		t.Fatalf("without key: %v", err)
	}
	if _, err := Verify([]string{forged}, VerifyOptions{Key: testKey()}); err == nil {
		t.Error("a log with another key is good")
	}
	if _, err := Verify([]string{forged}, VerifyOptions{Seal: name + ".seal"}); err == nil {
		t.Error("a log with another seal is good")
	}
}

// TestForgedSeal: a seal is good only if it was made with the key, though it says the truth.
func TestForgedSeal(t *testing.T) {
	files, seal := written(t, ECS, testKey())
	o := VerifyOptions{Key: testKey(), Seal: seal}
	if _, err := Verify(files, o); err != nil {
		t.Fatal(err)
	}
	p, err := readSeal(seal, testKey())
	if err != nil {
		t.Fatal(err)
	}
	if err := writeSeal(seal, bytes.Repeat([]byte{9}, KeyBytes), p); err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(files, o); !errors.Is(err, errSeal) {
		t.Errorf("a seal made with another key: %v", err)
	}
	for _, text := range []string{fmt.Sprintf("%d %s \n", p.seq, p.hash), fmt.Sprintf("%d %s %s\n", p.seq+1, p.hash, sealOf(testKey(), p.seq, p.hash))} {
		if err := os.WriteFile(seal, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Verify(files, o); !errors.Is(err, errSeal) {
			t.Errorf("the seal %q: %v", text, err)
		}
	}
}

// TestChainGoesOnAfterARestart: also when the process was killed in the middle of a
// line, and not when something was cut off meanwhile.
func TestChainGoesOnAfterARestart(t *testing.T) {
	name := filepath.Join(t.TempDir(), "logs", "audit.log")
	now := new(testClock)
	o := VerifyOptions{Key: testKey(), Seal: name + ".seal"}
	session := func(records int) {
		t.Helper()
		l := opened(t, name, FileOptions{Key: testKey()}, now)
		for range records {
			l.Add(&Record{Time: now.time(), Event: ConnectionAccepted})
		}
		l.Close()
	}
	session(5)
	session(5)
	if report, err := Verify([]string{name}, o); err != nil || report.Records != 14 {
		t.Fatalf("%+v, %v", report, err)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, append(b, []byte(`{"@timestamp":"20`)...), 0o600); err != nil {
		t.Fatal(err)
	}
	session(5)
	if report, err := Verify([]string{name}, o); err != nil || report.Records != 21 {
		t.Fatalf("after a kill: %+v, %v", report, err)
	}
	list := lines(t, name)
	store(t, name, list[:len(list)-3])
	session(5)
	if _, err := Verify([]string{name}, o); err == nil {
		t.Error("nothing was missed")
	}
}

// TestKilledInARotation: wherever a kill comes between the end of a file and the first
// record of the next, the chain goes on, and nobody is blamed for it.
func TestKilledInARotation(t *testing.T) {
	aside := func(t *testing.T, name string) string {
		t.Helper()
		last := lines(t, name)
		e, err := ParseLine([]byte(strings.TrimSpace(last[len(last)-1])))
		if err != nil || e.Event != LogClosed {
			t.Fatalf("%v, %v", e.Event, err)
		}
		ended := aside(name, at(0), e.Seq)
		if err := os.Rename(name, ended); err != nil {
			t.Fatal(err)
		}
		return ended
	}
	halfway := func(t *testing.T, from, to string) {
		t.Helper()
		b, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		at     string
		kill   func(t *testing.T, name string)
		notice string
	}{
		{"before the file is moved", func(*testing.T, string) {}, ""},
		{"before the next is opened", func(t *testing.T, name string) { aside(t, name) }, ""},
		{"before anything is in it", func(t *testing.T, name string) {
			aside(t, name)
			store(t, name, nil)
		}, ""},
		{"amid its first record", func(t *testing.T, name string) {
			aside(t, name)
			if err := os.WriteFile(name, []byte(`{"@timestamp":"20`), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "not whole"},
		{"amid compressing", func(t *testing.T, name string) {
			ended := aside(t, name)
			halfway(t, name+".seal", ended+".gz.new")
		}, ""},
		{"when it is compressed", func(t *testing.T, name string) {
			ended := aside(t, name)
			if err := compressFile(ended); err != nil {
				t.Fatal(err)
			}
		}, ""},
		{"before what is compressed is removed", func(t *testing.T, name string) {
			ended := aside(t, name)
			halfway(t, ended, ended+".copy")
			if err := compressFile(ended); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(ended+".copy", ended); err != nil {
				t.Fatal(err)
			}
		}, ""},
		{"and the end was cut off", func(t *testing.T, name string) {
			ended := aside(t, name)
			list := lines(t, ended)
			store(t, ended, list[:len(list)-1])
		}, "taken away"},
	} {
		t.Run(c.at, func(t *testing.T) {
			name := filepath.Join(t.TempDir(), "logs", "audit.log")
			now := new(testClock)
			for range 2 {
				l := opened(t, name, FileOptions{Key: testKey()}, now)
				l.Add(&Record{Time: now.time(), Event: ConnectionAccepted})
				l.Close()
			}
			c.kill(t, name)
			o := VerifyOptions{Key: testKey(), Seal: name + ".seal"}
			cut := c.notice == "taken away"
			d, err := OpenFile(name, FileOptions{Key: testKey()}, now.time())
			if err != nil {
				t.Fatal(err)
			}
			if (d.notice == "") != (c.notice == "") || !strings.Contains(d.notice, c.notice) {
				t.Errorf("the notice is %q, want %q", d.notice, c.notice)
			}
			l := quiet(Config{Destinations: []Destination{d}, Now: now.time})
			l.Add(&Record{Time: now.time(), Event: ConnectionAccepted})
			l.Close()
			if report, err := Verify(logFiles(t, name), o); (err != nil) != cut || err == nil && (report.Records != 9 || report.First != 1) {
				t.Errorf("after the restart: %+v, %v", report, err)
			}
		})
	}
}

func TestLostLogIsFoundByItsSeal(t *testing.T) {
	name := filepath.Join(t.TempDir(), "logs", "audit.log")
	now := new(testClock)
	opened(t, name, FileOptions{Key: testKey()}, now).Close()
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	opened(t, name, FileOptions{Key: testKey()}, now).Close()
	if report, err := Verify([]string{name}, VerifyOptions{Key: testKey()}); err != nil || report.First == 1 {
		t.Errorf("%+v, %v: it should go on with the numbers of the one that is gone", report, err)
	}
}

func TestFilesAreTheOwnersOnly(t *testing.T) {
	files, seal := written(t, ECS, testKey())
	for _, name := range append(files, seal) {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v", name, info.Mode())
		}
	}
	info, err := os.Stat(filepath.Dir(seal))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("folder: %v, %v", info.Mode(), err)
	}
	open := filepath.Join(t.TempDir(), "open")
	if err := os.Mkdir(open, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenFile(filepath.Join(open, "audit.log"), FileOptions{Key: testKey()}, at(0)); err == nil || !strings.Contains(err.Error(), "chmod 700") {
		t.Errorf("an open folder: %v", err)
	}
}

func TestRotationByAge(t *testing.T) {
	name := filepath.Join(t.TempDir(), "logs", "audit.log")
	now := new(testClock)
	l := opened(t, name, FileOptions{Key: testKey(), MaxAge: time.Hour}, now)
	for range 3 {
		l.Add(&Record{Time: now.time(), Event: ConnectionAccepted})
		l.Flush()
		now.Add(3600)
		l.Flush()
	}
	l.Close()
	files := logFiles(t, name)
	if len(files) != 4 {
		t.Fatalf("%v", files)
	}
	if _, err := Verify(files, VerifyOptions{Key: testKey(), Seal: name + ".seal"}); err != nil {
		t.Error(err)
	}
}

// crooked is a file of which something goes wrong at each end but the last.
type crooked struct {
	*file
	wrong func(now time.Time, p place) error
}

func (c *crooked) rotate(now time.Time, p place) error {
	if c.wrong == nil {
		return c.file.rotate(now, p)
	}
	return c.wrong(now, p)
}

// TestRotationThatFails: whether the next file could not be opened, or the old one not
// be moved, each file begins with log-opened and nothing else stands behind log-closed.
func TestRotationThatFails(t *testing.T) {
	for _, what := range []string{"open", "rename"} {
		name := filepath.Join(t.TempDir(), "logs", "audit.log")
		d, err := OpenFile(name, FileOptions{Key: testKey(), MaxAge: time.Hour}, at(0))
		if err != nil {
			t.Fatal(err)
		}
		disk := &crooked{file: d.sink.(*file)}
		d.sink = disk
		inTheWay, failed := name, 0
		disk.wrong = func(now time.Time, p place) error {
			failed++
			if what == "rename" {
				inTheWay = aside(name, now, p.seq)
				if err := os.MkdirAll(filepath.Join(inTheWay, "x"), 0o700); err != nil {
					t.Fatal(err)
				}
				return disk.file.rotate(now, p)
			}
			if err := errors.Join(disk.file.rotate(now, p), disk.f.Close(), os.Remove(name), os.Mkdir(name, 0o700)); err != nil {
				t.Fatal(err)
			}
			disk.f, disk.size = nil, 0
			return syscall.EMFILE
		}
		s := newStream(d, textLog(nowhere{}), at(0))
		s.append(&Record{Time: at(1), Event: Started})
		s.tick(at(3600))
		if err := os.RemoveAll(inTheWay); err != nil {
			t.Fatal(err)
		}
		for i := range 10 {
			s.append(&Record{Time: at(3601 + i), Event: UserBlocked, User: "mallory"})
			s.tick(at(3601 + i))
		}
		if failed != 1 || s.failures.Load() == 0 {
			t.Errorf("%s: %d rotations failed, %d failures are counted", what, failed, s.failures.Load())
		}
		disk.wrong = nil
		s.tick(at(7300))
		s.append(&Record{Time: at(7301), Event: Stopped})
		s.close(at(7302))
		disk.compressing.Wait()

		files := logFiles(t, name)
		for i := range files { // those before it may be gone
			if _, err := Verify(files[i:], VerifyOptions{Key: testKey(), Seal: name + ".seal"}); err != nil {
				t.Errorf("%s: without the oldest %d of %d files: %v", what, i, len(files), err)
			}
		}
		if want := map[string]int{"open": 3, "rename": 2}[what]; len(files) != want {
			t.Errorf("%s: %v, want %d files", what, files, want)
		}
		for _, f := range files {
			before := LogClosed
			for _, e := range fileEntries(t, f) {
				if (before == LogClosed) != (e.Event == LogOpened) {
					t.Errorf("%s: in %s %v stands behind %v", what, f, e.Event, before)
				}
				before = e.Event
			}
		}
	}
}

// TestCheckpointsCome: after many records, and a while after the last.
func TestCheckpointsCome(t *testing.T) {
	name := filepath.Join(t.TempDir(), "logs", "audit.log")
	now := new(testClock)
	l := opened(t, name, FileOptions{Key: testKey()}, now)
	count := func() (n uint64) {
		l.Flush()
		return sums(fileEntries(t, name))[Checkpoint]
	}
	l.Add(&Record{Time: now.time(), Event: UserBlocked})
	if n := count(); n != 0 {
		t.Errorf("%d at once", n)
	}
	now.Add(int64(checkpointAfter / time.Second))
	if n := count(); n != 1 {
		t.Errorf("%d after a minute", n)
	}
	for range checkpointRecords {
		l.Add(&Record{Time: now.time(), Event: UserBlocked})
	}
	if n := count(); n != 2 {
		t.Errorf("%d after a thousand", n)
	}
	now.Add(int64(checkpointAfter / time.Second))
	if n := count(); n != 2 {
		t.Errorf("%d with nothing new", n)
	}
	l.Close()
}

func TestKeys(t *testing.T) {
	name := filepath.Join(t.TempDir(), "k", "audit.key")
	if _, err := LoadKey(name, false); err == nil {
		t.Error("a key that is not there")
	}
	made, err := LoadKey(name, true)
	if err != nil || len(made) != KeyBytes {
		t.Fatalf("%d bytes, %v", len(made), err)
	}
	again, err := LoadKey(name, true)
	if err != nil || !bytes.Equal(made, again) {
		t.Errorf("another one: %v", err)
	}
	if err := os.Chmod(name, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadKey(name, false); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("readable by others: %v", err)
	}
	short := filepath.Join(t.TempDir(), "short")
	if err := os.WriteFile(short, []byte("abc"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadKey(short, false); err == nil {
		t.Error("3 bytes are a key")
	}
}
