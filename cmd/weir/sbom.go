package main

import (
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"

	"weir/cmd/weir/demo"
)

// The bill of materials: CycloneDX 1.6 in JSON, from what the binary says of
// itself. It holds no time and no serial number, so the same binary has the
// same bill.
type sbom struct {
	Format     string          `json:"bomFormat"`
	Spec       string          `json:"specVersion"`
	Version    int             `json:"version"`
	Metadata   sbomMetadata    `json:"metadata"`
	Components []sbomComponent `json:"components"`
}

type sbomMetadata struct {
	Component sbomComponent `json:"component"`
}

type sbomComponent struct {
	Ref        string         `json:"bom-ref"`
	Type       string         `json:"type"`
	Name       string         `json:"name"`
	Version    string         `json:"version"`
	Hashes     []sbomHash     `json:"hashes,omitempty"`
	PURL       string         `json:"purl"`
	Properties []sbomProperty `json:"properties,omitempty"`
}

type sbomHash struct {
	Algorithm string `json:"alg"`
	Content   string `json:"content"`
}

type sbomProperty struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

func sbomOf(r buildReport) sbom {
	main := component("application", "golang", "weir", r.Version, strings.TrimPrefix(r.Digest, "sha256:"))
	settings := map[string]string{"platform": r.Platform, "commit": r.Commit, "changes": fmt.Sprint(r.Modified)}
	maps.Copy(settings, r.Settings)
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		main.Properties = append(main.Properties, sbomProperty{"weir:build:" + name, settings[name]})
	}
	b := sbom{Format: "CycloneDX", Spec: "1.6", Version: 1, Metadata: sbomMetadata{main}}
	for _, path := range slices.Sorted(maps.Keys(r.Modules)) {
		b.Components = append(b.Components, component("library", "golang", path, r.Modules[path], hexOfSum(r.sums[path])))
	}
	b.Components = append(b.Components,
		component("library", "golang", "std", strings.TrimPrefix(r.GoVersion, "go"), ""),
		component("library", "npm", demo.SDKName, demo.SDKVersion, demo.SDKDigest()))
	return b
}

// component names a module as its ecosystem does; sha256 is in hex, "" for none.
func component(kind, ecosystem, name, version, sha256 string) sbomComponent {
	purl := fmt.Sprintf("pkg:%s/%s@%s", ecosystem, name, strings.NewReplacer("+", "%2B", " ", "%20").Replace(version))
	c := sbomComponent{Ref: purl, Type: kind, Name: name, Version: version, PURL: purl}
	if sha256 != "" {
		c.Hashes = []sbomHash{{"SHA-256", sha256}}
	}
	return c
}

// hexOfSum turns a module's sum of go.sum into the form of a bill: the same
// SHA-256, over the list of the module's files; "" for anything else.
func hexOfSum(sum string) string {
	text, ok := strings.CutPrefix(sum, "h1:")
	b, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil {
		return ""
	}
	return fmt.Sprintf("%x", b)
}
