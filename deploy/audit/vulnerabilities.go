package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// scannerModule is Go's own scanner, at the version that was tried.
const scannerModule = "golang.org/x/vuln/cmd/govulncheck@v1.9.0"

// finding is what the scanner found about one vulnerability.
type finding struct {
	id, summary string
	module      string
	fixed       string // the version that mends it, "" if there is none
	reached     string // the function of ours from which it is reached, "" if it is not
}

// message is one of the scanner's output: https://pkg.go.dev/golang.org/x/vuln/internal/govulncheck.
type message struct {
	OSV *struct {
		ID      string `json:"id"`
		Summary string `json:"summary"`
	} `json:"osv"`
	Finding *struct {
		OSV   string `json:"osv"`
		Fixed string `json:"fixed_version"`
		Trace []struct {
			Module   string `json:"module"`
			Package  string `json:"package"`
			Function string `json:"function"`
		} `json:"trace"`
	} `json:"finding"`
}

// parseScan reads the scanner's output: one finding for each vulnerability, reached if any of its traces is.
func parseScan(out []byte) ([]finding, error) {
	found, summaries := map[string]finding{}, map[string]string{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var m message
		err := d.Decode(&m)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("the scanner's output: %w", err)
		}
		if m.OSV != nil {
			summaries[m.OSV.ID] = m.OSV.Summary
		}
		if m.Finding == nil || len(m.Finding.Trace) == 0 {
			continue
		}
		f := found[m.Finding.OSV]
		f.id, f.fixed, f.module = m.Finding.OSV, m.Finding.Fixed, m.Finding.Trace[0].Module
		if last := m.Finding.Trace[len(m.Finding.Trace)-1]; m.Finding.Trace[0].Function != "" && f.reached == "" {
			f.reached = last.Package + "." + last.Function
		}
		found[f.id] = f
	}
	var all []finding
	for _, id := range slices.Sorted(maps.Keys(found)) {
		f := found[id]
		f.summary = summaries[id]
		all = append(all, f)
	}
	return all, nil
}

// unreachable are the words of a network that does not lead to the database.
var unreachable = regexp.MustCompile(`no such host|connection refused|network is unreachable|i/o timeout|proxyconnect|TLS handshake timeout|403 Forbidden|module lookup disabled`)

// scan runs the scanner in a folder, with a database of its own if db is not empty.
func (a *audit) scan(dir, db string) ([]finding, error) {
	args := []string{"run", scannerModule, "-format", "json"}
	if dir != "." {
		args = append(args, "-C", dir)
	}
	if db != "" {
		args = append(args, "-db", db)
	}
	stdout, stderr, err := a.run(".", "go", append(args, "./...")...)
	switch {
	case err != nil && unreachable.Match(stderr):
		return nil, errUnreachable
	case err != nil:
		return nil, fmt.Errorf("%w: %s", err, strings.Join(texts(stderr), "; "))
	}
	return parseScan(stdout)
}

// vulnerabilities: those that our code reaches fail unless they are excepted; the others are told.
func (a *audit) vulnerabilities() result {
	found, err := a.scan(".", a.database)
	if errors.Is(err, errUnreachable) {
		return result{notRun, "the database of Go's vulnerabilities cannot be reached; name a copy of it by GOVULNDB=file://...", nil}
	}
	if err != nil {
		return failure(err)
	}
	return a.judge(found)
}

func (a *audit) judge(found []finding) result {
	r := result{ok, fmt.Sprintf("%d found", len(found)), nil}
	for _, f := range found {
		line := fmt.Sprintf("%s %s (%s)", f.id, f.module, f.summary)
		if f.fixed != "" {
			line += ", mended in " + f.fixed
		}
		why := a.excepted(f.id)
		switch {
		case f.reached == "":
			line += "; our code does not reach it"
		case why != "":
			line += "; reached from " + f.reached + "; " + why
		default:
			line += "; reached from " + f.reached
			r.verdict = failed
		}
		r.lines = append(r.lines, line)
	}
	return r
}

// scanner checks the check: a program that reaches an invented vulnerability of a database that is here. It says that a
// scan without findings means something, and needs no network but to fetch the scanner once.
func (a *audit) scanner() result {
	const at = "deploy/audit/testdata/"
	found, err := a.scan(at+"vulnerable", "file://"+a.absolute(at+"vulndb"))
	if errors.Is(err, errUnreachable) {
		return result{notRun, "the scanner cannot be fetched", nil}
	}
	if err != nil {
		return failure(err)
	}
	if len(found) != 1 || found[0].id != "GO-0000-0001" || found[0].reached != "example.com/vulnerable.main" {
		return result{failed, fmt.Sprintf("an invented vulnerability was not found where it is: %+v", found), nil}
	}
	return result{ok, "it finds the invented vulnerability of " + at + "vulnerable", nil}
}
