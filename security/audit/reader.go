package audit

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"
)

// maxLine bounds a line that is read: one that is written is never near it.
const maxLine = 64 << 10

// Entries iterates over the records of a log, in the order of its lines. An error
// is about one line and names it; those after it still follow. An error of r ends it.
func Entries(r io.Reader) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for text, err := range Lines(r) {
			if err != nil {
				yield(Entry{}, err)
				return
			}
			e, err := ParseLine(text.Text)
			if err != nil {
				err = fmt.Errorf("line %d: %w", text.Number, err)
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

// TextLine is one line of a log, without its end.
type TextLine struct {
	Number int    // from 1
	Text   []byte // lent until the next one
	Whole  bool   // a line end follows
}

// Lines iterates over the lines of a log that are not empty.
func Lines(r io.Reader) iter.Seq2[TextLine, error] {
	return func(yield func(TextLine, error) bool) {
		b := bufio.NewReaderSize(r, maxLine)
		for n := 1; ; n++ {
			text, err := b.ReadSlice('\n')
			whole := err == nil
			text = bytes.TrimSuffix(text, []byte("\n"))
			if len(text) > 0 && err != bufio.ErrBufferFull && !yield(TextLine{n, text, whole}, nil) {
				return
			}
			switch {
			case errors.Is(err, io.EOF):
				return
			case err != nil:
				yield(TextLine{Number: n}, fmt.Errorf("line %d: %w", n, err))
				return
			}
		}
	}
}

// Open opens a log file to be read, a compressed one too.
func Open(name string) (io.ReadCloser, error) {
	f, err := os.Open(name)
	if err != nil || !strings.HasSuffix(name, ".gz") {
		return f, err
	}
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", name, err), f.Close())
	}
	return &gzipFile{z, f}, nil
}

type gzipFile struct {
	*gzip.Reader
	f *os.File
}

func (g *gzipFile) Close() error { return errors.Join(g.Reader.Close(), g.f.Close()) }
