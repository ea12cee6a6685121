package audit

import (
	"bytes"
	"cmp"
	"crypto/hmac"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// VerifyOptions say what the files are held against.
type VerifyOptions struct {
	Key  []byte // of the checkpoints; nil: they are not checked, and who changed a file may have made all hashes anew
	Seal string // name of the log's seal; "": whether the end was cut off is not known
}

// Report is what Verify found.
type Report struct {
	Files, Records, Checkpoints int
	First, Last                 uint64 // numbers of records
	Closed                      bool   // the log was ended in order
	Unsealed                    int    // records after the last checkpoint
	Sealed                      bool   // the end was held against the seal
	Cut                         bool   // the last line is not whole: it is being written, or was
}

// Fault is the first bad record.
type Fault struct {
	File string
	Line int
	Seq  uint64 // that it has, or should have
	Why  string
}

func (f *Fault) Error() string {
	return fmt.Sprintf("%s, line %d, record %d: %s", f.File, f.Line, f.Seq, f.Why)
}

// Verify goes through the files of one log, in any order, and returns the first
// record that is not as it was written as a *Fault. Files may be compressed; those
// before the first may be gone. What a kill left of compressing a file is passed over
// if the file itself is given.
func Verify(files []string, o VerifyOptions) (Report, error) {
	files, err := inOrder(slices.DeleteFunc(slices.Clone(files), func(name string) bool {
		plain := strings.TrimSuffix(strings.TrimSuffix(name, ".new"), ".gz")
		return plain != name && slices.Contains(files, plain)
	}))
	if err != nil {
		return Report{}, err
	}
	v := verifier{key: o.Key}
	if o.Seal != "" {
		if v.seal, err = readSeal(o.Seal, o.Key); err != nil {
			return Report{}, fmt.Errorf("%s: %w", o.Seal, err)
		}
	}
	for _, name := range files {
		if err := v.file(name); err != nil {
			return v.Report, err
		}
	}
	if v.Records == 0 {
		return v.Report, errors.New("the files hold no record")
	}
	if v.seal.seq > v.at.seq {
		return v.Report, &Fault{files[len(files)-1], v.line + 1, v.at.seq + 1, fmt.Sprintf("the log went on to record %d; the end is missing", v.seal.seq)}
	}
	v.Sealed, v.Last = v.seal.seq > 0, v.at.seq
	return v.Report, nil
}

// verifier goes through lines.
type verifier struct {
	Report
	key  []byte
	seal place
	at   place
	name string
	line int
}

func (v *verifier) bad(seq uint64, format string, args ...any) error {
	return &Fault{v.name, v.line, seq, fmt.Sprintf(format, args...)}
}

func (v *verifier) file(name string) error {
	r, err := Open(name)
	if err != nil {
		return err
	}
	defer r.Close()
	v.Files++
	v.name, v.line = name, 0
	for text, err := range Lines(r) {
		v.line = text.Number
		if err != nil {
			return v.bad(v.at.seq+1, "the file cannot be read on: %v", err)
		}
		if v.Cut {
			return v.bad(v.at.seq+1, "the line before it is not whole")
		}
		if !text.Whole {
			v.Cut = true // the seal knows whether it was once
			continue
		}
		if err := v.record(text.Text); err != nil {
			return err
		}
	}
	return nil
}

func (v *verifier) record(text []byte) error {
	want := v.at.seq + 1
	e, err := ParseLine(text)
	if err != nil {
		return v.bad(want, "%v", err)
	}
	body, ok := withoutHash(text)
	if !ok || e.Seq == 0 {
		return v.bad(want, "the record has no place in a chain")
	}
	if v.Records == 0 { // what came before may be gone, but not its last hash
		if e.Event != LogOpened || parseHex(v.at.hash[:], e.Prev) != nil {
			return v.bad(e.Seq, "a log begins with log-opened; what stood before this record is missing")
		}
		v.First, v.at.seq = e.Seq, e.Seq-1
		want = e.Seq
	}
	switch hash := v.at.hash.next(body); {
	case e.Seq != want:
		return v.bad(want, "record %d stands in its place; records are missing, moved or doubled", e.Seq)
	case hash.String() != e.Hash:
		return v.bad(e.Seq, "it, or the one before it, was changed")
	case e.Event == LogOpened && e.Prev != v.at.hash.String():
		return v.bad(e.Seq, "it does not follow the record before it")
	default:
		if err := v.checkpoint(&e); err != nil {
			return err
		}
		v.at = place{e.Seq, hash}
	}
	v.Records++
	v.Closed = e.Event == LogClosed
	if v.seal.seq == v.at.seq && v.seal.hash != v.at.hash {
		return v.bad(e.Seq, "the seal of the log says another hash: it was written anew")
	}
	return nil
}

// checkpoint checks the code of a record that has to have one.
func (v *verifier) checkpoint(e *Entry) error {
	if e.Event != Checkpoint && e.Event != LogOpened && e.Event != LogClosed {
		v.Unsealed++
		return nil
	}
	if v.key != nil && !hmac.Equal([]byte(e.MAC), []byte(sealOf(v.key, e.Seq, v.at.hash))) {
		return v.bad(e.Seq, "the checkpoint was not made with this key: records before it were written anew, or it is another log's key")
	}
	v.Checkpoints++
	v.Unsealed = 0
	return nil
}

// withoutHash takes off the field that holds the hash, the last of a line.
func withoutHash(text []byte) ([]byte, bool) {
	const digits = 2 * hashLen
	f := FormatOf(text)
	before, after := " "+names[keyHash][f]+"=", ""
	if f == ECS {
		before, after = `,"`+names[keyHash][f]+`":"`, `"}`
	}
	n := len(text) - len(before) - digits - len(after)
	if n < 0 || !bytes.HasSuffix(text, []byte(after)) || string(text[n:n+len(before)]) != before {
		return nil, false
	}
	return text[:n], true
}

// inOrder sorts files by the number of their first record.
func inOrder(files []string) ([]string, error) {
	type numbered struct {
		name string
		seq  uint64
	}
	var list []numbered
	for _, name := range files {
		r, err := Open(name)
		if err != nil {
			return nil, err
		}
		seq := firstNumber(r)
		if err := r.Close(); err != nil {
			return nil, err
		}
		if seq == 0 {
			return nil, &Fault{name, 1, 1, "the file has no record of a chain: what it held is missing"}
		}
		list = append(list, numbered{name, seq})
	}
	slices.SortStableFunc(list, func(a, b numbered) int {
		return cmp.Or(cmp.Compare(a.seq, b.seq), strings.Compare(a.name, b.name))
	})
	sorted := make([]string, len(list))
	for i := range list {
		sorted[i] = list[i].name
	}
	return sorted, nil
}

// firstNumber is the number of the first record that can be read; 0 if there is none.
func firstNumber(r io.Reader) uint64 {
	for e, err := range Entries(r) {
		if err == nil && e.Seq > 0 {
			return e.Seq
		}
	}
	return 0
}
