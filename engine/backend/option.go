package backend

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
)

const (
	urlBytes    = 2 << 10
	headerBytes = 4 << 10
)

// CheckURL refuses a backend's URL that is none, or over which what stands in a call could be read on the way. The
// error names the mend and holds nothing of the URL, which may have a secret in its query.
func CheckURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Opaque != "" || len(text) > urlBytes:
		return errors.New("is no URL; write one, as in https://app.example.com/weir/rpc")
	case u.User != nil:
		return errors.New("holds a user or a password; put the backend's secret into --hook-header-file")
	case u.Fragment != "":
		return errors.New("has a fragment, which no server is sent; take out what begins with #")
	case u.Scheme == "https":
		return nil
	case u.Scheme == "http" && loopback(u.Hostname()):
		return nil
	case u.Scheme == "http":
		return errors.New("is http to another machine, where what clients send and what the backend answers can be read and changed on the way; write https://")
	}
	return errors.New("is neither https nor http; write https:// (or http:// for a backend on this machine)")
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// ParseHeader reads NAME: VALUE. The error holds nothing of the value.
func ParseHeader(line string) (name, value string, err error) {
	name, value, found := strings.Cut(line, ":")
	value = strings.Trim(value, " \t")
	switch {
	case !found || !fieldName(name):
		return "", "", errors.New("is no header; write NAME: VALUE, as in Authorization: Bearer …")
	case reserved(name):
		return "", "", fmt.Errorf("%s is set by the server itself; choose another header", name)
	case value == "":
		return "", "", fmt.Errorf("%s has no value", name)
	case len(value) > headerBytes || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return "", "", fmt.Errorf("the value of %s is over %d bytes or holds a line break or another control character; write one line of text", name, headerBytes)
	}
	return name, value, nil
}

// fieldName is a token of RFC 9110 §5.6.2.
func fieldName(name string) bool {
	return name != "" && len(name) <= 256 && !strings.ContainsFunc(name, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	})
}

func reserved(name string) bool {
	switch strings.ToLower(name) {
	case "host", "content-type", "content-length", "content-encoding", "transfer-encoding", "connection", "keep-alive", "te", "trailer",
		"upgrade", "expect", "user-agent", "accept-encoding":
		return true
	}
	return false
}
