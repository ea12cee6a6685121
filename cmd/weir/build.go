package main

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
)

// buildReport is what weir version --json prints, and --compare reads.
type buildReport struct {
	Version   string            `json:"version"`
	Commit    string            `json:"commit,omitempty"`
	Time      string            `json:"commit_time,omitempty"`
	Modified  bool              `json:"modified"` // built from a tree with changes
	GoVersion string            `json:"go_version"`
	Platform  string            `json:"platform"`
	Settings  map[string]string `json:"settings,omitempty"` // of the build, as go version -m has them
	Modules   map[string]string `json:"modules"`
	Digest    string            `json:"digest,omitempty"` // SHA-256 of the binary's file

	sums map[string]string // of the modules, as go.sum has them
}

// readBuild reports how this binary was built, without its digest.
func readBuild() buildReport {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	return reportOf(info)
}

// readBinary is readBuild with the digest, for which it reads the binary's file.
func readBinary() (buildReport, error) {
	r := readBuild()
	file, err := os.Executable()
	if err != nil {
		return r, err
	}
	digest, err := digestOf(file)
	r.Digest = "sha256:" + digest
	return r, err
}

// digestOf returns the SHA-256 of a file in hex.
func digestOf(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", h.Sum(nil)), nil
}

// buildSettings are those that change what a binary does or how it is made.
var buildSettings = []string{"-buildmode", "-compiler", "-gcflags", "-ldflags", "-race", "-tags", "-trimpath", "CGO_ENABLED", "GOAMD64",
	"GOARM64", "GOEXPERIMENT", "GOFIPS140"}

func reportOf(info *debug.BuildInfo) buildReport {
	r := buildReport{
		Version: "devel", GoVersion: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
		Settings: map[string]string{}, Modules: map[string]string{}, sums: map[string]string{},
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		r.Version = v
	}
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			r.Commit = s.Value
		case s.Key == "vcs.time":
			r.Time = s.Value
		case s.Key == "vcs.modified":
			r.Modified = s.Value == "true"
		case slices.Contains(buildSettings, s.Key):
			r.Settings[s.Key] = s.Value
		}
	}
	for _, m := range info.Deps {
		for m.Replace != nil {
			m = &debug.Module{Path: m.Path, Version: m.Replace.Path + " " + m.Replace.Version, Sum: m.Replace.Sum, Replace: m.Replace.Replace}
		}
		r.Modules[m.Path], r.sums[m.Path] = m.Version, m.Sum
	}
	return r
}
