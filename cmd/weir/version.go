package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

func printVersion(p *process, c *versionCommand) error {
	if c.JSON && c.SBOM || c.Compare != "" && (c.JSON || c.SBOM) {
		return mistake("--json, --sbom and --compare: say one of them")
	}
	var other buildReport
	if c.Compare != "" {
		var err error
		if other, err = readReport(string(c.Compare)); err != nil {
			return mistake("--compare: %w; write it with weir version --json in the other place", err)
		}
	}
	r, err := readBinary()
	if err != nil {
		return err
	}
	switch {
	case c.JSON:
		return printJSON(p, r)
	case c.SBOM:
		return printJSON(p, sbomOf(r))
	case c.Compare != "":
		return compare(p, r, other, string(c.Compare))
	}
	_, err = fmt.Fprintf(p.stdout, "%s, %s, %s\n", r.title(), r.GoVersion, r.Platform)
	return err
}

// title is the version in words.
func (r *buildReport) title() string {
	line := "weir " + r.Version
	if r.Commit != "" {
		line += " " + r.Commit[:min(12, len(r.Commit))]
	}
	if r.Modified {
		line += " with changes"
	}
	return line
}

func printJSON(p *process, v any) error {
	enc := json.NewEncoder(p.stdout)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// maxReportBytes is more than any weir version --json.
const maxReportBytes = 1 << 20

func readReport(file string) (r buildReport, err error) {
	b, err := readBounded(file, maxReportBytes)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return r, fmt.Errorf("%s: %w", file, err)
	}
	if r.GoVersion == "" || len(r.Modules) == 0 || r.Digest == "" {
		return r, fmt.Errorf("%s names no go_version, modules or digest", file)
	}
	return r, nil
}

// compare prints one line for each thing in which two binaries differ; it fails
// if there is one.
func compare(p *process, here, there buildReport, file string) error {
	lines := drift(here, there)
	for _, line := range lines {
		if _, err := fmt.Fprintln(p.stdout, line); err != nil {
			return err
		}
	}
	if len(lines) > 0 {
		return fmt.Errorf("this binary is not the one of %s", file)
	}
	_, err := fmt.Fprintf(p.stdout, "the same: %s, %s\n", here.title(), here.Digest)
	return err
}

// drift lists what differs, modules by their names. The other report is
// somebody's file, so it is quoted.
func drift(here, there buildReport) (lines []string) {
	differs := func(what, a, b string) {
		switch {
		case a == b:
		case a == "":
			lines = append(lines, fmt.Sprintf("%s: not here, there %q", what, b))
		case b == "":
			lines = append(lines, fmt.Sprintf("%s: here %q, not there", what, a))
		default:
			lines = append(lines, fmt.Sprintf("%s: here %q, there %q", what, a, b))
		}
	}
	each := func(what string, a, b map[string]string) {
		for _, name := range union(a, b) {
			differs(fmt.Sprintf("%s %q", what, name), a[name], b[name])
		}
	}
	differs("version", here.Version, there.Version)
	differs("commit", here.Commit, there.Commit)
	differs("changes", fmt.Sprint(here.Modified), fmt.Sprint(there.Modified))
	differs("go", here.GoVersion, there.GoVersion)
	differs("platform", here.Platform, there.Platform)
	each("setting", here.Settings, there.Settings)
	each("module", here.Modules, there.Modules)
	differs("digest", here.Digest, there.Digest)
	return lines
}

// union returns the names of both, each once, in order.
func union(a, b map[string]string) []string {
	return slices.Compact(slices.Sorted(func(yield func(string) bool) {
		for _, m := range []map[string]string{a, b} {
			for name := range maps.Keys(m) {
				if !yield(name) {
					return
				}
			}
		}
	}))
}
