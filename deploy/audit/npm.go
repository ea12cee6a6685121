package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
)

// npmFolders have the packages of the tests' clients and of the servers that Weir is compared with. Nothing of them is in the
// binary but what docs/dependencies.md says.
var npmFolders = []string{"engine/realclient", "bench/peers/node"}

// npmAudit is what npm audit --json answers.
type npmAudit struct {
	StatusCode      int    `json:"statusCode"`
	Message         string `json:"message"`
	Vulnerabilities map[string]struct {
		Severity string `json:"severity"`
		Via      []any  `json:"via"` // an advisory, or the name of a package that has one
	} `json:"vulnerabilities"`
	Metadata *struct {
		Dependencies struct {
			Total int `json:"total"`
		} `json:"dependencies"`
	} `json:"metadata"`
}

func (a *audit) npm() result {
	r, summaries := result{verdict: ok}, []string(nil)
	for _, dir := range npmFolders {
		stdout, stderr, err := a.run(dir, "npm", "audit", "--json", "--package-lock-only")
		if errors.Is(err, exec.ErrNotFound) {
			return result{notRun, "there is no npm", nil}
		}
		one := a.judgeNPM(stdout, stderr)
		r.verdict, r.lines = max(r.verdict, one.verdict), append(r.lines, one.lines...)
		summaries = append(summaries, dir+": "+one.summary)
	}
	r.summary = strings.Join(summaries, "; ")
	return r
}

// judgeNPM reads one answer. npm exits with 1 for findings and for failures alike, so the answer decides.
func (a *audit) judgeNPM(stdout, stderr []byte) result {
	var answer npmAudit
	if err := json.Unmarshal(stdout, &answer); err != nil {
		return result{failed, "npm audit: " + err.Error(), texts(stderr)}
	}
	if answer.Metadata == nil {
		if answer.StatusCode != 0 || unreachable.MatchString(answer.Message) || unreachable.Match(stderr) {
			return result{notRun, fmt.Sprintf("the registry does not answer for advisories (%s)", answer.Message), nil}
		}
		return result{failed, "npm audit: " + answer.Message, texts(stderr)}
	}
	r := result{ok, fmt.Sprintf("%d packages", answer.Metadata.Dependencies.Total), nil}
	for _, name := range slices.Sorted(maps.Keys(answer.Vulnerabilities)) {
		v := answer.Vulnerabilities[name]
		line, why := fmt.Sprintf("npm:%s %s", name, v.Severity), a.excepted("npm:"+name)
		if why != "" {
			line += "; " + why
		} else {
			r.verdict = failed
		}
		r.lines = append(r.lines, line)
	}
	return r
}
