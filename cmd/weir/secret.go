package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
)

const maxSecretBytes = 64 << 10 // of a file with a key, secret or token

// secret returns an option's value, from the option or from its file; nil if
// neither is set.
func secret(option string, value text, file path) ([]byte, error) {
	switch {
	case value != "" && file != "":
		return nil, mistake("--%s and --%s-file are both set; keep one", option, option)
	case file == "":
		if value == "" {
			return nil, nil
		}
		return []byte(value), nil
	}
	b, err := readBounded(string(file), maxSecretBytes)
	if err != nil {
		return nil, mistake("--%s-file: %w", option, err)
	}
	b = bytes.TrimRight(b, "\r\n")
	if len(b) == 0 {
		return nil, mistake("--%s-file: %s is empty", option, file)
	}
	return b, nil
}

// readBounded reads a file of at most limit bytes.
func readBounded(file string, limit int64) ([]byte, error) {
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

// key returns the API key, which has to survive as the value of an HTTP header.
func (o *apiKeyOptions) key() ([]byte, error) {
	key, err := secret("api-key", o.APIKey, o.APIKeyFile)
	if err != nil || len(key) == 0 {
		return nil, err
	}
	return key, headerValue("api-key", o.APIKeyFile, key)
}

func (o *secretOptions) secret() ([]byte, error) {
	return secret("token-hmac-secret", o.TokenHMACSecret, o.TokenHMACSecretFile)
}

// headerValue refuses a secret that does not survive as the value of an HTTP
// header: with a blank at an end or a line break the two sides would never agree
// on it, though both have the same file.
func headerValue(option string, file path, value []byte) error {
	option = "--" + option
	if file != "" {
		option = fmt.Sprintf("%s-file: %s", option, file)
	}
	switch trimmed := bytes.Trim(value, " \t"); {
	case len(trimmed) != len(value):
		return mistake("%s: it begins or ends with a blank, which no HTTP header keeps; take it out", option)
	case bytes.ContainsFunc(trimmed, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return mistake("%s: it holds a line break or another control character, which no HTTP header carries; write one line of text", option)
	}
	return nil
}
