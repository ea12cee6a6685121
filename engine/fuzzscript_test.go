package engine_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// .ci/fuzz forgives a target that ends with the deadline's error alone, and nothing else. The go command is played by a
// script that prints what the real one prints.
func TestFuzzScriptFailsOnFindingsOnly(t *testing.T) {
	script, err := filepath.Abs("../.ci/fuzz")
	if err != nil {
		t.Fatal(err)
	}
	const (
		progress = "fuzz: elapsed: 30s, execs: 71487 (0/sec), new interesting: 2 (total: 199)\n"
		failed   = progress + "--- FAIL: FuzzIt (30.02s)\n"
		deadline = "    context deadline exceeded\n"
		end      = "FAIL\nexit status 1\nFAIL\tweir/part\t30.025s\n"
		finding  = "    --- FAIL: FuzzIt (0.00s)\n        it_test.go:9: wrong\n    \n    Failing input written to testdata/fuzz/FuzzIt/771e938e4458e983\n"
	)
	for _, c := range []struct {
		name, output, writes string
		status               string
		want                 bool
	}{
		{"nothing found", progress + "PASS\nok  \tweir/part\t20.045s\n", "", "0", true},
		{"the time is over", failed + deadline + end, "", "1", true},
		{"the time is over while a finding is minimised", failed + deadline + end, "fresh", "1", false},
		{"it says that it minimises one", failed + "fuzz: minimizing 38-byte failing input file\n" + deadline + end, "", "1", false},
		{"a finding", failed + finding + end, "fresh", "1", false},
		{"a finding that says the same", failed + finding + deadline + end, "", "1", false},
		{"a seed that fails", progress + "failure while testing seed corpus entry: FuzzIt/seed#0\n" + failed + deadline + end, "", "1", false},
		{"another target's deadline", strings.Replace(failed, "FuzzIt", "FuzzOther", 1) + deadline + end, "", "1", false},
		{"a worker that hung", failed + "    fuzzing process hung or terminated unexpectedly: exit status 2\n" + end, "", "1", false},
		{"does not compile", "FAIL\tweir/part [build failed]\nFAIL\n", "", "1", false},
		{"nothing but a failure", "", "", "1", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			write := func(name, text string) {
				t.Helper()
				path := filepath.Join(dir, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			write("part/it_test.go", "package part\n\nfunc FuzzIt(f *testing.F) {}\n")
			write("part/testdata/fuzz/FuzzIt/old", "seed")
			write("output", c.output)
			play := "#!/bin/sh\ncat output\n"
			if c.writes != "" {
				play += "echo input >part/testdata/fuzz/FuzzIt/" + c.writes + "\n"
			}
			write("bin/go", play+"exit "+c.status+"\n")
			if out, err := exec.Command("git", "init", "-q", dir).CombinedOutput(); err != nil {
				t.Fatalf("git init: %v, %s", err, out)
			}
			cmd := exec.Command(script, "30s")
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), "PATH="+filepath.Join(dir, "bin")+":"+os.Getenv("PATH"))
			out, err := cmd.CombinedOutput()
			if (err == nil) != c.want {
				t.Errorf("%v\n%s", err, out)
			}
			if !strings.Contains(string(out), c.output) {
				t.Errorf("the output is kept back: %s", out)
			}
		})
	}
}
