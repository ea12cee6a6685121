package audit

import (
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// TestKeyIsWholeOrNotThere: whoever looks while a key is made, as the next start does after a kill, sees
// all of it or nothing.
func TestKeyIsWholeOrNotThere(t *testing.T) {
	dir := t.TempDir()
	for i := range 300 {
		name := filepath.Join(dir, fmt.Sprint(i))
		seen := make(chan []byte)
		go func() {
			for {
				if b, err := os.ReadFile(name); err == nil {
					seen <- b
					return
				}
			}
		}()
		key, err := LoadKey(name, true)
		if err != nil {
			t.Fatal(err)
		}
		if b := <-seen; string(b) != hex.EncodeToString(key)+"\n" {
			t.Fatalf("while it was made the file held %d bytes", len(b))
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) > 0 {
		t.Errorf("%d files are left over", len(left))
	}
	if info, err := os.Stat(filepath.Join(dir, "0")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v: a key is its owner's", info.Mode(), err)
	}
}
