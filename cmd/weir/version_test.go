package main

import (
	"encoding/json"
	"maps"
	"os"
	"runtime/debug"
	"strings"
	"testing"
)

// built is a report as a release has it.
func built(change func(*debug.BuildInfo)) buildReport {
	info := &debug.BuildInfo{
		Main: debug.Module{Path: "weir", Version: "v1.2.3"},
		Deps: []*debug.Module{
			{Path: "example.com/b", Version: "v2.0.0+incompatible", Sum: "h1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="},
			{Path: "example.com/a", Version: "v1.0.0", Replace: &debug.Module{Path: "example.com/fork", Version: "v1.0.1", Sum: "h1:"}},
		},
		Settings: []debug.BuildSetting{{Key: "-trimpath", Value: "true"}, {Key: "CGO_ENABLED", Value: "0"},
			{Key: "vcs.revision", Value: "0123456789abcdef"}, {Key: "vcs.time", Value: "2026-01-02T03:04:05Z"}, {Key: "vcs.modified", Value: "false"}},
	}
	if change != nil {
		change(info)
	}
	r := reportOf(info)
	r.Digest = "sha256:" + strings.Repeat("ab", 32)
	return r
}

// TestVersionJSON: modules, settings and the digest of the file that runs.
func TestVersionJSON(t *testing.T) {
	status, stdout, stderr := weir("version", "--json")
	var r buildReport
	if err := json.Unmarshal([]byte(stdout), &r); status != 0 || err != nil {
		t.Fatalf("status %d, %v: %s", status, err, stderr)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	digest, err := digestOf(self)
	if err != nil || r.Digest != "sha256:"+digest || len(digest) != 64 {
		t.Errorf("digest %s of %s, %v", r.Digest, digest, err)
	}
	if !strings.HasPrefix(r.Modules["github.com/lesismal/nbio"], "v1.") || !strings.HasPrefix(r.GoVersion, "go1.") {
		t.Errorf("%+v", r)
	}
	again, _, _ := weir("version", "--json")
	if _, second, _ := weir("version", "--json"); second != stdout || again != 0 {
		t.Error("asked twice, it answers differently")
	}
	if r := built(nil); r.Version != "v1.2.3" || r.Commit != "0123456789abcdef" || r.Settings["CGO_ENABLED"] != "0" ||
		r.Modules["example.com/a"] != "example.com/fork v1.0.1" || r.title() != "weir v1.2.3 0123456789ab" {
		t.Errorf("%+v", r)
	}
}

// TestCompare: the same binary, then another.
func TestCompare(t *testing.T) {
	_, own, _ := weir("version", "--json")
	file := writeFile(t, "other.json", own)
	if status, stdout, stderr := weir("version", "--compare", file); status != 0 || !strings.HasPrefix(stdout, "the same: weir ") {
		t.Errorf("itself: status %d, %s%s", status, stdout, stderr)
	}
	var r buildReport
	if err := json.Unmarshal([]byte(own), &r); err != nil {
		t.Fatal(err)
	}
	was := r.Modules["github.com/lesismal/nbio"]
	r.Modules["github.com/lesismal/nbio"], r.Modules["example.com/\x1b[2J"] = "v0.0.1", "v1"
	delete(r.Modules, "golang.org/x/sys")
	other, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	status, stdout, stderr := weir("version", "--compare", writeFile(t, "other.json", string(other)))
	want := []string{`module "example.com/\x1b[2J": not here, there "v1"`, `module "github.com/lesismal/nbio": here "` + was + `", there "v0.0.1"`,
		`module "golang.org/x/sys": here "v`, ""}
	if lines := strings.Split(stdout, "\n"); status != statusFailed || len(lines) != 4 || lines[0] != want[0] || lines[1] != want[1] || !strings.HasPrefix(lines[2], want[2]) {
		t.Errorf("status %d, %s, want %q", status, stdout, want)
	}
	if !strings.Contains(stderr, "is not the one of") {
		t.Errorf("%s", stderr)
	}
}

// TestDrift: each thing in which two builds can differ is named, and nothing else.
func TestDrift(t *testing.T) {
	setting := func(key, value string) func(*debug.BuildInfo) {
		return func(info *debug.BuildInfo) {
			for i := range info.Settings {
				if info.Settings[i].Key == key {
					info.Settings[i].Value = value
					return
				}
			}
			info.Settings = append(info.Settings, debug.BuildSetting{Key: key, Value: value})
		}
	}
	for name, c := range map[string]struct {
		change func(*debug.BuildInfo)
		after  func(*buildReport)
		want   string
	}{
		"nothing":                 {nil, nil, ""},
		"version":                 {func(b *debug.BuildInfo) { b.Main.Version = "v1.2.4" }, nil, `version: here "v1.2.3", there "v1.2.4"`},
		"commit":                  {setting("vcs.revision", "fedc"), nil, `commit: here "0123456789abcdef", there "fedc"`},
		"changes":                 {setting("vcs.modified", "true"), nil, `changes: here "false", there "true"`},
		"setting":                 {setting("CGO_ENABLED", "1"), nil, `setting "CGO_ENABLED": here "0", there "1"`},
		"another setting":         {setting("-tags", "x"), nil, `setting "-tags": not here, there "x"`},
		"no setting that matters": {setting("-asmflags", "x"), nil, ""},
		"replaced":                {func(b *debug.BuildInfo) { b.Deps[1].Replace = nil }, nil, `module "example.com/a": here "example.com/fork v1.0.1", there "v1.0.0"`},
		"gone":                    {func(b *debug.BuildInfo) { b.Deps = b.Deps[:1] }, nil, `module "example.com/a": here "example.com/fork v1.0.1", not there`},
		"go":                      {nil, func(r *buildReport) { r.GoVersion = "go1.1" }, `there "go1.1"`},
		"platform":                {nil, func(r *buildReport) { r.Platform = "plan9/386" }, `there "plan9/386"`},
		"bytes":                   {nil, func(r *buildReport) { r.Digest = "sha256:00" }, `digest: here "sha256:abab`},
	} {
		other := built(c.change)
		if c.after != nil {
			c.after(&other)
		}
		lines := drift(built(nil), other)
		if got := strings.Join(lines, "\n"); c.want == "" && got != "" || !strings.Contains(got, c.want) || len(lines) > 1 {
			t.Errorf("%s: %q, want %q alone", name, got, c.want)
		}
	}
}

func TestVersionMistakes(t *testing.T) {
	for text, word := range map[string]string{"": "unexpected end", "{}": "names no", "[]": "cannot unmarshal", strings.Repeat(" ", maxReportBytes+1): "is over"} {
		wantRefusal(t, nil, []string{"version", "--compare", writeFile(t, "other.json", text)}, "--compare", word, "weir version --json")
	}
	wantRefusal(t, nil, []string{"version", "--compare=/nowhere"}, "--compare", "no such file")
	wantRefusal(t, nil, []string{"version", "--json", "--sbom"}, "say one of them")
	wantRefusal(t, nil, []string{"version", "--json", "--compare=x"}, "say one of them")
}

// TestSBOM: every module of the binary is in its bill, with its sum, and so are
// Go's library and what the demo page carries.
func TestSBOM(t *testing.T) {
	status, stdout, stderr := weir("version", "--sbom")
	var bill sbom
	if err := json.Unmarshal([]byte(stdout), &bill); status != 0 || err != nil {
		t.Fatalf("status %d, %v: %s", status, err, stderr)
	}
	if _, again, _ := weir("version", "--sbom"); again != stdout {
		t.Error("asked twice, it answers differently")
	}
	r, err := readBinary()
	if err != nil {
		t.Fatal(err)
	}
	modules := maps.Clone(r.Modules)
	refs := map[string]bool{bill.Metadata.Component.Ref: true}
	for _, c := range bill.Components {
		if refs[c.Ref] || c.Ref != c.PURL || c.Type != "library" {
			t.Errorf("%+v", c)
		}
		refs[c.Ref] = true
		if modules[c.Name] == c.Version && len(c.Hashes) == 1 && len(c.Hashes[0].Content) == 64 {
			delete(modules, c.Name)
		}
	}
	if len(modules) != 0 {
		t.Errorf("not in the bill with their sums: %v", modules)
	}
	for _, ref := range []string{"pkg:golang/std@" + strings.TrimPrefix(r.GoVersion, "go"), "pkg:npm/centrifuge@5.8.0"} {
		if !refs[ref] {
			t.Errorf("%s is not in the bill", ref)
		}
	}
	if bill.Format != "CycloneDX" || bill.Spec != "1.6" || "sha256:"+bill.Metadata.Component.Hashes[0].Content != r.Digest {
		t.Errorf("%+v", bill)
	}

	bill = sbomOf(built(nil))
	got := bill.Components[1]
	if got.PURL != "pkg:golang/example.com/b@v2.0.0%2Bincompatible" || got.Hashes[0].Content != "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f" {
		t.Errorf("%+v", got)
	}
	for _, sum := range []string{"", "h1:", "h1:***", "go:AAAA"} {
		if h := hexOfSum(sum); h != "" {
			t.Errorf("%q: %q", sum, h)
		}
	}
}
