package engine_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The house rules: what the layout promises about every source file, as a
// test, so that no reader has to check it. TestHouseRulesBite shows each rule
// a file that breaks it.

const (
	module           = "weir/"
	maxFileLines     = 700
	maxFunctionLines = 70
	maxLongShare     = 0.02 // of functions outside tests
)

// mayImport lists which packages of ours each package may import, besides its
// own tree where the entry ends in "/...". A package that is not named here may
// import nothing of ours. Tests are held to the same list, and may also import
// the packages of testsMayImport.
var mayImport = map[string][]string{
	"cmd":                      {"cmd/...", "engine/...", "security/...", "loadtest/..."},
	"deploy":                   {"security/certs"},
	"bench":                    {"bench/...", "engine/...", "security/...", "loadtest/..."},
	"loadtest":                 {"loadtest/...", "engine/poll", "engine/ws", "engine/tlsconn/...", "engine/clientproto"},
	"engine":                   {"engine/...", "security/..."},
	"engine/api":               {"engine/broker", "engine/clientproto", "engine/stats", "security/..."},
	"engine/backend":           {"engine/clientproto", "security/..."},
	"engine/broker":            {},
	"engine/broker/brokertest": {"engine/broker"},
	"engine/broker/memory":     {"engine/broker"},
	"engine/clientproto":       {"security/schema"},
	"engine/delta":             {},
	"engine/hub":               {"engine/broker", "engine/clientproto", "engine/delta", "engine/outbox", "engine/pointer", "engine/ws", "security/grant"},
	"engine/outbox":            {},
	"engine/pointer":           {},
	"engine/poll":              {},
	"engine/realclient":        {"engine/...", "security/..."},
	"engine/session":           {"engine/broker", "engine/clientproto", "engine/hub", "security/..."},
	"engine/stats":             {},
	"engine/tlsconn":           {"engine/tlsconn/record"},
	"engine/tlsconn/record":    {},
	"engine/upgrade":           {},
	"engine/wheel":             {},
	"engine/work":              {},
	"engine/ws":                {},
	"security":                 {"security/..."},
}

var testsMayImport = []string{"engine/broker/brokertest", "engine/broker/memory", "security/oplog/logtest", "security/schema", "security/token", "security/grant"}

// libraries lists who may import a library outside tests.
var libraries = map[string][]string{
	"github.com/HdrHistogram/hdrhistogram-go": {"loadtest/tally"},
	"github.com/alecthomas/kong":              {"cmd/weir", "cmd/weir-load"},
	"github.com/cespare/xxhash/v2":            {"security/limit", "security/schema"},
	"github.com/coder/websocket":              {"cmd/weir"},
	"github.com/go-jose/go-jose/v4":           {"security/token"},
	"github.com/klauspost/compress":           {"engine/ws"},
	"github.com/lesismal/nbio":                {"engine/poll"},
	"github.com/pires/go-proxyproto":          {"security/proxy"},
	"github.com/prometheus/client_golang":     {"engine", "engine/api", "engine/stats"},
	"github.com/valyala/fastjson":             {"engine/clientproto"},
	"go.yaml.in/yaml/v3":                      {"cmd/weir"},
	"golang.org/x/crypto":                     {"engine/tlsconn/record", "security/certs"},
	"golang.org/x/sys":                        {"engine/poll", "bench/..."},
}

// testLibraries may be imported by any test.
var testLibraries = []string{
	"github.com/gorilla/websocket", "github.com/coder/websocket", "go.uber.org/goleak", "github.com/valyala/fastjson",
	"github.com/prometheus/client_golang", "github.com/prometheus/client_model", "github.com/klauspost/compress",
	"golang.org/x/crypto", "golang.org/x/sys", "github.com/go-jose/go-jose/v4",
	"github.com/santhosh-tekuri/jsonschema/v6", "github.com/tidwall/gjson",
}

// closed are packages of the standard library that only some may import outside tests.
var closed = map[string][]string{
	"syscall":        {"engine/poll", "cmd/..."},
	"net/http":       {"engine", "engine/api", "engine/backend", "security/jwks", "cmd/...", "bench/...", "loadtest/..."},
	"os/exec":        {"bench/...", "loadtest/...", "deploy/..."},
	"math/rand":      {},
	"log":            {},
	"expvar":         {},
	"net/http/pprof": {},
}

// goFile is a source file as the rules see it.
type goFile struct {
	path   string // relative to the repository, with slashes
	source []byte
	fset   *token.FileSet
	file   *ast.File
}

func parseGo(name string, source []byte) (*goFile, error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, source, parser.ParseComments)
	return &goFile{path: name, source: source, fset: fset, file: file}, err
}

func (f *goFile) dir() string          { return path.Dir(f.path) }
func (f *goFile) test() bool           { return strings.HasSuffix(f.path, "_test.go") }
func (f *goFile) line(p token.Pos) int { return f.fset.Position(p).Line }

// at writes a complaint with its place.
func (f *goFile) at(p token.Pos, format string, args ...any) string {
	return fmt.Sprintf("%s:%d: ", f.path, f.line(p)) + fmt.Sprintf(format, args...)
}

// rule returns its complaints about a file.
type rule func(f *goFile) []string

var rules = map[string]rule{
	"imports":       importRule,
	"names":         nameRule,
	"package state": stateRule,
	"calls":         callRule,
	"comments":      commentRule,
	"file length":   lengthRule,
}

func importRule(f *goFile) (complaints []string) {
	for _, spec := range f.file.Imports {
		if why := forbiddenImport(f, strings.Trim(spec.Path.Value, `"`)); why != "" {
			complaints = append(complaints, f.at(spec.Pos(), "%s", why))
		}
	}
	return complaints
}

// forbiddenImport says why the file may not import the package; "" if it may.
func forbiddenImport(f *goFile, name string) string {
	if own, ok := strings.CutPrefix(name, module); ok {
		if own == f.dir() || covers(mayImport[owner(f.dir())], own) || f.test() && covers(testsMayImport, own) {
			return ""
		}
		return fmt.Sprintf("%s may not import %s", f.dir(), own)
	}
	if users, ok := closed[name]; ok && !f.test() {
		if !covers(users, f.dir()) {
			return fmt.Sprintf("%s may not import %s", f.dir(), name)
		}
		return ""
	}
	if !strings.Contains(strings.Split(name, "/")[0], ".") {
		return ""
	}
	if f.test() && inAny(testLibraries, name) {
		return ""
	}
	for library, users := range libraries {
		if !inAny([]string{library}, name) {
			continue
		}
		if covers(users, f.dir()) {
			return ""
		}
		return fmt.Sprintf("%s may not import %s", f.dir(), name)
	}
	return fmt.Sprintf("%s is a new dependency: give its reason in docs/dependencies.md and its users in this test", name)
}

// owner returns the entry of mayImport that a directory falls under: its own,
// or the nearest above it for the trees that have one.
func owner(dir string) string {
	if _, ok := mayImport[dir]; ok {
		return dir
	}
	top, _, _ := strings.Cut(dir, "/")
	if top == "engine" {
		return dir // parts of engine are named one by one
	}
	return top
}

// covers tells whether a pattern of the list is the package or ends in /... above it.
func covers(patterns []string, pkg string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		tree, isTree := strings.CutSuffix(p, "/...")
		return p == pkg || isTree && (pkg == tree || strings.HasPrefix(pkg, tree+"/"))
	})
}

// inAny tells whether name is one of the prefixes or below one.
func inAny(prefixes []string, name string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return name == p || strings.HasPrefix(name, p+"/") })
}

var (
	bannedName    = regexp.MustCompile(`^Get[A-Z]|Manager|Helper|Service$|Impl$|^[Uu]til|Utils?$`)
	bannedPackage = regexp.MustCompile(`^(util|utils|common|types|helpers?|misc|base|shared|lib)$`)
)

func nameRule(f *goFile) (complaints []string) {
	if bannedPackage.MatchString(strings.TrimSuffix(f.file.Name.Name, "_test")) {
		complaints = append(complaints, f.at(f.file.Name.Pos(), "a package named %s says nothing", f.file.Name.Name))
	}
	if f.test() {
		return complaints
	}
	ast.Inspect(f.file, func(n ast.Node) bool {
		var name *ast.Ident
		switch n := n.(type) {
		case *ast.FuncDecl:
			name = n.Name
		case *ast.TypeSpec:
			name = n.Name
		}
		if name != nil && bannedName.MatchString(name.Name) && !standardMethod(name.Name) {
			complaints = append(complaints, f.at(name.Pos(), "the name %s is banned: a domain noun or verb instead", name.Name))
		}
		return true
	})
	return complaints
}

// standardMethod excuses names that an interface of the standard library asks for.
func standardMethod(name string) bool {
	return name == "GetCertificate" || name == "GetConfigForClient"
}

// stateRule: nothing at package level that changes, no init.
func stateRule(f *goFile) (complaints []string) {
	if f.test() {
		return nil
	}
	for _, decl := range f.file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil && d.Name.Name == "init" {
				complaints = append(complaints, f.at(d.Pos(), "init: wire it where it is used"))
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				v, ok := spec.(*ast.ValueSpec)
				if ok && d.Tok == token.VAR && !strings.Contains(commentText(d.Doc), "//go:embed") && mutable(v) && !excused[f.dir()+"."+v.Names[0].Name] {
					complaints = append(complaints, f.at(v.Pos(), "%s is package-level state", v.Names[0].Name))
				}
			}
		}
	}
	return complaints
}

// commentText returns a comment with its directives, which Text leaves out.
func commentText(g *ast.CommentGroup) string {
	var all strings.Builder
	if g != nil {
		for _, c := range g.List {
			all.WriteString(c.Text)
		}
	}
	return all.String()
}

// excused is package-level state with a reason.
var excused = map[string]bool{
	"engine/poll.silenceNbio": true, // nbio's logger is global and can be replaced only once
}

// mutable tells whether a variable is made to be changed: made, new, a lock, an
// atomic, or declared without a value.
func mutable(v *ast.ValueSpec) bool {
	if len(v.Values) == 0 {
		return v.Names[0].Name != "_"
	}
	for _, value := range v.Values {
		switch e := value.(type) {
		case *ast.CallExpr:
			if name, ok := e.Fun.(*ast.Ident); ok && (name.Name == "make" || name.Name == "new") {
				return true
			}
		case *ast.CompositeLit:
			if fromPackage(e.Type, "sync") || fromPackage(e.Type, "atomic") {
				return true
			}
		}
	}
	return fromPackage(v.Type, "sync") || fromPackage(v.Type, "atomic")
}

func fromPackage(e ast.Expr, pkg string) bool {
	s, ok := e.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	x, ok := s.X.(*ast.Ident)
	return ok && x.Name == pkg
}

// callRule: no sleeping, no unverified certificates outside tests.
func callRule(f *goFile) (complaints []string) {
	ast.Inspect(f.file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			if fromPackage(n, "time") && n.Sel.Name == "Sleep" {
				complaints = append(complaints, f.at(n.Pos(), "time.Sleep: time is an argument"))
			}
		case *ast.Ident:
			if n.Name == "InsecureSkipVerify" && !f.test() {
				complaints = append(complaints, f.at(n.Pos(), "certificate checks stay on"))
			}
		}
		return true
	})
	return complaints
}

var leftOver = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`)

func commentRule(f *goFile) (complaints []string) {
	for _, group := range f.file.Comments {
		for _, c := range group.List {
			if leftOver.MatchString(c.Text) {
				complaints = append(complaints, f.at(c.Pos(), "left over: %s", c.Text))
			}
		}
	}
	return complaints
}

func lengthRule(f *goFile) []string {
	if lines := bytes.Count(f.source, []byte{'\n'}); lines > maxFileLines {
		return []string{fmt.Sprintf("%s: %d lines, at most %d", f.path, lines, maxFileLines)}
	}
	return nil
}

// longFunctions lists the functions over maxFunctionLines and counts all.
func longFunctions(f *goFile) (long []string, all int) {
	for _, decl := range f.file.Decls {
		d, ok := decl.(*ast.FuncDecl)
		if !ok {
			continue
		}
		all++
		if lines := f.line(d.End()) - f.line(d.Pos()) + 1; lines > maxFunctionLines {
			long = append(long, f.at(d.Pos(), "%s has %d lines", d.Name.Name, lines))
		}
	}
	return long, all
}

const root = ".."

// goFiles parses every source file of the repository.
func goFiles(t *testing.T) []*goFile {
	t.Helper()
	var files []*goFile
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		if d.IsDir() {
			base := d.Name()
			if rel != "." && (base == "node_modules" || base == "testdata" || strings.HasPrefix(base, ".") || rel == filepath.Join("bench", "peers")) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		source, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		f, err := parseGo(filepath.ToSlash(rel), source)
		files = append(files, f)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestHouseRules(t *testing.T) {
	documented := map[string]bool{}
	var long []string
	functions := 0
	for _, f := range goFiles(t) {
		for name, check := range rules {
			for _, complaint := range check(f) {
				t.Errorf("%s: %s", name, complaint)
			}
		}
		if f.test() {
			continue
		}
		documented[f.dir()] = documented[f.dir()] || f.file.Doc.Text() != ""
		l, n := longFunctions(f)
		long, functions = append(long, l...), functions+n
	}
	for dir, ok := range documented {
		if !ok {
			t.Errorf("package comment: %s has none", dir)
		}
	}
	if float64(len(long)) > maxLongShare*float64(functions) {
		t.Errorf("function length: %d of %d functions have over %d lines:\n%s", len(long), functions, maxFunctionLines, strings.Join(long, "\n"))
	}
}

// TestHouseRulesBite shows each rule a file that breaks it, and one that does not.
func TestHouseRulesBite(t *testing.T) {
	for _, c := range []struct {
		rule, path, source string
		complaints         int
	}{
		{"imports", "engine/ws/a.go", `package ws; import "weir/engine/session"`, 1},
		{"imports", "engine/ws/a_test.go", `package ws; import "weir/engine/session"`, 1},
		{"imports", "engine/ws/a.go", `package ws; import "github.com/klauspost/compress/flate"`, 0},
		{"imports", "engine/upgrade/a.go", `package upgrade; import "github.com/klauspost/compress/flate"`, 1},
		{"imports", "security/token/a.go", `package token; import "weir/engine/clientproto"`, 1},
		{"imports", "security/token/a.go", `package token; import "weir/security/grant"`, 0},
		{"imports", "engine/newpart/a.go", `package newpart; import "weir/security/grant"`, 1},
		{"imports", "engine/session/a.go", `package session; import "github.com/lesismal/nbio"`, 1},
		{"imports", "engine/session/a_test.go", `package session; import "github.com/lesismal/nbio"`, 1},
		{"imports", "engine/a.go", `package engine; import "syscall"`, 1},
		{"imports", "engine/poll/a.go", `package poll; import ("syscall"; "github.com/lesismal/nbio/logging"; "golang.org/x/sys/unix")`, 0},
		{"imports", "engine/session/a.go", `package session; import "net/http"`, 1},
		{"imports", "security/limit/a.go", `package limit; import "example.com/new"`, 1},
		{"imports", "security/limit/a.go", `package limit; import "github.com/gorilla/websocket"`, 1},
		{"imports", "engine/a_test.go", `package engine; import "github.com/gorilla/websocket"`, 0},
		{"imports", "cmd/weir/a.go", `package main; import ("weir/engine"; "weir/cmd/weir/demo"; "github.com/alecthomas/kong")`, 0},
		{"imports", "cmd/weir/demo/a.go", `package demo; import "github.com/alecthomas/kong"`, 1},
		{"imports", "engine/api/a.go", `package api; import "math/rand"`, 1},
		{"names", "engine/a.go", `package engine; func GetThing() {}`, 1},
		{"names", "engine/a.go", `package engine; type connManager struct{}`, 1},
		{"names", "engine/util/a.go", `package util`, 1},
		{"names", "engine/a.go", `package engine; func Get() {}`, 0},
		{"package state", "engine/a.go", `package engine; var cache = make(map[string]int)`, 1},
		{"package state", "engine/a.go", `package engine; import "sync"; var mu sync.Mutex`, 1},
		{"package state", "engine/a.go", `package engine; var count int`, 1},
		{"package state", "engine/a.go", `package engine; func init() {}`, 1},
		{"package state", "engine/a.go", `package engine; import "errors"; var ErrGone = errors.New("gone"); var table = [2]int{1, 2}; var _ int`, 0},
		{"package state", "cmd/weir/demo/a.go", "package demo\n//go:embed page.html\nvar page []byte\n", 0},
		{"calls", "engine/a_test.go", `package engine; import "time"; func f() { time.Sleep(1) }`, 1},
		{"calls", "engine/a.go", `package engine; import "crypto/tls"; var c = tls.Config{InsecureSkipVerify: true}`, 1},
		{"comments", "engine/a.go", "package engine\n// TO" + "DO: later\n", 1},
		{"file length", "engine/a.go", "package engine\n" + strings.Repeat("\n", maxFileLines), 1},
		{"file length", "engine/a.go", "package engine\n", 0},
	} {
		f, err := parseGo(c.path, []byte(c.source))
		if err != nil {
			t.Fatalf("%s: %v", c.source, err)
		}
		if got := rules[c.rule](f); len(got) != c.complaints {
			t.Errorf("%s on %s %q: complaints %q, want %d", c.rule, c.path, c.source, got, c.complaints)
		}
	}
	f, err := parseGo("engine/a.go", []byte("package engine\nfunc long() {\n"+strings.Repeat("\n", maxFunctionLines)+"}\nfunc short() {}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if long, all := longFunctions(f); len(long) != 1 || all != 2 {
		t.Errorf("function length: %q of %d", long, all)
	}
}

// TestTopLevel keeps the top of the repository as the design names it.
func TestTopLevel(t *testing.T) {
	allowed := []string{
		"cmd", "engine", "security", "bench", "loadtest", "docs", "deploy", "clients", "go.mod", "go.sum", "Makefile", "README.md",
		"BENCHMARKS.md", "SECURITY.md", "CHANGELOG.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "LICENSE",
		"bin", // built, not tracked
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") && !slices.Contains(allowed, e.Name()) {
			t.Errorf("%s does not belong at the top level", e.Name())
		}
	}
}

// TestDependenciesAreDocumented holds docs/dependencies.md to go.mod: a row with
// the exact version for each module.
func TestDependenciesAreDocumented(t *testing.T) {
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(root, "docs", "dependencies.md"))
	if err != nil {
		t.Fatal(err)
	}
	required := regexp.MustCompile(`(?m)^(?:require )?\t?([a-z0-9.]+\.[a-z]+/\S+) (v\S+)`).FindAllStringSubmatch(string(mod), -1)
	if len(required) == 0 {
		t.Fatal("go.mod requires nothing; is it read wrongly?")
	}
	known := map[string]bool{}
	for _, m := range required {
		known[m[1]] = true
		if !strings.Contains(string(page), fmt.Sprintf("| %s | %s |", m[1], m[2])) {
			t.Errorf("docs/dependencies.md has no row for %s %s", m[1], m[2])
		}
	}
	for _, row := range regexp.MustCompile(`(?m)^\| ([a-z0-9.]+\.[a-z]+/\S+) \|`).FindAllStringSubmatch(string(page), -1) {
		if !known[row[1]] {
			t.Errorf("docs/dependencies.md has a row for %s, which go.mod does not require", row[1])
		}
	}
}

// TestArchitectureNamesEveryFolder holds ARCHITECTURE.md to the tree: where a newcomer looks for a folder it stands.
func TestArchitectureNamesEveryFolder(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, top := range []string{"cmd", "engine", "security", "loadtest", "bench", "deploy", "clients"} {
		entries, err := os.ReadDir(filepath.Join(root, top))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.IsDir() && e.Name() != "testdata" && !regexp.MustCompile(`\b`+regexp.QuoteMeta(e.Name())+"/").Match(page) {
				t.Errorf("ARCHITECTURE.md does not name %s/%s", top, e.Name())
			}
		}
	}
}
