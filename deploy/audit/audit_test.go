package main

import (
	"errors"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// TestExceptionsExpire: an entry counts up to its day, and afterwards fails.
func TestExceptionsExpire(t *testing.T) {
	for line, want := range map[string]struct {
		count   int
		problem string
	}{
		"":            {0, ""},
		"# a comment": {0, ""},
		"GO-2026-0001 until 2026-11-23: it waits for 1.2": {1, ""},
		"GO-2026-0001 until 2026-11-22: the last day":     {1, ""},
		"GO-2026-0001 until 2026-11-21: it is over":       {0, "until 2026-11-21"},
		"GO-2026-0001 until 2027-02-20: ninety days":      {1, ""},
		"GO-2026-0001 until 2027-02-22: too far ahead":    {0, "over 90 days"},
		"GO-2026-0001 until 2026-13-01: no day":           {0, "no day"},
		"GO-2026-0001 until 2026-11-23":                   {0, "why it may wait"},
		"GO-2026-0001 until 2026-11-23: ":                 {0, "why it may wait"},
		"GO-2026-0001":                                    {0, "why it may wait"},
	} {
		all, problems := parseExceptions(line+"\n", now)
		if len(all) != want.count || (want.problem == "") != (len(problems) == 0) || !strings.Contains(strings.Join(problems, "\n"), want.problem) {
			t.Errorf("%q: %v, %q", line, all, problems)
		}
	}
}

// TestJudge: what our code reaches fails, unless an exception is still good.
func TestJudge(t *testing.T) {
	found := scanned(t)
	for text, want := range map[string]verdict{
		"": failed, "GO-0000-0001 until 2026-12-01: it waits": ok, "GO-0000-0002 until 2026-12-01: another": failed,
		"GO-0000-0001 until 2026-11-01: it waited": failed,
	} {
		a := &audit{now: now}
		a.exceptions, _ = parseExceptions(text, now)
		if r := a.judge(found); r.verdict != want || len(r.lines) != 2 {
			t.Errorf("%q: %+v, want %v", text, r, want)
		}
	}
	if r := new(audit).judge(found[1:]); r.verdict != ok || !strings.Contains(r.lines[0], "does not reach it") {
		t.Errorf("what is not reached: %+v", r)
	}
}

// scanned is what the scanner says of a module with a vulnerability that it calls, and one that it only imports.
func scanned(t *testing.T) []finding {
	t.Helper()
	found, err := parseScan([]byte(`{"config":{"protocol_version":"v1.0.0","scanner_name":"govulncheck"}}
{"progress":{"message":"Checking the code against the vulnerabilities..."}}
{"osv":{"id":"GO-0000-0001","summary":"Invented"}}
{"osv":{"id":"GO-0000-0002","summary":"Another"}}
{"osv":{"id":"GO-0000-0003","summary":"Of a module that is not required"}}
{"finding":{"osv":"GO-0000-0001","fixed_version":"v1.99.0","trace":[{"module":"example.com/a","version":"v1.0.0"}]}}
{"finding":{"osv":"GO-0000-0001","fixed_version":"v1.99.0","trace":[{"module":"example.com/a","version":"v1.0.0","package":"example.com/a"}]}}
{"finding":{"osv":"GO-0000-0002","trace":[{"module":"example.com/b","version":"v1.0.0","package":"example.com/b"}]}}
{"finding":{"osv":"GO-0000-0001","fixed_version":"v1.99.0","trace":[{"module":"example.com/a","package":"example.com/a","function":"New"},{"module":"weir","package":"weir/engine","function":"New"}]}}`))
	if err != nil || len(found) != 2 {
		t.Fatalf("%+v, %v", found, err)
	}
	if f := found[0]; f != (finding{"GO-0000-0001", "Invented", "example.com/a", "v1.99.0", "weir/engine.New"}) {
		t.Errorf("%+v", f)
	}
	if f := found[1]; f != (finding{id: "GO-0000-0002", summary: "Another", module: "example.com/b"}) {
		t.Errorf("%+v", f)
	}
	return found
}

func TestParseScanRefuses(t *testing.T) {
	for _, out := range []string{"{", `{"finding":[]}`, "govulncheck: no"} {
		if found, err := parseScan([]byte(out)); err == nil {
			t.Errorf("%q: %+v", out, found)
		}
	}
}

// TestNPM: findings fail, a registry that does not answer is not run, and neither is taken for the other.
func TestNPM(t *testing.T) {
	a := &audit{now: now}
	a.exceptions, _ = parseExceptions("npm:known until 2026-12-01: it waits", now)
	for text, want := range map[string]verdict{
		`{"auditReportVersion":2,"vulnerabilities":{},"metadata":{"dependencies":{"total":17}}}`:                                      ok,
		`{"vulnerabilities":{"ws":{"severity":"high","via":[{"title":"x"}]}},"metadata":{"dependencies":{"total":17}}}`:               failed,
		`{"vulnerabilities":{"known":{"severity":"high","via":["ws"]}},"metadata":{"dependencies":{"total":17}}}`:                     ok,
		`{"message":"405 Method Not Allowed - POST https://registry.example.com/-/npm/v1/security/advisories/bulk","statusCode":405}`: notRun,
		`{"message":"request to https://registry.example.com/ failed, reason: connect: connection refused"}`:                          notRun,
		`{"error":{"code":"ENOLOCK","summary":"This command requires an existing lockfile."}}`:                                        failed,
		``: failed,
	} {
		if r := a.judgeNPM([]byte(text), nil); r.verdict != want {
			t.Errorf("%s: %+v, want %v", text, r, want)
		}
	}
}

func TestAges(t *testing.T) {
	day := func(s string) time.Time { d, _ := time.Parse(time.DateOnly, s); return d }
	rows := []row{{"a.com/new", "v1", "MIT", day("2024-11-23")}, {"a.com/old", "v1", "MIT", day("2024-11-21")}}
	if r := judgeAges(rows, "", now); r.verdict != failed || len(r.lines) != 1 || !strings.Contains(r.lines[0], "a.com/old") {
		t.Errorf("%+v", r)
	}
	if r := judgeAges(rows, "| a.com/old | It is finished. |", now); r.verdict != ok {
		t.Errorf("with a plan: %+v", r)
	}
}

func TestLicences(t *testing.T) {
	mit, apache := "Permission is hereby granted, free of charge, to any person obtaining a copy of", "Apache License Version 2.0, January 2004"
	two := "Redistributions in binary form must reproduce the above"
	three := two + " Neither the name of the copyright holder"
	for _, c := range []struct{ said, text, want string }{
		{"MIT", mit, ""}, {"MIT and Apache-2.0", mit + apache, ""}, {"BSD-3-Clause", three, ""}, {"BSD-2-Clause", two, ""},
		{"BSD-3-Clause, MIT and Apache-2.0 in parts", three + mit + apache, ""},
		{"MIT", "", "ships no licence"}, {"MIT", apache, "its text does not"}, {"MIT", mit + apache, "Apache-2.0 as well"},
		{"BSD-2-Clause", three, "BSD-3-Clause as well"}, {"BSD-3-Clause", two, "its text does not"},
		{"GPL-3.0", "GNU", "is not one of"}, {"AGPL-3.0 or MIT", mit, "is not one of"}, {"", mit, "names no licence"},
	} {
		if got := judgeLicence(c.said, c.text); (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s of %q: %q, want %q", c.said, c.text, got, c.want)
		}
	}
}

// repository is a folder with what the audit reads of one.
func repository(t *testing.T, exceptions string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range map[string]string{
		exceptionsFile:         exceptions,
		"docs/dependencies.md": "| a.com/b | v1.0.0 | MIT | B | why | 2026-01-01 |\n",
		"mod/LICENSE":          "Permission is hereby granted, free of charge, to any person\nobtaining a copy of",
	} {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// TestReport: what is not run is said, and a failure only where that is asked for; what is over fails in any case.
func TestReport(t *testing.T) {
	for _, c := range []struct {
		name, exceptions, scan string
		online, strict         bool
		status                 int
		words                  []string
	}{
		{"all is well", "", "", true, true, 0, []string{"vulnerabilities  ok: 0 found", "npm              ok"}},
		{"offline", "", "", false, false, 0, []string{"vulnerabilities  not run: the database", "npm              not run", "scanner          ok"}},
		{"nothing can be fetched", "", "", false, false, 0, []string{"scanner          not run: the scanner cannot be fetched", "vulnerabilities  not run"}},
		{"offline, strict", "", "", false, true, 1, []string{"vulnerabilities  not run"}},
		{"an entry that is over", "GO-0000-0009 until 2026-01-01: long ago\n", "", true, false, 1, []string{"exceptions       FAILED"}},
		{"reached", "", reached, true, false, 1, []string{"vulnerabilities  FAILED: 1 found", "reached from weir/engine.New"}},
		{"excepted", "GO-0000-0009 until 2026-12-01: it waits\n", reached, true, true, 0, []string{"excepted until 2026-12-01: it waits"}},
	} {
		a := &audit{root: repository(t, c.exceptions), now: now, database: "file:///a/copy"}
		a.run = func(dir, name string, args ...string) ([]byte, []byte, error) {
			switch line := strings.Join(append([]string{name}, args...), " "); {
			case line == "go mod verify":
				return []byte("all modules verified\n"), nil, nil
			case line == "go mod download -json":
				return []byte(`{"Path":"a.com/b","Dir":"` + filepath.Join(a.root, "mod") + `"}`), nil, nil
			case c.name == "nothing can be fetched" && strings.HasPrefix(line, "go run"):
				return nil, []byte("golang.org/x/vuln: module lookup disabled by GOPROXY=off"), errors.New("exit status 1")
			case strings.Contains(line, "testdata/vulndb"):
				return []byte(invented), nil, nil
			case !c.online && name == "npm":
				return []byte(`{"statusCode":405,"message":"405"}`), nil, errors.New("exit status 1")
			case !c.online:
				return nil, []byte("govulncheck: fetching vulnerabilities: dial tcp: lookup vuln.go.dev: no such host"), errors.New("exit status 1")
			case name == "npm":
				return []byte(`{"metadata":{"dependencies":{"total":3}}}`), nil, nil
			case !strings.HasSuffix(line, "-format json -db file:///a/copy ./..."):
				t.Errorf("%s: %s is run", c.name, line)
			}
			return []byte(c.scan), nil, nil
		}
		var out strings.Builder
		if status := a.report(&out, c.strict); status != c.status {
			t.Errorf("%s: status %d, want %d\n%s", c.name, status, c.status, out.String())
		}
		for _, w := range c.words {
			if !strings.Contains(out.String(), w) {
				t.Errorf("%s: no %q in\n%s", c.name, w, out.String())
			}
		}
	}
}

const (
	reached = `{"finding":{"osv":"GO-0000-0009","trace":[{"module":"a.com/b","package":"a.com/b","function":"F"},{"module":"weir","package":"weir/engine","function":"New"}]}}`

	invented = `{"finding":{"osv":"GO-0000-0001","trace":[{"module":"stdlib","package":"container/ring","function":"New"},{"module":"example.com/vulnerable","package":"example.com/vulnerable","function":"main"}]}}`
)

// TestBlindScanner: a scanner that finds nothing in what is vulnerable is not believed.
func TestBlindScanner(t *testing.T) {
	a := &audit{run: func(string, string, ...string) ([]byte, []byte, error) { return []byte(`{"config":{}}`), nil, nil }}
	if r := a.scanner(); r.verdict != failed {
		t.Errorf("%+v", r)
	}
	a.run = func(string, string, ...string) ([]byte, []byte, error) {
		return nil, []byte("go: module not found"), errors.New("exit status 1")
	}
	if r := a.scanner(); r.verdict != failed {
		t.Errorf("%+v", r)
	}
	if r := a.vulnerabilities(); r.verdict != failed {
		t.Errorf("a failure that is not the network's: %+v", r)
	}
}

// TestTheRealPage: the licences and releases of docs/dependencies.md are read, every line of its tables of modules.
func TestTheRealPage(t *testing.T) {
	a := &audit{root: "../.."}
	rows, plans, err := a.page()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile("../../docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	if n := len(regexp.MustCompile(`\| v[0-9]`).FindAll(b, -1)); len(rows) != n || n < 20 || !strings.Contains(plans, "xxhash") {
		t.Errorf("%d rows of %d, plans %q", len(rows), n, plans)
	}
	if _, err := os.ReadFile("../../" + exceptionsFile); err != nil {
		t.Error(err)
	}
}

// TestDependabot: what has versions is looked after by Dependabot, and each lock file of npm by npm audit too, each module's sums by go mod verify.
func TestDependabot(t *testing.T) {
	b, err := os.ReadFile("../../.github/dependabot.yml")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"github-actions\n    directory: /\n"}
	err = filepath.WalkDir("../..", func(file string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() && (d.Name() == "node_modules" || d.Name() == "testdata" || d.Name() == ".git") {
			return filepath.SkipDir
		}
		if err == nil && d.Name() == "package-lock.json" {
			dir := strings.TrimPrefix(filepath.ToSlash(filepath.Dir(file)), "../../")
			want = append(want, "npm\n    directory: /"+dir+"\n")
			if !slices.Contains(npmFolders, dir) {
				t.Errorf("%s is not in npmFolders", dir)
			}
		}
		if err == nil && d.Name() == "go.mod" {
			dir := path.Dir(strings.TrimPrefix(filepath.ToSlash(file), "../../"))
			want = append(want, "gomod\n    directory: "+path.Join("/", dir)+"\n")
			if !slices.Contains(moduleFolders, dir) {
				t.Errorf("%s is not in moduleFolders", dir)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range want {
		if !strings.Contains(string(b), "package-ecosystem: "+entry) {
			t.Errorf(".github/dependabot.yml has no %q", entry)
		}
	}
	if len(want) < 5 {
		t.Errorf("too little was found: %q", want)
	}
}
