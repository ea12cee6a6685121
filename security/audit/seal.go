package audit

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// hashLen is the length of hashes and codes, in bytes: nobody makes two lines with
// the same 128 bits who does not choose both.
const hashLen = 16

type chainHash [hashLen]byte

func (h chainHash) String() string { return hex.EncodeToString(h[:]) }

// next is the hash of a line, without the field that holds it, after the hash before.
func (h chainHash) next(line []byte) (n chainHash) {
	d := sha256.New()
	d.Write(h[:])
	d.Write(line)
	copy(n[:], d.Sum(nil))
	return n
}

// derive makes a key for one purpose.
func derive(key []byte, purpose string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte("weir audit " + purpose))
	return m.Sum(nil)
}

// mac is a short authentication code, in hexadecimal.
func mac(key []byte, text string) string {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(text))
	return hex.EncodeToString(m.Sum(nil)[:hashLen])
}

// sealOf is the code of a checkpoint: that the chain stood at h before the record
// with this number.
func sealOf(key []byte, seq uint64, h chainHash) string {
	return mac(key, fmt.Sprintf("%d %s", seq, h))
}

// place is where a chain stands: the number of the last record and its hash.
type place struct {
	seq  uint64
	hash chainHash
}

// writeSeal replaces the file that says, out of reach of who cuts the log alone,
// how far it went.
func writeSeal(name string, key []byte, p place) error {
	text := fmt.Sprintf("%d %s %s\n", p.seq, p.hash, sealOf(key, p.seq, p.hash))
	if err := os.WriteFile(name+".new", []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}

// errSeal is a seal that was not made with the key.
var errSeal = errors.New("the seal was not made with this key, or was changed")

// readSeal returns the zero place if there is no seal.
func readSeal(name string, key []byte) (p place, err error) {
	b, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return place{}, nil
	}
	if err != nil {
		return place{}, err
	}
	var hash, code string
	if _, err := fmt.Sscanf(string(b), "%d %s %s", &p.seq, &hash, &code); err != nil || parseHex(p.hash[:], hash) != nil {
		return place{}, errSeal
	}
	if key != nil && !hmac.Equal([]byte(code), []byte(sealOf(key, p.seq, p.hash))) {
		return place{}, errSeal
	}
	return p, nil
}

// KeyBytes is the least length of a key.
const KeyBytes = 32

// LoadKey reads a key of at least KeyBytes; "make" has one made if the file does not
// exist, readable by its owner only.
func LoadKey(name string, create bool) ([]byte, error) {
	info, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) && create {
		return makeKey(name)
	}
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s can be read by others; chmod 600 %s", name, name)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	if key, err := hex.DecodeString(strings.TrimSpace(string(b))); err == nil && len(key) >= KeyBytes {
		return key, nil
	}
	if len(b) < KeyBytes {
		return nil, fmt.Errorf("%s holds %d bytes; a key has %d or more, as from openssl rand -hex 32", name, len(b), KeyBytes)
	}
	return b, nil
}

// makeKey leaves no part of a key behind, where the disk is full or the process is killed: the next start would take it for one,
// or not go on.
func makeKey(name string) ([]byte, error) {
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return nil, err
	}
	key := make([]byte, KeyBytes)
	rand.Read(key)                                        // never fails
	f, err := os.CreateTemp(filepath.Dir(name), ".key-*") // made with 0600
	if err != nil {
		return nil, err
	}
	_, err = f.WriteString(hex.EncodeToString(key) + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Link(f.Name(), name) // not over one that another process has made meanwhile
	}
	return key, errors.Join(err, os.Remove(f.Name()))
}
