package audit

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestPage: docs/audit.md lists every event and every field.
func TestPage(t *testing.T) {
	b, err := os.ReadFile("../../docs/audit.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	for _, e := range Events() {
		if row := fmt.Sprintf("| %d | `%s` | ", uint16(e), e); !strings.Contains(page, row) {
			t.Errorf("no row %q", row)
		}
	}
	for _, n := range names {
		if row := fmt.Sprintf("| `%s` | `%s` | `%s` |", n[ECS], n[Logfmt], n[CEF]); !strings.Contains(page, row) {
			t.Errorf("no row %q", row)
		}
	}
}
