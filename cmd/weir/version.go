package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"
)

// buildReport is what weir version --json prints.
type buildReport struct {
	Version   string            `json:"version"`
	Commit    string            `json:"commit,omitempty"`
	Time      string            `json:"commit_time,omitempty"`
	Modified  bool              `json:"modified"` // built from a tree with changes
	GoVersion string            `json:"go_version"`
	Platform  string            `json:"platform"`
	Modules   map[string]string `json:"modules"`
}

// readBuild reports how this binary was built.
func readBuild() buildReport {
	r := buildReport{
		Version:   "devel",
		GoVersion: runtime.Version(),
		Platform:  runtime.GOOS + "/" + runtime.GOARCH,
		Modules:   map[string]string{},
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return r
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		r.Version = v
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			r.Commit = s.Value
		case "vcs.time":
			r.Time = s.Value
		case "vcs.modified":
			r.Modified = s.Value == "true"
		}
	}
	for _, m := range info.Deps {
		version := m.Version
		if m.Replace != nil {
			version = m.Replace.Version
		}
		r.Modules[m.Path] = version
	}
	return r
}

func printVersion(p *process, c *versionCommand) error {
	r := readBuild()
	if c.JSON {
		enc := json.NewEncoder(p.stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(r)
	}
	line := "weir " + r.Version
	if r.Commit != "" {
		line += " " + r.Commit[:min(12, len(r.Commit))]
	}
	if r.Modified {
		line += " with changes"
	}
	_, err := fmt.Fprintf(p.stdout, "%s, %s, %s\n", line, r.GoVersion, r.Platform)
	return err
}
