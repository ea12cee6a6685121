package option

import (
	"bytes"
	"fmt"
	"io"
	"os"
)

const maxSecretBytes = 64 << 10 // of a file with a key, secret or token

// Secret returns an option's value, from the option or from its file; nil if
// neither is set.
func Secret(name, value, file string) ([]byte, error) {
	switch {
	case value != "" && file != "":
		return nil, fmt.Errorf("--%s and --%s-file are both set; keep one", name, name)
	case file == "":
		if value == "" {
			return nil, nil
		}
		return []byte(value), nil
	}
	b, err := ReadBounded(file, maxSecretBytes)
	if err != nil {
		return nil, fmt.Errorf("--%s-file: %w", name, err)
	}
	b = bytes.TrimRight(b, "\r\n")
	if len(b) == 0 {
		return nil, fmt.Errorf("--%s-file: %s is empty", name, file)
	}
	return b, nil
}

// ReadBounded reads a file of at most limit bytes.
func ReadBounded(file string, limit int64) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%s is over %d bytes", file, limit)
	}
	return b, nil
}

// HeaderValue refuses a secret that does not survive as the value of an HTTP
// header: with a blank at an end or a line break the two sides would never agree
// on it, though both have the same file ("": it came from the option itself).
func HeaderValue(name, file string, value []byte) error {
	name = "--" + name
	if file != "" {
		name = fmt.Sprintf("%s-file: %s", name, file)
	}
	switch trimmed := bytes.Trim(value, " \t"); {
	case len(trimmed) != len(value):
		return fmt.Errorf("%s: it begins or ends with a blank, which no HTTP header keeps; take it out", name)
	case bytes.ContainsFunc(trimmed, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return fmt.Errorf("%s: it holds a line break or another control character, which no HTTP header carries; write one line of text", name)
	}
	return nil
}
