package engine_test

import (
	"fmt"
	"go/ast"
	"os"
	"os/exec"
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

// knownAttacks are those of which docs/security.md has a line each, by a name that they have there.
var knownAttacks = []string{
	"CVE-2020-27813", "CVE-2026-27889", "CVE-2026-5740", "CVE-2014-0193", "CVE-2026-48779", "CVE-2024-37890", "CVE-2021-32640",
	"CVE-2026-27571", "CVE-2026-1526", "CVE-2026-2229", "CVE-2026-32283", "CVE-2026-56862", "CVE-2015-9235", "CVE-2016-10555",
	"CVE-2018-0114", "CVE-2025-30204", "CVE-2024-8184", "CVE-2026-33203", "CVE-2024-23672", "centrifuge PR 627", "pong after pong",
}

// TestKnownAttacks: each is on the page once, in a suite, with its tests; and a
// test that is named for one is on the page.
func TestKnownAttacks(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(root, "docs", "security.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, page, _ := strings.Cut(string(b), "\n## Known attacks\n")
	for _, name := range knownAttacks {
		if n := strings.Count(page, name); n != 1 {
			t.Errorf("docs/security.md names %s %d times under known attacks, want one line with it", name, n)
		}
	}
	tests := testsByPackage(t)
	rows := regexp.MustCompile(`(?m)^\| ([^|]*)\|[^|]*\| (auth|messages|tls) (\|.*)$`).FindAllStringSubmatch(page, -1)
	if lines := strings.Count(page, "\n| ") - 1; lines != len(rows) { // one is the head
		t.Errorf("docs/security.md: %d of %d known attacks are | attack | known as | auth, messages or tls | tests | not yet |", len(rows), lines)
	}
	for _, row := range rows {
		complaints, _ := pageRow("| "+row[1]+"| "+row[3], tests)
		for _, complaint := range complaints {
			t.Errorf("docs/security.md, %s: %s", row[1], complaint)
		}
	}
	for pkg, names := range tests {
		for name := range names {
			if strings.HasPrefix(name, "TestCVE") && !strings.Contains(page, name) {
				t.Errorf("%s: %s is not on its attack's line under known attacks in docs/security.md", pkg, name)
			}
		}
	}
}

// TestSuites: each regression suite has tests, all of which exist, and those
// that must not be missing from it.
func TestSuites(t *testing.T) {
	tests := testsByPackage(t)
	for suite, must := range map[string][]string{
		"auth":     {"security/token TestAttackKeyConfusion", "security/origin TestBypassCorpus", "security/grant TestFullProductAgainstReference", "engine TestRefreshIsNewer"},
		"messages": {"engine/ws TestContinuationFlood", "security/schema TestCheck", "engine/upgrade TestParse", "engine TestMalformedFrames"},
		"tls":      {"security/certs TestBrokenPairs", "engine/tlsconn TestKeyUpdateFlood", "engine TestNotTLS"},
	} {
		out, err := exec.Command(filepath.Join(root, ".ci", "suite"), "-list", suite).Output()
		if err != nil {
			t.Fatalf("%s: %v", suite, err)
		}
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		for _, line := range lines {
			if pkg, name, _ := strings.Cut(line, " "); !tests[pkg][name] {
				t.Errorf("suite %s: %s does not exist", suite, line)
			}
		}
		for _, line := range must {
			if !slices.Contains(lines, line) {
				t.Errorf("suite %s has lost %s", suite, line)
			}
		}
		if len(lines) < 12 {
			t.Errorf("suite %s has %d tests", suite, len(lines))
		}
	}
	if err := exec.Command(filepath.Join(root, ".ci", "suite"), "everything").Run(); err == nil {
		t.Error("a suite that is none was run")
	}
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

// TestThreatModel: every listener and every public path is among the entries of docs/threat-model.md.
func TestThreatModel(t *testing.T) {
	read := func(name string) string {
		b, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	var options strings.Builder
	for _, f := range goFiles(t) {
		if f.dir() == "cmd/weir" && !f.test() {
			options.Write(f.source)
		}
	}
	page, entries := read("docs/threat-model.md"), 0
	for _, m := range regexp.MustCompile(`name:"((?:[a-z]+-)?listen)"`).FindAllStringSubmatch(options.String(), -1) {
		if entries++; !strings.Contains(page, "| `--"+m[1]+"` |") {
			t.Errorf("docs/threat-model.md: no entry for --%s", m[1])
		}
	}
	for _, m := range regexp.MustCompile(`path[A-Z]\w+\s*= "(/.+)"`).FindAllStringSubmatch(read("engine/head.go"), -1) {
		if entries++; !strings.Contains(page, "`"+m[1]+"`") {
			t.Errorf("docs/threat-model.md: the path %s stands nowhere", m[1])
		}
	}
	if entries < 7 {
		t.Errorf("only %d entries; are cmd/weir and head.go read wrongly?", entries)
	}
}

// TestLinksInDocs: what a page links to within the repository is there.
func TestLinksInDocs(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#: ]+)[^)]*\)`)
	links := 0
	for _, dir := range []string{"", "docs", "docs/decisions", "clients/js"} {
		pages, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(dir), "*.md"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range pages {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range link.FindAllStringSubmatch(string(b), -1) {
				links++
				if _, err := os.Stat(filepath.Join(filepath.Dir(name), filepath.FromSlash(m[1]))); err != nil {
					t.Errorf("%s links to %s, which is not there", name, m[1])
				}
			}
		}
	}
	if links < 30 {
		t.Errorf("only %d links were found", links)
	}
}
