package engine_test

import (
	"fmt"
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// pageRows is how many promises each chapter of docs/security.md has: T1 to T7 and so on.
var pageRows = []struct {
	chapter string
	rows    int
}{{"T", 7}, {"H", 5}, {"A", 6}, {"P", 2}, {"I", 6}, {"F", 4}, {"R", 5}, {"D", 3}, {"S", 5}}

// TestSecurityPage holds docs/security.md to the tests that there are: a line for
// each promise, in order; each test that it names, in the package that it says;
// and what has no test says under "not yet" what is missing.
func TestSecurityPage(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs", "security.md"))
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, c := range pageRows {
		for n := range c.rows {
			want = append(want, fmt.Sprint(c.chapter, n+1))
		}
	}
	tests := testsByPackage(t)
	var got []string
	open := 0
	for _, row := range regexp.MustCompile(`(?m)^\| ([A-Z][0-9]+) \|.*$`).FindAllStringSubmatch(string(page), -1) {
		got = append(got, row[1])
		complaints, missing := pageRow(row[0], tests)
		for _, complaint := range complaints {
			t.Errorf("docs/security.md, row %s: %s", row[1], complaint)
		}
		if missing {
			open++
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("docs/security.md has the rows\n%q, want each promise on one line of its own, in this order:\n%q", got, want)
	}
	t.Logf("%d of %d rows say that something is not yet held by a test", open, len(want))
}

// pageRow returns what is wrong with a line of the table, and whether it says
// that something is missing.
func pageRow(line string, tests map[string]map[string]bool) (complaints []string, missing bool) {
	cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
	if len(cells) != 4 {
		return []string{fmt.Sprintf("%d cells; write | row | promise | package: TestA, TestB; package: TestC | what is not yet held, or nothing |", len(cells))}, false
	}
	for i := range cells {
		cells[i] = strings.TrimSpace(cells[i])
	}
	missing = cells[3] != ""
	if cells[2] == "" && !missing {
		complaints = append(complaints, `names no test; name those that fail without it, or say in the last cell what is missing`)
	}
	for group := range strings.SplitSeq(cells[2], ";") {
		pkg, names, ok := strings.Cut(strings.TrimSpace(group), ":")
		if cells[2] == "" {
			break
		}
		if !ok {
			complaints = append(complaints, fmt.Sprintf("%q is not package: TestA, TestB", group))
			continue
		}
		for name := range strings.SplitSeq(names, ",") {
			if name = strings.TrimSpace(name); !tests[pkg][name] {
				complaints = append(complaints, fmt.Sprintf("%s has no test %q; name the test that holds the row today, or say in the last cell what is missing", pkg, name))
			}
		}
	}
	return complaints, missing
}

// testsByPackage lists the tests and fuzz targets of each directory.
func testsByPackage(t *testing.T) map[string]map[string]bool {
	t.Helper()
	all := map[string]map[string]bool{}
	name := regexp.MustCompile(`^(Test|Fuzz)[A-Z]`)
	for _, f := range goFiles(t) {
		if !f.test() {
			continue
		}
		for _, decl := range f.file.Decls {
			if d, ok := decl.(*ast.FuncDecl); ok && d.Recv == nil && name.MatchString(d.Name.Name) {
				if all[f.dir()] == nil {
					all[f.dir()] = map[string]bool{}
				}
				all[f.dir()][d.Name.Name] = true
			}
		}
	}
	return all
}

// TestSecurityPageBites shows pageRow lines that are wrong, and some that are not.
func TestSecurityPageBites(t *testing.T) {
	tests := map[string]map[string]bool{"engine": {"TestA": true, "FuzzB": true}, "engine/ws": {"TestC": true}}
	for _, c := range []struct {
		line       string
		complaints int
		missing    bool
	}{
		{"| T1 | a promise | engine: TestA, FuzzB; engine/ws: TestC | |", 0, false},
		{"| T1 | a promise | engine: TestA | the rest |", 0, true},
		{"| T1 | a promise | | all of it |", 0, true},
		{"| T1 | a promise | | |", 1, false},
		{"| T1 | a promise | engine: TestC | |", 1, false},
		{"| T1 | a promise | engine: TestA, TestGone; gone: TestA | |", 2, false},
		{"| T1 | a promise | TestA | |", 1, false},
		{"| T1 | a promise | engine: | |", 1, false},
		{"| T1 | a promise | engine: TestA |", 1, false},
		{"| T1 | a | promise | engine: TestA | |", 1, false},
	} {
		complaints, missing := pageRow(c.line, tests)
		if len(complaints) != c.complaints || missing != c.missing {
			t.Errorf("%s: %q, missing %v", c.line, complaints, missing)
		}
	}
}
