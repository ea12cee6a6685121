package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// exceptionsFile holds the findings that are known and wait for their mend.
const exceptionsFile = ".ci/audit-exceptions"

// longestException is how far ahead an exception may end.
const longestException = 90 * 24 * time.Hour

// exception is one line of the file: the finding's id, the day on which it ends, the reason.
type exception struct {
	id     string
	until  time.Time // the first moment at which it counts no more
	reason string
}

var exceptionLine = regexp.MustCompile(`^(\S+) until (\d{4}-\d{2}-\d{2}): (.+)$`)

// parseExceptions reads the file; an entry that is over, or ends too far ahead, is an error.
func parseExceptions(text string, now time.Time) (all []exception, problems []string) {
	for n, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		at := fmt.Sprintf("%s:%d: ", exceptionsFile, n+1)
		m := exceptionLine.FindStringSubmatch(line)
		if m == nil {
			problems = append(problems, at+"write it as: GO-2026-0001 until 2026-12-31: why it may wait")
			continue
		}
		day, err := time.Parse(time.DateOnly, m[2])
		if err != nil {
			problems = append(problems, at+m[2]+" is no day")
			continue
		}
		e := exception{m[1], day.AddDate(0, 0, 1), m[3]}
		switch {
		case !now.Before(e.until):
			problems = append(problems, fmt.Sprintf("%s%s was excepted until %s; mend it, or say anew why it may wait", at, e.id, m[2]))
		case e.until.Sub(now) > longestException+24*time.Hour:
			problems = append(problems, fmt.Sprintf("%s%s ends over %d days ahead; a shorter time", at, e.id, longestException/(24*time.Hour)))
		default:
			all = append(all, e)
		}
	}
	return all, problems
}

func (a *audit) readExceptions() result {
	text, err := os.ReadFile(filepath.Join(a.root, exceptionsFile))
	if err != nil {
		return failure(err)
	}
	all, problems := parseExceptions(string(text), a.now)
	a.exceptions = all
	if len(problems) > 0 {
		return result{failed, "entries that do not count", problems}
	}
	return result{ok, fmt.Sprintf("%d", len(all)), nil}
}

// excepted returns why a finding may wait, "" if it may not.
func (a *audit) excepted(id string) string {
	for _, e := range a.exceptions {
		if e.id == id {
			return fmt.Sprintf("excepted until %s: %s", e.until.AddDate(0, 0, -1).Format(time.DateOnly), e.reason)
		}
	}
	return ""
}
