package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// allowed licences ask for no more than to be named.
var allowed = []string{"MIT", "BSD-2-Clause", "BSD-3-Clause", "ISC", "Apache-2.0"}

// row is one of the tables in docs/dependencies.md.
type row struct {
	module, version, licence string
	released                 time.Time
}

var (
	moduleRow   = regexp.MustCompile(`(?m)^\| ([a-z0-9.]+\.[a-z]+/\S+) \| (v\S+) \| ([^|]+) \|.*\| (\d{4}-\d{2}-\d{2}) \|$`)
	planChapter = regexp.MustCompile(`(?s)\n## Plans[^\n]*\n(.*?)\n## `)
)

// page reads docs/dependencies.md: its rows, and the text of its plans.
func (a *audit) page() (rows []row, plans string, err error) {
	b, err := os.ReadFile(filepath.Join(a.root, "docs", "dependencies.md"))
	if err != nil {
		return nil, "", err
	}
	for _, m := range moduleRow.FindAllStringSubmatch(string(b), -1) {
		day, err := time.Parse(time.DateOnly, m[4])
		if err != nil {
			return nil, "", fmt.Errorf("docs/dependencies.md: %s: %w", m[1], err)
		}
		rows = append(rows, row{m[1], m[2], strings.TrimSpace(m[3]), day})
	}
	if m := planChapter.FindSubmatch(b); m != nil {
		plans = string(m[1])
	}
	if len(rows) == 0 {
		return nil, "", errors.New("docs/dependencies.md has no row that names module, version, licence and release")
	}
	return rows, plans, nil
}

// sleepsAfter is when a module without a release needs a plan, in months.
const sleepsAfter = 24

// ages: who has had no release for long has a written plan.
func (a *audit) ages() result {
	rows, plans, err := a.page()
	if err != nil {
		return failure(err)
	}
	return judgeAges(rows, plans, a.now)
}

func judgeAges(rows []row, plans string, now time.Time) result {
	r := result{ok, fmt.Sprintf("%d modules", len(rows)), nil}
	for _, m := range rows {
		if m.released.AddDate(0, sleepsAfter, 0).After(now) || strings.Contains(plans, m.module) {
			continue
		}
		r.verdict = failed
		r.lines = append(r.lines, fmt.Sprintf("%s: no release since %s and no plan in docs/dependencies.md; look for a newer one, or write the plan",
			m.module, m.released.Format(time.DateOnly)))
	}
	return r
}

// licences: the text that each module ships is of the licence that the page says, and that is allowed.
func (a *audit) licences() result {
	rows, _, err := a.page()
	if err != nil {
		return failure(err)
	}
	dirs, err := a.directories()
	if err != nil {
		return failure(err)
	}
	r := result{ok, fmt.Sprintf("%d modules", len(rows)), nil}
	for _, m := range rows {
		if why := judgeLicence(m.licence, licenceTexts(dirs[m.module])); why != "" {
			r.verdict = failed
			r.lines = append(r.lines, fmt.Sprintf("%s %s: %s", m.module, m.version, why))
		}
	}
	return r
}

// directories says where each module's source is.
func (a *audit) directories() (map[string]string, error) {
	stdout, stderr, err := a.run(".", "go", "mod", "download", "-json")
	if err != nil {
		return nil, fmt.Errorf("go mod download: %s", strings.Join(texts(stderr), "; "))
	}
	dirs := map[string]string{}
	for d := json.NewDecoder(bytes.NewReader(stdout)); ; {
		var m struct{ Path, Dir string }
		if err := d.Decode(&m); errors.Is(err, io.EOF) {
			return dirs, nil
		} else if err != nil {
			return nil, fmt.Errorf("go mod download: %w", err)
		}
		dirs[m.Path] = m.Dir
	}
}

// licenceTexts reads the files at the top of a module that are called after a licence.
func licenceTexts(dir string) (text string) {
	entries, _ := os.ReadDir(dir) // none there is told as a licence that is not found
	for _, e := range entries {
		name := strings.ToUpper(e.Name())
		if !e.Type().IsRegular() || !strings.HasPrefix(name, "LICEN") && !strings.HasPrefix(name, "COPYING") {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err == nil {
			text += strings.Join(strings.Fields(string(b)), " ") + "\n"
		}
	}
	return text
}

// marks are sentences that only this licence has.
var marks = map[string]string{
	"MIT":          "Permission is hereby granted, free of charge, to any person obtaining a copy",
	"ISC":          "Permission to use, copy, modify, and distribute this software for any purpose with or without fee is hereby granted",
	"Apache-2.0":   "Apache License,? Version 2.0",
	"BSD-3-Clause": "Neither the name|names of its contributors may be used to endorse",
	"BSD-2-Clause": "Redistributions in binary form must reproduce",
}

// judgeLicence compares what the page says ("MIT", "MIT and Apache-2.0") with the text; "" if that is right.
func judgeLicence(said, text string) string {
	if text == "" {
		return "it ships no licence"
	}
	words := regexp.MustCompile(`[A-Z][A-Za-z]+(-[0-9.]+(-Clause)?)?`).FindAllString(said, -1)
	if len(words) == 0 {
		return fmt.Sprintf("docs/dependencies.md says %q, which names no licence", said)
	}
	for _, w := range words {
		if !slices.Contains(allowed, w) {
			return fmt.Sprintf("%s is not one of %s", w, strings.Join(allowed, ", "))
		}
		if !regexp.MustCompile(marks[w]).MatchString(text) {
			return fmt.Sprintf("docs/dependencies.md says %s, its text does not", w)
		}
	}
	for name, mark := range marks {
		subset := name == "BSD-2-Clause" // whose words BSD-3-Clause has too
		if !subset && !slices.Contains(words, name) && regexp.MustCompile(mark).MatchString(text) {
			return fmt.Sprintf("its text is of %s as well, which docs/dependencies.md does not say", name)
		}
	}
	return ""
}
