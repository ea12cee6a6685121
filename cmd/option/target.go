package option

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// Pins reads pins of the form sha256/ and the base64 of a key's digest.
func Pins(items []string) ([][sha256.Size]byte, error) {
	var pins [][sha256.Size]byte
	for _, item := range items {
		encoded, ok := strings.CutPrefix(item, "sha256/")
		digest, err := base64.StdEncoding.DecodeString(encoded)
		if !ok || err != nil || len(digest) != sha256.Size {
			return nil, fmt.Errorf("--pin: %q is not a pin; write sha256/ and the base64 of the SHA-256 digest of the public key (44 characters)", item)
		}
		pins = append(pins, [sha256.Size]byte(digest))
	}
	return pins, nil
}

// URL reads the URL of an option, which must have one of the schemes.
func URL(name, s string, schemes ...string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || !slices.Contains(schemes, u.Scheme) {
		return nil, fmt.Errorf("--%s: %q is not a URL that starts with %s://", name, s, strings.Join(schemes, ":// or "))
	}
	if u.User != nil {
		return nil, fmt.Errorf("--%s: the URL holds a user name; leave it out", name)
	}
	return u, nil
}

// Loopback tells whether a URL's host is this machine.
func Loopback(u *url.URL) bool {
	if u.Hostname() == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return err == nil && ip.Unmap().IsLoopback()
}
