package stats

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A number that nobody counts is a false zero on the metrics page, and often the twin of a source that somebody registered.
func TestEveryNumberIsCounted(t *testing.T) {
	used := usesByTheEngine(t)
	for name, kind := range declared(t) {
		if !used[name] {
			t.Errorf("stats.%s (%s) is counted nowhere in the engine; take it out", name, kind)
		}
	}
}

// declared returns the constants of names.go, with their types.
func declared(t *testing.T) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "names.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]string{}
	for _, decl := range file.Decls {
		d, ok := decl.(*ast.GenDecl)
		if !ok || d.Tok != token.CONST {
			continue
		}
		kind := ""
		for _, spec := range d.Specs {
			v := spec.(*ast.ValueSpec)
			if typ, ok := v.Type.(*ast.Ident); ok {
				kind = typ.Name
			}
			for _, n := range v.Names {
				if n.IsExported() {
					names[n.Name] = kind
				}
			}
		}
	}
	if len(names) < 20 {
		t.Fatalf("found %d constants in names.go", len(names))
	}
	return names
}

// usesByTheEngine returns the names X of every call of a method with stats.X among its arguments, and of the calls of
// Shard.Close and Upgrade, which count a family by themselves. Lists of labels are no use.
func usesByTheEngine(t *testing.T) map[string]bool {
	t.Helper()
	used := map[string]bool{}
	for _, dir := range []string{"..", filepath.Join("..", "api")} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, e.Name()), nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if call, ok := n.(*ast.CallExpr); ok {
					noteUses(used, call)
				}
				return true
			})
		}
	}
	return used
}

func noteUses(used map[string]bool, call *ast.CallExpr) {
	method, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return
	}
	switch method.Sel.Name {
	case "Add", "Inc", "Move", "Set", "Label", "LabelN", "Code":
		for _, arg := range call.Args {
			if x, ok := arg.(*ast.SelectorExpr); ok {
				used[x.Sel.Name] = true
			}
		}
	case "Close":
		used["Closes"] = used["Closes"] || len(call.Args) == 1
	case "Upgrade":
		used["Upgrades"] = true
	}
}
